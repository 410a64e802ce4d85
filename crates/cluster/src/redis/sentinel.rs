//! Asks sentinels which server is the master.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue as _, RedisResult, Value};

use super::url::Access;
use super::{connect, failed, send, timed_out};

/// How long one sentinel may take before the next is asked.
const PATIENCE: Duration = Duration::from_millis(600);

/// The sentinels that watch one master.
#[derive(Debug)]
pub(super) struct Sentinels {
    sentinels: Vec<Client>,
    /// The master's name among them.
    name: String,
    /// How to reach the servers that they name.
    access: Access,
    /// Which of them is asked first: the last that knew an answer.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(sentinels: Vec<Client>, name: String, access: Access) -> Self {
        Self { sentinels, name, access, first: AtomicUsize::new(0) }
    }

    /// The sentinels' addresses and the master's name.
    pub(super) fn describe(&self) -> (Vec<String>, &str) {
        let addresses =
            self.sentinels.iter().map(|client| client.get_connection_info().addr().to_string()).collect();
        (addresses, &self.name)
    }

    /// The server that a sentinel takes for the master.
    ///
    /// # Errors
    /// If none of them knows one.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let mut problem = failed("no sentinel is known");
        let first = self.first.load(Ordering::Relaxed);
        for index in (0..self.sentinels.len()).map(|step| (first + step) % self.sentinels.len()) {
            // The next attempt begins with another one, wherever this one is cut off.
            self.first.store((index + 1) % self.sentinels.len(), Ordering::Relaxed);
            let asking = tokio::time::timeout(PATIENCE, self.ask(&self.sentinels[index]));
            match asking.await.unwrap_or_else(|_| Err(timed_out())) {
                Ok((host, port)) => {
                    self.first.store(index, Ordering::Relaxed);
                    return self.access.client(&host, port);
                }
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn ask(&self, sentinel: &Client) -> RedisResult<(String, u16)> {
        let mut connection = connect(sentinel, &[]).await?;
        let mut commands = redis::pipe();
        commands.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer = send(&mut connection, &commands).await?.into_iter().next().unwrap_or(Ok(Value::Nil))?;
        let address = Option::<(String, u16)>::from_redis_value(answer)?;
        address.ok_or_else(|| failed(format!("the sentinels know no master {}", self.name)))
    }
}

/// A sentinel's word can be old: what it names must say itself that it is a master.
pub(super) async fn check_master(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut commands = redis::pipe();
    commands.cmd("ROLE");
    let answer = send(connection, &commands).await?.into_iter().next().unwrap_or(Ok(Value::Nil))?;
    let role = Vec::<Value>::from_redis_value(answer)?.into_iter().next().unwrap_or(Value::Nil);
    match String::from_redis_value(role)?.as_str() {
        "master" => Ok(()),
        role => Err(failed(format!("the sentinels name a server that is a {role}, and no master yet"))),
    }
}
