//! One client of the SDK, as an app has it: its own folder, its own connection.

use crate::{
    history::{Entry, Writer},
    packet,
};
use anyhow::{Context, Result, ensure};
use sdk::{
    ChatClient, ClientState, Config, ConnectionState, LogLevel, Platform, Sender, StateSubscription, Timeline,
};
use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// How long an app may take to show what it was asked for.
const SHOW_LIMIT: Duration = Duration::from_secs(30);

/// What the clients complain of. Lost connections are none: they are what is tried.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    first: OnceLock<String>,
}

impl Journal {
    /// The first error.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.first.get().cloned()
    }
}

impl Platform for Journal {
    fn log(&self, level: LogLevel, message: &str) {
        if level == LogLevel::Error {
            self.first.get_or_init(|| format!("a client: {message}"));
        }
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Phone {
    client: ChatClient,
    state: StateSubscription,
    /// The names of what was written, in order.
    written: Mutex<Vec<String>>,
    accepted: AtomicU64,
}

impl Phone {
    /// Opens a client on an empty folder.
    pub(crate) async fn open(config: Config, journal: Arc<Journal>) -> Result<Self> {
        let client = ChatClient::open(config, journal).await.context("opening a client")?;
        let state = client.subscribe_state();
        Ok(Self { client, state, written: Mutex::default(), accepted: AtomicU64::new(0) })
    }

    /// The configuration of a client with this folder.
    pub(crate) fn config(server_url: &str, app: &crate::target::App, folder: &Path) -> Config {
        Config::new(server_url, &app.app_id, &app.api_key, folder)
    }

    /// How the client stands.
    pub(crate) fn state(&self) -> Arc<ClientState> {
        self.state.current()
    }

    /// Whether there is a connection.
    pub(crate) fn is_online(&self) -> bool {
        self.state().connection == ConnectionState::Online
    }

    /// The person's conversation, once the server has opened it.
    pub(crate) fn conversation(&self) -> Option<String> {
        let state = self.state();
        state.conversations.first().map(|conversation| conversation.id.as_str().to_owned())
    }

    /// How many messages the client has accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The names of the accepted messages, in the order in which they were written.
    pub(crate) fn written(&self) -> Result<Vec<String>> {
        let written = self.written.lock();
        Ok(written.map_err(|_| anyhow::anyhow!("a writer has panicked"))?.clone())
    }

    /// The person writes these messages, one after the other.
    pub(crate) async fn write(&self, numbers: Range<u64>, length: usize) -> Result<()> {
        for number in numbers {
            let local_id = self.client.send(None, &packet::body(number, length)).await.context("a send")?;
            let written = self.written.lock();
            let mut written = written.map_err(|_| anyhow::anyhow!("a writer has panicked"))?;
            written.push(local_id.as_str().to_owned());
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The network goes away, or comes back.
    pub(crate) async fn set_network(&self, is_available: bool) -> Result<()> {
        Ok(self.client.set_network(is_available).await?)
    }

    /// Waits until nothing waits to be sent, or long enough. The state may be a step behind what was accepted; this is not.
    pub(crate) async fn drain(&self, patience: Duration) -> Result<()> {
        self.client.drain(patience).await?;
        Ok(())
    }

    /// All that the app shows of the conversation, once everything older was asked for.
    pub(crate) async fn timeline(&self) -> Result<Vec<Entry>> {
        let mut timelines = self.client.subscribe_timeline(None);
        let whole = async {
            loop {
                let timeline = timelines.next().await?.context("the client is closed")?;
                if !timeline.has_older {
                    return Ok(timeline);
                }
                self.client.load_older(None).await.context("older messages")?;
            }
        };
        let timeline: Result<Arc<Timeline>> =
            timeout(SHOW_LIMIT, whole).await.context("no whole timeline")?;
        timeline?.items.iter().map(entry).collect()
    }

    /// Closes the client.
    pub(crate) async fn close(&self) {
        self.client.close().await;
    }
}

/// A message as the app shows it.
fn entry(item: &sdk::TimelineItem) -> Result<Entry> {
    ensure!(item.sender != Sender::System, "a message that nobody wrote");
    Ok(Entry {
        seq: item.seq,
        local_id: item.local_id.as_str().to_owned(),
        writer: if item.sender == Sender::Agent { Writer::Agent } else { Writer::Person },
        body: item.body.clone(),
    })
}
