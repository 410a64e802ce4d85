//! A fresh database for each test, on the server that `REPLYHQ_TEST_POSTGRES` names, such as
//! `postgres://postgres@127.0.0.1:5432/postgres`. Without it there is nothing to test against.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, NoTls};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A fresh database.
pub(crate) struct Database {
    /// How to reach it.
    pub(crate) url: String,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a Postgres");
    tokio::spawn(connection);
    client
}

/// Makes one, if there is a server.
pub(crate) async fn create() -> Option<Database> {
    let server = std::env::var("REPLYHQ_TEST_POSTGRES").ok()?;
    let name = format!("test_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
    connect(&server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    let (place, _) = server.rsplit_once('/').expect("a database's name");
    Some(Database { url: format!("{place}/{name}") })
}
