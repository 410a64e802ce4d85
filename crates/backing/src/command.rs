//! Commands, and how they are run.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A command that runs on one core and on no other.
pub fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// A command that runs on that core if there is one, or else anywhere.
pub(crate) fn placed(core: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    core.map_or_else(|| Command::new(&program), |core| pinned(core, &program))
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// If it can't be started, or fails; tells what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}): {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The same without holding up the others. Dropped half-way, the command is killed.
pub(crate) async fn run_async(command: Command) -> Result<String> {
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("starting {command:?}"))?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{:?} failed ({}): {said}{errors}", command.as_std(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}
