//! A WebSocket without Engine.IO on it: text in, text out, and a heartbeat of WebSocket's own pings. Knows nothing of
//! what the text means.

use std::time::Duration;

use tokio::time::Instant;

use super::{Output, Protocol};
use crate::websocket::{CloseCode, Message};
use crate::{CloseReason, Config, Frame, Wire};

/// What is said last on a connection that this side ends: a text, if there is one, and the code of the close frame.
pub type Farewell = fn(CloseReason) -> (Option<Frame>, u16);

/// The server's side of a plain WebSocket.
#[derive(Debug)]
pub struct PlainSession {
    ping_interval: Duration,
    ping_timeout: Duration,
    ping_at: Instant,
    heard_at: Instant,
    farewell: Farewell,
}

impl PlainSession {
    /// A session whose handshake was done at `now`. The first ping is due one interval later; who says nothing for that
    /// long and the ping timeout, not even an answer to a ping, is dropped.
    pub fn server(config: &Config, farewell: Farewell, now: Instant) -> Self {
        let Config { ping_interval, ping_timeout, .. } = *config;
        Self { ping_interval, ping_timeout, ping_at: now + ping_interval, heard_at: now, farewell }
    }

    fn silent_until(&self) -> Instant {
        self.heard_at + self.ping_interval + self.ping_timeout
    }
}

impl Protocol for PlainSession {
    type Item = String;

    fn receive(&mut self, message: Message<'_>, _: Instant) -> Output<String> {
        match message {
            Message::Text(text) => Output::Item(text.into_owned()),
            Message::Binary(_) | Message::Pong(_) => Output::Nothing,
            Message::Ping(payload) => Output::Pong(Frame::websocket_pong(payload)),
            Message::TooLarge { .. } => Output::Close(CloseReason::TooLarge),
            Message::Close(_) => Output::Close(CloseReason::Transport),
        }
    }

    fn tick(&mut self, now: Instant, listening: bool) -> Output<String> {
        if now >= self.silent_until() {
            if listening {
                return Output::Close(CloseReason::PingTimeout);
            }
            // What it said may be among what was not read: it gets its time again once that goes on.
            self.heard_at = now;
        }
        if now >= self.ping_at {
            self.ping_at = now + self.ping_interval;
            return Output::Send(Frame::websocket_ping(&[]));
        }
        Output::Nothing
    }

    fn deadline(&self) -> Instant {
        self.ping_at.min(self.silent_until())
    }

    fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    fn wire(&self) -> Option<Wire> {
        None
    }

    fn farewell(&mut self, reason: CloseReason) -> Option<Frame> {
        (self.farewell)(reason).0
    }

    fn close_code(&self, reason: CloseReason) -> CloseCode {
        CloseCode::from((self.farewell)(reason).1)
    }
}
