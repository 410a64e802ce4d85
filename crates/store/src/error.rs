//! What can go wrong below the store's door.

use std::fmt;

/// Why an operation was not done. Nothing of it is stored then.
#[derive(Debug, thiserror::Error)]
#[error("database {kind}: {detail}")]
pub struct Error {
    kind: ErrorKind,
    detail: String,
}

/// The kinds of failure, for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No room on the disk.
    Full,
    /// The disk, or the way to it, failed.
    Io,
    /// Someone else held the database for too long.
    Busy,
    /// More is waiting than the queue holds.
    Overloaded,
    /// The store is closed, or its thread is gone.
    Closed,
    /// A defect: of the schema, of a query, or of the file.
    Internal,
}

impl ErrorKind {
    /// A word for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Io => "io",
            Self::Busy => "busy",
            Self::Overloaded => "overloaded",
            Self::Closed => "closed",
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
        Self { kind, detail: detail.to_string() }
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the store is closed")
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether every write would fail just now, not only this one.
    pub(crate) fn is_everyones(&self) -> bool {
        !matches!(self.kind, ErrorKind::Internal)
    }
}

impl Clone for Error {
    fn clone(&self) -> Self {
        Self { kind: self.kind, detail: self.detail.clone() }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let kind = match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => ErrorKind::Full,
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => ErrorKind::Busy,
            Some(Sqlite::SystemIoFailure | Sqlite::ReadOnly | Sqlite::CannotOpen | Sqlite::OutOfMemory) => {
                ErrorKind::Io
            }
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}
