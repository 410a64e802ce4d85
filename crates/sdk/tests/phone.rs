//! A client as an app has it, with waiting for what it shows.

use std::path::Path;
use std::sync::{Arc, Mutex};

use sdk::{ChatClient, ClientState, Config, LogLevel, Platform, Timeline, TimelineItem};
use testkit::patiently;

/// A platform that keeps the log, to show it where a test fails.
#[derive(Default)]
pub(crate) struct Logged {
    lines: Mutex<Vec<String>>,
}

impl Logged {
    /// All that was logged so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Platform for Logged {
    fn log(&self, level: LogLevel, message: &str) {
        println!("{level:?} {message}");
        self.lines.lock().unwrap().push(format!("{level:?} {message}"));
    }
}

/// A client, and what it logged.
pub(crate) struct Phone {
    pub(crate) client: ChatClient,
    pub(crate) platform: Arc<Logged>,
}

impl Phone {
    /// Opens a client on this folder.
    pub(crate) async fn open(server_url: &str, app_id: &str, api_key: &str, folder: &Path) -> Self {
        let platform = Arc::new(Logged::default());
        let config = Config::new(server_url, app_id, api_key, folder);
        let client = ChatClient::open(config, Arc::clone(&platform) as Arc<dyn Platform>).await.unwrap();
        Self { client, platform }
    }

    /// Waits for a state that is as wanted.
    pub(crate) async fn state(
        &self,
        what: &str,
        mut is_wanted: impl FnMut(&ClientState) -> bool,
    ) -> Arc<ClientState> {
        let mut states = self.client.subscribe_state();
        patiently(what, async {
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
        patiently(what, async {
            loop {
                let timeline = timelines.next().await.expect("an open client");
                if is_wanted(&timeline) {
                    return timeline;
                }
            }
        })
        .await
    }

    /// Waits for a message in the current conversation.
    pub(crate) async fn item(&self, what: &str, is_wanted: impl Fn(&TimelineItem) -> bool) -> TimelineItem {
        let timeline = self.timeline(what, |timeline| timeline.items.iter().any(&is_wanted)).await;
        timeline.items.iter().find(|item| is_wanted(item)).unwrap().clone()
    }
}

/// The bodies that a timeline shows.
pub(crate) fn bodies(timeline: &Timeline) -> Vec<&str> {
    timeline.items.iter().map(|item| item.body.as_str()).collect()
}
