//! The servers under test: how each is started, given apps, and stopped.

use crate::{
    backing::{self as own, Backing},
    options::{Contender, Options},
    usage,
    wire::Wire,
};
use ::backing::{Port, Service, Signal, pinned, run};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    time::Instant,
};
use tempfile::TempDir;

const PERMISSIONS: [&str; 4] = ["view_sessions", "view_presence", "view_conversations", "send_messages"];
/// As in the baseline's package.json.
const OLDEST_NODE: u32 = 20;
/// Both cores: making apps is not measured.
const CREATORS: usize = 2;
const ANY_PORT: u16 = 0;

/// An app and an agent's token for it.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// The app's id.
    pub(crate) app_id: String,
    /// The key that devices present.
    pub(crate) api_key: String,
    /// The token that agents present.
    pub(crate) admin_token: String,
}

/// A server that can be started, with all that it has stored.
#[derive(Debug)]
pub(crate) struct Target {
    /// Which one it is.
    pub(crate) contender: Contender,
    dir: TempDir,
    program: Vec<PathBuf>,
    backing: Option<Backing>,
    apps: Vec<App>,
    starts: u32,
    /// Where the server listens: the same at each start, so that clients find one that was killed and came back.
    port: Port,
    server_core: usize,
    all_cores: String,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    server: Service,
    second: Option<Service>,
    backing: Option<own::Running>,
    store: Vec<String>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where the second node listens; the same, if there is only one.
    pub(crate) far_address: SocketAddr,
    /// Which start of this target it is: ids made of it are new.
    pub(crate) start: u32,
    /// How the tool writes packets to it.
    pub(crate) wire: Wire,
}

impl Target {
    /// Makes empty folders, and installs what the server needs.
    pub(crate) fn create(contender: Contender, options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("loadtest-").tempdir_in(&options.work_dir)?;
        // Postgres runs as another user, who must get through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let program = match contender {
            Contender::Replyhq
            | Contender::ReplyhqMsgpack
            | Contender::ReplyhqPostgres
            | Contender::ReplyhqTwoNodes => {
                let binary = fs::canonicalize(&options.binary);
                vec![binary.with_context(|| format!("{}: build it first", options.binary.display()))?]
            }
            Contender::Node => {
                let folder = fs::canonicalize(&options.node_dir)
                    .with_context(|| format!("the baseline in {}", options.node_dir.display()))?;
                provision::node_packages(&folder, OLDEST_NODE)?;
                vec![PathBuf::from("node"), folder.join("cli.js")]
            }
        };
        let backing = match contender {
            Contender::Replyhq | Contender::ReplyhqMsgpack => None,
            _ => Some(Backing::create(dir.path(), options.database_core)?),
        };
        let server_core = options.server_core;
        let all_cores = format!("{server_core},{}", options.tool_core);
        let port = Port::claim()?;
        Ok(Self {
            contender,
            dir,
            program,
            backing,
            apps: Vec::new(),
            starts: 0,
            port,
            server_core,
            all_cores,
        })
    }

    /// The versions of everything that takes part.
    pub(crate) fn versions(&self) -> Result<String> {
        let program = run(Command::new(&self.program[0]).arg("--version"))?.trim().to_owned();
        let Some(backing) = &self.backing else { return Ok(program) };
        Ok(format!("{program}, {}", backing.versions()?))
    }

    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<Running> {
        self.starts += 1;
        let backing = match &mut self.backing {
            Some(backing) => Some(backing.start().await?),
            None => None,
        };
        let store = match &backing {
            Some(backing) => vec!["--database-url".to_owned(), backing.database_url.clone()],
            None => {
                vec!["--data-dir".to_owned(), self.dir.path().join("data").to_string_lossy().into_owned()]
            }
        };
        let redis = backing.as_ref().map(|backing| backing.redis_url.as_str());
        let (server, address) = self.serve("server", self.port.number(), &store, redis).await?;
        let (second, far_address) = match self.contender {
            Contender::ReplyhqTwoNodes => {
                let (second, address) = self.serve("second", ANY_PORT, &store, redis).await?;
                (Some(second), address)
            }
            _ => (None, address),
        };
        let wire = if self.contender == Contender::ReplyhqMsgpack { Wire::MessagePack } else { Wire::Json };
        Ok(Running { server, second, backing, store, address, far_address, start: self.starts, wire })
    }

    /// Starts a server anew that was killed, on the same data and where it listened before.
    pub(crate) async fn start_again(&self, running: &mut Running) -> Result<()> {
        let redis = running.backing.as_ref().map(|backing| backing.redis_url.as_str());
        let (server, address) = self.serve("server-again", self.port.number(), &running.store, redis).await?;
        running.server = server;
        ensure!(address == running.address, "the server came back at {address}");
        Ok(())
    }

    async fn serve(
        &self,
        name: &'static str,
        port: u16,
        store: &[String],
        redis: Option<&str>,
    ) -> Result<(Service, SocketAddr)> {
        let mut command = pinned(self.server_core, &self.program[0]);
        let listen = format!("127.0.0.1:{port}");
        command.args(&self.program[1..]).args(["serve", "--listen", &listen]).args(store);
        if let Some(redis) = redis {
            command.args(["--redis-url", redis]);
        }
        if self.contender == Contender::Node {
            command.env("NODE_ENV", "production");
        } else {
            // The baseline has no limits to check; what is measured is the work, not the refusals.
            command.args(["--rate-limit-device", "0", "--rate-limit-agent", "0"]);
            command.args(["--max-connections-per-device", "0"]);
        }
        let mut server = Service::start(name, self.dir.path(), command.current_dir(self.dir.path()))?;
        let rest = server.ready("http://").await?;
        let address = rest.split(|next: char| !next.is_ascii_digit() && next != '.' && next != ':').next();
        let address = address.and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("no address in the ready line: {rest}"))?;
        Ok((server, address))
    }

    /// Stops the server, which must end well, and what it stood on.
    pub(crate) async fn stop(&mut self, running: Running) -> Result<()> {
        let tail = running.server.log_tail();
        let stopped = running.server.stop(Signal::TERM).await;
        let stopped = match running.second {
            Some(second) => second.stop(Signal::TERM).await.and(stopped),
            None => stopped,
        };
        if let Some(backing) = &mut self.backing {
            backing.stop().await?;
        }
        let status = stopped?;
        ensure!(status.success(), "the server did not end well ({status}):\n{tail}");
        Ok(())
    }

    /// Backs the database up while the server runs; how many seconds that took, and how many bytes it is. `None` where the
    /// database has tools of its own for that.
    pub(crate) fn back_up(&self, running: &Running) -> Result<Option<(f64, u64)>> {
        if !self.contender.is_one_process() {
            return Ok(None);
        }
        let output = self.dir.path().join("backup.db");
        let began = Instant::now();
        let mut command = Command::new("taskset");
        command.args(["-c", &self.all_cores]).args(&self.program).args(["backup", "--force", "--output"]);
        run(command.arg(&output).args(&running.store))?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Some((seconds, fs::metadata(output)?.len())))
    }

    /// At least this many apps, made where they are missing.
    pub(crate) async fn apps(&mut self, running: &Running, count: usize) -> Result<Vec<App>> {
        while self.apps.len() < count {
            let mut creating = tokio::task::JoinSet::new();
            for index in 0..CREATORS.min(count - self.apps.len()) {
                let name = format!("load {}", self.apps.len() + index);
                let (program, store) = (self.program.clone(), running.store.clone());
                let cores = self.all_cores.clone();
                creating.spawn_blocking(move || create_app(&cores, &program, &store, &name));
            }
            while let Some(app) = creating.join_next().await {
                self.apps.push(app??);
            }
        }
        Ok(self.apps[..count].to_vec())
    }
}

fn create_app(cores: &str, program: &[PathBuf], store: &[String], name: &str) -> Result<App> {
    let ask = |arguments: &[&str]| -> Result<serde_json::Value> {
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).args(program).args(arguments).arg("--json").args(store);
        let printed = run(&mut command)?;
        serde_json::from_str(&printed).with_context(|| format!("{arguments:?} printed {printed}"))
    };
    let text = |object: &serde_json::Value, field: &str| {
        let text = object.get(field).and_then(|value| value.as_str()).map(str::to_owned);
        text.with_context(|| format!("no {field} in {object}"))
    };
    let app = ask(&["app", "create", name])?;
    let app_id = text(&app, "app_id")?;
    let mut arguments = vec!["token", "create", "--app", &app_id, "--name", "agent"];
    arguments.extend(PERMISSIONS.iter().flat_map(|permission| ["--permission", *permission]));
    let token = ask(&arguments)?;
    Ok(App { api_key: text(&app, "api_key")?, admin_token: text(&token, "admin_token")?, app_id })
}

impl Running {
    /// Kills the server, as `kill -9` does.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.server.kill().await
    }

    /// The process under test.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The processor seconds of the server, all its nodes together, and of its Postgres and Redis.
    pub(crate) fn cpu_seconds(&self) -> Result<(f64, f64)> {
        let services = self.backing.as_ref().map_or(Ok(0.0), own::Running::cpu_seconds)?;
        let mut server = usage::cpu_seconds(self.pid()).context("the server has ended")?;
        if let Some(second) = &self.second {
            server += usage::cpu_seconds(second.pid()).context("the second node has ended")?;
        }
        Ok((server, services))
    }

    /// The end of what the server printed.
    pub(crate) fn log_tail(&self) -> String {
        self.server.log_tail()
    }
}
