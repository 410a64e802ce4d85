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

/// Whether this release of Debian or Ubuntu has a package of that name. Where apt knows none, its lists may be old or
/// missing, and are fetched first; if that is not possible, the answer is no.
pub fn debian_offers(package: &str) -> bool {
    let is_known = || is_success(Command::new("apt-cache").args(["show", package]));
    is_known() || (may_install() && apt_get(&["update", "-q"]).is_ok() && is_known())
}

/// Whether this is root, or `sudo` asks for no password.
fn may_install() -> bool {
    geteuid().is_root() || is_success(Command::new("sudo").args(["-n", "true"]))
}

fn is_success(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
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
            assert!(debian_offers("bash"));
        }
        assert!(!debian_offers("there-is-no-such-package"));
    }
}
