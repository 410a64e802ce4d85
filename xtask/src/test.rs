//! `cargo xtask test`: everything that must hold, on a machine that has Rust and Node.

use anyhow::Result;

use crate::steps::Steps;
use crate::{check, clients, demo, fuzz, load, tool};

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// Runs all steps, up to the first that fails; tells what each took.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    let outcome = run_steps(&mut steps);
    tool::say(&format!("\n{}", steps.summary()));
    outcome
}

fn run_steps(steps: &mut Steps) -> Result<()> {
    let python = steps.run("install what is missing", || {
        demo::c_compiler()?;
        backing::install_missing()?;
        clients::install()
    })?;
    steps.run("formatting and lints", check::run)?;
    steps.run("build", || tool::run(&mut tool::cargo(["build", "--locked", "--workspace"])))?;
    steps.run("tests", || tool::run(&mut tool::cargo(["test", "--locked", "--workspace"])))?;
    steps.run("stock client: JavaScript", clients::javascript)?;
    steps.run("stock client: Python", || clients::python(python))?;
    steps.run("fuzz targets: build", fuzz::build)?;
    steps.run("fuzz targets: run", || fuzz::run(FUZZ_SECONDS))?;
    steps.run("a short load", load::smoke)
}
