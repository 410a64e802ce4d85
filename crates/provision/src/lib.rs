//! Installs what the tests and the load tool need and this machine lacks, or says what to install.
//!
//! Nothing here skips: after `Ok` the thing is there.

mod debian;
mod node;
mod python;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use self::debian::{debian_offers, debian_packages};
pub use self::node::node_packages;
pub use self::python::python_environment;

/// Where the shell would find this program.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Installs the Debian package if the program is missing.
///
/// # Errors
/// If it can't be installed; says what to do instead.
pub fn debian_program(name: &str, package: &str) -> Result<()> {
    if program(name).is_some() {
        return Ok(());
    }
    debian_packages(&[package])?;
    ensure!(program(name).is_some(), "{package} is installed, but there is still no {name}");
    Ok(())
}

/// Runs a command to its end; what it prints is shown only if it fails.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} failed ({}):\n{out}{errors}", output.status);
    Ok(out.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_the_shell_finds_it() {
        assert!(program("sh").unwrap().is_absolute());
        assert_eq!(program("there-is-no-such-program"), None);
    }

    #[test]
    fn what_a_failing_command_said_is_told() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("(exit status: 3):\nout\nerr\n"), "{error}");
    }
}
