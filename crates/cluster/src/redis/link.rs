//! A connection for commands, made anew after it failed.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;

use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RedisUrl};

/// A connection for commands.
pub(crate) struct Link {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(crate) fn new(url: &RedisUrl) -> Self {
        Self { client: url.0.clone(), connection: Mutex::new(None) }
    }

    /// Runs all commands in their order and returns their answers, errors of single commands among them.
    ///
    /// # Errors
    /// If Redis can't be reached or does not answer in time. Whether the commands were done is not known then.
    pub(crate) async fn run(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut connection = self.connection().await?;
        match connection.send_packed_commands(commands, 0, commands.len()).await {
            Ok(values) => Ok(values.into_iter().map(Value::extract_error).collect()),
            Err(error) => {
                self.connection.lock().await.take();
                Err(error)
            }
        }
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut place = self.connection.lock().await;
        if let Some(connection) = &*place {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let made = tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, connecting).await;
        let connection = made.map_err(|_| timed_out())??;
        *place = Some(connection.clone());
        Ok(connection)
    }
}

pub(super) fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}
