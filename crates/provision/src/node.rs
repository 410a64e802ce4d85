//! Node and a folder's npm packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{program, run};

/// What npm leaves behind when it has installed a lockfile.
const INSTALLED: &str = "node_modules/.package-lock.json";

/// Installs exactly what the folder's `package-lock.json` names, where that has not happened since it changed.
///
/// # Errors
/// If Node is missing or older than `oldest`, or if npm fails.
pub fn node_packages(folder: &Path, oldest: u32) -> Result<()> {
    ensure!(program("node").is_some(), "Node is missing; please install Node {oldest} or newer, with npm");
    let version = run(Command::new("node").arg("--version"))?;
    let found = major(&version).with_context(|| format!("node --version printed {version}"))?;
    ensure!(found >= oldest, "Node {oldest} or newer is needed; this is {}", version.trim());
    if is_current(folder) {
        return Ok(());
    }
    ensure!(program("npm").is_some(), "npm is missing; it comes with Node, or as Debian's package npm");
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder))?;
    Ok(())
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn is_current(folder: &Path) -> bool {
    let changed = |name: &str| fs::metadata(folder.join(name)).and_then(|file| file.modified()).ok();
    match (changed(INSTALLED), changed("package-lock.json")) {
        (Some(installed), Some(locked)) => installed >= locked,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_major_version_is_what_counts() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v18.0.0"), Some(18));
        assert_eq!(major("20.1"), None);
    }

    #[test]
    fn a_changed_lockfile_is_installed_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, second: u64| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
        };
        write("package-lock.json", 10);
        assert!(!is_current(folder.path()), "never installed");
        fs::create_dir(folder.path().join("node_modules")).unwrap();
        write(INSTALLED, 20);
        assert!(is_current(folder.path()));
        write("package-lock.json", 30);
        assert!(!is_current(folder.path()), "changed since");
    }
}
