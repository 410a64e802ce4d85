//! The SDK's wheel, and its suite in Python against the wheel as it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{folder, server};
use crate::tool;

/// Builds the wheel, installs it as anybody would, and runs the suite, whose programs find nothing but that.
pub(super) fn run(library: &Path, python: &Path) -> Result<()> {
    let wheel = wheel(library)?;
    let mut install = Command::new(python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--force-reinstall",
        "--no-deps",
        "--disable-pip-version-check",
    ]);
    tool::run(install.arg(wheel))?;
    // The types are promises as well: of the package, and of a program that uses it.
    let mut types = Command::new(python);
    types.args(["-m", "mypy", "--strict", "quickstart.py", "programs.py"]).current_dir(folder("python"));
    tool::run(&mut types)?;
    let mut suite = Command::new(python);
    suite.args(["-B", "-m", "unittest", "--verbose"]).current_dir(folder("python"));
    suite.env("PYTHONPATH", tool::root().join("tests/clients/python"));
    tool::run(suite.env("REPLYHQ_BINARY", server()?))
}

/// Builds it with the script that developers use.
fn wheel(library: &Path) -> Result<PathBuf> {
    tool::run(Command::new(folder("python").join("build-wheel.sh")).arg(library))?;
    let built = tool::target_dir()?.join("sdk-python");
    let mut wheels = super::sources(&built, "whl")?;
    wheels.pop().with_context(|| format!("no wheel in {}", built.display()))
}
