//! A process that is started, watched and stopped: a server, Postgres, Redis.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::tree;

const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running process. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts the command; what it prints goes to a log in `dir`.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn start(name: &'static str, dir: &Path, command: &mut Command) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits until the log holds `mark`, and returns the rest of that line.
    ///
    /// # Errors
    /// If the process ends before, or takes more than a minute.
    pub async fn ready(&mut self, mark: &str) -> Result<String> {
        let until = Instant::now() + READY_LIMIT;
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let whole = log.rfind('\n').map_or("", |end| &log[..end]);
            if let Some(rest) = whole.lines().find_map(|line| line.split_once(mark)) {
                return Ok(rest.1.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before it was ready:\n{log}", self.name);
            }
            ensure!(Instant::now() < until, "{} is not ready in time:\n{log}", self.name);
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process and to all that it has started.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        tree::signal(self.own_pid()?, signal)
    }

    /// Asks the process to stop, and waits for it.
    ///
    /// # Errors
    /// If it goes on for half a minute.
    pub async fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        kill_process(self.own_pid()?, signal)?;
        let until = Instant::now() + STOP_LIMIT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{} did not stop within {STOP_LIMIT:?}", self.name)
    }

    /// Kills the process with all that it has started, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// If it can't be killed.
    pub async fn kill(&mut self) -> Result<()> {
        let (name, pid) = (self.name, self.own_pid()?);
        tree::kill(pid)?;
        let until = Instant::now() + STOP_LIMIT;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < until, "{name} outlived being killed for {STOP_LIMIT:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The end of the log, for an error message.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn own_pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.pid())?).context("no process")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing can be done about a process that cannot be killed.
            let _ = self.own_pid().and_then(tree::kill);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
