//! `cargo xtask demo`: the server as a user has it, with something in it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{tool, web};

/// Builds the server and becomes it, so that Ctrl-C is the server's own.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    web::build()?;
    let binary = build()?;
    tool::become_command(Command::new(binary).args(["serve", "--demo"]).args(arguments))
}

/// The server as it is delivered: built alone, so that no other package's wishes change its dependencies.
pub(crate) fn build() -> Result<PathBuf> {
    c_compiler()?;
    tool::run(&mut tool::cargo(["build", "--release", "--locked", "-p", "server", "--bin", "replyhq"]))?;
    Ok(tool::target_dir()?.join("release/replyhq"))
}

/// SQLite is compiled from its C source.
pub(crate) fn c_compiler() -> Result<()> {
    if std::env::var_os("CC").is_some() { Ok(()) } else { provision::debian_program("cc", "build-essential") }
}
