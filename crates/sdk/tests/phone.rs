//! A client as an app has it, with waiting for what it shows.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sdk::{ChatClient, ClientState, Config, ConnectionState, LogLevel, Platform, Timeline, TimelineItem};
use testkit::PATIENCE;
use tokio::time::timeout;

use crate::world::World;

/// A platform that keeps the log, to show it where a test fails.
#[derive(Default)]
pub(crate) struct Logged {
    lines: Mutex<Vec<String>>,
}

impl Logged {
    /// All that was logged so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("no test panics with the lock").join("\n")
    }
}

impl Platform for Logged {
    fn log(&self, level: LogLevel, message: &str) {
        self.lines.lock().expect("no test panics with the lock").push(format!("{level:?} {message}"));
    }
}

/// A client, and what it logged.
pub(crate) struct Phone {
    pub(crate) client: ChatClient,
    pub(crate) platform: Arc<Logged>,
    patience: Duration,
}

impl Phone {
    /// Opens a client on this folder.
    pub(crate) async fn open(server_url: &str, app_id: &str, api_key: &str, folder: &Path) -> Self {
        let platform = Arc::new(Logged::default());
        let config = Config::new(server_url, app_id, api_key, folder);
        let client = ChatClient::open(config, Arc::clone(&platform) as Arc<dyn Platform>)
            .await
            .expect("an open client");
        Self { client, platform, patience: PATIENCE }
    }

    /// Opens a client whose platform is this world.
    pub(crate) async fn in_world(world: &World, folder: &Path) -> Self {
        Self::with(world, Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder)).await
    }

    /// As [`in_world`](Self::in_world), with a configuration of its own.
    pub(crate) async fn with(world: &World, config: Config) -> Self {
        let client = ChatClient::open(config, Arc::new(world.clone())).await.expect("an open client");
        // On a clock that jumps: as long as the longest wait, some times over.
        Self { client, platform: Arc::default(), patience: Duration::from_secs(600) }
    }

    /// Waits for a state that is as wanted.
    pub(crate) async fn state(
        &self,
        what: &str,
        mut is_wanted: impl FnMut(&ClientState) -> bool,
    ) -> Arc<ClientState> {
        let mut states = self.client.subscribe_state();
        self.within(what, async {
            loop {
                let state = states.next().await.expect("an open client");
                if is_wanted(&state) {
                    return state;
                }
            }
        })
        .await
    }

    /// Waits for the current conversation's timeline to be as wanted.
    pub(crate) async fn timeline(
        &self,
        what: &str,
        mut is_wanted: impl FnMut(&Timeline) -> bool,
    ) -> Arc<Timeline> {
        let mut timelines = self.client.subscribe_timeline(None);
        self.within(what, async {
            loop {
                let timeline = timelines.next().await.expect("a conversation").expect("an open client");
                if is_wanted(&timeline) {
                    return timeline;
                }
            }
        })
        .await
    }

    async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        match timeout(self.patience, future).await {
            Ok(value) => value,
            Err(_) => {
                let state = self.client.subscribe_state().current();
                panic!("waited {:?} for {what}; {state:?}\n{}", self.patience, self.platform.text())
            }
        }
    }

    pub(crate) async fn online(&self) {
        self.state("the connection", |state| state.connection == ConnectionState::Online).await;
    }

    /// Waits until the current conversation shows these texts, all of them stored by the server.
    pub(crate) async fn shows(&self, wanted: &[&str]) -> Arc<Timeline> {
        self.timeline("the messages", |timeline| {
            bodies(timeline) == wanted && timeline.items.iter().all(|item| item.seq.is_some())
        })
        .await
    }

    /// Waits for a message in the current conversation.
    pub(crate) async fn item(&self, what: &str, is_wanted: impl Fn(&TimelineItem) -> bool) -> TimelineItem {
        let timeline = self.timeline(what, |timeline| timeline.items.iter().any(&is_wanted)).await;
        timeline.items.iter().find(|item| is_wanted(item)).expect("it was there").clone()
    }
}

/// The bodies that a timeline shows.
pub(crate) fn bodies(timeline: &Timeline) -> Vec<&str> {
    timeline.items.iter().map(|item| item.body.as_str()).collect()
}
