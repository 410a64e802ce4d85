//! One run: build everything up, break it again and again, and see what is left.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::board::{Board, Conversation, Phase};
use crate::check::{Stored, check};
use crate::client::Client;
use crate::fault::{Deck, Fault, Kind};
use crate::options::{Contender, Options};
use crate::probe::Probes;
use crate::record::{Record, happened};
use crate::report::Report;
use crate::site::{App, Site};
use crate::socket::Login;
use crate::{presence, print, rest, rolling, say};

/// After this time a fault counts as one that the servers do not recover from.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// Conversations that are opened at a time.
const OPENERS: usize = 16;

/// From one client's first connect to the next one's: a crowd at the start is not what is tested.
const ARRIVE_EVERY: Duration = Duration::from_millis(5);

const PAGE: usize = 200;

/// Runs it all; true if every promise held.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    ensure!(options.nodes > 0 && options.apps > 0 && options.devices > 0, "at least one of each");
    let name = match options.target {
        Contender::Replyhq => "ReplyHQ",
        Contender::Node => "the Node baseline",
    };
    say(&format!("{name}, seed {}: starting {} nodes, Postgres and Redis", options.seed, options.nodes));
    let mut site = Site::start(options).await?;
    let fronts: Vec<SocketAddr> = site.nodes.iter().map(|node| node.front.address()).collect();
    let mut apps = Vec::new();
    for number in 0..options.apps {
        apps.push(site.app(&format!("Shop {number}"))?);
    }
    let conversations = open_conversations(options, &apps, fronts[0]).await?;
    let is_replyhq = options.target == Contender::Replyhq;
    let board = Arc::new(Board::new(apps, conversations, fronts.clone(), is_replyhq));
    let mut random = fastrand::Rng::with_seed(options.seed);
    let probes = start_probes(&site, &fronts).await?;
    let mut clients = start_clients(options, &board, &mut random);

    let mut report = Report { seed: options.seed, nodes: options.nodes, name, ..Report::default() };
    let started = Instant::now();
    settle(&board, options.target, &mut report, "the start", started).await;
    report.recoveries.clear();
    ensure!(
        report.unsettled.is_empty(),
        "it does not work even while nothing is broken: {:?}",
        report.unsettled
    );
    let blind = if options.rolling {
        rolling::run(&mut site, &board, &mut report).await?;
        Vec::new()
    } else {
        break_again_and_again(options, &mut site, &board, &probes, &mut report, random).await?
    };
    board.set_phase(Phase::Over);
    let mut records = Vec::new();
    while let Some(record) = clients.join_next().await {
        records.push(record?);
    }
    report.elapsed = started.elapsed();
    let stored = stored(&board).await.context("reading everything back")?;
    report.verdict = check(&stored, &records, &blind);
    records.iter().for_each(|record| report.add(record));
    let herds = options.rolling.then(|| report.count_herds(&records));
    let tables = report.markdown() + &herds.unwrap_or_default();
    print(&tables);
    for complaint in report.complaints() {
        print(&complaint);
    }
    if let Some(file) = &options.markdown {
        std::fs::write(file, &tables).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(report.is_good())
}

/// Until the time is over. Returns the times at which nobody could be asked to deliver.
async fn break_again_and_again(
    options: &Options,
    site: &mut Site,
    board: &Board,
    probes: &Probes,
    report: &mut Report,
    random: fastrand::Rng,
) -> Result<Vec<(Instant, Instant)>> {
    let kinds =
        if options.faults.is_empty() { Kind::value_variants().to_vec() } else { options.faults.clone() };
    let mut deck = Deck::new(kinds, options.nodes, random);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(options.minutes * 60.0);
    let mut blind = Vec::new();
    while Instant::now() < until {
        report.crashes += site.revive().await?;
        board.set_phase(Phase::Busy);
        probes.forget();
        sleep(deck.calm()).await;
        let first = deck.draw();
        let second = deck.draw_second(first);
        let began = Instant::now();
        let what = break_and_mend(site, first, second).await?;
        let mended = Instant::now();
        if [Some(first), second.map(|(_, fault)| fault)]
            .into_iter()
            .flatten()
            .any(|f| f.kind.stops_delivery())
        {
            blind.push((began, mended));
        }
        report.crashes += site.revive().await?;
        let recoveries = report.recoveries.entry(what.clone()).or_default();
        let recovered = probes.recovered(mended, RECOVERY_LIMIT).await.map(|at| at - mended);
        match recovered {
            Some(time) => recoveries.delivery.push(time),
            None => {
                recoveries.failed += 1;
                report.unsettled.push(format!("{what}: messages do not go from every node to every node"));
            }
        }
        let settled = settle(board, options.target, report, &what, mended).await;
        say(&format!(
            "{:>6.1} s  {what}, {:.1} s: delivery again after {}, sessions right after {}",
            started.elapsed().as_secs_f64(),
            (mended - began).as_secs_f64(),
            seconds(recovered),
            seconds(settled),
        ));
    }
    Ok(blind)
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("–".into(), |time| format!("{:.2} s", time.as_secs_f64()))
}

fn start_clients(options: &Options, board: &Arc<Board>, random: &mut fastrand::Rng) -> JoinSet<Record> {
    let mut clients: Vec<(usize, Login, Vec<usize>)> = Vec::new();
    for (index, conversation) in board.conversations.iter().enumerate() {
        for _ in 0..random.usize(1..=options.tabs.max(1)) {
            clients.push((conversation.app, Login::Device(conversation.device_id.clone()), vec![index]));
        }
    }
    for app in 0..options.apps {
        let all = board.conversations.iter().enumerate().filter(|(_, conversation)| conversation.app == app);
        let all: Vec<usize> = all.map(|(index, _)| index).collect();
        for _ in 0..options.agents {
            clients.push((app, Login::Agent, all.clone()));
        }
    }
    let every = Duration::from_secs_f64(clients.len() as f64 / options.rate.max(1) as f64);
    let mut tasks = JoinSet::new();
    for (app, login, conversations) in clients {
        let device_id = match &login {
            Login::Device(device_id) => Some(device_id.clone()),
            Login::Agent => None,
        };
        let number = board.enter(app, device_id);
        let random = fastrand::Rng::with_seed(random.u64(..));
        let board = Arc::clone(board);
        let is_restless = !options.rolling;
        let client = Client { board, number, app, login, conversations, every, is_restless, random };
        let arrives_at =
            tokio::time::Instant::now() + ARRIVE_EVERY.saturating_mul(u32::try_from(number).unwrap_or(0));
        tasks.spawn(async move {
            sleep_until(arrives_at).await;
            client.run().await
        });
    }
    tasks
}

async fn open_conversations(options: &Options, apps: &[App], front: SocketAddr) -> Result<Vec<Conversation>> {
    let mut left = Vec::new();
    for (app, _) in apps.iter().enumerate() {
        left.extend((0..options.devices).map(|device| (app, format!("device-{app}-{device}"))));
    }
    let mut opened = Vec::new();
    for some in left.chunks(OPENERS) {
        let mut tasks = JoinSet::new();
        for (number, device_id) in some.iter().cloned() {
            let app = apps[number].clone();
            tasks.spawn(async move {
                let id = rest::open_conversation(front, &app, &device_id).await?;
                anyhow::Ok(Conversation { id, app: number, device_id })
            });
        }
        while let Some(conversation) = tasks.join_next().await {
            opened.push(conversation??);
        }
    }
    // The same seed makes the same clients, whoever was opened first.
    opened.sort_by(|one, other| (one.app, &one.device_id).cmp(&(other.app, &other.device_id)));
    Ok(opened)
}

async fn start_probes(site: &Site, fronts: &[SocketAddr]) -> Result<Probes> {
    let app: App = site.app("Probes")?;
    let mut conversations = Vec::new();
    for node in 0..fronts.len() {
        conversations.push(rest::open_conversation(fronts[0], &app, &format!("probe-{node}")).await?);
    }
    Ok(Probes::start(&app, fronts, &conversations))
}

/// Does the harm and undoes it; returns what it was. Nodes are mended last: one can't start without its database.
async fn break_and_mend(site: &mut Site, first: Fault, second: Option<(Duration, Fault)>) -> Result<String> {
    let began = tokio::time::Instant::now();
    let mut ends = vec![(began + first.lasts, first)];
    first.begin(site).await.with_context(|| format!("beginning {first:?}"))?;
    let mut what = first.kind.name();
    if let Some((after, second)) = second {
        sleep_until(began + after).await;
        second.begin(site).await.with_context(|| format!("beginning {second:?}"))?;
        ends.push((began + after + second.lasts, second));
        what = "two at once".into();
        say(&format!("          {} and {}", first.kind.name(), second.kind.name()));
    }
    ends.sort_by_key(|(at, fault)| (matches!(fault.kind, Kind::NodeKill | Kind::NodeRestart), *at));
    for (at, fault) in ends {
        sleep_until(at).await;
        fault.end(site).await.with_context(|| format!("ending {fault:?}"))?;
    }
    Ok(what)
}

/// Lets everyone bring to its end what they have begun, and waits until all agree. Returns how long after `since` every node
/// showed the truth about who is connected.
pub(crate) async fn settle(
    board: &Board,
    contender: Contender,
    report: &mut Report,
    what: &str,
    since: Instant,
) -> Option<Duration> {
    board.set_phase(Phase::Settling);
    let crowd = ARRIVE_EVERY.saturating_mul(u32::try_from(board.clients()).unwrap_or(0));
    let until = Instant::now() + RECOVERY_LIMIT + crowd;
    while let Some(missing) = board.unsettled() {
        if Instant::now() > until {
            say(&format!("          {missing}"));
            report.unsettled.push(format!("{what}: {missing}"));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let limit = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    match presence::agreed(board, contender, limit).await {
        Ok(at) => {
            let took = at.saturating_duration_since(since);
            report.recoveries.entry(what.into()).or_default().presence.push(took);
            Some(took)
        }
        Err(difference) => {
            say(&format!("          {}", difference.example));
            report.ghosts += difference.ghosts;
            report.absent += difference.absent;
            report.unsettled.push(format!("{what}: {}", difference.example));
            None
        }
    }
}

/// All messages of all conversations, as an agent reads them.
async fn stored(board: &Board) -> Result<BTreeMap<usize, Vec<Stored>>> {
    let mut all = BTreeMap::new();
    for (index, conversation) in board.conversations.iter().enumerate() {
        let mut messages: Vec<Stored> = Vec::new();
        loop {
            let after = messages.last().map_or("", |message| message.id.as_str());
            let path =
                format!("/v1/admin/conversations/{}/messages?limit={PAGE}&after={after}", conversation.id);
            let page = rest::as_agent(board.fronts[0], &board.apps[conversation.app], &path).await?;
            for message in page["messages"].as_array().context("no messages")? {
                let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
                messages.push(Stored {
                    seq: message["seq"].as_u64().unwrap_or(0),
                    id: text("id"),
                    local_id: text("local_id"),
                    body: text("body"),
                });
            }
            if page["has_more"] != true {
                break;
            }
        }
        all.insert(index, messages);
        if board.is_replyhq {
            all.insert(board.beside(index), stored_beside(board, conversation).await?);
        }
    }
    Ok(all)
}

/// What happened in a conversation beside its messages.
async fn stored_beside(board: &Board, conversation: &Conversation) -> Result<Vec<Stored>> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.seq);
        let path = format!("/v1/admin/conversations/{}/activity?limit={PAGE}&after={after}", conversation.id);
        let page = rest::as_agent(board.fronts[0], &board.apps[conversation.app], &path).await?;
        for activity in page["activity"].as_array().context("no activity")? {
            let (seq, id) = happened(activity);
            // What is no note has no name of its own, and is never said twice by one.
            let local_id = activity["local_id"].as_str().map_or_else(|| format!("n{seq}"), str::to_owned);
            let body = activity["body"].as_str().unwrap_or_default().to_owned();
            all.push(Stored { seq, id, local_id, body });
        }
        if page["has_more"] != true {
            return Ok(all);
        }
    }
}
