//! A server in this process.

use std::ffi::OsString;
use std::net::SocketAddr;

use server::{App, Cli, Command, Running, run_command};

use crate::{Backend, Http, TestApp, eventually};

/// A server in this process, on a free port, with data of its own.
pub struct TestServer {
    address: SocketAddr,
    running: Option<Running>,
    backend: Backend,
    greeting: String,
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
        Self::on(Backend::fresh().await, flags).await
    }

    /// A server on this data.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn on(backend: Backend, flags: &[&str]) -> Self {
        let (address, running, greeting) = start(&backend, flags).await;
        Self { address, running: Some(running), backend, greeting }
    }

    /// Stops it politely and starts another on the same data, on a new port.
    pub async fn restart(&mut self, flags: &[&str]) {
        self.shut_down().await;
        let (address, running, greeting) = start(&self.backend, flags).await;
        self.address = address;
        self.running = Some(running);
        self.greeting = greeting;
    }

    /// Stops it politely, as SIGTERM does. A second call does nothing.
    pub async fn shut_down(&mut self) {
        if let Some(running) = self.running.take() {
            running.shut_down().await;
        }
    }

    /// What it prints at its start, before it says that it is ready.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its REST side, without a credential.
    pub fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// A new app on it.
    pub async fn app(&self) -> TestApp {
        TestApp::create(self.address, self.backend.database()).await
    }
}

/// The settings that these flags mean, and nothing of the environment.
fn settings(backend: &Backend, flags: &[&str]) -> server::Settings {
    let mut arguments: Vec<OsString> = vec!["replyhq".into(), "serve".into(), "--listen=127.0.0.1:0".into()];
    arguments.extend(backend.database());
    arguments.extend(backend.rest());
    arguments.extend(flags.iter().map(OsString::from));
    let cli = Cli::read(arguments, |_| None).map_err(|(_, problem)| problem).expect("good flags");
    match cli.command {
        Command::Serve(settings) => *settings,
        other => panic!("not serve: {other:?}"),
    }
}

async fn start(backend: &Backend, flags: &[&str]) -> (SocketAddr, Running, String) {
    let app = App::start(settings(backend, flags)).await.expect("the server starts");
    let greeting = app.greeting();
    let (address, running) = (app.address(), app.run());
    in_touch(address).await;
    (address, running, greeting)
}

/// Waits until the server says that nothing is amiss: one that is not in touch with Redis yet serves, too, and would
/// answer tests from what it knows itself.
pub(crate) async fn in_touch(address: SocketAddr) {
    let http = Http::new(address);
    eventually("the server to be in touch with Redis", || async {
        (http.get("/readyz").await.json["status"] == "ok").then_some(())
    })
    .await;
}

/// Runs one `replyhq …` command with `--json` on this data, in this process, and returns what it prints.
///
/// # Panics
/// If it fails.
pub(crate) async fn command(database: &[OsString], arguments: &[&str]) -> Result<serde_json::Value, String> {
    let mut all: Vec<OsString> = vec!["replyhq".into()];
    all.extend(arguments.iter().map(OsString::from));
    all.push("--json".into());
    all.extend_from_slice(database);
    let cli = Cli::read(all, |_| None).map_err(|(_, problem)| problem).expect("good flags");
    let printed = run_command(cli.command).await.map_err(|failure| failure.message)?;
    Ok(serde_json::from_str(&printed).expect("JSON"))
}
