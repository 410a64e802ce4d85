//! The way to Redis: to one server, to the master that sentinels name, or to the masters of a Redis Cluster.
//!
//! Every call has a limit. A connection that failed is thrown away, and the next call makes another; what is away is
//! said to be away at once, for as long as nobody has reached it again.

mod link;
mod publisher;
mod sentinel;
mod shards;
mod slots;
mod subscriber;
mod url;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

pub(crate) use self::link::Link;
pub(crate) use self::publisher::Publisher;
pub(crate) use self::subscriber::{Received, subscribe};
pub use self::url::RedisUrl;

/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take. A hung Redis holds up nobody for longer.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The channel of all envelopes. One for all apps: a node drops what it has no subscriber for by its first line, which
/// costs less than a subscription that comes and goes with each conversation. On a cluster it is a sharded channel:
/// only the servers of its slot's shard carry it.
pub(crate) const CHANNEL: &str = "replyhq:bus";

/// A connection for commands; with `scripts` loaded, so that they can be called by their hashes.
async fn connect(client: &Client, scripts: &[&str]) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    limited(async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        load(&mut connection, scripts).await?;
        Ok(connection)
    })
    .await
}

/// A server that has just become the master has none of the scripts: they belong to the connection.
async fn load(connection: &mut MultiplexedConnection, scripts: &[&str]) -> RedisResult<()> {
    if scripts.is_empty() {
        return Ok(());
    }
    let mut commands = redis::pipe();
    for source in scripts {
        commands.cmd("SCRIPT").arg("LOAD").arg(source);
    }
    for answer in send(connection, &commands).await? {
        answer?;
    }
    Ok(())
}

/// All commands in their order, and their answers, errors of single commands among them.
async fn send(
    connection: &mut MultiplexedConnection,
    commands: &Pipeline,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let values = connection.send_packed_commands(commands, 0, commands.len()).await?;
    Ok(values.into_iter().map(Value::extract_error).collect())
}

/// Whatever has to be connected, asked and waited for: it ends within the time of connecting and of an answer.
async fn limited<T>(work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let limit = CONNECT_TIMEOUT + RESPONSE_TIMEOUT;
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Whether this answer means that the commands went to a server that is of no use for them: one that is not the master
/// (any more), that is not ready, or that has none of the scripts.
fn is_wrong_server(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoScript, ReadOnly, TryAgain};
    let redis::ErrorKind::Server(kind) = error.kind() else { return false };
    matches!(kind, Ask | BusyLoading | ClusterDown | MasterDown | Moved | NoScript | ReadOnly | TryAgain)
}

fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn failed(text: impl Into<String>) -> RedisError {
    RedisError::from(std::io::Error::other(text.into()))
}
