//! A server in a process of its own, to be killed.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::server::in_touch;
use crate::{Backend, TestApp, patiently};

/// A server in a process of its own. Killed when dropped.
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    database: Vec<OsString>,
}

impl ServerProcess {
    /// Starts `binary serve` on a free port and waits for its ready line.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start(binary: &str, backend: &Backend, flags: &[&str]) -> Self {
        let mut all = backend.rest();
        all.extend(flags.iter().map(OsString::from));
        let process = Self::start_on(binary, backend.database(), &all).await;
        in_touch(process.address).await;
        process
    }

    /// As [`start`](Self::start), on the database that these flags name.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start_on<F: AsRef<OsStr>>(binary: &str, database: Vec<OsString>, flags: &[F]) -> Self {
        Self::started(Command::new(binary), database, flags).await
    }

    /// As [`start_on`](Self::start_on), with a clock that is wrong by so many seconds.
    ///
    /// # Panics
    /// If it does not get ready, or libfaketime is not installed.
    pub async fn start_with_clock<F: AsRef<OsStr>>(
        seconds: i64,
        binary: &str,
        database: Vec<OsString>,
        flags: &[F],
    ) -> Self {
        backing::install_missing().expect("libfaketime");
        let mut command = Command::new(binary);
        command.env("LD_PRELOAD", backing::faketime_library().expect("libfaketime"));
        command.env("FAKETIME", format!("{seconds:+}s")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self::started(command, database, flags).await
    }

    async fn started<F: AsRef<OsStr>>(mut command: Command, database: Vec<OsString>, flags: &[F]) -> Self {
        let mut child = command
            .args(["serve", "--listen=127.0.0.1:0"])
            .args(&database)
            .args(flags)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server's binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = patiently("the ready line", async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(address) = line.strip_prefix("replyhq is ready on http://") {
                    return address.parse().expect("an address");
                }
            }
            panic!("the server ended before it was ready");
        })
        .await;
        // Read on, so that the pipe never breaks under the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address, database }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// A new app on it.
    pub async fn app(&self) -> TestApp {
        TestApp::create(self.address, self.database.clone()).await
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// If it can't be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process to kill");
    }

    /// Sends a signal, as `kill -NAME` does.
    ///
    /// # Panics
    /// If that fails.
    pub async fn signal(&self, name: &str) {
        // The shell has a `kill` of its own; the program is not on every machine.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().await;
        assert!(status.expect("kill").success());
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        patiently("the server's end", self.child.wait()).await.expect("a process")
    }
}
