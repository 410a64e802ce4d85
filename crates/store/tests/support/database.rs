//! A fresh database for each test, on one private Postgres for those that run at a time. The last of them stops it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use backing::Postgres;
use tokio::sync::Mutex;

static SERVER: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A fresh database.
pub(crate) struct Database {
    /// How to reach it.
    pub(crate) url: String,
    /// The server that it is on.
    pub(crate) server: Arc<Postgres>,
}

/// Makes one.
pub(crate) async fn create() -> Database {
    let server = {
        let mut shared = SERVER.lock().await;
        match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Arc::new(Postgres::start().await.expect("a private Postgres"));
                *shared = Arc::downgrade(&server);
                server
            }
        }
    };
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    Database { url: server.create_database(&name).await.expect("a database"), server }
}
