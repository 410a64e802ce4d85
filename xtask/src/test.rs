//! `cargo xtask test`: everything that must hold, on a machine that has Rust and Node.

use anyhow::Result;

use crate::clients::Wire;
use crate::steps::Steps;
use crate::{attack, chaos, check, clients, demo, dependencies, fuzz, load, sdk, tool, web};

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// Runs all steps, up to the first that fails; tells what each took. With the name of a step, those before it are left
/// out: who has mended what failed goes on from there.
pub(crate) fn run(from: Option<String>) -> Result<()> {
    let mut steps = Steps::starting_from(from);
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
    steps.check("formatting and lints", check::run)?;
    steps.check("dependencies", dependencies::check)?;
    steps.check("web: types, rules, units", web::check)?;
    steps.check("web: build and budgets", web::build)?;
    steps.check("build", || tool::run(&mut tool::cargo(["build", "--locked", "--workspace"])))?;
    steps.check("tests", || tool::run(&mut tool::cargo(["test", "--locked", "--workspace"])))?;
    steps.check("end to end, on Postgres and Redis", || {
        let mut suite = vec!["test", "--locked", "-p", "server", "--test", "promises", "--"];
        // These are on them already, or on SQLite whatever is asked for.
        for module in ["many_nodes::", "node_failures::", "redis_modes::", "backup::", "storage_failure::"] {
            suite.extend(["--skip", module]);
        }
        tool::run(tool::cargo(suite).env("REPLYHQ_TEST_BACKEND", "postgres"))
    })?;
    steps.check("stock client: JavaScript", || clients::javascript(Wire::Json, None))?;
    steps.check("stock client: Python", || clients::python(&python, Wire::Json, None))?;
    steps.check("JavaScript, in MessagePack", || clients::javascript(Wire::MessagePack, None))?;
    steps.check("Python, in MessagePack", || clients::python(&python, Wire::MessagePack, None))?;
    steps.check("the dashboard in a browser", web::browser)?;
    let shared = clients::Shared::start()?;
    steps.check("JavaScript, on Postgres and Redis", || clients::javascript(Wire::Json, Some(&shared)))?;
    steps.check("Python, on Postgres and Redis", || clients::python(&python, Wire::Json, Some(&shared)))?;
    drop(shared);
    sdk::run_steps(steps, &python)?;
    steps.check("fuzz targets: build", fuzz::build)?;
    steps.check("fuzz targets: run", || fuzz::run(FUZZ_SECONDS))?;
    steps.check("a short load", load::smoke)?;
    steps.check("a short chaos", chaos::short)?;
    steps.check("an attacker", attack::short)?;
    steps.check("a rolling deployment", chaos::rolling)?;
    steps.end()
}
