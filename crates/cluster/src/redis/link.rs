//! Connections for commands, made anew after they failed.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;

use super::sentinel::check_master;
use super::shards::Shards;
use super::url::{Place, RedisUrl};
use super::{connect, failed, is_wrong_server, limited, load, send};

/// A way for commands.
pub(crate) enum Link {
    /// To one server.
    Server(Server),
    /// To the masters of a cluster.
    Cluster(Box<Shards>),
}

/// The connection to the only server, or to the only master.
pub(crate) struct Server {
    place: RedisUrl,
    scripts: &'static [&'static str],
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    /// `scripts` can be called by their hashes.
    pub(crate) fn new(url: &RedisUrl, scripts: &'static [&'static str]) -> Self {
        match url.place() {
            Place::Cluster(seeds) => Self::Cluster(Box::new(Shards::new(seeds.clone(), scripts))),
            Place::Server(_) | Place::Sentinels(_) => {
                Self::Server(Server { place: url.clone(), scripts, connection: Mutex::new(None) })
            }
        }
    }

    /// Runs all commands and returns their answers, errors of single commands among them. Those for keys in one slot
    /// are done in their order.
    ///
    /// # Errors
    /// If Redis can't be reached, does not answer in time, or is not ready. Whether the commands were done is not known
    /// then.
    pub(crate) async fn run(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Server(server) => server.run(commands).await,
            Self::Cluster(shards) => limited(shards.run(commands)).await,
        }
    }

    /// The command that publishes on the bus.
    pub(crate) fn publish(&self) -> &'static str {
        match self {
            Self::Server(_) => "PUBLISH",
            Self::Cluster(_) => "SPUBLISH",
        }
    }
}

impl Server {
    async fn run(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        // Who waits for the one who connects waits no longer than they would themselves.
        let mut connection = limited(self.connection()).await?;
        let outcome = send(&mut connection, commands).await.and_then(|answers| {
            let wrong =
                answers.iter().find_map(|answer| answer.as_ref().err().filter(|e| is_wrong_server(e)));
            match wrong {
                Some(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    Err(failed("this server is one of a Redis Cluster: its URL needs ?cluster=true"))
                }
                Some(error) => Err(error.clone()),
                None => Ok(answers),
            }
        });
        if outcome.is_err() {
            self.connection.lock().await.take();
        }
        outcome
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut place = self.connection.lock().await;
        if let Some(connection) = &*place {
            return Ok(connection.clone());
        }
        let connection = match self.place.place() {
            Place::Sentinels(sentinels) => {
                let mut connection = connect(&sentinels.master().await?, &[]).await?;
                check_master(&mut connection).await?;
                load(&mut connection, self.scripts).await?;
                connection
            }
            Place::Server(client) => connect(client, self.scripts).await?,
            Place::Cluster(_) => return Err(failed("a cluster has no single server")),
        };
        *place = Some(connection.clone());
        Ok(connection)
    }
}
