//! What has to be installed, and where it is then.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

const POSTGRES_HOME: &str = "/usr/lib/postgresql";

/// Installs the servers that are missing here.
///
/// # Errors
/// If that is not possible; says what to install.
pub fn install_missing() -> Result<()> {
    let mut missing = Vec::new();
    if postgres_programs().is_err() {
        missing.push("postgresql");
    }
    // The sentinel is this program too.
    if provision::program("redis-server").is_none() {
        missing.push("redis-server");
    }
    if provision::program("redis-cli").is_none() {
        missing.push("redis-tools");
    }
    if provision::program("pgbouncer").is_none() {
        missing.push("pgbouncer");
    }
    if provision::program("nginx").is_none() {
        missing.push("nginx");
    }
    if faketime_library().is_err() {
        missing.push("faketime");
    }
    if missing.is_empty() { Ok(()) } else { provision::debian_packages(&missing) }
}

/// What gives a process another time of day, if it is loaded before all others.
///
/// # Errors
/// If it is not installed.
pub fn faketime_library() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("libraries are elsewhere")?;
    let libraries = folders.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    libraries.into_iter().find(|library| library.exists()).context("libfaketime is not installed")
}

/// The folder of the newest Postgres's programs.
pub(crate) fn postgres_programs() -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRES_HOME).context("Postgres is not installed")?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let paths = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = paths.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    Ok(newest.context("Postgres's server is not installed")?.join("bin"))
}
