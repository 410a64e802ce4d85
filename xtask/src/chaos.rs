//! `cargo xtask chaos`: the chaos tool, on the server that was built.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{demo, tool};

/// Builds the server and the tool, and becomes the tool. It installs by itself what it needs.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let server = demo::build()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "-p", "chaos"]))?;
    let chaos = tool::target_dir()?.join("release/chaos");
    let arguments = tool::with_binary(arguments, server.into());
    tool::become_command(Command::new(chaos).args(arguments).current_dir(tool::root()))
}

/// A short run on the unoptimised build: enough for most kinds of fault once.
pub(crate) fn short() -> Result<()> {
    let debug = tool::target_dir()?.join("debug");
    let arguments = ["--minutes=1.5", "--seed=1", "--devices=8"].map(OsString::from);
    let arguments = tool::with_binary(arguments.into(), debug.join("replyhq").into());
    tool::run(Command::new(debug.join("chaos")).args(arguments).current_dir(tool::root()))
}
