//! Measures what people feel of a network that changes: how long it takes after each kind of change until the next message is
//! there, on a real network stack, with a real server behind a proxy that does what networks do. Prints a table in Markdown.
//!
//!     cargo build -p server && cargo run --release -p sdk --example network_changes -- [times]

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backing::{FaultProxy, Passage};
use sdk::{ChatClient, Config, ConnectionState, LogLevel, Platform};
use testkit::{TestApp, TestServer};
use tokio::time::{sleep, timeout};

/// How long a change may take: longer than any that was ever measured.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a network is away where it comes back by itself.
const AWAY: Duration = Duration::from_secs(3);

struct Quiet;

impl Platform for Quiet {
    fn log(&self, _level: LogLevel, _message: &str) {}
}

/// What happens to the network, and what the app says of it.
#[derive(Clone, Copy)]
enum Change {
    /// The connection is dead, without a word; the way for new ones is as good as ever. The app says that it has another one.
    Changed,
    /// The same, and the app says that there is a network, as Android does for every new one.
    Available,
    /// The same, and the app comes to the front.
    Foreground,
    /// The same, and nobody says anything; the person writes.
    Writes,
    /// The same, and nobody says or does anything.
    Nothing,
    /// All connections are reset.
    Reset,
    /// Tries to connect are swallowed for a while, then the app says that it has another network.
    Swallowed,
    /// Somebody else answers for a while, as an ingress does while a server is replaced.
    Ingress,
}

const CHANGES: [(&str, Change); 8] = [
    ("connection dies silently, `networkChanged()`", Change::Changed),
    ("connection dies silently, `setNetwork(true)`", Change::Available),
    ("connection dies silently, `setForeground(true)`", Change::Foreground),
    ("connection dies silently, the person writes", Change::Writes),
    ("connection dies silently, nobody says anything", Change::Nothing),
    ("connections are reset", Change::Reset),
    ("no address answers for 3 s, then `networkChanged()`", Change::Swallowed),
    ("an ingress answers 404 for 3 s", Change::Ingress),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let times: usize = std::env::args().nth(1).map_or(20, |times| times.parse().expect("a number"));
    let server = TestServer::without_limits().await;
    println!("| change | p50 | max of {times} |\n| --- | ---: | ---: |");
    for (name, change) in CHANGES {
        let app = server.app().await;
        // Beside each other, and not all at the same moment of what they do every few seconds.
        let runs = (0..times).map(|run| {
            let app = app.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(370) * u32::try_from(run).expect("a few")).await;
                measured(&app, run, change).await
            })
        });
        let mut took = Vec::new();
        for run in runs.collect::<Vec<_>>() {
            took.push(run.await.expect("a run"));
        }
        took.sort();
        let seconds = |took: Duration| format!("{:.2} s", took.as_secs_f64());
        println!("| {name} | {} | {} |", seconds(took[took.len() / 2]), seconds(took[took.len() - 1]));
    }
}

/// One phone, and how long it takes until the next message is shown there, or stored by the server.
async fn measured(app: &TestApp, run: usize, change: Change) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = FaultProxy::start(app.address).await.expect("a proxy");
    let client = open(app, &proxy, folder.path()).await;
    client.send(None, &format!("hello from {run}")).await.expect("room");
    let conversation = until(&client, |client| {
        let state = client.subscribe_state().current();
        let is_there = state.connection == ConnectionState::Online && state.queued == 0;
        state.conversations.first().filter(|_| is_there).map(|conversation| conversation.id.to_string())
    })
    .await;
    sleep(Duration::from_secs(2)).await;

    let agent = app.as_agent();
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let written = serde_json::json!({ "local_id": format!("answer {run}"), "body": "an answer" });
    match change {
        Change::Changed | Change::Available | Change::Foreground | Change::Writes | Change::Nothing => {
            proxy.freeze();
        }
        Change::Reset => proxy.cut(),
        Change::Swallowed => {
            proxy.set(Passage::Swallowed);
            sleep(Duration::from_millis(500)).await;
            proxy.cut();
        }
        Change::Ingress => {
            proxy.set(Passage::Answered("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno"));
            proxy.cut();
        }
    }
    if matches!(change, Change::Swallowed | Change::Ingress) {
        sleep(AWAY).await;
        proxy.set(Passage::Free);
    }
    let began = Instant::now();
    match change {
        Change::Changed | Change::Swallowed => client.network_changed().await.expect("open"),
        Change::Available => client.set_network(true).await.expect("open"),
        Change::Foreground => client.set_foreground(true).await.expect("open"),
        Change::Writes => drop(client.send(None, "a question").await.expect("room")),
        Change::Nothing | Change::Reset | Change::Ingress => {}
    }
    if matches!(change, Change::Writes) {
        let is_sent = |client: &ChatClient| (client.subscribe_state().current().queued == 0).then_some(());
        until(&client, is_sent).await;
    } else {
        agent.post(&path, &written).await.ok();
        let is_shown = |client: &ChatClient| (client.subscribe_state().current().unread == 1).then_some(());
        until(&client, is_shown).await;
    }
    let took = began.elapsed();
    client.close().await;
    took
}

async fn open(app: &TestApp, proxy: &FaultProxy, folder: &Path) -> ChatClient {
    let url = format!("http://{}", proxy.address());
    let config = Config::new(url, &app.app_id, &app.api_key, folder);
    ChatClient::open(config, Arc::new(Quiet)).await.expect("a client")
}

/// Waits for a state that has what is looked for.
async fn until<T>(client: &ChatClient, look: impl Fn(&ChatClient) -> Option<T>) -> T {
    let mut states = client.subscribe_state();
    let found = async {
        loop {
            states.next().await.expect("an open client");
            if let Some(found) = look(client) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes in the end")
}
