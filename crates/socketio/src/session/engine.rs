//! Engine.IO's side of a session: packet types and the heartbeat. Knows nothing of namespaces or events.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::Output;
use crate::packet::engine::{self, Kind};
use crate::websocket::Message;
use crate::{CloseReason, Config, Frame};

/// A message of the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Text, with the packet's type digit still before it.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

/// The server's side of an Engine.IO session.
#[derive(Debug)]
pub struct Engine {
    ping_interval: Duration,
    ping_timeout: Duration,
    heartbeat: Heartbeat,
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    /// The next ping is due then.
    PingAt(Instant),
    /// A ping is out, its answer is due then.
    PongBy(Instant),
}

impl Engine {
    /// A session whose handshake was done at `now`. The first ping is due one interval later.
    pub fn server(config: &Config, now: Instant) -> Self {
        Self {
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            heartbeat: Heartbeat::PingAt(now + config.ping_interval),
        }
    }

    /// The packet to send first.
    pub fn open(config: &Config, sid: &str) -> Frame {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Frame::open(&engine::Open {
            sid,
            upgrades: [],
            ping_interval: millis(config.ping_interval),
            ping_timeout: millis(config.ping_timeout),
            max_payload: config.max_payload,
        })
    }

    /// Takes a message that came in at `now`.
    pub fn receive<'a>(&mut self, message: Message<'a>, now: Instant) -> Output<Payload<'a>> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => return Output::Item(Payload::Binary(bytes)),
            Message::Ping(payload) => return Output::Pong(Frame::websocket_pong(payload)),
            Message::Pong(_) => return Output::Nothing,
            Message::TooLarge { .. } => return Output::Close(CloseReason::TooLarge),
            Message::Close(_) => return Output::Close(CloseReason::Transport),
        };
        match engine::parse(&text) {
            Ok((Kind::Message, _)) => Output::Item(Payload::Text(text)),
            Ok((Kind::Pong, _)) => {
                // An answer nobody asked for must not put off the next question.
                if let Heartbeat::PongBy(_) = self.heartbeat {
                    self.heartbeat = Heartbeat::PingAt(now + self.ping_interval);
                }
                Output::Nothing
            }
            Ok((Kind::Close, _)) => Output::Close(CloseReason::ClientClosed),
            Ok((Kind::Noop, _)) => Output::Nothing,
            Ok((Kind::Ping, _)) => Output::Close(CloseReason::Protocol("invalid heartbeat direction")),
            Ok((Kind::Open | Kind::Upgrade, _)) => {
                Output::Close(CloseReason::Protocol("unexpected Engine.IO packet"))
            }
            Err(error) => Output::Close(CloseReason::Protocol(error.0)),
        }
    }

    /// Lets time pass, see [`Protocol::tick`](super::Protocol::tick).
    pub fn tick<T>(&mut self, now: Instant, listening: bool) -> Output<T> {
        match self.heartbeat {
            Heartbeat::PingAt(at) if now >= at => {
                self.heartbeat = Heartbeat::PongBy(now + self.ping_timeout);
                Output::Send(Frame::ping())
            }
            Heartbeat::PongBy(by) if now >= by => {
                if listening {
                    return Output::Close(CloseReason::PingTimeout);
                }
                // The answer may be among what was not read: it gets its time again once that goes on.
                self.heartbeat = Heartbeat::PongBy(now + self.ping_timeout);
                Output::Nothing
            }
            _ => Output::Nothing,
        }
    }

    /// When the next ping or its answer is due.
    pub fn deadline(&self) -> Instant {
        match self.heartbeat {
            Heartbeat::PingAt(at) => at,
            Heartbeat::PongBy(by) => by,
        }
    }
}
