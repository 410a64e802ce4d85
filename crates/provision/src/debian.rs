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
        geteuid().is_root() || sudo_asks_nothing(),
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

fn sudo_asks_nothing() -> bool {
    Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success())
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
