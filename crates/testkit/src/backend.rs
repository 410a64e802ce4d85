//! What servers keep their data in: the suite runs once on each kind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use backing::{Postgres, Redis, RedisOptions};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The environment variable that says on which kind this run's servers are: `sqlite`, the default, or `postgres`.
const VARIABLE: &str = "REPLYHQ_TEST_BACKEND";

static POSTGRES: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A fresh place for a server's data, thrown away when dropped. Servers that are started on it one after the other find
/// what was there before.
pub struct Backend(Kind);

enum Kind {
    /// A folder, for SQLite. Nothing is shared with other nodes.
    Folder(TempDir),
    /// The same, without throwing it away.
    Borrowed(PathBuf),
    /// A database of its own on a Postgres for all tests that run at a time, and a Redis of its own.
    Shared { url: String, redis: Box<Redis>, _postgres: Arc<Postgres> },
}

impl Backend {
    /// One of the kind that this run is about.
    ///
    /// # Panics
    /// If the environment asks for one that there is not, or if a database does not start.
    pub async fn fresh() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("sqlite") => Self::sqlite(),
            Ok("postgres") => Self::postgres().await,
            Ok(other) => panic!("{VARIABLE} is {other}: neither sqlite nor postgres"),
        }
    }

    /// SQLite, whatever the run is about.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    pub fn sqlite() -> Self {
        Self(Kind::Folder(tempfile::tempdir().expect("a temporary folder")))
    }

    /// SQLite in a folder that is someone else's, who keeps it.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Kind::Borrowed(folder.to_owned()))
    }

    /// Postgres and Redis, whatever the run is about.
    ///
    /// # Panics
    /// If they do not start.
    pub async fn postgres() -> Self {
        let postgres = shared_postgres().await;
        let name = format!("server_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let url = postgres.create_database(&name).await.expect("a database");
        let redis = Redis::start(RedisOptions::default()).await.expect("a private Redis");
        Self(Kind::Shared { url, redis: Box::new(redis), _postgres: postgres })
    }

    /// The flags that name the database: all that a command needs.
    pub fn database(&self) -> Vec<OsString> {
        match &self.0 {
            Kind::Folder(folder) => vec!["--data-dir".into(), folder.path().into()],
            Kind::Borrowed(folder) => vec!["--data-dir".into(), folder.into()],
            Kind::Shared { url, .. } => vec!["--database-url".into(), url.into()],
        }
    }

    /// The flags of `serve` that a command does not need.
    pub(crate) fn rest(&self) -> Vec<OsString> {
        match &self.0 {
            Kind::Folder(_) | Kind::Borrowed(_) => Vec::new(),
            Kind::Shared { redis, .. } => vec!["--redis-url".into(), redis.url().into()],
        }
    }
}

async fn shared_postgres() -> Arc<Postgres> {
    let mut shared = POSTGRES.lock().await;
    if let Some(postgres) = shared.upgrade() {
        return postgres;
    }
    let postgres = Arc::new(Postgres::start().await.expect("a private Postgres"));
    *shared = Arc::downgrade(&postgres);
    postgres
}
