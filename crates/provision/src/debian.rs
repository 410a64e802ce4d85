//! Debian's and Ubuntu's packages.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;

use crate::{program, run};

/// Installs packages, as root or by a `sudo` that asks for no password.
///
/// # Errors
/// Where neither is possible, or where the installation fails; says what to install.
pub fn debian_packages(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    ensure!(
        program("apt-get").is_some(),
        "please install what Debian calls {names}: there is no apt-get here"
    );
    ensure!(
        may_install(),
        "{names} missing, and installing needs root; please run: sudo apt-get install {names}"
    );
    apt_get(&["update", "-q"])
        .and_then(|()| {
            let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
            install.extend(packages);
            apt_get(&install)
        })
        .with_context(|| format!("installing {names}"))
}

/// Whether this release of Debian or Ubuntu has a package of that name, in that major version or a newer one. Where apt
/// knows none, its lists may be old or missing, and are fetched first; if that is not possible, the answer is no.
pub fn debian_offers(package: &str, oldest_major: u32) -> bool {
    let is_known = || {
        let shown = run(Command::new("apt-cache").args(["show", package])).unwrap_or_default();
        newest_major(&shown).is_some_and(|major| major >= oldest_major)
    };
    is_known() || (may_install() && apt_get(&["update", "-q"]).is_ok() && is_known())
}

/// The highest major version among the records that `apt-cache show` printed.
fn newest_major(records: &str) -> Option<u32> {
    let versions = records.lines().filter_map(|line| line.strip_prefix("Version: "));
    versions
        .filter_map(|version| {
            let (_epoch, upstream) = version.split_once(':').unwrap_or(("", version));
            upstream.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
        })
        .max()
}

/// Whether this is root, or `sudo` asks for no password.
fn may_install() -> bool {
    let sudo_asks_nothing =
        || Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    geteuid().is_root() || sudo_asks_nothing()
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = if geteuid().is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    // Through env, because sudo passes no variables on.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    run(&mut command).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_exist_are_offered() {
        if program("apt-cache").is_some() {
            assert!(debian_offers("bash", 5));
        }
        assert!(!debian_offers("there-is-no-such-package", 0));
    }

    #[test]
    fn the_newest_version_counts_and_its_epoch_does_not() {
        let records = "Package: swiftlang\nVersion: 5.6.1-2\n\nPackage: swiftlang\nVersion: 1:6.0.3-2\n";
        assert_eq!(newest_major(records), Some(6));
        assert_eq!(newest_major("Version: 11:5.6-1\n"), Some(5));
        assert_eq!(newest_major("Package: swiftlang\n"), None);
    }
}
