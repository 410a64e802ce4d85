//! The Postgres and the Redis of a server that needs them.

use crate::usage;
use anyhow::{Context, Result};
use backing::{Durability, Postgres, PostgresOptions, Redis, RedisOptions};
use std::path::Path;

/// The two, between starts too. Postgres has its default, durable settings.
#[derive(Debug)]
pub(crate) struct Backing {
    postgres: Postgres,
    redis: Redis,
}

/// How to use the two while they run.
#[derive(Debug)]
pub(crate) struct Running {
    pids: [u32; 2],
    /// How to reach Postgres.
    pub(crate) database_url: String,
    /// How to reach Redis.
    pub(crate) redis_url: String,
}

impl Backing {
    /// Installs what is missing and makes both, empty, in `dir`. They will run on `core`.
    pub(crate) fn create(dir: &Path, core: usize) -> Result<Self> {
        let (core, parent) = (Some(core), Some(dir.to_owned()));
        let options = PostgresOptions {
            durability: Durability::AsShipped,
            max_connections: None,
            has_tls: false,
            core,
            parent: parent.clone(),
        };
        let postgres = Postgres::create(options)?;
        let redis = Redis::create(RedisOptions { core, parent, ..RedisOptions::default() })?;
        Ok(Self { postgres, redis })
    }

    /// The versions of both.
    pub(crate) fn versions(&self) -> Result<String> {
        Ok(format!("{}, Redis {}", self.postgres.version()?, self.redis.version()?))
    }

    /// Starts both and waits until they are ready.
    pub(crate) async fn start(&mut self) -> Result<Running> {
        self.postgres.run().await?;
        self.redis.run().await?;
        Ok(Running {
            pids: [self.postgres.pid()?, self.redis.pid()?],
            database_url: self.postgres.url("postgres"),
            redis_url: self.redis.url(),
        })
    }

    /// Stops both.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.redis.stop().await?;
        self.postgres.stop().await
    }
}

impl Running {
    /// The processor seconds of both together.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let seconds = self.pids.iter().map(|pid| usage::cpu_seconds(*pid));
        seconds.sum::<Result<f64>>().context("Postgres or Redis has ended")
    }
}
