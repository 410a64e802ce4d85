//! One database connection in use, whichever database it is: what the operations speak to.
//!
//! The operations are written once, as `async` functions over [`Session`]. On SQLite nothing in them ever waits, so
//! the thread that owns the connection runs them to their end in one poll.

use std::future::Future;

use futures_util::FutureExt as _;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::error::{Error, ErrorKind};

/// A connection that an operation may use until it ends.
pub(crate) enum Session<'c> {
    Sqlite(&'c rusqlite::Connection),
}

/// A parameter of a statement. `$1`, `$2` … stand in a statement's text in this order at their first appearance.
pub(crate) enum Param<'a> {
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Integer(i64),
    OptionalInteger(Option<i64>),
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(text) | Self::OptionalText(Some(text)) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Self::Integer(number) | Self::OptionalInteger(Some(number)) => {
                ToSqlOutput::Owned(Value::Integer(*number))
            }
            Self::OptionalText(None) | Self::OptionalInteger(None) => ToSqlOutput::Owned(Value::Null),
        })
    }
}

/// A `seq` or a count as the database keeps it.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A row of an answer, read from left to right.
pub(crate) enum Row<'r> {
    Sqlite { row: &'r rusqlite::Row<'r>, next: usize },
}

impl Row<'_> {
    /// The next column, as text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let Self::Sqlite { row, next } = self;
        *next += 1;
        Ok(row.get(*next - 1)?)
    }

    /// The next column, as an id or other type that is made from text.
    pub(crate) fn id<T: for<'t> From<&'t str>>(&mut self) -> Result<T, Error> {
        let Self::Sqlite { row, next } = self;
        *next += 1;
        let text = row.get_ref(*next - 1)?.as_str().map_err(|e| Error::new(ErrorKind::Internal, e))?;
        Ok(T::from(text))
    }

    /// The next column, as text that may be missing.
    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        let Self::Sqlite { row, next } = self;
        *next += 1;
        Ok(row.get(*next - 1)?)
    }

    /// The next column, as a number.
    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        let Self::Sqlite { row, next } = self;
        *next += 1;
        Ok(row.get(*next - 1)?)
    }

    /// The next column, as a number that may be missing.
    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        let Self::Sqlite { row, next } = self;
        *next += 1;
        Ok(row.get(*next - 1)?)
    }

    /// The next column, as a count or `seq`.
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        self.integer().map(|number| u64::try_from(number).unwrap_or(0))
    }
}

impl Session<'_> {
    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<usize, Error> {
        let Self::Sqlite(connection) = self;
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(params))?)
    }

    /// Runs a query; `read` makes one value of each row.
    pub(crate) async fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let Self::Sqlite(connection) = self;
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.push(read(&mut Row::Sqlite { row, next: 0 })?);
        }
        Ok(values)
    }

    /// Runs a query of which at most the first row is wanted.
    pub(crate) async fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let Self::Sqlite(connection) = self;
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let value = match rows.next()? {
            Some(row) => Some(read(&mut Row::Sqlite { row, next: 0 })?),
            None => None,
        };
        // A RETURNING statement is only done once it has said so.
        while rows.next()?.is_some() {}
        Ok(value)
    }
}

/// Runs an operation on a connection that never makes it wait.
pub(crate) fn at_once<T>(operation: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    operation
        .now_or_never()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an operation waited on SQLite")))
}
