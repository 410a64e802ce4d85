//! Keeps a node that hears of no other from serving beside others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_postgres::Client;

use super::config::PostgresConfig;
use super::connection::{connect, read_time};
use super::pool::limited;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};

/// The advisory lock that serving nodes hold: one alone, or any number together.
const LOCK: i64 = 0x7265_706c_7968_7102;

/// A node that has just ended may hold the lock for another moment.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// How long to wait before a lost lock is tried for again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the lock's connection is used, so that nothing on the way takes it for forgotten, and the lock looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The lock, held on a connection of its own until this is dropped.
pub(super) struct Serving {
    keeper: JoinHandle<()>,
    is_disputed: Arc<AtomicBool>,
}

impl Serving {
    pub(super) async fn begin(config: &PostgresConfig, alone: bool, clock: &Clock) -> Result<Self, Error> {
        for _ in 0..TRIES {
            let (client, end) = connect(config).await?;
            if take(&client, alone).await? {
                let (config, clock) = (config.clone(), clock.clone());
                let is_disputed = Arc::new(AtomicBool::new(false));
                let disputed = Arc::clone(&is_disputed);
                let keeper = tokio::spawn(async move {
                    keep(client, end, &clock).await;
                    retake(&config, alone, &disputed, &clock).await;
                });
                return Ok(Self { keeper, is_disputed });
            }
            sleep(PAUSE).await;
        }
        let detail =
            "another replyhq serves from this database already; nodes that share one need --redis-url";
        Err(Error::new(ErrorKind::Busy, detail))
    }

    /// Whether somebody else took the lock while it was lost.
    pub(super) fn is_disputed(&self) -> bool {
        self.is_disputed.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn take(client: &Client, alone: bool) -> Result<bool, Error> {
    let sql =
        if alone { "SELECT pg_try_advisory_lock($1)" } else { "SELECT pg_try_advisory_lock_shared($1)" };
    limited(async { Ok(client.query_one(sql, &[&LOCK]).await?.try_get(0)?) }).await
}

/// Whether the lock is still this connection's.
async fn has(client: &Client) -> Result<bool, Error> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
        AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = $1)";
    limited(async { Ok(client.query_one(SQL, &[&LOCK]).await?.try_get(0)?) }).await
}

/// Holds the connection until it breaks, or the lock is gone; and keeps the clock right.
async fn keep(client: Client, end: impl Future<Output = ()>, clock: &Clock) {
    let mut looks = interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = looks.tick() => {}
        }
        // A database that does not answer has taken nothing away.
        if matches!(has(&client).await, Ok(false)) {
            break;
        }
        // Nor does it say what time it is: the clock goes on.
        let _ = read_time(&client, clock).await;
    }
    tracing::warn!("the lock that marks this node as serving was lost; taking it anew");
}

async fn retake(config: &PostgresConfig, alone: bool, is_disputed: &AtomicBool, clock: &Clock) {
    loop {
        sleep(RETRY).await;
        let Ok((client, end)) = connect(config).await else { continue };
        // It may be another server.
        let _ = read_time(&client, clock).await;
        match take(&client, alone).await {
            Ok(true) => {
                if is_disputed.swap(false, Ordering::Relaxed) {
                    tracing::info!("no other replyhq serves from this database any more");
                }
                keep(client, end, clock).await;
            }
            Ok(false) => {
                if !is_disputed.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "another replyhq serves from this database, and neither hears what the other stores; \
                         nodes that share one need --redis-url"
                    );
                }
            }
            Err(_) => {}
        }
    }
}
