//! `cargo xtask chaos`: the chaos tool, on the server that was built.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{demo, tool};

/// Installs what it needs, builds the server and the tool, and becomes the tool.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    backing::install_missing()?;
    let server = demo::build()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "-p", "chaos"]))?;
    let chaos = tool::target_dir()?.join("release/chaos");
    let arguments = tool::with_binary(arguments, server.into());
    tool::become_command(Command::new(chaos).args(arguments).current_dir(tool::root()))
}

/// A short run on the unoptimised build: enough for most kinds of fault once.
pub(crate) fn short() -> Result<()> {
    unoptimised(&["--minutes=1.5", "--seed=1", "--devices=8"])
}

/// Two nodes are restarted in turn under two thousand clients, who must not come back in a herd.
pub(crate) fn rolling() -> Result<()> {
    let clients = ["--nodes=2", "--apps=4", "--devices=500", "--tabs=1", "--agents=1"];
    let arguments = ["--rolling", "--rate=200", "--spread=10"];
    unoptimised(&[clients.as_slice(), arguments.as_slice()].concat())
}

fn unoptimised(arguments: &[&str]) -> Result<()> {
    let debug = tool::target_dir()?.join("debug");
    let arguments = arguments.iter().map(OsString::from).collect();
    let arguments = tool::with_binary(arguments, debug.join("replyhq").into());
    tool::run(Command::new(debug.join("chaos")).args(arguments).current_dir(tool::root()))
}
