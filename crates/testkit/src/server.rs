//! A server in this process.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use server::{App, Cli, Command, Running, run_command};
use tempfile::TempDir;

use crate::{Http, TestApp};

/// A server in this process, on a free port, with a folder of its own.
pub struct TestServer {
    address: SocketAddr,
    running: Option<Running>,
    folder: TempDir,
}

impl TestServer {
    /// A server with the settings that users get.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server that does not limit how fast one may send.
    pub async fn without_limits() -> Self {
        let flags = ["--rate-limit-device=0", "--rate-limit-agent=0", "--max-connections-per-device=0"];
        Self::with(&flags).await
    }

    /// A server with these flags.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (address, running) = start(folder.path(), flags).await;
        Self { address, running: Some(running), folder }
    }

    /// Stops it politely and starts another on the same data, on a new port.
    pub async fn restart(&mut self, flags: &[&str]) {
        self.shut_down().await;
        let (address, running) = start(self.folder.path(), flags).await;
        self.address = address;
        self.running = Some(running);
    }

    /// Stops it politely, as SIGTERM does. A second call does nothing.
    pub async fn shut_down(&mut self) {
        if let Some(running) = self.running.take() {
            running.shut_down().await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Its REST side, without a credential.
    pub fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// A new app on it.
    pub async fn app(&self) -> TestApp {
        TestApp::create(self.address, vec!["--data-dir".into(), self.data_dir().into()]).await
    }
}

/// The settings that these flags mean, and nothing of the environment.
fn settings(folder: &Path, flags: &[&str]) -> server::Settings {
    let mut arguments: Vec<OsString> = vec![
        "replyhq".into(),
        "serve".into(),
        "--listen=127.0.0.1:0".into(),
        "--data-dir".into(),
        folder.into(),
    ];
    arguments.extend(flags.iter().map(OsString::from));
    if let Some(url) = std::env::var_os("TEST_REDIS_URL") {
        arguments.extend(["--redis-url".into(), url]);
    }
    let cli = Cli::read(arguments, |_| None).map_err(|(_, problem)| problem).expect("good flags");
    match cli.command {
        Command::Serve(settings) => *settings,
        other => panic!("not serve: {other:?}"),
    }
}

async fn start(folder: &Path, flags: &[&str]) -> (SocketAddr, Running) {
    let app = App::start(settings(folder, flags)).await.expect("the server starts");
    (app.address(), app.run())
}

/// Runs one `replyhq …` command with `--json` on this data, in this process, and returns what it prints.
///
/// # Panics
/// If it fails.
pub(crate) async fn command(database: &[OsString], arguments: &[&str]) -> serde_json::Value {
    let mut all: Vec<OsString> = vec!["replyhq".into()];
    all.extend(arguments.iter().map(OsString::from));
    all.push("--json".into());
    all.extend_from_slice(database);
    let cli = Cli::read(all, |_| None).map_err(|(_, problem)| problem).expect("good flags");
    let printed =
        run_command(cli.command).await.map_err(|failure| failure.message).expect("the command works");
    serde_json::from_str(&printed).expect("JSON")
}
