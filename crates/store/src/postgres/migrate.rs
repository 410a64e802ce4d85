//! Brings the schema up to date. Nodes that start at once take turns.

use refinery::{Migration, Runner};

use super::config::PostgresConfig;
use super::pool::connect;
use crate::error::{Error, ErrorKind};

/// The advisory lock that is the turn.
const TURN: i64 = 0x7265_706c_7968_7101;

mod both {
    refinery::embed_migrations!("migrations/both");
}

mod own {
    refinery::embed_migrations!("migrations/postgres");
}

pub(super) async fn run(config: &PostgresConfig) -> Result<(), Error> {
    let (mut client, _end) = connect(config).await?;
    // An index over all that is there may take its time, and so may waiting for another node's.
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '5min'").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&TURN]).await?;
    let mut migrations: Vec<Migration> = both::migrations::runner().get_migrations().clone();
    migrations.extend(own::migrations::runner().get_migrations().iter().cloned());
    Runner::new(&migrations)
        .run_async(&mut client)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, format!("migration: {error}")))?;
    client.execute("SELECT pg_advisory_unlock($1)", &[&TURN]).await?;
    Ok(())
}
