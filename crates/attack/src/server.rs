//! The server under attack: a private one, with an app in it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use backing::{Port, Service, Signal, run};
use serde_json::Value;
use tempfile::TempDir;

/// The flag that stands without a value: what it gets is a port that is free.
pub(crate) const INTERNAL: &str = "--internal-listen";

/// An app, with the key of its devices and an agent's token.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// The app's id.
    pub(crate) app_id: String,
    /// The key that devices present.
    pub(crate) api_key: String,
    /// The token that agents present.
    pub(crate) admin_token: String,
}

/// A binary, and which of the newer flags it knows.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    /// `before` or `after`, or the only one there is.
    pub(crate) name: &'static str,
    path: PathBuf,
    help: String,
}

impl Binary {
    /// Asks it what it knows.
    ///
    /// # Errors
    /// If it can't be run.
    pub(crate) fn open(name: &'static str, path: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).with_context(|| format!("{}: build it first", path.display()))?;
        let help = run(Command::new(&path).args(["serve", "--help"]))?;
        Ok(Self { name, path, help })
    }

    /// Whether `replyhq serve` has this flag.
    pub(crate) fn knows(&self, flag: &str) -> bool {
        self.help.split(|next: char| !next.is_ascii_alphanumeric() && next != '-').any(|word| word == flag)
    }

    /// What it says its version is.
    pub(crate) fn version(&self) -> Result<String> {
        let version = run(Command::new(&self.path).arg("--version"))?;
        Ok(format!("{} ({})", version.trim(), self.path.display()))
    }
}

/// A running server. Dropped, it is killed and leaves nothing.
#[derive(Debug)]
pub(crate) struct Server {
    service: Service,
    // Claimed as long as the server may listen on them.
    _ports: (Port, Port),
    dir: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where operators ask for metrics: another address only where the server has one.
    pub(crate) internal: SocketAddr,
    /// What is in it.
    pub(crate) app: App,
}

/// How a server ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// From SIGTERM to its end.
    pub(crate) took: Duration,
    /// Its exit code.
    pub(crate) status: ExitStatus,
    /// Whether it had to cut off what was left.
    pub(crate) was_cut: bool,
}

impl Server {
    /// Starts one with these flags, each as `--name value`, or [`INTERNAL`]; what it does not know it is not told. `descriptors` is the
    /// limit of open files, if there is to be one.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(binary: &Binary, flags: &[&str], descriptors: Option<u32>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("attack-").tempdir()?;
        let ports = (Port::claim()?, Port::claim()?);
        let local = |port: &Port| SocketAddr::from(([127, 0, 0, 1], port.number()));
        let address = local(&ports.0);
        let mut command = match descriptors {
            None => Command::new(&binary.path),
            Some(count) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -n {count}; exec \"$0\" \"$@\"")).arg(&binary.path);
                shell
            }
        };
        let data = dir.path().join("data");
        command.args(["serve", "--log-format", "json", "--listen", &address.to_string()]);
        command.arg("--data-dir").arg(&data).current_dir(dir.path());
        let internal = if flags.contains(&INTERNAL) && binary.knows(INTERNAL) {
            command.args([INTERNAL, &local(&ports.1).to_string()]);
            local(&ports.1)
        } else {
            address
        };
        for (name, value) in flags.iter().filter_map(|flag| flag.split_once(' ')) {
            if binary.knows(name) {
                command.args([name, value]);
            }
        }
        let mut service = Service::start("server", dir.path(), &mut command)?;
        service.ready("replyhq is ready on ").await?;
        let app = create_app(&binary.path, &data)?;
        Ok(Self { service, _ports: ports, dir, address, internal, app })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// The folder of its database.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// The end of it, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        self.service.log_tail()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn stop(self) -> Result<Ending> {
        let (log, began) = (self.dir.path().join("server.log"), Instant::now());
        let status = self.service.stop(Signal::TERM).await?;
        let took = began.elapsed();
        let was_cut = fs::read_to_string(log)?.contains("the shutdown took too long");
        Ok(Ending { took, status, was_cut })
    }
}

/// An app and a token, by the commands that an operator uses.
fn create_app(program: &Path, data: &Path) -> Result<App> {
    let ask = |arguments: &[&str]| -> Result<Value> {
        let mut command = Command::new(program);
        let printed = run(command.args(arguments).arg("--json").arg("--data-dir").arg(data))?;
        serde_json::from_str(&printed).with_context(|| format!("{arguments:?} printed {printed}"))
    };
    let text = |object: &Value, field: &str| {
        let text = object.get(field).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("no {field} in {object}"))
    };
    let app = ask(&["app", "create", "attacked"])?;
    let app_id = text(&app, "app_id")?;
    let token = ask(&["token", "create", "--app", &app_id, "--name", "agent"])?;
    Ok(App { api_key: text(&app, "api_key")?, admin_token: text(&token, "admin_token")?, app_id })
}
