//! Connections, and the limits of what is done on them.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, RecyclingMethod, Runtime};
use tokio::time::timeout;

use super::config::{CONNECT_LIMIT, PostgresConfig};
use super::connection::prepare;
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::operation::Operation;
use crate::session::Session;

/// Connections of one node, at most.
const SIZE: usize = 16;

/// How long one operation may take. A database that hangs is an error then, and its connection is thrown away.
const LIMIT: Duration = Duration::from_secs(4);

/// How long undoing may take before the connection is thrown away instead.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Pool {
    connections: deadpool_postgres::Pool,
}

impl Pool {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, Error> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.driver.clone(), config.connector()?, recycling);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(SIZE)
            .wait_timeout(Some(CONNECT_LIMIT))
            .create_timeout(Some(CONNECT_LIMIT))
            .recycle_timeout(Some(CONNECT_LIMIT))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|connection, _| {
                Box::pin(async move {
                    prepare(connection).await.map_err(|error| HookError::message(error.to_string()))
                })
            }))
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        Ok(Self { connections })
    }

    /// Runs a read, which sees one state from its beginning to its end.
    pub(crate) async fn read<O: Operation>(&self, operation: &O) -> Result<O::Out, Error> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let lease = self.lease().await?;
        let connection = lease.connection()?;
        let outcome = limited(async {
            connection.batch_execute(BEGIN).await?;
            // In a place of its own: what all operations may need would make every caller's future as large.
            let value = Box::pin(operation.run(&mut Session::Postgres(connection))).await?;
            connection.batch_execute("COMMIT").await?;
            Ok(value)
        })
        .await;
        lease.end(outcome).await
    }

    /// Runs a write in a transaction of its own.
    pub(super) async fn write(&self, job: &mut dyn Job) -> Result<(), Error> {
        let lease = self.lease().await?;
        let connection = lease.connection()?;
        let outcome = limited(async {
            connection.batch_execute("BEGIN").await?;
            job.run(&mut Session::Postgres(connection)).await?;
            connection.batch_execute("COMMIT").await?;
            Ok(())
        })
        .await;
        lease.end(outcome).await
    }

    pub(super) async fn lease(&self) -> Result<Lease, Error> {
        Ok(Lease { connection: Some(self.connections.get().await?) })
    }
}

/// A connection in use. Unless it is ended, it is thrown away: nobody knows then what still runs on it.
pub(super) struct Lease {
    connection: Option<Object>,
}

impl Lease {
    pub(super) fn connection(&self) -> Result<&Object, Error> {
        self.connection.as_ref().ok_or_else(Error::closed)
    }

    /// Gives the connection back, or throws it away if it is of no more use.
    pub(super) async fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        let is_clean = match &outcome {
            Ok(_) => true,
            Err(error) if error.is_connections() => false,
            Err(_) => {
                let undone = timeout(ROLLBACK_LIMIT, self.connection()?.batch_execute("ROLLBACK")).await;
                matches!(undone, Ok(Ok(())))
            }
        };
        if is_clean {
            drop(self.connection.take());
        }
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// Lets it take no longer than any operation may.
pub(super) async fn limited<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(Error::new(ErrorKind::Timeout, "Postgres did not answer in time"));
    timeout(LIMIT, work).await.unwrap_or_else(late)
}
