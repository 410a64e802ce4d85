//! Ordinary agents who watch the app: they read, and once they ask for the sessions.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::findings::Watcher;
use super::{Circle, DRAIN_LIMIT, Phase, address};
use crate::line::{Line, Window};
use crate::socket::{Login, Socket};

/// What a phone's kernel takes before its app has read.
const SLOW_WINDOW: usize = 64 * 1024;
const SESSIONS: u64 = 77;

/// How an agent reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As fast as it can.
    Fast,
    /// This many bytes a second, with nothing open: it only watches the app.
    Watching(&'static str, u32),
    /// This many bytes a second.
    Slow(&'static str, u32),
}

impl Reading {
    /// Whether it opens conversations.
    pub(super) fn opens(self) -> bool {
        !matches!(self, Self::Watching(..))
    }
}

/// An agent.
pub(super) struct Agent {
    circle: Circle,
    socket: Socket,
    /// Its place in the findings.
    place: usize,
    /// The conversations of which it must hear everything.
    own: Vec<String>,
}

enum Heard {
    Message(String, u64),
    Sessions(bool),
    Other,
}

impl Agent {
    /// Logs in and opens these conversations.
    pub(super) async fn connect(
        circle: &Circle,
        reading: Reading,
        index: usize,
        rooms: &[String],
    ) -> Result<Self> {
        let (name, window) = match reading {
            Reading::Fast => ("fast", Window::Usual),
            Reading::Watching(name, _) | Reading::Slow(name, _) => (name, Window::Bytes(SLOW_WINDOW)),
        };
        let line = Line::open(circle.server, address(2, index), window).await?;
        let mut socket =
            Socket::log_in(line, &Login::agent(&circle.app)).await.context("an agent's login")?;
        for room in rooms {
            let joined =
                socket.ask("/admin", "conversation:join", &json!({ "conversation_id": room })).await?;
            ensure!(joined["success"] == true, "an agent could not join: {joined}");
        }
        if let Reading::Watching(_, bytes) | Reading::Slow(_, bytes) = reading {
            socket.read_slowly(bytes);
        }
        let mut findings = circle.shared.lock();
        findings.agents.push(Watcher { name, thrown_out: None, answered: None });
        let place = findings.agents.len() - 1;
        drop(findings);
        Ok(Self { circle: circle.clone(), socket, place, own: Vec::new() })
    }

    /// It must hear everything that is written in these conversations, which it has opened.
    pub(super) fn must_hear(mut self, own: &[String]) -> Self {
        self.own = own.to_vec();
        self
    }

    /// Reads until it is over, or it is thrown out.
    pub(super) async fn watch(mut self) {
        if let Err(error) = self.read().await {
            let mut findings = self.circle.shared.lock();
            let agent = &mut findings.agents[self.place];
            agent.thrown_out = Some(format!("{error:#}"));
            let name = agent.name;
            findings.complain(format!("the agent who reads {name} was thrown out: {error:#}"));
        }
    }

    async fn read(&mut self) -> Result<()> {
        loop {
            let heard = tokio::select! {
                text = self.socket.next() => Some(hear(text?)),
                phase = self.circle.next_phase() => {
                    match phase {
                        Phase::Asking => self.ask().await?,
                        Phase::Over => return self.drain().await,
                        _ => {}
                    }
                    None
                }
            };
            if let Some(heard) = heard {
                self.take(heard);
            }
        }
    }

    async fn ask(&mut self) -> Result<()> {
        self.circle.shared.lock().agents[self.place].answered = Some(false);
        let wish = json!({ "app_id": self.circle.app.app_id });
        self.socket.send(&format!("42/admin,{SESSIONS}[\"sessions:list\",{wish}]")).await
    }

    /// Waits for what the victims have written and nobody has read yet.
    async fn drain(&mut self) -> Result<()> {
        let until = Instant::now() + DRAIN_LIMIT;
        while !self.own.is_empty() && self.circle.shared.lock().is_behind() {
            // The last acks may come after what they are about.
            let short = until.min(Instant::now() + std::time::Duration::from_millis(100));
            match timeout_at(short, self.socket.next()).await {
                Ok(text) => {
                    let heard = hear(text?);
                    self.take(heard);
                }
                Err(_) if Instant::now() < until => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn take(&self, heard: Heard) {
        match heard {
            Heard::Message(conversation, seq) if self.own.contains(&conversation) => {
                self.circle.shared.lock().see(&conversation, seq);
            }
            Heard::Sessions(is_good) => {
                self.circle.shared.lock().agents[self.place].answered = Some(is_good);
            }
            _ => {}
        }
    }
}

/// The feed may be megabytes a second: only what counts is parsed.
fn hear(text: &str) -> Heard {
    if text.starts_with("42/admin,[\"message:new\"") {
        let message: Value =
            serde_json::from_str(text.trim_start_matches("42/admin,")).unwrap_or(Value::Null);
        let conversation = message.pointer("/1/conversation_id").and_then(Value::as_str);
        let seq = message.pointer("/1/seq").and_then(Value::as_u64);
        return match (conversation, seq) {
            (Some(conversation), Some(seq)) => Heard::Message(conversation.to_owned(), seq),
            _ => Heard::Other,
        };
    }
    match text.strip_prefix(&format!("43/admin,{SESSIONS}")) {
        Some(answer) => Heard::Sessions(answer.starts_with("[{\"success\":true")),
        None => Heard::Other,
    }
}
