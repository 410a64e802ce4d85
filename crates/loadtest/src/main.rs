//! The load tool: it starts ReplyHQ and the Node baseline in private folders, loads them, and compares.

mod answers;
mod backing;
mod bench;
mod connects;
mod crowd;
mod fanout;
mod frame;
mod growth;
mod history;
mod http;
mod idle;
mod ledger;
mod machine;
mod meter;
mod metric;
mod options;
mod paced;
mod pacer;
mod packet;
mod page;
mod pair;
mod phone;
mod phones;
mod report;
mod rest;
mod sends;
mod sign_ins;
mod socket;
mod stalled;
mod table;
mod target;
mod team;
mod usage;
mod wire;

use crate::{
    bench::Bench,
    metric::Outcome,
    options::{Mode, Options},
    report::Circumstances,
    table::Table,
    target::{Running, Target},
};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::{fs, process::ExitCode};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

const SPARE_FILES: u64 = 1_000;
/// Of a client of the SDK: its folder's lock, its database and that one's log, a socket, and requests beside it.
const FILES_PER_CLIENT: usize = 8;

fn main() -> ExitCode {
    match start(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::progress(&format!("loadtest: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn start(options: &Options) -> Result<bool> {
    ensure!(options.pairs > 0 && options.subscribers > 1, "at least one pair and two subscribers");
    machine::pin(options.tool_core)?;
    ensure!(options.clients > 0 && options.messages > 1, "at least one client and two messages");
    ensure!(
        options.agents >= 3 && options.team_messages > 0 && options.team_presence > 1,
        "at least three agents, one message and two changes a second"
    );
    if let Some((mode, contender)) = options.refused_modes() {
        bail!("{} is not for {}: it is about what only ReplyHQ has", mode.name(), contender.name());
    }
    let clients = options.clients * FILES_PER_CLIENT;
    let files = options.connections.max(options.subscribers).max(clients).max(sign_ins::ATTACKERS) as u64
        + SPARE_FILES;
    machine::raise_open_files(files)?;
    // One core, one thread: more would only be in each other's way.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        // What is dropped half-way takes its servers and folders with it.
        tokio::select! {
            faultless = Box::pin(measure_all(options)) => faultless,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

/// True if nothing went wrong. Whether the aims are reached is for the reader of the table to judge.
async fn measure_all(options: &Options) -> Result<bool> {
    let contenders = options.contenders();
    let mut targets = Vec::new();
    for contender in &contenders {
        targets.push(Target::create(*contender, options)?);
    }
    let circumstances = circumstances(options, &targets)?;
    let mut table = Table::new(contenders);
    for round in 0..options.rounds {
        for mode in options.chosen_modes() {
            // The order changes with each round, so that no server always comes second.
            let mut order: Vec<usize> = (0..targets.len()).collect();
            order.rotate_left(round as usize % targets.len());
            for index in order {
                let target = &mut targets[index];
                let name = target.contender.name();
                if !mode.is_for(target.contender) {
                    report::progress(&format!("round {}: {} is not for {name}", round + 1, mode.name()));
                    continue;
                }
                report::progress(&format!("round {}: {}, {name}", round + 1, mode.name()));
                let outcome = Box::pin(run(options, target, mode)).await;
                let outcome = outcome.with_context(|| format!("{}, {name}", mode.name()))?;
                table.add(mode, target.contender, outcome);
            }
        }
    }
    report::print(&table, &circumstances);
    if let Some(path) = &options.json {
        let mut json = table.json();
        json["date"] = circumstances.date.clone().into();
        json["machine"] = circumstances.machine.clone().into();
        json["command"] = circumstances.command.clone().into();
        json["versions"] = circumstances.versions.clone().into();
        fs::write(path, format!("{json:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.markdown {
        let text = report::markdown(&table, &circumstances);
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(table.faultless())
}

/// One mode against one server, freshly started.
async fn run(options: &Options, target: &mut Target, mode: Mode) -> Result<Outcome> {
    let mut running = target.start().await?;
    let outcome = Box::pin(drive(options, target, &mut running, mode)).await;
    let mut outcome = outcome.with_context(|| format!("the server's last words:\n{}", running.log_tail()))?;
    if let Err(error) = target.stop(running).await {
        outcome.faults.broken += 1;
        outcome.complaint.get_or_insert_with(|| format!("{error:#}"));
    }
    Ok(outcome)
}

async fn drive(options: &Options, target: &mut Target, running: &mut Running, mode: Mode) -> Result<Outcome> {
    let apps = match mode {
        Mode::Sends | Mode::Paced | Mode::Rest | Mode::SignIns => {
            options.pairs.div_ceil(options.pairs_per_app.max(1))
        }
        _ => 1,
    };
    let apps = target.apps(running, apps).await?;
    match mode {
        Mode::Sdk => return phones::run(options, target, running, &apps).await,
        Mode::Growth => return growth::run(options, target, running, &apps[0]).await,
        _ => {}
    }
    let bench = Bench { options, running, apps: &apps };
    match mode {
        Mode::Idle => idle::run(&bench).await,
        Mode::Connects => connects::run(&bench).await,
        Mode::Sends => sends::run(&bench).await,
        Mode::Paced => paced::run(&bench).await,
        Mode::Rest => rest::run(&bench).await,
        Mode::Fanout => fanout::run(&bench).await,
        Mode::Stalled => stalled::run(&bench).await,
        Mode::SignIns => sign_ins::run(&bench).await,
        Mode::Team => team::run(&bench).await,
        Mode::Sdk | Mode::Growth => unreachable!("it has been run"),
    }
}

fn circumstances(options: &Options, targets: &[Target]) -> Result<Circumstances> {
    let mut versions = Vec::new();
    for target in targets {
        versions.push(format!("{}: {}", target.contender.name(), target.versions()?));
    }
    let (server, tool) = (options.server_core, options.tool_core);
    let mut notes = vec![format!("The server under test runs on core {server}, the tool on core {tool}.")];
    if targets.iter().any(|target| !target.contender.is_one_process()) {
        let database = options.database_core;
        let beside = if database == server {
            "all that has to be run for the same work shares one core"
        } else {
            "the process that uses them has a core to itself"
        };
        notes.push(format!(
            "Postgres and Redis run on core {database}: {beside}. Postgres has its default settings, fsync and \
             synchronous_commit among them."
        ));
    }
    notes.push(format!(
        "Each figure is the median of {} round(s) of {} s after {} s of warming up.",
        options.rounds, options.seconds, options.warmup
    ));
    if options.chosen_modes().contains(&Mode::Sdk) {
        notes.push(format!(
            "sdk: {} clients run in the tool, so {} SQLite files are open in it. They share {} threads on its core, and \
             one disk with the server: a message is synced by its client before it is sent and when it is acknowledged, \
             and by the server in between.",
            options.clients, options.clients, options.client_threads
        ));
    }
    let mut command = vec!["loadtest".to_owned()];
    command.extend(std::env::args().skip(1));
    Ok(Circumstances {
        machine: machine::describe(&options.work_dir)?,
        command: command.join(" "),
        date: machine::today()?,
        versions,
        notes,
    })
}
