//! What lasts: apps, tokens, devices, conversations, messages, receipts, the audit log.
//!
//! The only user of the database drivers. What can be asked are [`Operation`]s, values to be read or written by a [`Store`]:
//! each is stored entirely or not at all, and it is on the disk before anyone is told. Rows don't travel; nothing here
//! decides who may do what, beyond the [`Scope`] that a caller hands in.

mod clock;
mod error;
mod job;
mod operation;
mod operations;
mod postgres;
mod schema;
mod session;
mod sqlite;
mod words;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use self::clock::Clock;
pub use self::error::{Error, ErrorKind};
use self::job::Job;
pub use self::operation::{Operation, Read, Write};
pub use self::operations::activity::{
    ActivityAfter, ActivityCursor, ActivityPage, AddNote, Changed, Noted, ReadActivity,
};
pub use self::operations::agents::{
    AgentChange, AgentChanged, BeginFirstRun, ChangeAgent, CodeKind, EndFirstRun, FindAccounts, FindAgent,
    FindCode, GiveCode, GoodCode, InviteAgent, Invited, ListAgents, NewCode, SignIn, StoredAgent, UseCode,
};
pub use self::operations::apps::{
    App, AppChange, ChangeApp, CreateApp, EndOldKey, FindApp, IdentityPolicy, KeepSecret, ListApps, OldKey,
    RotateKey, Rotated, TouchOldKey,
};
pub use self::operations::audit::{Act, ListActs};
pub use self::operations::canned_replies::{
    AddCannedReply, Canned, ChangeCannedReply, ListCannedReplies, RemoveCannedReply,
};
pub use self::operations::changes::{
    ChangeCursor, ChangedConversation, Changes, Compare, Compared, Given, ListChanges,
};
pub use self::operations::conversations::{CountUnread, InboxCursor, ListConversations, Marks, Scope, View};
pub use self::operations::counts::{CountInbox, CountedInbox};
pub use self::operations::credentials::{Credential, FindVoid, KeyId, Void};
pub use self::operations::devices::{
    ClaimDevice, DeviceLogin, DeviceStanding, EndBindings, FindDevice, FindDeviceLogin, FindLatest,
    HasEndedBindings, LatestConversation, NowAt, Proof, ResetDevice, TouchDevice, Unbind,
};
pub use self::operations::heartbeat::CheckWritable;
pub use self::operations::identity_keys::{
    AddIdentityKey, EndBindingsOfKey, FindIdentityKey, IdentityKey, KeyAdded, ListIdentityKeys,
    RetireIdentityKey,
};
pub use self::operations::inbox::{
    Assign, Assigned, FindConversation, Identified, Identify, MarkUnread, Marked, OpenConversation, Opened,
    Outcome, SetStatus, TellContext,
};
pub use self::operations::indexing::{
    EndIndexing, Fresh, HoldIndexing, Index, ListFresh, ListOld, LoadUnindexed, Mark, Part, SearchState,
    Seen, Unindexed,
};
pub use self::operations::messages::{
    Appended, Cursor, History, Look, MessagesAfter, NewMessage, ReadHistory,
};
pub use self::operations::people::{
    Block, Blocked, BlockedNow, DescribePerson, FindPerson, KnownDevice, NameDevices, Person, PersonCard,
};
pub use self::operations::receipts::{NewReceipt, Receipted};
pub use self::operations::revocations::{ListRevocations, Revocation, Revocations};
pub use self::operations::search::{Found, Hit, HitWhat, Search};
pub use self::operations::search_requests::{
    EndSearchRequest, ForgetIndex, ListRequested, NextSearchRequest, RebuildSearch, Requested, SearchRequest,
};
pub use self::operations::tags::{AddTag, ChangeTags, ListTags, RemoveTag, Tagged};
pub use self::operations::tokens::{
    CreateToken, EndSignIns, FindToken, FindTokenByHash, ListSignIns, ListTokens, RevokeToken, Token,
    TokensAgent, TouchToken,
};
use self::postgres::Postgres;
pub use self::postgres::PostgresConfig;
use self::sqlite::Sqlite;
pub use self::sqlite::{Backup, back_up};
pub use self::words::{Sought, TooManyWords, Words};

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file; it and its folder are made where they are missing.
    Sqlite(PathBuf),
    /// A Postgres database, which several nodes may share.
    Postgres(Box<PostgresConfig>),
}

/// Why a process opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve. On SQLite only one process at a time may.
    Serve {
        /// Whether this node hears of no other: then it must be the only one on a Postgres database too.
        alone: bool,
    },
    /// To do one thing and end, beside a server or without one.
    Command,
}

/// Something the store did, for metrics.
#[derive(Debug, Clone, Copy)]
pub enum Observation {
    /// A transaction with so many writes was committed in this time.
    Committed {
        /// How many writes it held.
        writes: usize,
        /// From its begin to the end of its commit.
        took: Duration,
    },
    /// A write failed.
    Failed(ErrorKind),
}

/// Is told what the store does; called on the store's own threads, so it must be quick.
pub type Observer = Arc<dyn Fn(Observation) + Send + Sync>;

/// The database. Cheap to share behind an `Arc`.
pub struct Store {
    backend: Backend,
}

enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// Tells callers what became of their writes, in commit order. Must be [`run`](Self::run) for any write to end.
#[must_use]
pub struct Completions {
    batches: mpsc::UnboundedReceiver<Vec<Box<dyn Job>>>,
}

impl Completions {
    fn new(batches: mpsc::UnboundedReceiver<Vec<Box<dyn Job>>>) -> Self {
        Self { batches }
    }

    /// Runs until the store is dropped, and has let go of its database.
    pub async fn run(mut self) {
        while let Some(batch) = self.batches.recv().await {
            for job in batch {
                job.finish();
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Store {
    /// Opens the database, brings its schema up to date, and starts its threads.
    ///
    /// # Errors
    /// If it can't be opened or migrated, or if another process serves from it.
    pub async fn open(
        location: &Location,
        purpose: Purpose,
        observer: Observer,
    ) -> Result<(Self, Completions), Error> {
        let (backend, completions) = match location {
            Location::Sqlite(path) => {
                let (sqlite, completions) = Sqlite::open(path, purpose, observer)?;
                (Backend::Sqlite(sqlite), completions)
            }
            Location::Postgres(config) => {
                let (postgres, completions) = Postgres::open(config, purpose, observer).await?;
                (Backend::Postgres(postgres), completions)
            }
        };
        Ok((Self { backend }, completions))
    }

    /// What time it is, by the database and not by this node.
    pub fn clock(&self) -> &Clock {
        match &self.backend {
            Backend::Sqlite(sqlite) => &sqlite.clock,
            Backend::Postgres(postgres) => &postgres.clock,
        }
    }

    /// Whether another process serves from the same database and hears nothing of what this one stores: it came while the
    /// lock against that was lost with its connection.
    pub fn is_disputed(&self) -> bool {
        match &self.backend {
            Backend::Sqlite(_) => false,
            Backend::Postgres(postgres) => postgres.is_disputed(),
        }
    }

    /// Reads, on one connection and of one state.
    ///
    /// # Errors
    /// If the database fails, or takes too long.
    pub async fn read<O: Read>(&self, operation: O) -> Result<O::Out, Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.readers.read(operation).await,
            Backend::Postgres(postgres) => postgres.pool.read(&operation).await,
        }
    }

    /// Writes, in a transaction; `done` is called in commit order once it is on the disk, or has failed.
    pub fn submit<O: Write>(&self, operation: O, done: impl FnOnce(Result<O::Out, Error>) + Send + 'static) {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.writer.submit(Box::new(job::Write::new(operation, done))),
            Backend::Postgres(postgres) => operation.queue(postgres, done),
        }
    }

    /// As [`submit`](Self::submit), for a caller that waits for it. It is done whether that one goes on waiting or not.
    pub fn write<O: Write>(&self, operation: O) -> impl Future<Output = Result<O::Out, Error>> + use<O> {
        let (tell, told) = oneshot::channel();
        self.submit(operation, move |outcome| {
            // Nobody waits any more where this fails.
            let _ = tell.send(outcome);
        });
        async { told.await.map_err(|_| Error::closed())? }
    }
}
