//! The programs that the commands run, and where things are.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The folder of what cargo has built, whatever it is configured to be: this program is in it, too.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let target = this.ancestors().nth(2).context("this program is in no target folder")?;
    Ok(target.to_owned())
}

/// Tells the person at the terminal.
pub(crate) fn say(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The cargo that runs this, in the repository.
pub(crate) fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Shows the command and runs it to its end.
///
/// # Errors
/// If it does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(&shown(command));
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    ensure!(status.success(), "failed ({status}): {}", shown(command));
    Ok(())
}

/// As [`run`], and returns what the command printed on standard output.
///
/// # Errors
/// If it does not end well; has what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    say(&shown(command));
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("starting {}", shown(command)))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "failed ({}): {}\n{printed}", output.status, shown(command));
    Ok(printed)
}

/// Becomes the command: its signals, its terminal and its exit code are this process's.
///
/// # Errors
/// If it can't be started. It does not return otherwise.
pub(crate) fn become_command(command: &mut Command) -> Result<()> {
    say(&shown(command));
    let error = command.exec();
    bail!("starting {}: {error}", shown(command))
}

/// Names the server that was built, unless another is asked for.
pub(crate) fn with_binary(mut arguments: Vec<OsString>, binary: OsString) -> Vec<OsString> {
    let is_named = |argument: &OsString| argument.to_string_lossy().split('=').next() == Some("--binary");
    if !arguments.iter().any(is_named) {
        arguments.extend(["--binary".into(), binary]);
    }
    arguments
}

/// The command as one could type it in the repository.
fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for word in std::iter::once(command.get_program()).chain(command.get_args()) {
        let word = word.to_string_lossy();
        let in_root = word.strip_prefix(&*root().to_string_lossy()).and_then(|rest| rest.strip_prefix('/'));
        words.push(in_root.unwrap_or(&word).to_owned());
    }
    if Path::new(command.get_program()).file_name() == Some(OsStr::new("cargo")) {
        words[0] = "cargo".into();
    }
    format!("$ {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_binary_may_be_named() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(with_binary(words("sends"), "built".into()), words("sends --binary built"));
        assert_eq!(with_binary(words("--binary mine"), "built".into()), words("--binary mine"));
        assert_eq!(with_binary(words("--binary=mine"), "built".into()), words("--binary=mine"));
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/toolchain/bin/cargo");
        command.arg("build");
        assert_eq!(shown(&command), "$ cargo build");
        let mut command = Command::new(root().join("target/debug/replyhq"));
        command.arg("serve");
        assert_eq!(shown(&command), "$ target/debug/replyhq serve");
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 4"])).unwrap_err();
        assert_eq!(error.to_string(), "failed (exit status: 4): $ sh -c exit 4");
    }
}
