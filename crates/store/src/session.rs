//! One database connection in use, whichever database it is: what the operations speak to.
//!
//! The operations are written once, as `async` functions over [`Session`]. On SQLite nothing in them ever waits, so
//! the thread that owns the connection runs them to their end in one poll.

use std::future::Future;

use futures_util::FutureExt as _;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::error::{Error, ErrorKind};

/// A connection that an operation may use until it ends.
pub enum Session<'c> {
    /// Borrowed for writing though it is not written to: only so may it go from thread to thread within a future.
    Sqlite(&'c mut rusqlite::Connection),
    Postgres(&'c deadpool_postgres::Object),
}

/// A parameter of a statement. `$1`, `$2` … stand in a statement's text in this order at their first appearance.
#[derive(Debug)]
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

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, *ty == Type::INT8) {
            (Self::Text(text) | Self::OptionalText(Some(text)), false) => text.to_sql(ty, out),
            (Self::Integer(number) | Self::OptionalInteger(Some(number)), true) => number.to_sql(ty, out),
            (Self::OptionalText(None) | Self::OptionalInteger(None), _) => Ok(IsNull::Yes),
            (_, _) => Err(format!("a statement takes {ty} where it is given something else").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::INT8)
    }

    to_sql_checked!();
}

/// A `seq` or a count as the database keeps it.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A row of an answer, read from left to right.
pub(crate) enum Row<'r> {
    Sqlite { row: &'r rusqlite::Row<'r>, next: usize },
    Postgres { row: &'r tokio_postgres::Row, next: usize },
}

impl<'r> Row<'r> {
    pub(crate) fn postgres(row: &'r tokio_postgres::Row) -> Self {
        Self::Postgres { row, next: 0 }
    }

    fn next<T>(&mut self) -> Result<T, Error>
    where
        T: rusqlite::types::FromSql + for<'t> tokio_postgres::types::FromSql<'t>,
    {
        match self {
            Self::Sqlite { row, next } => {
                *next += 1;
                Ok(row.get(*next - 1)?)
            }
            Self::Postgres { row, next } => {
                *next += 1;
                Ok(row.try_get(*next - 1)?)
            }
        }
    }

    /// The next column, as text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.next()
    }

    /// The next column, as an id or other type that is made from text.
    pub(crate) fn id<T: for<'t> From<&'t str>>(&mut self) -> Result<T, Error> {
        let text = match self {
            Self::Sqlite { row, next } => {
                *next += 1;
                row.get_ref(*next - 1)?.as_str().map_err(|e| Error::new(ErrorKind::Internal, e))?
            }
            Self::Postgres { row, next } => {
                *next += 1;
                row.try_get(*next - 1)?
            }
        };
        Ok(T::from(text))
    }

    /// The next column, as text that may be missing.
    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        self.next()
    }

    /// The next column, as a number.
    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        self.next()
    }

    /// The next column, as a number that may be missing.
    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        self.next()
    }

    /// The next column, as a count or `seq`.
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        self.integer().map(|number| u64::try_from(number).unwrap_or(0))
    }
}

impl Session<'_> {
    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<usize, Error> {
        self.note(sql);
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.execute(rusqlite::params_from_iter(params))?)
            }
            Self::Postgres(_) if is_about_nothing(sql, params) => Ok(0),
            Self::Postgres(client) => {
                let statement = client.prepare_cached(sql).await?;
                let changed = client.execute_raw(&statement, params).await?;
                Ok(usize::try_from(changed).unwrap_or(usize::MAX))
            }
        }
    }

    /// Runs a query; `read` makes one value of each row.
    pub(crate) async fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.note(sql);
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(params))?;
                let mut values = Vec::new();
                while let Some(row) = rows.next()? {
                    values.push(read(&mut Row::Sqlite { row, next: 0 })?);
                }
                Ok(values)
            }
            Self::Postgres(_) if is_about_nothing(sql, params) => Ok(Vec::new()),
            Self::Postgres(client) => postgres_rows(client, sql, params)
                .await?
                .iter()
                .map(|row| read(&mut Row::postgres(row)))
                .collect(),
        }
    }

    /// Runs a query of which at most the first row is wanted.
    pub(crate) async fn query_one<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.note(sql);
        match self {
            Self::Sqlite(connection) => {
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
            Self::Postgres(_) if is_about_nothing(sql, params) => Ok(None),
            Self::Postgres(client) => {
                let rows = postgres_rows(client, sql, params).await?;
                rows.first().map(|row| read(&mut Row::postgres(row))).transpose()
            }
        }
    }

    /// Remembers what was asked, for the test that looks at the plans of all statements.
    #[cfg(test)]
    fn note(&self, sql: &'static str) {
        let asked = if matches!(self, Self::Sqlite(_)) { &asked::SQLITE } else { &asked::POSTGRES };
        asked.lock().expect("nobody panics with it").insert(sql);
    }

    #[cfg(not(test))]
    fn note(&self, _: &'static str) {}

    /// Holds up everyone else who asks for the same `key`, until the transaction ends. On SQLite there is only one
    /// writer.
    pub(crate) async fn lock(&mut self, key: &str) -> Result<(), Error> {
        const SQL: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        if let Self::Postgres(_) = self {
            self.execute(SQL, &[Param::Text(key)]).await?;
        }
        Ok(())
    }

    /// Holds up everyone else who changes the conversation, so that what is read next stays true until the
    /// transaction ends. On SQLite there is only one writer.
    pub(crate) async fn lock_conversation(&mut self, id: &str) -> Result<(), Error> {
        const SQL: &str = "SELECT FROM conversations WHERE id = $1 FOR UPDATE";
        if let Self::Postgres(_) = self {
            self.execute(SQL, &[Param::Text(id)]).await?;
        }
        Ok(())
    }
}

/// Whether a text that Postgres can't hold is looked for: no row has it, and asking would be an error. What is to be
/// stored has been checked before.
fn is_about_nothing(sql: &str, params: &[Param<'_>]) -> bool {
    let has_nul = |param: &Param<'_>| match param {
        Param::Text(text) | Param::OptionalText(Some(text)) => text.contains('\0'),
        _ => false,
    };
    !sql.starts_with("INSERT") && params.iter().any(has_nul)
}

async fn postgres_rows(
    client: &deadpool_postgres::Object,
    sql: &'static str,
    params: &[Param<'_>],
) -> Result<Vec<tokio_postgres::Row>, Error> {
    let statement = client.prepare_cached(sql).await?;
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
    Ok(client.query(&statement, &params).await?)
}

/// Runs an operation on a connection that never makes it wait.
pub(crate) fn at_once<T>(operation: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    operation
        .now_or_never()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "an operation waited on SQLite")))
}

/// The statements that were asked in this test process.
#[cfg(test)]
pub(crate) mod asked {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    pub(crate) static SQLITE: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    pub(crate) static POSTGRES: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
}
