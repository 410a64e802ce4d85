//! Whether messages go from every node to every node, asked all the time. It is how a recovery is timed: from the end of
//! the fault until a message that was sent after it, on each node, has come to agents on all nodes.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::site::App;
use crate::socket::{Login, Packet, Socket};

/// From one probe to the next, on each node. It limits how exactly recoveries are timed.
const EVERY: Duration = Duration::from_millis(200);

/// A connection that failed is tried again after this time.
const RETRY: Duration = Duration::from_millis(100);

/// The probes of all nodes. Dropped, they stop.
pub(crate) struct Probes {
    seen: Arc<Seen>,
    nodes: usize,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen(Mutex<State>);

#[derive(Default)]
struct State {
    /// By message: the node that it was sent on, when, and who has seen it.
    under_way: HashMap<String, (usize, Instant, BTreeSet<usize>)>,
    /// When a message was sent that came everywhere, and when it had come everywhere, by node; the latest is last.
    complete: HashMap<usize, Vec<(Instant, Instant)>>,
}

impl Probes {
    /// `conversations` has one for each node, of the devices `probe-0`, `probe-1` ….
    pub(crate) fn start(app: &App, fronts: &[SocketAddr], conversations: &[String]) -> Self {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for (node, front) in fronts.iter().copied().enumerate() {
            let (app, seen) = (app.clone(), Arc::clone(&seen));
            let all = conversations.to_vec();
            tasks.spawn(send_for_ever(node, front, app.clone(), all[node].clone(), Arc::clone(&seen)));
            tasks.spawn(watch_for_ever(node, front, app, all, seen));
        }
        Self { seen, nodes: fronts.len(), _tasks: tasks }
    }

    /// Forgets what was seen so far.
    pub(crate) fn forget(&self) {
        *self.seen.state() = State::default();
    }

    /// When every node had delivered everywhere what was sent on it after `since`; none, if that did not happen within
    /// `limit`.
    pub(crate) async fn recovered(&self, since: Instant, limit: Duration) -> Option<Instant> {
        while since.elapsed() < limit {
            if let Some(at) = self.seen.state().all_since(since, self.nodes) {
                return Some(at);
            }
            sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all_since(&self, since: Instant, nodes: usize) -> Option<Instant> {
        let of_node = |node| {
            let complete = self.complete.get(&node)?;
            complete.iter().filter(|(sent_at, _)| *sent_at > since).map(|(_, at)| *at).min()
        };
        (0..nodes).map(of_node).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

async fn send_for_ever(node: usize, front: SocketAddr, app: App, conversation: String, seen: Arc<Seen>) {
    let login = Login::Device(format!("probe-{node}"));
    let mut number = 0;
    loop {
        // Where it ends is told by what does not arrive.
        let _ = send(node, front, &login, &app, &conversation, &seen, &mut number).await;
        sleep(RETRY).await;
    }
}

async fn send(
    node: usize,
    front: SocketAddr,
    login: &Login,
    app: &App,
    conversation: &str,
    seen: &Seen,
    number: &mut u64,
) -> Result<()> {
    let mut socket = Socket::connect(front, login, app).await?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            packet = socket.next() => drop(packet?),
            _ = ticks.tick() => {
                *number += 1;
                let local_id = format!("probe-{node}-{number}");
                seen.state().under_way.insert(local_id.clone(), (node, Instant::now(), BTreeSet::new()));
                let payload = json!({ "conversation_id": conversation, "local_id": local_id, "body": "probe" });
                socket.ask("message:send", &payload).await?;
            }
        }
    }
}

async fn watch_for_ever(
    node: usize,
    front: SocketAddr,
    app: App,
    conversations: Vec<String>,
    seen: Arc<Seen>,
) {
    let nodes = conversations.len();
    loop {
        let _ = watch(node, nodes, front, &app, &conversations, &seen).await;
        sleep(RETRY).await;
    }
}

async fn watch(
    node: usize,
    nodes: usize,
    front: SocketAddr,
    app: &App,
    conversations: &[String],
    seen: &Seen,
) -> Result<()> {
    let mut socket = Socket::connect(front, &Login::Agent, app).await?;
    for conversation in conversations {
        socket.ask("conversation:join", &json!({ "conversation_id": conversation })).await?;
    }
    loop {
        let Packet::Event(name, data) = socket.next().await? else { continue };
        if name != "message:new" {
            continue;
        }
        let local_id = data["local_id"].as_str().unwrap_or_default();
        let mut state = seen.state();
        if let Some((from, sent_at, by)) = state.under_way.get_mut(local_id) {
            by.insert(node);
            if by.len() == nodes {
                let (from, complete) = (*from, (*sent_at, Instant::now()));
                state.under_way.remove(local_id);
                state.complete.entry(from).or_default().push(complete);
            }
        }
    }
}
