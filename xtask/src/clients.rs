//! The suites of the stock clients: each starts the server's binary itself, and uses it as an app does.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::tool;

/// The oldest Node that the JavaScript suite runs on.
const OLDEST_NODE: u32 = 18;

/// Installs what both suites need, and the databases that the tests start. Returns the Python to use.
pub(crate) fn install() -> Result<PathBuf> {
    let clients = tool::root().join("tests/clients");
    // The demo's commands are run as they are printed.
    provision::debian_program("curl", "curl")?;
    provision::node_packages(&clients.join("js"), OLDEST_NODE)?;
    provision::python_environment(
        &tool::target_dir()?.join("python-clients"),
        &clients.join("python/requirements.txt"),
    )
}

/// `socket.io-client`, on Node's own test runner.
pub(crate) fn javascript() -> Result<()> {
    suite(Command::new("node").arg("--test"), "js")
}

/// `python-socketio`, on Python's own.
pub(crate) fn python(python: PathBuf) -> Result<()> {
    suite(Command::new(python).args(["-m", "unittest", "--verbose"]), "python")
}

fn suite(command: &mut Command, folder: &str) -> Result<()> {
    let binary = tool::target_dir()?.join("debug/replyhq");
    command.current_dir(tool::root().join("tests/clients").join(folder)).env("REPLYHQ_BINARY", binary);
    tool::run(command)
}
