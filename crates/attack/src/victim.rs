//! Those who suffer: a household of devices that write every 50 ms, somebody who logs in anew every 250 ms, and agents
//! who watch. They live on a thread of their own, so that what is measured is the server and not the attacker.

mod agent;
mod device;
mod findings;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use self::agent::Reading;
pub(crate) use self::findings::Findings;
use self::findings::Shared;
use crate::http;
use crate::server::{App, Server};

/// Each sends once a second. A device may send ten at once: what waits while a server stands still for some seconds is
/// within the limits when it goes on, so that a refusal is never a matter of time.
const DEVICES: usize = 20;
const START_LIMIT: Duration = Duration::from_secs(60);
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// For what was sent and is not answered, and what was stored and has not come to the agent.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// What goes on. Phases come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Nothing is measured yet.
    Before,
    /// Measured, undisturbed.
    Baseline,
    /// Measured, under attack.
    Attacked,
    /// The same, and the agents ask for the sessions.
    Asking,
    /// Nothing more is sent; what is open is waited for.
    Over,
}

/// What all of them know.
#[derive(Clone, Debug)]
struct Circle {
    server: std::net::SocketAddr,
    app: App,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
}

impl Circle {
    fn phase(&self) -> Phase {
        if self.has_been_left() { Phase::Over } else { *self.phase.borrow() }
    }

    /// Whether nobody is left who could say so.
    fn has_been_left(&self) -> bool {
        self.phase.has_changed().is_err()
    }

    /// Waits for the next phase; where nobody is left to say it, all is over.
    async fn next_phase(&mut self) -> Phase {
        match self.phase.changed().await {
            Ok(()) => self.phase(),
            Err(_) => Phase::Over,
        }
    }
}

/// The victims.
#[derive(Debug)]
pub(crate) struct Victim {
    phase: watch::Sender<Phase>,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<()>>,
}

impl Victim {
    /// Connects all of them. `agents` watch beside the one who is always there and reads as fast as it can; all but
    /// those who only watch have `rooms` open.
    ///
    /// # Errors
    /// If they can't connect.
    pub(crate) async fn start(server: &Server, agents: Vec<Reading>, rooms: &[String]) -> Result<Self> {
        let shared = Arc::new(Shared::new()?);
        let (phase, heard) = watch::channel(Phase::Before);
        let circle = Circle {
            server: server.address,
            app: server.app.clone(),
            shared: Arc::clone(&shared),
            phase: heard,
        };
        let (ready, is_ready) = oneshot::channel();
        let rooms = rooms.to_vec();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(live(circle, agents, rooms, ready))
        });
        let victim = Self { phase, shared, thread };
        match tokio::time::timeout(START_LIMIT, is_ready).await {
            Ok(Ok(())) => Ok(victim),
            Ok(Err(_)) => Err(victim.finish().await.err().unwrap_or_else(|| anyhow!("the victims gave up"))),
            Err(_) => Err(anyhow!("the victims could not connect")),
        }
    }

    /// From here on it is this phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Every agent asks for the sessions; waits for the answers, long enough.
    pub(crate) async fn ask_sessions(&self) {
        self.enter(Phase::Asking);
        let until = std::time::Instant::now() + ASK_LIMIT;
        while std::time::Instant::now() < until && self.shared.awaited_answers() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends, and tells what became of them.
    ///
    /// # Errors
    /// If they could not even begin.
    pub(crate) async fn finish(self) -> Result<Findings> {
        self.enter(Phase::Over);
        // Waiting for the thread would hold up the attackers, who may still be there.
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.thread.join().map_err(|_| anyhow!("the victims' thread panicked"))??;
        Ok(self.shared.findings())
    }
}

async fn live(
    circle: Circle,
    agents: Vec<Reading>,
    rooms: Vec<String>,
    ready: oneshot::Sender<()>,
) -> Result<()> {
    let mut conversations = Vec::new();
    for index in 0..DEVICES {
        conversations.push(conversation(&circle, &device::name(index)).await?);
    }
    let mut tasks = JoinSet::new();
    let opened = [conversations.as_slice(), &rooms].concat();
    let own = agent::Agent::connect(&circle, Reading::Fast, 0, &opened).await?;
    tasks.spawn(own.must_hear(&conversations).watch());
    for (index, reading) in agents.into_iter().enumerate() {
        let rooms = if reading.opens() { rooms.as_slice() } else { &[] };
        let agent = agent::Agent::connect(&circle, reading, index + 1, rooms).await?;
        tasks.spawn(agent.watch());
    }
    for (index, conversation) in conversations.into_iter().enumerate() {
        let device = device::Device::connect(&circle, index, conversation).await?;
        tasks.spawn(device.write());
    }
    tasks.spawn(device::log_in_again_and_again(circle));
    // Who is told is gone only when the trial is.
    let _ = ready.send(());
    while let Some(ended) = tasks.join_next().await {
        ended.context("a victim")?;
    }
    Ok(())
}

async fn conversation(circle: &Circle, device: &str) -> Result<String> {
    let headers = http::device(&circle.app, device);
    let opened =
        http::need(circle.server, &http::text("POST", "/v1/conversations", &headers, &json!({}).to_string()))
            .await
            .context("opening a victim's conversation")?;
    let id = opened.pointer("/conversation/id").and_then(Value::as_str).context("no conversation id")?;
    Ok(id.to_owned())
}

/// The address of one of them: nobody shares an address with an attacker.
fn address(street: u8, house: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, street, 1 + (house % 250) as u8)
}
