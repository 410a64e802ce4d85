//! The chaos tool: nodes, devices and agents, faults at random, and a checker.

mod board;
mod check;
mod client;
mod fault;
mod options;
mod presence;
mod probe;
mod record;
mod report;
mod rest;
mod rolling;
mod run;
mod site;
mod socket;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    // Each client has three ends here: its own, and two of its proxy. What is not granted shows itself soon enough.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run_or_be_ended(&options)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("chaos: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// What is dropped half-way takes its servers and folders with it.
async fn run_or_be_ended(options: &Options) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = Box::pin(run::run(options)) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

/// Tells the person at the terminal how it goes.
fn say(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints the report.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
