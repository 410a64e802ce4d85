//! A private Redis.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::command::{placed, run, run_async};
use crate::install::{REDIS, require};
use crate::port::Port;
use crate::service::Service;

/// How a Redis is made.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// What those who connect have to know.
    pub password: Option<String>,
    /// A user beside the one who has no name, with this name and this password, who may do everything.
    pub user: Option<(String, String)>,
    /// Whether it speaks TLS, and nothing else.
    pub has_tls: bool,
    /// More of its settings, as arguments: `["--replicaof", "127.0.0.1 7000"]`.
    pub arguments: Vec<String>,
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
    certificates: Option<Certificates>,
    options: RedisOptions,
    dir: TempDir,
}

impl Redis {
    /// A running one.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let mut redis = Self::create(options)?;
        redis.run().await?;
        Ok(redis)
    }

    /// Makes one and does not start it.
    ///
    /// # Errors
    /// If it is not installed, or its folder can't be made.
    pub fn create(options: RedisOptions) -> Result<Self> {
        REDIS.into_iter().try_for_each(require)?;
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("redis-").tempdir_in(parent)?;
        let certificates =
            if options.has_tls { Some(Certificates::make(&["localhost", "127.0.0.1"])?) } else { None };
        Ok(Self { service: None, port: Port::claim()?, certificates, options, dir })
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
        let port = self.port().to_string();
        match &self.certificates {
            None => command.arg(port),
            Some(certificates) => {
                command.args(["0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"]);
                command.arg(certificates.certificate()).arg("--tls-key-file").arg(certificates.key());
                command.arg("--tls-ca-cert-file").arg(certificates.authority())
            }
        };
        command.arg("--dir").arg(self.dir.path());
        if let Some(password) = &self.options.password {
            command.args(["--requirepass", password]);
        }
        if let Some((name, password)) = &self.options.user {
            command.args(["--user", name, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
        }
        command.args(&self.options.arguments);
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

    /// How to reach it, password and the authority's certificate included.
    pub fn url(&self) -> String {
        let login = match (&self.options.user, &self.options.password) {
            (Some((name, password)), _) => format!("{name}:{password}@"),
            (None, Some(password)) => format!(":{password}@"),
            (None, None) => String::new(),
        };
        match &self.certificates {
            None => format!("redis://{login}127.0.0.1:{}", self.port()),
            Some(certificates) => {
                let authority = certificates.authority();
                format!("rediss://{login}127.0.0.1:{}?ssl_ca_certs={}", self.port(), authority.display())
            }
        }
    }

    /// Its certificates, if it speaks TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
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
        if let Some(certificates) = &self.certificates {
            command.arg("--tls").arg("--cacert").arg(certificates.authority());
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
