//! Brings the schema up to date, and takes over what was restored from another Postgres. Nodes that start at once take turns.

use refinery::{Migration, Runner};

use super::config::PostgresConfig;
use super::connection::connect;
use crate::Purpose;
use crate::error::{Error, ErrorKind};
use crate::schema::is_to_be_migrated;

/// The advisory lock that is the turn.
const TURN: i64 = 0x7265_706c_7968_7101;

mod both {
    refinery::embed_migrations!("migrations/both");
}

mod own {
    refinery::embed_migrations!("migrations/postgres");
}

/// A transaction that this Postgres has not come to can't have changed a row that is seen: the row was dumped in another
/// one, whose numbers were higher, and restored here. The looks at what was changed lately would read it again and again
/// until the numbers here have passed it. Changed now, it bears a number of this one. Finds nothing otherwise.
const TAKE_OVER_RESTORED: &str = "UPDATE conversations SET change = 0 WHERE change >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint";

pub(super) async fn run(config: &PostgresConfig, purpose: Purpose) -> Result<(), Error> {
    let (mut client, _end) = connect(config).await?;
    // An index over all that is there may take its time, and so may waiting for another node's.
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '5min'").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&TURN]).await?;
    let mut migrations: Vec<Migration> = both::migrations::runner().get_migrations().clone();
    migrations.extend(own::migrations::runner().get_migrations().iter().cloned());
    let failed = |error| Error::new(ErrorKind::Internal, format!("migration: {error}"));
    let runner = Runner::new(&migrations);
    const HAS_HISTORY: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    let applied = if client.query_one(HAS_HISTORY, &[]).await?.try_get(0)? {
        runner.get_last_applied_migration_async(&mut client).await.map_err(failed)?
    } else {
        None
    };
    let newest = migrations.iter().map(Migration::version).max().unwrap_or_default();
    if is_to_be_migrated(purpose, applied.map(|migration| migration.version().into()), newest.into())? {
        runner.run_async(&mut client).await.map_err(failed)?;
        client.execute(TAKE_OVER_RESTORED, &[]).await?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&TURN]).await?;
    Ok(())
}
