//! Engine.IO's side of a client's session: the server's first packet, the answers to its pings, and the watch on
//! its silence. Knows nothing of namespaces or events.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use crate::packet::engine::{self, Announced, Kind};
use crate::session::{Output, Payload};
use crate::websocket::Message;
use crate::{CloseReason, Frame};

/// What a server may announce of its ping interval and of its ping timeout, in milliseconds. Less would end every
/// connection, more would never notice that one is dead.
const SENSIBLE: RangeInclusive<u64> = 1..=60 * 60 * 1000;

/// What the layer above is told.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// The server's first packet came.
    Opened {
        /// Bytes the server takes in one message, if it says so.
        max_payload: Option<u64>,
    },
    /// A message.
    Payload(Payload<'a>),
}

/// The client's side of an Engine.IO session.
#[derive(Debug)]
pub(super) struct ClientEngine {
    /// The silence after which the server is taken for dead; known from its first packet.
    patience: Option<Duration>,
    last_heard: Instant,
}

impl ClientEngine {
    pub(super) fn new(now: Instant) -> Self {
        Self { patience: None, last_heard: now }
    }

    /// Takes a message that came in at `now`.
    pub(super) fn receive<'a>(&mut self, message: Message<'a>, now: Instant) -> Output<Told<'a>> {
        let text = match message {
            Message::Ping(payload) => return Output::Pong(Frame::websocket_pong(payload)),
            Message::Pong(_) => return Output::Nothing,
            Message::TooLarge { .. } => return Output::Close(CloseReason::TooLarge),
            Message::Close(_) => return Output::Close(CloseReason::Transport),
            Message::Binary(_) if self.patience.is_none() => return not_opened(),
            Message::Binary(bytes) => return Output::Item(Told::Payload(Payload::Binary(bytes))),
            Message::Text(text) => text,
        };
        let (kind, data) = match engine::parse(&text) {
            Ok(packet) => packet,
            Err(error) => return Output::Close(CloseReason::Protocol(error.0)),
        };
        if self.patience.is_none() {
            return if kind == Kind::Open { self.open(data, now) } else { not_opened() };
        }
        match kind {
            Kind::Message => Output::Item(Told::Payload(Payload::Text(text))),
            Kind::Ping => Output::Send(Frame::pong()),
            Kind::Close => Output::Close(CloseReason::Server),
            // Stock clients ignore these.
            Kind::Pong | Kind::Upgrade | Kind::Noop => Output::Nothing,
            Kind::Open => Output::Close(CloseReason::Protocol("open packet twice")),
        }
    }

    fn open<'a>(&mut self, data: &str, now: Instant) -> Output<Told<'a>> {
        let Announced { ping_interval, ping_timeout, max_payload } = match engine::announced(data) {
            Ok(announced) => announced,
            Err(error) => return Output::Close(CloseReason::Protocol(error.0)),
        };
        if !SENSIBLE.contains(&ping_interval) || !SENSIBLE.contains(&ping_timeout) {
            return Output::Close(CloseReason::Protocol("heartbeat out of bounds"));
        }
        self.patience = Some(Duration::from_millis(ping_interval + ping_timeout));
        self.last_heard = now;
        Output::Item(Told::Opened { max_payload })
    }

    /// Bytes of the server came in at `now`.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Lets time pass, see [`Protocol::tick`](crate::session::Protocol::tick).
    pub(super) fn tick<T>(&mut self, now: Instant, listening: bool) -> Output<T> {
        if self.patience.is_none() || now < self.deadline() {
            return Output::Nothing;
        }
        if listening {
            return Output::Close(CloseReason::PingTimeout);
        }
        // The server may have said much that was not read: its silence begins when reading goes on.
        self.last_heard = now;
        Output::Nothing
    }

    /// When the server is silent for too long. Of no meaning before its first packet.
    pub(super) fn deadline(&self) -> Instant {
        self.last_heard + self.patience.unwrap_or_default()
    }
}

fn not_opened<T>() -> Output<T> {
    Output::Close(CloseReason::Protocol("something else before the open packet"))
}
