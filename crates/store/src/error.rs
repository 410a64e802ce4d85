//! What can go wrong below the store's door.

use std::fmt;

/// Why an operation was not done. Nothing of it is stored then.
#[derive(Debug, thiserror::Error)]
#[error("database {kind}: {detail}")]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    /// Whether the same would likely go well at once: others were in its way.
    is_passing: bool,
}

/// The kinds of failure, for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No room on the disk.
    Full,
    /// The disk, or the way to it, failed.
    Io,
    /// It did not answer in time. A write may have been stored nevertheless.
    Timeout,
    /// Someone else held the database for too long.
    Busy,
    /// More is waiting than the queue holds.
    Overloaded,
    /// The store is closed, or its thread is gone.
    Closed,
    /// What was given is nothing that the database can hold. The same is refused again.
    Unstorable,
    /// A defect: of the schema, of a query, or of the file.
    Internal,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Full,
        Self::Io,
        Self::Timeout,
        Self::Busy,
        Self::Overloaded,
        Self::Closed,
        Self::Unstorable,
        Self::Internal,
    ];

    /// A word for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Io => "io",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Overloaded => "overloaded",
            Self::Closed => "closed",
            Self::Unstorable => "unstorable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string(), is_passing: false }
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the store is closed")
    }

    /// What happened, without its kind.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether every write would fail just now, not only this one.
    pub(crate) fn is_everyones(&self) -> bool {
        !matches!(self.kind, ErrorKind::Internal | ErrorKind::Unstorable)
    }
}

impl Error {
    /// Whether it is worth another try at once.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_passing
    }

    /// Whether the connection that said so is of no more use.
    pub(crate) fn is_connections(&self) -> bool {
        self.is_everyones() && self.kind != ErrorKind::Busy
    }
}

impl Clone for Error {
    fn clone(&self) -> Self {
        Self { kind: self.kind, detail: self.detail.clone(), is_passing: self.is_passing }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let kind = match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => ErrorKind::Full,
            Some(Sqlite::TooBig) => ErrorKind::Unstorable,
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => ErrorKind::Busy,
            Some(Sqlite::SystemIoFailure | Sqlite::ReadOnly | Sqlite::CannotOpen | Sqlite::OutOfMemory) => {
                ErrorKind::Io
            }
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState as State;
        let Some(database) = error.as_db_error() else {
            // What the driver itself refuses is our defect; the rest is the way to the database.
            let is_ways = error.is_closed()
                || std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>());
            let detail = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            return Self::new(if is_ways { ErrorKind::Io } else { ErrorKind::Internal }, detail);
        };
        let state = database.code();
        let is_passing =
            [State::T_R_DEADLOCK_DETECTED, State::T_R_SERIALIZATION_FAILURE, State::UNIQUE_VIOLATION]
                .contains(state);
        let kind = match state.code() {
            "53100" => ErrorKind::Full,
            "40001" | "40P01" | "55P03" => ErrorKind::Busy,
            "57014" => ErrorKind::Timeout,
            // Idle in a transaction for too long, read-only, out of connections or memory.
            "25P03" | "25006" => ErrorKind::Io,
            // Data that is none of the type or the encoding, and what is too long for an index.
            code if ["22", "54"].iter().any(|class| code.starts_with(class)) => ErrorKind::Unstorable,
            code if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => ErrorKind::Io,
            _ => ErrorKind::Internal,
        };
        Self { kind, detail: format!("{} ({})", database.message(), state.code()), is_passing }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError as Pool;
        match error {
            Pool::Backend(error) => {
                let error = Self::from(error);
                // Whatever keeps one from connecting keeps everyone.
                if error.is_everyones() { error } else { Self::new(ErrorKind::Io, error.detail) }
            }
            Pool::Timeout(_) => Self::new(ErrorKind::Timeout, "no connection to Postgres in time"),
            Pool::PostCreateHook(error) => Self::new(ErrorKind::Io, error),
            Pool::Closed => Self::closed(),
            other => Self::new(ErrorKind::Internal, other),
        }
    }
}
