//! Private databases for tests and tools: a Postgres, a PgBouncer before it, a Redis, and an nginx before a server, each in a folder of its own and on a free port of
//! 127.0.0.1. They can be frozen, killed and started again; dropped, they are killed and leave nothing. And a proxy
//! that breaks the way to them.
//!
//! What is not installed is installed, or it is an error: nothing here skips.

mod certificates;
mod command;
mod fault_proxy;
mod install;
mod nginx;
mod pgbouncer;
mod port;
mod postgres;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod service;
mod tree;

pub use rustix::process::Signal;

pub use self::certificates::Certificates;
pub use self::command::{pinned, run};
pub use self::fault_proxy::{FaultProxy, Passage};
pub use self::install::{faketime_library, install_missing};
pub use self::nginx::Nginx;
pub use self::pgbouncer::{PgBouncer, PoolMode};
pub use self::port::Port;
pub use self::postgres::{Durability, Postgres, PostgresOptions};
pub use self::redis::{Redis, RedisOptions};
pub use self::redis_cluster::RedisCluster;
pub use self::redis_sentinel::RedisSentinel;
pub use self::service::Service;
