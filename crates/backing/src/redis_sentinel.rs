//! A private Redis master with a replica, and sentinels that watch them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::command::run_async;
use crate::port::Port;
use crate::service::Service;
use crate::{Redis, RedisOptions};

/// The name that the sentinels have for the master.
const NAME: &str = "replyhq";
const SENTINELS: usize = 3;
/// So many must agree that the master is gone.
const QUORUM: usize = 2;
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Two Redis servers, one the replica of the other, and three sentinels that make it the master when the first is gone
/// for a second. The servers have one password, the sentinels another.
#[derive(Debug)]
pub struct RedisSentinel {
    sentinels: Vec<Sentinel>,
    /// The first is the master at the beginning.
    pub servers: [Redis; 2],
    /// What servers ask for.
    password: &'static str,
    /// What sentinels ask for.
    sentinel_password: &'static str,
}

#[derive(Debug)]
struct Sentinel {
    // Dropped first: nobody writes to the folder when it is removed.
    _service: Service,
    port: Port,
    _dir: TempDir,
}

impl RedisSentinel {
    /// A running one, whose sentinels know each other and the replica.
    ///
    /// # Errors
    /// If something is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let (password, sentinel_password) = ("of-servers", "of-sentinels");
        let options = |arguments: &[&str]| RedisOptions {
            password: Some(password.into()),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ..RedisOptions::default()
        };
        let quick = ["--repl-diskless-sync-delay", "0", "--masterauth", password];
        let master = Redis::start(options(&quick)).await?;
        let of = format!("127.0.0.1 {}", master.port());
        let replica = Redis::start(options(&[quick.as_slice(), &["--replicaof", &of]].concat())).await?;
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(Sentinel::start(master.port(), password, sentinel_password).await?);
        }
        let made = Self { sentinels, servers: [master, replica], password, sentinel_password };
        made.agree().await?;
        Ok(made)
    }

    /// How to reach the master, by all sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port.number())).collect();
        let (hosts, password) = (hosts.join(","), self.password);
        format!("redis+sentinel://:{password}@{hosts}/{NAME}?sentinel_password={}", self.sentinel_password)
    }

    /// Waits until each sentinel knows the others and a replica that is in touch with the master.
    async fn agree(&self) -> Result<()> {
        let until = Instant::now() + LIMIT;
        for sentinel in &self.sentinels {
            loop {
                let mut command = Command::new("redis-cli");
                command.args(["-h", "127.0.0.1", "-p", &sentinel.port.number().to_string()]);
                command.env("REDISCLI_AUTH", self.sentinel_password).args(["SENTINEL", "CKQUORUM", NAME]);
                let quorum = run_async(command).await?;
                let replication = self.servers[0].cli(&["INFO", "replication"]).await?;
                let mut command = Command::new("redis-cli");
                command.args(["-h", "127.0.0.1", "-p", &sentinel.port.number().to_string()]);
                command.env("REDISCLI_AUTH", self.sentinel_password).args(["SENTINEL", "REPLICAS", NAME]);
                let replicas = run_async(command).await?;
                let is_known = replicas.contains("master-link-status\nok");
                let others = format!("OK {SENTINELS} usable");
                if quorum.contains(&others) && replication.contains("state=online") && is_known {
                    break;
                }
                ensure!(
                    Instant::now() < until,
                    "the sentinels do not agree: {quorum}\n{replication}\n{replicas}"
                );
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

impl Sentinel {
    async fn start(master: u16, password: &str, own_password: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sentinel-").tempdir()?;
        let port = Port::claim()?;
        // Sentinels write to their settings.
        let settings = dir.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nrequirepass {own_password}\n\
             sentinel monitor {NAME} 127.0.0.1 {master} {QUORUM}\n\
             sentinel auth-pass {NAME} {password}\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 5000\n",
            port.number(),
            dir.path().display(),
        );
        fs::write(&settings, text).with_context(|| format!("writing {}", settings.display()))?;
        let mut command = Command::new("redis-server");
        command.arg(&settings).arg("--sentinel");
        let mut service = Service::start("sentinel", dir.path(), &mut command)?;
        service.ready("Sentinel ID is").await?;
        Ok(Self { _service: service, port, _dir: dir })
    }
}
