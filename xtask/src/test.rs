//! `cargo xtask test`: everything that must hold, on a machine that has Rust and Node.

use std::num::NonZero;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::clients::Wire;
use crate::steps::{Beside, Steps};
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
    steps.check("tests", || tool::run(&mut tests(["--workspace"])))?;
    steps.check("end to end, on Postgres and Redis", || {
        let mut suite = tests(["-p", "server", "--test", "promises", "--"]);
        // These are on them already, or on SQLite whatever is asked for.
        for module in ["many_nodes::", "node_failures::", "redis_modes::", "backup::", "storage_failure::"] {
            suite.args(["--skip", module]);
        }
        tool::run(suite.env("REPLYHQ_TEST_BACKEND", "postgres"))
    })?;
    // Those who wait for a server leave the machine to who has to be compiled.
    let building = Beside::begin("the SDK and the fuzz targets: build", || {
        let library = sdk::library()?;
        sdk::write_bindings()?;
        fuzz::build()?;
        Ok(library)
    });
    let shared = clients::Shared::start()?;
    let told = stock_clients(steps, &python, &shared);
    let built = steps.join(building);
    told?;
    let library = built?;
    steps.check("the dashboard in a browser", || web::browser(&shared))?;
    drop(shared);
    sdk::run_steps(steps, &library, &python)?;
    steps.check("fuzz targets: run", || fuzz::run(FUZZ_SECONDS))?;
    steps.check("a short load", load::smoke)?;
    steps.check("a short chaos", chaos::short)?;
    steps.check("an attacker", attack::short)?;
    steps.check("a rolling deployment", chaos::rolling)?;
    steps.end()
}

/// The suites of the stock clients, on one node and on what nodes share, in both ways of writing.
fn stock_clients(steps: &mut Steps, python: &Path, shared: &clients::Shared) -> Result<()> {
    steps.check("stock client: JavaScript", || clients::javascript(Wire::Json, None))?;
    steps.check("stock client: Python", || clients::python(python, Wire::Json, None))?;
    steps.check("JavaScript, in MessagePack", || clients::javascript(Wire::MessagePack, None))?;
    steps.check("Python, in MessagePack", || clients::python(python, Wire::MessagePack, None))?;
    steps.check("JavaScript, on Postgres and Redis", || clients::javascript(Wire::Json, Some(shared)))?;
    steps.check("Python, on Postgres and Redis", || clients::python(python, Wire::Json, Some(shared)))
}

/// `cargo test` with these arguments. Most tests wait for a server, a client or a clock, so that there are more at once than there
/// are cores, unless somebody says how many.
fn tests<const COUNT: usize>(arguments: [&str; COUNT]) -> Command {
    const THREADS: &str = "RUST_TEST_THREADS";
    const FOR_EACH_CORE: usize = 3;
    let mut tests = tool::cargo(["test", "--locked"]);
    tests.args(arguments);
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        tests.env(THREADS, (FOR_EACH_CORE * cores).to_string());
    }
    tests
}
