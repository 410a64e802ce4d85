//! Keeps a node that hears of no other from serving beside others.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::config::PostgresConfig;
use super::pool::{connect, limited};
use crate::error::{Error, ErrorKind};

/// The advisory lock that serving nodes hold: one alone, or any number together.
const LOCK: i64 = 0x7265_706c_7968_7102;

/// A node that has just ended may hold the lock for another moment.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// How long to wait before a lost lock is tried for again.
const RETRY: Duration = Duration::from_secs(1);

/// The lock, held on a connection of its own until this is dropped.
pub(super) struct Serving {
    keeper: JoinHandle<()>,
}

impl Serving {
    pub(super) async fn begin(config: &PostgresConfig, alone: bool) -> Result<Self, Error> {
        for _ in 0..TRIES {
            let (client, end) = connect(config).await?;
            if take(&client, alone).await? {
                let config = config.clone();
                let keeper = tokio::spawn(async move {
                    keep(client, end).await;
                    retake(&config, alone).await;
                });
                return Ok(Self { keeper });
            }
            sleep(PAUSE).await;
        }
        let detail =
            "another replyhq serves from this database already; nodes that share one need --redis-url";
        Err(Error::new(ErrorKind::Busy, detail))
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

/// Holds the connection until it breaks.
async fn keep(client: Client, end: impl Future<Output = ()>) {
    end.await;
    drop(client);
    tracing::warn!("the connection that marks this node as serving was lost; taking it anew");
}

async fn retake(config: &PostgresConfig, alone: bool) {
    loop {
        sleep(RETRY).await;
        let Ok((client, end)) = connect(config).await else { continue };
        match take(&client, alone).await {
            Ok(true) => keep(client, end).await,
            Ok(false) => {
                tracing::error!(
                    "another replyhq serves from this database; nodes that share one need --redis-url"
                );
            }
            Err(_) => {}
        }
    }
}
