//! The attacker: a hostile client with raw sockets, bounded in time and number, and ordinary people beside it. It starts
//! private servers on loopback, attacks them, and tells what that cost.

mod frame;
mod hostile;
mod http;
mod latency;
mod line;
mod options;
mod record;
mod report;
mod scenario;
mod scenarios;
mod server;
mod socket;
mod trial;
mod usage;
mod victim;
mod watch;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::Options;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::server::Binary;
use crate::trial::Trial;

/// Attackers, victims and all else.
const OPEN_FILES: u64 = 8_000;

fn main() -> ExitCode {
    match start(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::progress(&format!("attack: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn start(options: &Options) -> Result<bool> {
    let scenarios = chosen(options)?;
    if options.list {
        scenarios.iter().for_each(|scenario| report::line(scenario.name));
        return Ok(true);
    }
    raise_open_files()?;
    // One thread is what the attackers have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // What is dropped half-way takes its servers and folders with it.
        tokio::select! {
            outcome = Box::pin(attack_all(options, &scenarios)) => outcome,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

fn chosen(options: &Options) -> Result<Vec<Scenario>> {
    let mut scenarios = scenario::all();
    for wanted in &options.scenario {
        let is_known = scenarios.iter().any(|scenario| scenario.is(wanted));
        ensure!(is_known, "there is no scenario {wanted}; --list names them");
    }
    if options.scenario.is_empty() {
        scenarios.retain(|scenario| scenario.is_in_short || !options.short);
    } else {
        scenarios.retain(|scenario| options.scenario.iter().any(|wanted| scenario.is(wanted)));
    }
    Ok(scenarios)
}

/// True if everything holds, or nothing is judged.
async fn attack_all(options: &Options, scenarios: &[Scenario]) -> Result<bool> {
    let mut binaries = Vec::new();
    if let Some(against) = &options.against {
        binaries.push(Binary::open("before", against)?);
    }
    let name = if binaries.is_empty() { "replyhq" } else { "after" };
    binaries.push(Binary::open(name, &options.binary)?);
    let mut versions = Vec::new();
    for binary in &binaries {
        versions.push(format!("{}: {}", binary.name, binary.version()?));
    }
    versions.iter().for_each(|version| report::line(version));
    let mut records: Vec<Record> = Vec::new();
    for scenario in scenarios {
        let first = records.len();
        for binary in &binaries {
            report::progress(&format!("{}, {}", scenario.name, binary.name));
            records.push(Box::pin(attack(options, scenario, binary)).await);
        }
        report::print(&records[first..]);
    }
    if let Some(path) = &options.markdown {
        let text = report::markdown(&records, &versions);
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let failures = report::failures(&records);
    report::line(&format!("\n{} scenarios, {} judgements fail", scenarios.len(), failures.len()));
    failures.iter().for_each(|failure| report::line(&format!("  {failure}")));
    Ok(failures.is_empty() || !options.judge)
}

/// One scenario against one server. What breaks off is a judgement that fails: the server may have broken it.
async fn attack(options: &Options, scenario: &Scenario, binary: &Binary) -> Record {
    let tried = async {
        let mut trial = Trial::start(binary, scenario, options.pace()).await?;
        let attacked = (scenario.attack)(&mut trial).await;
        attacked.with_context(|| format!("the server's last words:\n{}", trial.server.log_tail()))?;
        trial.finish().await
    };
    tried.await.unwrap_or_else(|error: anyhow::Error| {
        let mut record = Record { scenario: scenario.name, server: binary.name, ..Record::default() };
        record.judge(false, format!("it broke off: {error:#}"));
        record
    })
}

fn raise_open_files() -> Result<()> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= OPEN_FILES) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(OPEN_FILES));
    setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES), maximum }).with_context(|| {
        format!("allowing {OPEN_FILES} open files, above the hard limit of {:?}", now.maximum)
    })
}
