//! The servers, what they stand on, and the proxies between all of them.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use backing::{FaultProxy, Postgres, Redis, RedisOptions, Service, Signal};
use tempfile::TempDir;

use crate::options::{Contender, Options};

/// As in the baseline's package.json.
const OLDEST_NODE: u32 = 20;

const PERMISSIONS: [&str; 4] = ["view_sessions", "view_presence", "view_conversations", "send_messages"];

/// Everything that can break.
pub(crate) struct Site {
    pub(crate) nodes: Vec<Node>,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    pub(crate) contender: Contender,
    program: Vec<PathBuf>,
    dir: Folder,
    /// Over how many seconds a node that leaves spreads its clients' return.
    pub(crate) spread: u64,
}

enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// A server, with a proxy on each side. The proxies stay when the server is started again.
pub(crate) struct Node {
    service: Option<Service>,
    starts: u32,
    /// The way of clients to this node.
    pub(crate) front: FaultProxy,
    pub(crate) to_redis: FaultProxy,
    pub(crate) to_postgres: FaultProxy,
}

/// An app, and who may use it.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) app_id: String,
    pub(crate) api_key: String,
    pub(crate) admin_token: String,
}

impl Site {
    /// Starts Postgres, Redis and all nodes.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let program = match options.target {
            Contender::Replyhq => {
                let binary = fs::canonicalize(&options.binary);
                vec![binary.with_context(|| format!("{}: build it first", options.binary.display()))?]
            }
            Contender::Node => {
                let folder = fs::canonicalize(&options.node_dir)
                    .with_context(|| format!("the baseline in {}", options.node_dir.display()))?;
                provision::node_packages(&folder, OLDEST_NODE)?;
                vec!["node".into(), folder.join("cli.js")]
            }
        };
        let dir = match &options.logs {
            Some(path) => {
                fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
                Folder::Kept(fs::canonicalize(path)?)
            }
            None => Folder::Temporary(tempfile::Builder::new().prefix("chaos-").tempdir()?),
        };
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let postgres = Postgres::start().await?;
        let redis = Redis::start(RedisOptions::default()).await?;
        let mut site = Self {
            nodes: Vec::new(),
            redis,
            postgres,
            contender: options.target,
            program,
            dir,
            spread: options.spread,
        };
        for index in 0..options.nodes {
            // Where the server listens is known when it has started.
            let front = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], 9))).await?;
            let to_redis = FaultProxy::start(local(site.redis.port())).await?;
            let to_postgres = FaultProxy::start(local(site.postgres.port())).await?;
            site.nodes.push(Node { service: None, starts: 0, front, to_redis, to_postgres });
            site.start_node(index).await?;
        }
        Ok(site)
    }

    /// Starts a node that does not run, and waits until it is ready.
    pub(crate) async fn start_node(&mut self, index: usize) -> Result<()> {
        let node = &mut self.nodes[index];
        let dir = self.dir.path().join(format!("node-{index}/start-{}", node.starts));
        fs::create_dir_all(&dir)?;
        node.starts += 1;
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&dir);
        command.arg("--database-url").arg(database_url(node.to_postgres.address()));
        command.arg("--redis-url").arg(format!("redis://{}", node.to_redis.address()));
        match self.contender {
            Contender::Node => {
                command.env("NODE_ENV", "production");
            }
            Contender::Replyhq => {
                command.args(["--rate-limit-device", "0", "--rate-limit-agent", "0"]);
                command.args(["--max-connections-per-device", "0"]);
                command.arg(format!("--reconnect-spread={}s", self.spread));
                // A client that is cut off is noticed within the time that the other faults take.
                command.args(["--ping-interval", "2s", "--ping-timeout", "4s", "--log-level", "debug"]);
            }
        }
        let mut service = Service::start("server", &dir, &mut command)?;
        let rest = service.ready("http://").await?;
        let address = rest.split(|next: char| !next.is_ascii_digit() && next != '.' && next != ':').next();
        let address = address.and_then(|address| address.parse().ok());
        node.front.lead_to(address.with_context(|| format!("no address in the ready line: {rest}"))?);
        node.service = Some(service);
        Ok(())
    }

    /// Starts again what has ended by itself, as a supervisor would. Returns how many nodes that were.
    pub(crate) async fn revive(&mut self) -> Result<u64> {
        let mut ended = 0;
        for index in 0..self.nodes.len() {
            let pid = self.nodes[index].service.as_ref().map(Service::pid);
            // It is not waited for yet, so its number is still its own.
            let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
            let state = stat.as_ref().and_then(|stat| stat.rsplit_once(") ")).map(|(_, rest)| rest);
            if state.is_none_or(|state| state.starts_with(['Z', 'X'])) {
                ended += 1;
                self.nodes[index].kill();
                self.start_node(index).await?;
            }
        }
        Ok(ended)
    }

    /// Postgres refuses to write, or does again. Sessions that are open hear of it at once.
    pub(crate) async fn set_read_only(&self, read_only: bool) -> Result<()> {
        let value = if read_only { "on" } else { "off" };
        self.postgres.set("default_transaction_read_only", value).await
    }

    /// A new app, by the commands that an operator uses.
    pub(crate) fn app(&self, name: &str) -> Result<App> {
        let app = self.command(&["app", "create", name])?;
        let app_id = text(&app, "app_id")?;
        let mut arguments = vec!["token", "create", "--app", &app_id, "--name", "agent"];
        arguments.extend(PERMISSIONS.iter().flat_map(|permission| ["--permission", *permission]));
        let token = self.command(&arguments)?;
        Ok(App { api_key: text(&app, "api_key")?, admin_token: text(&token, "admin_token")?, app_id })
    }

    fn command(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let mut command = Command::new(&self.program[0]);
        command.args(self.program[1..].iter().map(AsRef::<OsStr>::as_ref)).args(arguments).arg("--json");
        command.arg("--database-url").arg(self.postgres.url("postgres"));
        let printed = backing::run(&mut command)?;
        serde_json::from_str(&printed).with_context(|| format!("{arguments:?} printed {printed}"))
    }
}

impl Node {
    pub(crate) fn kill(&mut self) {
        self.service = None;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) -> Result<()> {
        if let Some(service) = self.service.take() {
            service.stop(Signal::TERM).await?;
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.service.as_ref().context("the node does not run")?.signal(signal)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn database_url(proxy: SocketAddr) -> String {
    format!("postgres://postgres@{proxy}/postgres")
}

fn text(object: &serde_json::Value, field: &str) -> Result<String> {
    let text = object.get(field).and_then(|value| value.as_str()).map(str::to_owned);
    text.with_context(|| format!("no {field} in {object}"))
}
