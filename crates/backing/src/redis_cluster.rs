//! A private Redis Cluster.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::command::run_async;
use crate::port::Port;
use crate::{Redis, RedisOptions};

const MASTERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Three masters with a replica each. A master that is gone for two seconds is replaced by its replica.
#[derive(Debug)]
pub struct RedisCluster {
    /// All servers: which of them are masters changes.
    pub servers: Vec<Redis>,
    /// Where they speak to each other: the usual ones, so much above the others, may be anybody's.
    _buses: Vec<Port>,
}

impl RedisCluster {
    /// A running one, whose replicas are in touch with their masters.
    ///
    /// # Errors
    /// If something is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let arguments = [
            ["--cluster-enabled", "yes"],
            ["--cluster-config-file", "nodes.conf"],
            ["--cluster-node-timeout", "2000"],
            // A master without slots or replicas keeps those that it has.
            ["--cluster-allow-replica-migration", "no"],
            ["--repl-diskless-sync-delay", "0"],
        ];
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..2 * MASTERS {
            let bus = Port::claim()?;
            let mut arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
            arguments.extend(["--cluster-port".to_owned(), bus.number().to_string()]);
            servers.push(Redis::start(RedisOptions { arguments, ..RedisOptions::default() }).await?);
            buses.push(bus);
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        for (server, bus) in servers.iter().zip(&buses) {
            create.arg(format!("{}@{}", address(server), bus.number()));
        }
        let cluster = Self { servers, _buses: buses };
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        run_async(create).await?;
        cluster.agree().await?;
        Ok(cluster)
    }

    /// How to reach it, by all servers.
    pub fn url(&self) -> String {
        format!("redis://{}", self.servers.iter().map(address).collect::<Vec<_>>().join(","))
    }

    /// Which of the servers is the master that has this key.
    ///
    /// # Errors
    /// If the cluster does not know.
    pub async fn master_of(&self, key: &str) -> Result<usize> {
        let asked = self.servers.iter().find(|server| server.pid().is_ok()).context("no server runs")?;
        let slot: u16 = asked.cli(&["CLUSTER", "KEYSLOT", key]).await?.parse()?;
        let nodes = asked.cli(&["CLUSTER", "NODES"]).await?;
        let master = nodes.lines().find(|line| has_slot(line, slot)).context("nobody has the slot")?;
        let port = port_of(master).context("no port")?;
        self.servers.iter().position(|server| server.port() == port).context("an unknown server")
    }

    /// Moves the slot of this key with all that is in it to the server with this number, a master.
    ///
    /// # Errors
    /// If a server refuses.
    pub async fn move_slot(&self, key: &str, to: usize) -> Result<()> {
        let from = &self.servers[self.master_of(key).await?];
        let to = &self.servers[to];
        let slot = from.cli(&["CLUSTER", "KEYSLOT", key]).await?;
        let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]).await?, to.cli(&["CLUSTER", "MYID"]).await?);
        to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await?;
        from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await?;
        let port = to.port().to_string();
        loop {
            let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await?;
            if keys.is_empty() {
                break;
            }
            from.cli(&["MIGRATE", "127.0.0.1", &port, &keys, "0", "5000"]).await?;
        }
        to.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await?;
        from.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await?;
        Ok(())
    }

    /// Waits until all servers know all slots, and all replicas have what their masters have.
    async fn agree(&self) -> Result<()> {
        let until = Instant::now() + LIMIT;
        for server in &self.servers {
            loop {
                let info = server.cli(&["CLUSTER", "INFO"]).await?;
                let nodes = server.cli(&["CLUSTER", "NODES"]).await?;
                let replication = server.cli(&["INFO", "replication"]).await?;
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                let is_whole = info.contains("cluster_state:ok") && replicas == MASTERS;
                if is_whole
                    && (replication.contains("state=online") || replication.contains("master_link_status:up"))
                {
                    break;
                }
                ensure!(Instant::now() < until, "the cluster does not agree: {info}\n{nodes}\n{replication}");
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

fn address(server: &Redis) -> String {
    format!("127.0.0.1:{}", server.port())
}

/// Whether this line of `CLUSTER NODES` is that of a master with the slot.
fn has_slot(line: &str, slot: u16) -> bool {
    line.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}

fn port_of(line: &str) -> Option<u16> {
    let address = line.split(' ').nth(1)?.split('@').next()?;
    address.rsplit_once(':')?.1.parse().ok()
}
