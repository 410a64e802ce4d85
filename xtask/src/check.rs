//! `cargo xtask check`: formatting and lints, of the fuzz targets too, which are a workspace of their own.

use anyhow::Result;

use crate::tool;

/// Checks without changing anything.
pub(crate) fn run() -> Result<()> {
    let fuzz = "--manifest-path=fuzz/Cargo.toml";
    tool::run(&mut tool::cargo(["fmt", "--all", "--check"]))?;
    tool::run(&mut tool::cargo(["fmt", fuzz, "--check"]))?;
    let strictly = ["--", "-D", "warnings"];
    tool::run(tool::cargo(["clippy", "--locked", "--workspace", "--all-targets"]).args(strictly))?;
    let clippy_fuzz = ["clippy", "--locked", fuzz, "--target-dir=fuzz/target", "--all-targets"];
    tool::run(tool::cargo(clippy_fuzz).args(strictly))
}
