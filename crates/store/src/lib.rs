//! What lasts: apps, tokens, devices, conversations, messages, receipts, the audit log.
//!
//! The only user of the database drivers. Each method is one whole operation: it is stored entirely or not at all,
//! and it is on the disk before anyone is told. Rows don't travel; nothing here decides who may do what, beyond the
//! [`Scope`] that a caller hands in.

mod clock;
mod error;
mod job;
mod operations;
mod postgres;
mod schema;
mod session;
mod sqlite;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::rest::User;
use protocol::{AppId, AuditEntry, ConversationId, DeviceId, InboxConversation, Message, Timestamp, TokenId};
use tokio::sync::{mpsc, oneshot};

pub use self::clock::Clock;
pub use self::error::{Error, ErrorKind};
use self::job::{Job, Write};
pub use self::operations::apps::{App, OldKey, Rotated};
pub use self::operations::audit::Act;
pub use self::operations::changes::{ChangeCursor, ChangedConversation, Changes, Compared, Given};
pub use self::operations::conversations::{InboxCursor, InboxQuery, Marks, Scope};
pub use self::operations::credentials::{Credential, KeyId};
pub use self::operations::devices::{DeviceLogin, LatestConversation};
pub use self::operations::inbox::{Identified, OpenConversation, Opened, StatusChange};
pub use self::operations::messages::{Appended, Cursor, History, Look, NewMessage};
pub use self::operations::receipts::{NewReceipt, Receipted};
pub use self::operations::tokens::Token;
use self::operations::{
    apps, audit, changes, conversations, credentials, devices, inbox, messages, receipts, tokens,
};
use self::postgres::Postgres;
pub use self::postgres::PostgresConfig;
use self::session::Session;
use self::sqlite::Sqlite;
pub use self::sqlite::{Backup, back_up};

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

/// The key of the rare writes that concern no conversation or device.
const ADMINISTRATION: &str = "administration";

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

    /// A read, on one connection and of one state.
    async fn read<T: Send + 'static>(
        &self,
        operation: impl for<'a> FnOnce(&'a mut Session<'_>) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.readers.read(operation).await,
            Backend::Postgres(postgres) => postgres.pool.read(operation).await,
        }
    }

    /// A write, in a transaction; `done` is called in commit order once it is on the disk, or has failed. Those with
    /// the same `key` are done one after another.
    fn submit<T: Send + 'static>(
        &self,
        key: &str,
        operation: impl for<'a> FnMut(&'a mut Session<'_>) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) {
        let job = Box::new(Write::new(operation, done));
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.writer.submit(job),
            Backend::Postgres(postgres) => postgres.lanes.submit(key, job),
        }
    }

    /// A write that its caller waits for.
    fn write<T: Send + 'static>(
        &self,
        key: &str,
        operation: impl for<'a> FnMut(&'a mut Session<'_>) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> {
        let (tell, told) = oneshot::channel();
        self.submit(key, operation, move |outcome| {
            // Nobody waits any more where this fails.
            let _ = tell.send(outcome);
        });
        async { told.await.map_err(|_| Error::closed())? }
    }

    // Messages and receipts.

    /// Stores a message once, under the next `seq` of its conversation. `done` is called in commit order.
    pub fn append(&self, new: NewMessage, done: impl FnOnce(Result<Appended, Error>) + Send + 'static) {
        match &self.backend {
            Backend::Sqlite(_) => {
                let (key, new) = (new.conversation_id.clone(), Arc::new(new));
                self.submit(
                    &key,
                    move |session| {
                        let new = Arc::clone(&new);
                        Box::pin(async move { messages::append(session, &new).await })
                    },
                    done,
                );
            }
            Backend::Postgres(postgres) => postgres.appends.submit(new, Box::new(done)),
        }
    }

    /// Records a receipt. `done` is called in commit order.
    pub fn advance_receipt(
        &self,
        receipt: NewReceipt,
        done: impl FnOnce(Result<Look<Receipted>, Error>) + Send + 'static,
    ) {
        match &self.backend {
            Backend::Sqlite(_) => {
                let (key, receipt) = (receipt.conversation_id.clone(), Arc::new(receipt));
                self.submit(
                    &key,
                    move |session| {
                        let receipt = Arc::clone(&receipt);
                        Box::pin(async move { receipts::advance(session, &receipt).await })
                    },
                    done,
                );
            }
            Backend::Postgres(postgres) => postgres.receipts.submit(receipt, Box::new(done)),
        }
    }

    /// A conversation's end, and a page of its messages if there is a cursor.
    pub async fn history(
        &self,
        scope: Scope,
        conversation_id: ConversationId,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Result<Look<History>, Error> {
        self.read(move |session| {
            Box::pin(async move {
                messages::history(session, &scope, &conversation_id, cursor.as_ref(), limit).await
            })
        })
        .await
    }

    /// Up to `limit` messages after `seq`, with status `sent`, for the node itself: nobody's right to see is checked.
    pub async fn messages_after(
        &self,
        conversation_id: ConversationId,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        self.read(move |session| {
            Box::pin(async move { messages::after(session, &conversation_id, seq, limit).await })
        })
        .await
    }

    // Conversations.

    /// The newest open conversation of whoever is at the device, or a new one with `id`. `done` is called in commit order.
    pub fn open_conversation(
        &self,
        opening: OpenConversation,
        done: impl FnOnce(Result<Opened, Error>) + Send + 'static,
    ) {
        let (key, opening) = (opening.device_id.clone(), Arc::new(opening));
        self.submit(
            &key,
            move |session| {
                let opening = Arc::clone(&opening);
                Box::pin(async move { inbox::open(session, &opening).await })
            },
            done,
        );
    }

    /// Sets the status; the conversation as it is then, and whether that changed it. `done` is called in commit order.
    pub fn set_status(
        &self,
        change: StatusChange,
        done: impl FnOnce(Result<Option<(InboxConversation, bool)>, Error>) + Send + 'static,
    ) {
        let (key, change) = (change.id.clone(), Arc::new(change));
        self.submit(
            &key,
            move |session| {
                let change = Arc::clone(&change);
                Box::pin(async move { inbox::set_status(session, &change).await })
            },
            done,
        );
    }

    /// Conversations with their newest message, newest activity first.
    pub async fn conversations(&self, query: InboxQuery) -> Result<Vec<InboxConversation>, Error> {
        self.read(move |session| Box::pin(async move { conversations::page(session, &query).await })).await
    }

    /// One conversation with its newest message, if it is within `scope`.
    pub async fn conversation(
        &self,
        scope: Scope,
        id: ConversationId,
    ) -> Result<Option<InboxConversation>, Error> {
        self.read(move |session| Box::pin(async move { inbox::find(session, &scope, &id).await })).await
    }

    /// The conversations that were changed since then, for a node that may have missed the news; it may be told of
    /// some again. Without `since`, only where to begin. On SQLite there never are any: no other process changes them.
    pub async fn changes(&self, since: Option<ChangeCursor>, limit: u32) -> Result<Changes, Error> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(Changes::default()),
            Backend::Postgres(_) => {
                self.read(move |session| {
                    Box::pin(async move { changes::since(session, since.as_ref(), limit).await })
                })
                .await
            }
        }
    }

    /// What the database has where somebody was given something: it may be another one, which lacks what the one before
    /// had confirmed. On SQLite nobody is answered for: its file can't be another while it is open.
    pub async fn compare(&self, given: Vec<Given>) -> Result<Vec<Compared>, Error> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(Vec::new()),
            Backend::Postgres(_) => {
                self.read(move |session| Box::pin(async move { changes::compare(session, &given).await }))
                    .await
            }
        }
    }

    // Devices.

    /// What a handshake of this device needs; `None` if there is no such app.
    pub async fn device_login(
        &self,
        app_id: AppId,
        device_id: DeviceId,
    ) -> Result<Option<DeviceLogin>, Error> {
        self.read(move |session| Box::pin(async move { devices::login(session, &app_id, &device_id).await }))
            .await
    }

    /// Remembers who uses the device, `None` for nobody: from the commit on it shows what is theirs and nothing else.
    /// `done` is called in commit order.
    pub fn identify(
        &self,
        app_id: AppId,
        device_id: DeviceId,
        user: Option<User>,
        now: Timestamp,
        done: impl FnOnce(Result<Identified, Error>) + Send + 'static,
    ) {
        let (key, input) = (device_id.clone(), Arc::new((app_id, device_id, user)));
        self.submit(
            &key,
            move |session| {
                let input = Arc::clone(&input);
                Box::pin(async move {
                    let (app_id, device_id, user) = &*input;
                    inbox::identify(session, app_id, device_id, user.as_ref(), now).await
                })
            },
            done,
        );
    }

    // Administration.

    /// Stores a new app; false, and nothing is stored, if there is one with its id.
    pub async fn create_app(&self, app: App, act: Act) -> Result<bool, Error> {
        let input = Arc::new((app, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (app, act) = &*input;
                let is_new = apps::create(session, app).await?;
                if is_new {
                    audit::append(session, act).await?;
                }
                Ok(is_new)
            })
        })
        .await
    }

    /// All apps.
    pub async fn apps(&self) -> Result<Vec<App>, Error> {
        self.read(move |session| Box::pin(async move { apps::list(session).await })).await
    }

    /// One app.
    pub async fn app(&self, id: AppId) -> Result<Option<App>, Error> {
        self.read(move |session| Box::pin(async move { apps::find(session, &id).await })).await
    }

    /// Puts another key in the place of the app's, which is kept until then beside it or ends now.
    pub async fn rotate_key(
        &self,
        id: AppId,
        api_key_hash: String,
        keep_until: Option<Timestamp>,
        act: Act,
    ) -> Result<Rotated, Error> {
        let input = Arc::new((id, api_key_hash, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (id, api_key_hash, act) = &*input;
                let rotated = apps::rotate_key(session, id, api_key_hash, keep_until, act.at).await?;
                if rotated == Rotated::Done {
                    audit::append(session, act).await?;
                }
                Ok(rotated)
            })
        })
        .await
    }

    /// Ends an app's old key; false if there is no such app, or no old key that is good.
    pub async fn end_old_key(&self, id: AppId, act: Act) -> Result<bool, Error> {
        let input = Arc::new((id, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (id, act) = &*input;
                let found = apps::end_old_key(session, id, act.at).await?;
                if found {
                    audit::append(session, act).await?;
                }
                Ok(found)
            })
        })
        .await
    }

    /// Notes that an app's old key was used.
    pub async fn touch_old_key(&self, id: AppId, now: Timestamp) -> Result<(), Error> {
        let id = Arc::new(id);
        self.write(ADMINISTRATION, move |session| {
            let id = Arc::clone(&id);
            Box::pin(async move { apps::touch_old_key(session, &id, now).await })
        })
        .await
    }

    /// Those of the credentials that open nothing any more, at this time; one question for all.
    pub async fn void(&self, shown: Vec<Credential>, now: Timestamp) -> Result<Vec<Credential>, Error> {
        self.read(move |session| Box::pin(async move { credentials::void(session, &shown, now).await })).await
    }

    /// Takes the pages that may use the app's key, none for any; false if there is no such app.
    pub async fn allow_origins(&self, id: AppId, origins: Vec<String>, act: Act) -> Result<bool, Error> {
        let input = Arc::new((id, origins, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (id, origins, act) = &*input;
                let found = apps::allow_origins(session, id, origins).await?;
                if found {
                    audit::append(session, act).await?;
                }
                Ok(found)
            })
        })
        .await
    }

    /// The installation's secret of that name: the one that is stored, else `new`, which is stored now.
    pub async fn secret(&self, name: &'static str, new: String) -> Result<String, Error> {
        let new = Arc::new(new);
        self.write(ADMINISTRATION, move |session| {
            let new = Arc::clone(&new);
            Box::pin(async move { apps::secret(session, name, &new).await })
        })
        .await
    }

    /// Stores a new admin token.
    pub async fn create_token(&self, token: Token, act: Act) -> Result<(), Error> {
        let input = Arc::new((token, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (token, act) = &*input;
                tokens::create(session, token).await?;
                audit::append(session, act).await
            })
        })
        .await
    }

    /// All tokens of an app.
    pub async fn tokens(&self, app_id: AppId) -> Result<Vec<Token>, Error> {
        self.read(move |session| Box::pin(async move { tokens::list(session, &app_id).await })).await
    }

    /// One token.
    pub async fn token(&self, id: TokenId) -> Result<Option<Token>, Error> {
        self.read(move |session| Box::pin(async move { tokens::find(session, &id).await })).await
    }

    /// The token whose secret has this SHA-256.
    pub async fn token_by_hash(&self, hash: String) -> Result<Option<Token>, Error> {
        self.read(move |session| Box::pin(async move { tokens::find_by_hash(session, &hash).await })).await
    }

    /// Revokes a token; false if it was revoked before.
    pub async fn revoke_token(&self, id: TokenId, act: Act) -> Result<bool, Error> {
        let input = Arc::new((id, act));
        self.write(ADMINISTRATION, move |session| {
            let input = Arc::clone(&input);
            Box::pin(async move {
                let (id, act) = &*input;
                let changed = tokens::revoke(session, id, act.at).await?;
                if changed {
                    audit::append(session, act).await?;
                }
                Ok(changed)
            })
        })
        .await
    }

    /// Remembers that the token was used.
    pub async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), Error> {
        let id = Arc::new(id);
        self.write(ADMINISTRATION, move |session| {
            let id = Arc::clone(&id);
            Box::pin(async move { tokens::touch(session, &id, now).await })
        })
        .await
    }

    /// The audit log, newest first; of one app, or of all.
    pub async fn audit(
        &self,
        app_id: Option<AppId>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, Error> {
        self.read(move |session| {
            Box::pin(async move { audit::page(session, app_id.as_ref(), before, limit).await })
        })
        .await
    }

    /// Writes and commits something small.
    ///
    /// # Errors
    /// If writing does not work just now.
    pub async fn check_writable(&self, now: Timestamp) -> Result<(), Error> {
        const SQL: &str = "UPDATE heartbeat SET at = $1 WHERE id = 1";
        self.write(ADMINISTRATION, move |session| {
            Box::pin(async move {
                session.execute(SQL, &[session::Param::Integer(now.epoch_ms())]).await.map(|_| ())
            })
        })
        .await
    }
}
