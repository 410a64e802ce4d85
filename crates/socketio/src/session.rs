//! The protocol as a state machine: a message or a time goes in, what is to be done comes out. Never does I/O
//! and never reads a clock, so that every interleaving can be tested by writing it down.

mod client;
mod engine;
mod plain;
mod reassembly;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use client::{ClientIncoming, ClientSession};
pub use engine::{Engine, Payload};
pub use plain::{Farewell, PlainSession};
use reassembly::{Assembly, Content, Reassembly, Whole};

use crate::packet::msgpack;
use crate::packet::socket::{self, Body, Packet};
use crate::websocket::{CloseCode, Message};
use crate::{AckId, Args, CloseReason, Config, Event, Frame, Wire};

/// What Engine.IO puts before each packet of Socket.IO.
const MESSAGE: char = '4';

/// What a connection has to tell, in the order in which the peer sent it.
#[derive(Debug)]
pub enum Incoming {
    /// The peer asks for a namespace. To be answered with [`Connection::accept`](crate::Connection::accept) or
    /// [`Connection::refuse`](crate::Connection::refuse); a peer that sends an event before has broken the
    /// protocol.
    Connect {
        /// The namespace, with its leading slash.
        namespace: Arc<str>,
        /// The JSON object that came along.
        auth: Option<Box<RawValue>>,
    },
    /// An event in a namespace that was accepted.
    Event {
        /// The namespace, with its leading slash.
        namespace: Arc<str>,
        /// The event.
        event: Event,
    },
    /// An event in a namespace that was accepted, of more bytes than a message may have. It was not read: to be answered
    /// with a refusal.
    TooLarge {
        /// The namespace, with its leading slash.
        namespace: Arc<str>,
        /// Set when the peer awaits an answer.
        ack: Option<AckId>,
    },
    /// The peer left a namespace that was accepted; the connection goes on.
    Disconnect {
        /// The namespace, with its leading slash.
        namespace: Arc<str>,
    },
    /// The connection is over; nothing else follows.
    Closed(CloseReason),
}

/// What is to be done after an input; at most one thing.
pub enum Output<T> {
    /// Nothing.
    Nothing,
    /// Hand this to the connection's owner.
    Item(T),
    /// Hand this to the connection's owner; answers still awaited in the namespace will not come.
    Left(T, Arc<str>),
    /// Hand this to the connection's owner; from here on it may send, messages of so many bytes at most. A client's:
    /// a server's owner may always send.
    Granted(T, usize),
    /// Send this.
    Send(Frame),
    /// Send this answer to a WebSocket ping, in place of one that still waits.
    Pong(Frame),
    /// Give the answer to whoever awaits it; unknown ids are to be ignored.
    Ack {
        /// The namespace it came in.
        namespace: Arc<str>,
        /// The event's id.
        id: AckId,
        /// The answer.
        args: Args,
    },
    /// End the connection. After this the session takes no more input.
    Close(CloseReason),
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Item(_) => "Item",
            Self::Left(..) => "Left",
            Self::Granted(..) => "Granted",
            Self::Send(_) => "Send",
            Self::Pong(_) => "Pong",
            Self::Ack { .. } => "Ack",
            Self::Close(_) => "Close",
        })
    }
}

/// A protocol over messages, as the driver sees it.
pub trait Protocol {
    /// What the connection's owner is handed.
    type Item;

    /// Takes a message that came in at `now`.
    fn receive(&mut self, message: Message<'_>, now: Instant) -> Output<Self::Item>;

    /// Lets time pass; to be called when [`deadline`](Self::deadline) is reached, until it lies ahead. A session
    /// that was not `listening` because its owner was busy does not hold the silence against the peer.
    fn tick(&mut self, now: Instant, listening: bool) -> Output<Self::Item>;

    /// When time matters next.
    fn deadline(&self) -> Instant;

    /// Bytes of the peer came in at `now`, whole messages or not.
    fn heard(&mut self, now: Instant) {
        let _ = now;
    }

    /// The frame that ends the peer's being in a namespace, or this side's, is on its way at `now`.
    fn left(&mut self, namespace: &str, now: Instant) {
        let _ = (namespace, now);
    }

    /// How the peer's packets are written, as far as it has shown; `None` if it knows none of Socket.IO's.
    fn wire(&self) -> Option<Wire> {
        Some(Wire::Json)
    }

    /// Whether the peer has shown who it is. From one that has not, nothing is read while it reads nothing itself.
    fn is_known(&self) -> bool {
        true
    }

    /// What is to be sent before this side ends the connection.
    fn farewell(&mut self, reason: CloseReason) -> Option<Frame> {
        let _ = reason;
        None
    }

    /// What the close frame says.
    fn close_code(&self, reason: CloseReason) -> CloseCode {
        reason.close_code()
    }
}

/// The server's side of one Socket.IO connection.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    /// `None` until the first packet.
    wire: Option<Wire>,
    /// While the peer is in no namespace: until when it may be so.
    connect_by: Option<Instant>,
    connect_timeout: Duration,
    namespaces: Vec<(Arc<str>, Membership)>,
    max_namespaces: usize,
    assembly: Assembly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    /// Asked for, not answered.
    Asked,
    /// Granted.
    In,
    /// Taken away by this side. Events that were under way are dropped instead of ending the connection.
    Left,
}

impl Session {
    /// As the peer writes, once it has.
    fn wire(&self) -> Wire {
        self.wire.unwrap_or_default()
    }

    /// A session whose handshake was done at `now`.
    pub fn server(config: &Config, now: Instant) -> Self {
        Self {
            engine: Engine::server(config, now),
            wire: None,
            connect_by: Some(now + config.connect_timeout),
            connect_timeout: config.connect_timeout,
            namespaces: Vec::new(),
            max_namespaces: config.max_namespaces,
            assembly: Assembly::new(config.max_payload),
        }
    }

    /// Grants a namespace; the frame to send, or nothing when the peer does not wait for an answer.
    pub fn accept(&mut self, namespace: &str, sid: &str) -> Option<Frame> {
        let (_, membership) = self.namespaces.iter_mut().find(|(name, _)| **name == *namespace)?;
        if *membership != Membership::Asked {
            return None;
        }
        *membership = Membership::In;
        self.connect_by = None;
        Some(self.wire().connect(namespace, sid))
    }

    /// Refuses a namespace; the frame to send, or nothing when the peer does not wait for an answer.
    pub fn refuse(&mut self, namespace: &str, message: &str, data: Option<&RawValue>) -> Option<Frame> {
        let at = self.position(namespace)?;
        if self.namespaces[at].1 != Membership::Asked {
            return None;
        }
        self.namespaces.swap_remove(at);
        Some(self.wire().connect_error(namespace, message, data))
    }

    fn position(&self, namespace: &str) -> Option<usize> {
        self.namespaces.iter().position(|(name, _)| **name == *namespace)
    }

    /// Who is in no namespace any more has the time of a handshake to come to another.
    fn check_membership(&mut self, now: Instant) {
        let is_in = self.namespaces.iter().any(|(_, membership)| *membership == Membership::In);
        if !is_in {
            self.connect_by.get_or_insert(now + self.connect_timeout);
        }
    }

    fn text(&mut self, text: &str, now: Instant) -> Output<Incoming> {
        if *self.wire.get_or_insert(Wire::Json) != Wire::Json {
            return Output::Close(CloseReason::Protocol("text among MessagePack"));
        }
        if let Err(reason) = self.assembly.expect_text() {
            return Output::Close(reason);
        }
        match socket::parse(text) {
            Ok(packet) => self.packet(packet, Vec::new(), now),
            Err(error) => Output::Close(CloseReason::Protocol(error.0)),
        }
    }

    fn binary(&mut self, bytes: &[u8], now: Instant) -> Output<Incoming> {
        if *self.wire.get_or_insert(Wire::MessagePack) == Wire::Json {
            return self.attachment(bytes);
        }
        let mut output = Output::Nothing;
        let parsed = msgpack::parse(bytes).and_then(|parsed| {
            parsed.into_packet(|packet, attachments| output = self.packet(packet, attachments, now))
        });
        match parsed {
            Ok(()) => output,
            Err(error) => Output::Close(CloseReason::Protocol(error.0)),
        }
    }

    /// Takes a packet; `attachments` are those that came with it, and not behind it.
    fn packet(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>, now: Instant) -> Output<Incoming> {
        let Packet { namespace, body } = packet;
        let at = self.position(namespace);
        let member = at.map(|at| (Arc::clone(&self.namespaces[at].0), self.namespaces[at].1));
        match (body, member) {
            (Body::Connect(auth), None | Some((_, Membership::Left))) => self.connect(namespace, at, auth),
            (Body::Connect(_), Some(_)) => Output::Close(CloseReason::Protocol("namespace asked for twice")),
            (Body::ConnectError(_), _) => Output::Close(CloseReason::Protocol("refusal from a client")),
            (_, None | Some((_, Membership::Asked))) => {
                Output::Close(CloseReason::Protocol("packet for a namespace not connected"))
            }
            (Body::Disconnect, Some((name, membership))) => {
                if let Some(at) = at {
                    self.namespaces.swap_remove(at);
                }
                self.check_membership(now);
                match membership {
                    Membership::In => {
                        Output::Left(Incoming::Disconnect { namespace: Arc::clone(&name) }, name)
                    }
                    _ => Output::Nothing,
                }
            }
            (Body::Event { name: event, elements, id }, Some((name, _))) => {
                self.assemble(Reassembly::event(name, event, id, &elements), attachments)
            }
            (Body::Ack { elements, id }, Some((name, _))) => {
                self.assemble(Reassembly::ack(name, id, &elements), attachments)
            }
        }
    }

    /// What to do with a message of which only the beginning is known.
    fn too_large(&self, beginning: &[u8]) -> Output<Incoming> {
        if let Err(reason) = self.assembly.expect_text() {
            return Output::Close(reason);
        }
        // It may end within a character.
        let text = beginning.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let event = text.strip_prefix(MESSAGE).and_then(socket::event_head);
        let Some((namespace, ack)) = event else { return Output::Close(CloseReason::TooLarge) };
        match self.position(namespace).map(|at| &self.namespaces[at]) {
            Some((name, Membership::In)) => {
                Output::Item(Incoming::TooLarge { namespace: Arc::clone(name), ack })
            }
            Some((_, Membership::Left)) => Output::Nothing,
            _ => Output::Close(CloseReason::Protocol("packet for a namespace not connected")),
        }
    }

    /// As [`too_large`](Self::too_large), for MessagePack: stock clients name the namespace and the answer they await behind
    /// what is too long. Who is in one namespace means that one, and hears of it without an answer.
    fn too_large_packed(&self) -> Output<Incoming> {
        let mut inside = self.namespaces.iter().filter(|(_, membership)| *membership == Membership::In);
        match (inside.next(), inside.next()) {
            (Some((name, _)), None) => {
                Output::Item(Incoming::TooLarge { namespace: Arc::clone(name), ack: None })
            }
            _ => Output::Close(CloseReason::TooLarge),
        }
    }

    fn connect(&mut self, namespace: &str, left: Option<usize>, auth: Option<&str>) -> Output<Incoming> {
        if let Some(left) = left {
            self.namespaces.swap_remove(left);
        }
        if self.namespaces.len() >= self.max_namespaces {
            match self.namespaces.iter().position(|(_, membership)| *membership == Membership::Left) {
                Some(left) => drop(self.namespaces.swap_remove(left)),
                None => {
                    return Output::Send(self.wire().connect_error(namespace, "Too many namespaces", None));
                }
            }
        }
        let auth = match auth.map(|auth| RawValue::from_string(auth.to_owned())).transpose() {
            Ok(auth) => auth,
            Err(_) => return Output::Close(CloseReason::Protocol("invalid payload")),
        };
        let namespace: Arc<str> = namespace.into();
        self.namespaces.push((Arc::clone(&namespace), Membership::Asked));
        Output::Item(Incoming::Connect { namespace, auth })
    }

    fn attachment(&mut self, bytes: &[u8]) -> Output<Incoming> {
        match self.assembly.attachment(bytes) {
            Ok(whole) => self.finish(whole),
            Err(reason) => Output::Close(reason),
        }
    }

    fn assemble(&mut self, packet: Reassembly, attachments: Vec<Bytes>) -> Output<Incoming> {
        let packet = if attachments.is_empty() { packet } else { packet.with(attachments) };
        let whole = self.assembly.begin(packet);
        self.finish(whole)
    }

    fn finish(&self, whole: Option<Whole>) -> Output<Incoming> {
        let Some(Whole { namespace, content }) = whole else { return Output::Nothing };
        let membership = self.position(&namespace).map(|at| self.namespaces[at].1);
        match content {
            _ if membership != Some(Membership::In) => Output::Nothing,
            Content::Event(event) => Output::Item(Incoming::Event { namespace, event }),
            Content::Ack { id, args } => Output::Ack { namespace, id, args },
        }
    }
}

impl Protocol for Session {
    type Item = Incoming;

    fn receive(&mut self, message: Message<'_>, now: Instant) -> Output<Incoming> {
        if let Message::TooLarge { is_text, beginning } = &message {
            return match (is_text, self.wire) {
                (true, None | Some(Wire::Json)) => self.too_large(beginning),
                (false, Some(Wire::MessagePack)) => self.too_large_packed(),
                _ => Output::Close(CloseReason::TooLarge),
            };
        }
        match self.engine.receive(message, now) {
            Output::Item(Payload::Text(text)) => self.text(&text[1..], now),
            Output::Item(Payload::Binary(bytes)) => self.binary(&bytes, now),
            Output::Send(frame) => Output::Send(frame),
            Output::Pong(frame) => Output::Pong(frame),
            Output::Close(reason) => Output::Close(reason),
            Output::Nothing | Output::Left(..) | Output::Granted(..) | Output::Ack { .. } => Output::Nothing,
        }
    }

    fn tick(&mut self, now: Instant, listening: bool) -> Output<Incoming> {
        if self.connect_by.is_some_and(|by| now >= by) {
            return Output::Close(CloseReason::ConnectTimeout);
        }
        self.engine.tick(now, listening)
    }

    fn deadline(&self) -> Instant {
        let engine = self.engine.deadline();
        self.connect_by.map_or(engine, |by| by.min(engine))
    }

    fn left(&mut self, namespace: &str, now: Instant) {
        if let Some(at) = self.position(namespace) {
            self.namespaces[at].1 = Membership::Left;
        }
        self.check_membership(now);
    }

    fn is_known(&self) -> bool {
        self.connect_by.is_none()
    }

    fn wire(&self) -> Option<Wire> {
        Some(self.wire())
    }
}
