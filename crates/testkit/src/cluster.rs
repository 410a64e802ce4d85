//! Several servers in processes of their own, on one private Postgres and one private Redis of whatever kind.

use backing::{Postgres, Redis, RedisCluster, RedisOptions, RedisSentinel};

use crate::server::in_touch;
use crate::{ServerProcess, TestApp};

/// A private Redis that nodes can share.
pub trait SharedRedis {
    /// How to reach it, with all that is needed for it.
    fn url(&self) -> String;
}

impl SharedRedis for Redis {
    fn url(&self) -> String {
        Self::url(self)
    }
}

impl SharedRedis for RedisSentinel {
    fn url(&self) -> String {
        Self::url(self)
    }
}

impl SharedRedis for RedisCluster {
    fn url(&self) -> String {
        Self::url(self)
    }
}

/// Servers that share a Postgres and a Redis. All of it is killed when dropped.
pub struct TestCluster<R = Redis> {
    /// The servers; one that was killed is taken out by the test.
    pub nodes: Vec<ServerProcess>,
    /// Their database.
    pub postgres: Postgres,
    /// Their way to each other.
    pub redis: R,
    binary: String,
}

impl TestCluster {
    /// So many nodes of `binary`, which know of each other by one Redis server.
    ///
    /// # Panics
    /// If something does not start.
    pub async fn of(binary: &str, count: usize) -> Self {
        let redis = Redis::start(RedisOptions::default()).await.expect("a private Redis");
        Self::on(binary, count, redis).await
    }
}

impl<R: SharedRedis> TestCluster<R> {
    /// So many nodes of `binary`, which know of each other by this Redis.
    ///
    /// # Panics
    /// If something does not start.
    pub async fn on(binary: &str, count: usize, redis: R) -> Self {
        let postgres = Postgres::start().await.expect("a private Postgres");
        let mut cluster = Self { nodes: Vec::new(), postgres, redis, binary: binary.into() };
        for _ in 0..count {
            cluster.add().await;
        }
        cluster
    }

    /// Starts one more node.
    pub async fn add(&mut self) {
        let database = vec!["--database-url".into(), self.postgres.url("postgres").into()];
        let redis = format!("--redis-url={}", self.redis.url());
        let flags = [redis.as_str(), "--rate-limit-device=0", "--rate-limit-agent=0"];
        let node = ServerProcess::start_on(&self.binary, database, &flags).await;
        in_touch(node.address()).await;
        self.nodes.push(node);
    }

    /// Starts one more node, with a clock that is wrong by so many seconds.
    pub async fn add_with_clock(&mut self, seconds: i64) {
        let database = vec!["--database-url".into(), self.postgres.url("postgres").into()];
        let flags = [format!("--redis-url={}", self.redis.url())];
        let node = ServerProcess::start_with_clock(seconds, &self.binary, database, &flags).await;
        in_touch(node.address()).await;
        self.nodes.push(node);
    }

    /// A new app.
    pub async fn app(&self) -> TestApp {
        self.nodes[0].app().await
    }

    /// The app, by way of the node with this number.
    pub fn at(&self, app: &TestApp, node: usize) -> TestApp {
        TestApp { address: self.nodes[node].address(), ..app.clone() }
    }
}
