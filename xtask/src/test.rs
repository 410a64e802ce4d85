//! `cargo xtask test`: everything that must hold, on a machine that has Rust and Node.

use anyhow::Result;

use crate::clients::Wire;
use crate::steps::Steps;
use crate::{attack, chaos, check, clients, demo, dependencies, fuzz, load, sdk, tool, web};

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
        sdk::install()?;
        web::install_browser()?;
        clients::install()
    })?;
    steps.run("formatting and lints", check::run)?;
    steps.run("dependencies", dependencies::check)?;
    steps.run("web: types, rules, units", web::check)?;
    steps.run("web: build and budgets", web::build)?;
    steps.run("build", || tool::run(&mut tool::cargo(["build", "--locked", "--workspace"])))?;
    steps.run("tests", || tool::run(&mut tool::cargo(["test", "--locked", "--workspace"])))?;
    steps.run("end to end, on Postgres and Redis", || {
        let mut suite = vec!["test", "--locked", "-p", "server", "--test", "promises", "--"];
        // These are on them already, or on SQLite whatever is asked for.
        for module in ["many_nodes::", "node_failures::", "redis_modes::", "backup::", "storage_failure::"] {
            suite.extend(["--skip", module]);
        }
        tool::run(tool::cargo(suite).env("REPLYHQ_TEST_BACKEND", "postgres"))
    })?;
    steps.run("stock client: JavaScript", || clients::javascript(Wire::Json, None))?;
    steps.run("stock client: Python", || clients::python(&python, Wire::Json, None))?;
    steps.run("JavaScript, in MessagePack", || clients::javascript(Wire::MessagePack, None))?;
    steps.run("Python, in MessagePack", || clients::python(&python, Wire::MessagePack, None))?;
    steps.run("the dashboard in a browser", web::browser)?;
    let shared = clients::Shared::start()?;
    steps.run("JavaScript, on Postgres and Redis", || clients::javascript(Wire::Json, Some(&shared)))?;
    steps.run("Python, on Postgres and Redis", || clients::python(&python, Wire::Json, Some(&shared)))?;
    drop(shared);
    sdk::run_steps(steps, &python)?;
    steps.run("fuzz targets: build", fuzz::build)?;
    steps.run("fuzz targets: run", || fuzz::run(FUZZ_SECONDS))?;
    steps.run("a short load", load::smoke)?;
    steps.run("a short chaos", chaos::short)?;
    steps.run("an attacker", attack::short)?;
    steps.run("a rolling deployment", chaos::rolling)
}
