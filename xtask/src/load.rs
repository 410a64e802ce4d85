//! `cargo xtask load`: the load tool, on what it measures.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{demo, tool};

/// Installs what baselines need, builds the server and the tool, and becomes the tool.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    backing::install_missing()?;
    let server = demo::build()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "-p", "loadtest"]))?;
    let loadtest = tool::target_dir()?.join("release/loadtest");
    let arguments = tool::with_binary(arguments, server.into());
    tool::become_command(Command::new(loadtest).args(arguments).current_dir(tool::root()))
}

/// A short load on the unoptimised build: no figure counts, but every message that is lost, doubled or out of order.
pub(crate) fn smoke() -> Result<()> {
    let debug = tool::target_dir()?.join("debug");
    let arguments = [
        "sends",
        "rest",
        "fanout",
        "sdk",
        "--seconds=3",
        "--warmup=1",
        "--window=4",
        "--pairs=20",
        "--subscribers=100",
        "--clients=50",
        "--messages=30",
    ];
    let arguments = tool::with_binary(arguments.map(OsString::from).into(), debug.join("replyhq").into());
    let printed =
        tool::output(Command::new(debug.join("loadtest")).args(arguments).current_dir(tool::root()))?;
    tool::say(faults(&printed));
    Ok(())
}

/// The part of the tool's report that says what went wrong.
fn faults(report: &str) -> &str {
    report.rfind("\nFaults\n").map_or(report, |start| report[start..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_report_only_the_faults_are_shown() {
        assert_eq!(faults("sends  12/s\n\nFaults\n  sends: lost 0\n"), "Faults\n  sends: lost 0");
        assert_eq!(faults("something else"), "something else");
    }
}
