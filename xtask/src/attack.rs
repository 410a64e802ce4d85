//! `cargo xtask attack`: the attacker, on the server that was built.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{demo, tool};

/// Builds the server and the tool, and becomes the tool.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let server = demo::build()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "-p", "attack"]))?;
    let attack = tool::target_dir()?.join("release/attack");
    let arguments = tool::with_binary(arguments, server.into());
    tool::become_command(Command::new(attack).args(arguments).current_dir(tool::root()))
}

/// A selection on the unoptimised build: no time counts, but who is lost, who is thrown out and what it takes.
pub(crate) fn short() -> Result<()> {
    let debug = tool::target_dir()?.join("debug");
    let arguments = ["--judge", "--short"].map(OsString::from).into();
    let arguments = tool::with_binary(arguments, debug.join("replyhq").into());
    tool::run(Command::new(debug.join("attack")).args(arguments).current_dir(tool::root()))
}
