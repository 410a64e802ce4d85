//! A private Redis.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::command::{placed, run, run_async};
use crate::install::install_missing;
use crate::port::Port;
use crate::service::Service;

/// How a Redis is made.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// What those who connect have to know.
    pub password: Option<String>,
    /// The only core it may run on.
    pub core: Option<usize>,
    /// Where its folder is made; without it, among the temporary files.
    pub parent: Option<PathBuf>,
}

/// A Redis of one's own. It keeps nothing on disk: started again, it is empty.
#[derive(Debug)]
pub struct Redis {
    // Dropped first: nobody writes to the folder when it is removed.
    service: Option<Service>,
    port: Port,
    options: RedisOptions,
    dir: TempDir,
}

impl Redis {
    /// A running one.
    ///
    /// # Errors
    /// If it can't be installed or does not start.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let mut redis = Self::create(options)?;
        redis.run().await?;
        Ok(redis)
    }

    /// Makes one and does not start it.
    ///
    /// # Errors
    /// If it can't be installed, or its folder can't be made.
    pub fn create(options: RedisOptions) -> Result<Self> {
        install_missing()?;
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("redis-").tempdir_in(parent)?;
        Ok(Self { service: None, port: Port::claim()?, options, dir })
    }

    /// Starts it, always on the same port, and waits until it is ready. One that runs is left alone.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn run(&mut self) -> Result<()> {
        if self.service.is_some() {
            return Ok(());
        }
        let mut command = placed(self.options.core, "redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(self.port().to_string()).arg("--dir").arg(self.dir.path());
        if let Some(password) = &self.options.password {
            command.args(["--requirepass", password]);
        }
        let mut service = Service::start("redis", self.dir.path(), &mut command)?;
        service.ready("Ready to accept connections").await?;
        self.service = Some(service);
        Ok(())
    }

    /// Kills it if it runs, and starts it again, empty, on the same port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill();
        self.run().await
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        self.service = None;
    }

    /// Asks it to end, and waits for it.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(service) = self.service.take() {
            service.stop(Signal::TERM).await?;
        }
        Ok(())
    }

    /// Sends it a signal: STOP freezes it, CONT lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.service.as_ref().context("Redis does not run")?.signal(signal)
    }

    /// The process's id.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.service.as_ref().context("Redis does not run")?.pid())
    }

    /// The port it listens on, while it runs.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// How to reach it, password included.
    pub fn url(&self) -> String {
        let password = self.options.password.as_ref().map(|password| format!(":{password}@"));
        format!("redis://{}127.0.0.1:{}", password.unwrap_or_default(), self.port())
    }

    /// What `redis-cli` prints for this command.
    ///
    /// # Errors
    /// If Redis can't be reached, or answers with an error.
    pub async fn cli(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("redis-cli");
        // -e: an error that Redis answers is an error of the program.
        command.args(["-e", "-h", "127.0.0.1", "-p", &self.port().to_string()]);
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(arguments);
        Ok(run_async(command).await?.trim_end().to_owned())
    }

    /// The version.
    ///
    /// # Errors
    /// If the program can't be run.
    pub fn version(&self) -> Result<String> {
        let told = run(Command::new("redis-server").arg("--version"))?;
        let version = told.split_ascii_whitespace().find_map(|word| word.strip_prefix("v="));
        Ok(version.with_context(|| format!("no version in {told}"))?.to_owned())
    }
}
