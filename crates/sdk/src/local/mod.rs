//! What lasts on the device: one SQLite file for each person. Each method is a whole step of the client's, and all of
//! them until [`LocalStore::commit`] are one transaction. Never talks to the server, and never decides.

mod conversations;
mod gaps;
mod ladder;
mod lock;
mod messages;
mod people;
mod queue;
mod salvage;

use std::path::Path;
use std::sync::Arc;

use protocol::DeviceId;
use protocol::rest::User;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row};

pub(crate) use self::conversations::Marks;
pub(crate) use self::gaps::Gap;
pub(crate) use self::people::{LeftDevice, People};
pub(crate) use self::queue::State;
pub(crate) use self::salvage::{Place, Salvaged};
use crate::platform::{CommitMoment, Platform};

/// The conversation that the server has yet to open.
pub(crate) const UNOPENED: &str = "";

/// Why the local file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the file was written by a newer version of the app")]
    Newer,
    #[error("the file holds what this version can't read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("another client has this data folder open")]
    InUse,
}

impl Error {
    /// Whether the file is damaged: it holds what this code never wrote.
    pub(crate) fn is_corruption(&self) -> bool {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqlInputError,
            SqliteFailure, Utf8Error,
        };
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
        use rusqlite::ffi::SQLITE_IOERR_SHORT_READ;

        match self {
            // Statements never differ, so that one that makes no sense is about a schema that is another.
            Self::Sqlite(SqliteFailure(error, _) | SqlInputError { error, .. }) => {
                matches!(error.code, DatabaseCorrupt | NotADatabase | Unknown)
                    || error.extended_code == SQLITE_IOERR_SHORT_READ
            }
            Self::Sqlite(error) => matches!(
                error,
                FromSqlConversionFailure(..)
                    | IntegralValueOutOfRange(..)
                    | InvalidColumnType(..)
                    | Utf8Error(..)
            ),
            Self::Unreadable(_) => true,
            Self::Io(_) | Self::Newer | Self::InUse => false,
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

/// Who is identified.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identified {
    /// Nobody who has a name, without it.
    pub(crate) user: Option<User>,
    /// Whether it is proved by tokens, and not said by the app.
    pub(crate) is_by_token: bool,
    /// Whether the server knows.
    pub(crate) is_told: bool,
}

/// One person's file, open.
pub(crate) struct LocalStore {
    connection: Connection,
    is_writing: bool,
    device_id: DeviceId,
    device_secret: Option<String>,
    platform: Arc<dyn Platform>,
}

impl LocalStore {
    /// Opens the file, or makes it for a new device of that name.
    pub(crate) fn open(path: &Path, new_device_id: &str, platform: Arc<dyn Platform>) -> Result<Self> {
        let connection = connect(path)?;
        ladder::climb(&connection, &*platform)?;
        let device_id = new_device_id.into();
        let mut store = Self { connection, is_writing: false, device_id, device_secret: None, platform };
        store.connection.set_prepared_statement_cache_capacity(64);
        let known = store.one("SELECT device_id, device_secret FROM person", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?))
        })?;
        match known {
            Some((known, secret)) => {
                store.device_id = known.into();
                store.device_secret = secret;
            }
            None => {
                store.write(
                    "INSERT INTO person (only, device_id, is_user_told) VALUES (1, ?1, 1)",
                    [new_device_id],
                )?;
                store.commit()?;
            }
        }
        Ok(store)
    }

    /// Makes all that was written since the last time last. On an error nothing of it does.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if !self.is_writing {
            return Ok(());
        }
        self.platform.committing(CommitMoment::Before);
        self.is_writing = false;
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            // A COMMIT that fails may leave the transaction open.
            let _ = self.connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
        self.platform.committing(CommitMoment::After);
        Ok(())
    }

    /// Forgets all that was written since the last commit.
    pub(crate) fn roll_back(&mut self) {
        if std::mem::take(&mut self.is_writing) {
            // Where the failed statement has ended the transaction already, there is nothing to end.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// The device's name.
    pub(crate) fn device_id(&self) -> &DeviceId {
        &self.device_id
    }

    /// By what the server knows that the name is this device's. Only a file that has just been opened may lack it.
    pub(crate) fn device_secret(&self) -> Option<&str> {
        self.device_secret.as_deref()
    }

    /// Keeps the device's secret.
    pub(crate) fn set_device_secret(&mut self, secret: &str) -> Result<()> {
        self.write("UPDATE person SET device_secret = ?1", [secret])?;
        self.device_secret = Some(secret.to_owned());
        Ok(())
    }

    /// Who is identified.
    pub(crate) fn identified(&self) -> Result<Identified> {
        let row = self.one("SELECT user, is_by_token, is_user_told FROM person", [], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get(1)?, row.get(2)?))
        })?;
        let (user, is_by_token, is_told) = row.unwrap_or((None, false, true));
        let user = user.map(|user| serde_json::from_str(&user)).transpose()?;
        Ok(Identified { user, is_by_token, is_told })
    }

    /// Keeps who is identified, until the server is told.
    pub(crate) fn set_user(&mut self, user: &User, is_by_token: bool) -> Result<()> {
        let user = serde_json::to_string(user)?;
        self.write("UPDATE person SET user = ?1, is_by_token = ?2, is_user_told = 0", (user, is_by_token))
    }

    /// The server was told who is identified, if it is still this person with these words, or nobody.
    pub(crate) fn user_was_told(&mut self, user: Option<&User>) -> Result<()> {
        let user = user.map(serde_json::to_string).transpose()?;
        self.write("UPDATE person SET is_user_told = 1 WHERE user IS ?1", [user])
    }

    /// The server does not know any more who is identified.
    pub(crate) fn user_is_untold(&mut self) -> Result<()> {
        self.write("UPDATE person SET is_user_told = 0", [])
    }

    /// What of the device the server was told, as JSON.
    pub(crate) fn context(&self) -> Result<Option<String>> {
        Ok(self.one("SELECT context FROM person", [], |row| row.get(0))?.flatten())
    }

    /// The server was told this of the device.
    pub(crate) fn context_was_told(&mut self, context: &str) -> Result<()> {
        self.write("UPDATE person SET context = ?1", [context])
    }

    /// Changes rows, in the transaction that goes on until the next commit.
    fn write(&mut self, sql: &str, params: impl Params) -> Result<()> {
        self.changing(sql, params).map(|_| ())
    }

    /// As [`write`](Self::write), and says how many rows were changed.
    fn changing(&mut self, sql: &str, params: impl Params) -> Result<usize> {
        if !self.is_writing {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.is_writing = true;
        }
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // The engine's own lock keeps others out, so that the shared-memory file of a WAL is not needed. FULL: what was
    // accepted is there after a power cut, too.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA cache_size = -256; PRAGMA journal_size_limit = 262144;",
    )?;
    Ok(connection)
}

/// SQLite's integers are signed; what is counted here never comes near the difference.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn counted(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}
