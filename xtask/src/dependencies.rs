//! What the dependencies are: their licences, where they come from, and what is known against them (`deny.toml`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::tool;

/// The cargo-deny that checks them. A newer one may know new lints, so that it is not taken unasked.
const VERSION: &str = "0.20.2";

/// How long fetching the advisories may take before the network counts as none.
const FETCH_PATIENCE: Duration = Duration::from_secs(60);
const FETCH_PAUSE: Duration = Duration::from_millis(50);

/// Checks the workspace's dependencies and those of the fuzz targets. Advisories are fetched from where they are kept;
/// without a network it says so and goes on: they are the one thing that is not on this machine.
pub(crate) fn check() -> Result<()> {
    let program = install()?;
    let mut checks = vec!["licenses", "bans", "sources"];
    match fetch_advisories(&program) {
        Ok(()) => checks.push("advisories"),
        Err(error) => tool::say(&format!("advisories are not checked: {error:#}")),
    }
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut deny = deny(&program);
        deny.args(["--locked", "--manifest-path", manifest, "--config", "deny.toml"]);
        deny.args(["check", "--hide-inclusion-graph"]).args(&checks);
        tool::run(&mut deny)?;
    }
    Ok(())
}

/// Builds it from the registry, once, into the target folder; to build it takes longer than all that it ever runs, so
/// that it is not optimised.
fn install() -> Result<PathBuf> {
    let tools = tool::target_dir()?.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        let mut install = tool::cargo(["install", "--locked", "--quiet", "cargo-deny", "--version", VERSION]);
        install.arg("--root").arg(&tools);
        install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_LTO", "off");
        install.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64");
        tool::run(&mut install)?;
    }
    Ok(program)
}

fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(tool::root());
    command
}

/// Fetches the advisories.
///
/// # Errors
/// If that is not possible, or takes too long.
fn fetch_advisories(program: &Path) -> Result<()> {
    let mut fetch = deny(program);
    // Nobody is there to be asked for a name and a password.
    fetch.args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    finish_within(&mut fetch, FETCH_PATIENCE)
}

/// Runs a command that prints little; kills it when its time is over.
fn finish_within(command: &mut Command, patience: Duration) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            bail!("no answer within {} s", patience.as_secs_f32());
        }
        std::thread::sleep(FETCH_PAUSE);
    }
    let output = child.wait_with_output().context("what it said")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_does_not_end_is_ended_and_what_fails_says_why() {
        finish_within(&mut shell("exit 0"), FETCH_PATIENCE).unwrap();
        let error = finish_within(&mut shell("echo no way >&2; exit 2"), FETCH_PATIENCE).unwrap_err();
        assert_eq!(error.to_string(), "no way");
        let error = finish_within(&mut shell("exec sleep 600"), Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().starts_with("no answer"), "{error}");
    }
}
