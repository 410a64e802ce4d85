//! What has to be installed, and where it is then.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

const POSTGRES_HOME: &str = "/usr/lib/postgresql";
const NO_POSTGRES: &str = "Postgres's server is not installed: `cargo xtask test` installs all that tests need, or install Debian's \
    postgresql yourself";

/// A program that tests and measurements start, and the Debian package that has it.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

pub(crate) const REDIS: [Program; 2] = [
    // The sentinel is this program too.
    Program { name: "redis-server", package: "redis-server" },
    Program { name: "redis-cli", package: "redis-tools" },
];
pub(crate) const PGBOUNCER: Program = Program { name: "pgbouncer", package: "pgbouncer" };
pub(crate) const NGINX: Program = Program { name: "nginx", package: "nginx" };

/// Installs what is missing here of all that this crate starts. Only commands that say that they install call this: a test
/// that is run by itself fails with the reason, and changes nobody's machine.
///
/// # Errors
/// If that is not possible; says what to install.
pub fn install_missing() -> Result<()> {
    let programs = REDIS.into_iter().chain([PGBOUNCER, NGINX]);
    let mut missing: Vec<&str> = programs
        .filter(|program| provision::program(program.name).is_none())
        .map(|program| program.package)
        .collect();
    if postgres_programs().is_err() {
        missing.push("postgresql");
    }
    if faketime_library().is_err() {
        missing.push("faketime");
    }
    if missing.is_empty() { Ok(()) } else { provision::debian_packages(&missing) }
}

/// # Errors
/// If the program is not there; says how it comes there.
pub(crate) fn require(program: Program) -> Result<()> {
    let Program { name, package } = program;
    ensure!(
        provision::program(name).is_some(),
        "{name} is not installed: `cargo xtask test` installs all that tests need, or install Debian's {package} yourself"
    );
    Ok(())
}

/// What gives a process another time of day, if it is loaded before all others.
///
/// # Errors
/// If it is not installed.
pub fn faketime_library() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("libraries are elsewhere")?;
    let libraries = folders.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    libraries.into_iter().find(|library| library.exists()).context(
        "libfaketime is not installed: `cargo xtask test` installs it, or install Debian's faketime yourself",
    )
}

/// The folder of the newest Postgres's programs.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRES_HOME).context(NO_POSTGRES)?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let paths = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = paths.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    Ok(newest.context(NO_POSTGRES)?.join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_not_installed() {
        let missing = Program { name: "there-is-no-such-program", package: "hello" };
        let error = require(missing).unwrap_err().to_string();
        assert!(
            error.contains("there-is-no-such-program is not installed") && error.contains("hello"),
            "{error}"
        );
        assert!(provision::program("hello").is_none(), "it was installed");
    }
}
