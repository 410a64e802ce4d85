//! `cargo xtask demo`: the server as a user has it, with something in it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::tool;

/// Builds the server and becomes it, so that Ctrl-C is the server's own.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    c_compiler()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "--bin", "replyhq"]))?;
    let binary = tool::target_dir()?.join("release/replyhq");
    tool::become_command(Command::new(binary).args(["serve", "--demo"]).args(arguments))
}

/// SQLite is compiled from its C source.
pub(crate) fn c_compiler() -> Result<()> {
    if std::env::var_os("CC").is_some() { Ok(()) } else { provision::debian_program("cc", "build-essential") }
}
