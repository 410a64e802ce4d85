//! The client's side of the protocol: waits for the server's first packet, asks for one namespace, and from then on
//! hands out what happens in it. Never trusts what the server announces of itself further than it can be used.

mod engine;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::reassembly::{Assembly, Content, Reassembly, Whole};
use super::{Output, Payload, Protocol};
use crate::packet::socket::{self, Body, Packet};
use crate::websocket::Message;
use crate::{CloseReason, Config, Event, Frame};
use engine::{ClientEngine, Told};

/// What a client's connection has to tell, in the order in which the server sent it.
#[derive(Debug)]
pub enum ClientIncoming {
    /// The namespace is granted; from here on frames can be sent.
    Connected {
        /// The id under which the server knows this client in the namespace.
        sid: String,
    },
    /// The namespace is refused: what stock clients call `connect_error`. Nothing can be sent, and the connection
    /// is still to be closed by its owner.
    Refused {
        /// The server's text; empty when it gave none.
        message: String,
        /// The JSON that came with the text.
        data: Option<Box<RawValue>>,
    },
    /// An event.
    Event(Event),
    /// The server put this client out of the namespace by a packet of its own. Nothing can be sent any more, and
    /// the connection is still to be closed by its owner.
    Disconnected,
    /// The connection is over; nothing else follows.
    Closed(CloseReason),
}

/// The client's side of one Socket.IO connection, in one namespace.
///
/// Like a stock client it ignores packets of other namespaces, answers that nobody awaits, and pongs. Unlike one
/// it takes an event that comes before the namespace is granted for a breach of the protocol: a stock client keeps
/// it for later, and neither this crate's server nor one that behaves sends any.
#[derive(Debug)]
pub struct ClientSession {
    engine: ClientEngine,
    namespace: Arc<str>,
    connect_timeout: Duration,
    stage: Stage,
    assembly: Assembly,
    /// The largest message the server takes, in bytes.
    largest: usize,
}

#[derive(Debug)]
enum Stage {
    /// The server's first packet is due by then; it is answered with the CONNECT.
    Opening { by: Instant, connect: Frame },
    /// The answer to the CONNECT is due by then.
    Connecting { by: Instant },
    /// The namespace is granted.
    In,
    /// The namespace is refused, taken away, or left. What was under way in it is dropped.
    Out,
}

impl ClientSession {
    /// A session whose upgrade was done at `now`. `namespace` has its leading slash; `auth` is a JSON object.
    pub fn new(config: &Config, namespace: &str, auth: Option<&RawValue>, now: Instant) -> Self {
        Self {
            engine: ClientEngine::new(now),
            namespace: namespace.into(),
            connect_timeout: config.connect_timeout,
            stage: Stage::Opening { by: now + config.connect_timeout, connect: Frame::ask(namespace, auth) },
            assembly: Assembly::new(config.max_payload),
            largest: usize::MAX,
        }
    }

    fn opened(&mut self, max_payload: Option<u64>, now: Instant) -> Output<ClientIncoming> {
        let connecting = Stage::Connecting { by: now + self.connect_timeout };
        let Stage::Opening { connect, .. } = std::mem::replace(&mut self.stage, connecting) else {
            return Output::Close(CloseReason::Protocol("open packet twice"));
        };
        self.largest = max_payload.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        if connect.fits(self.largest) { Output::Send(connect) } else { Output::Close(CloseReason::TooLarge) }
    }

    fn packet(&mut self, text: &str) -> Output<ClientIncoming> {
        if let Err(reason) = self.assembly.expect_text() {
            return Output::Close(reason);
        }
        let Packet { namespace, body } = match socket::parse(text) {
            Ok(packet) => packet,
            Err(error) => return Output::Close(CloseReason::Protocol(error.0)),
        };
        let is_ours = *namespace == *self.namespace;
        let name = || if is_ours { Arc::clone(&self.namespace) } else { namespace.into() };
        match (body, &self.stage) {
            (Body::Event { .. }, Stage::Connecting { .. }) if is_ours => {
                Output::Close(CloseReason::Protocol("event before the namespace is granted"))
            }
            // Those of other namespaces too: their attachments are to be told from this one's.
            (Body::Event { name: event, elements, id }, _) => {
                let packet = Reassembly::event(name(), event, id, &elements);
                self.assemble(packet)
            }
            (Body::Ack { elements, id }, _) => {
                let packet = Reassembly::ack(name(), id, &elements);
                self.assemble(packet)
            }
            _ if !is_ours => Output::Nothing,
            (_, Stage::Out) => Output::Nothing,
            (Body::Connect(grant), Stage::Connecting { .. }) => self.granted(grant),
            (Body::Connect(_), _) => Output::Close(CloseReason::Protocol("namespace granted twice")),
            (Body::ConnectError(refusal), Stage::Connecting { .. }) => self.refused(refusal),
            (Body::ConnectError(_), _) => Output::Close(CloseReason::Protocol("refusal of what was granted")),
            (Body::Disconnect, _) => {
                self.stage = Stage::Out;
                Output::Left(ClientIncoming::Disconnected, Arc::clone(&self.namespace))
            }
        }
    }

    fn granted(&mut self, grant: Option<&str>) -> Output<ClientIncoming> {
        #[derive(Deserialize)]
        struct Grant {
            sid: String,
        }

        let grant = grant.and_then(|grant| serde_json::from_str::<Grant>(grant).ok());
        let Some(Grant { sid }) = grant else {
            // What a server of the protocol's previous version sends.
            return Output::Close(CloseReason::Protocol("grant without an id"));
        };
        self.stage = Stage::In;
        Output::Granted(ClientIncoming::Connected { sid }, self.largest)
    }

    fn refused(&mut self, refusal: &str) -> Output<ClientIncoming> {
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(default)]
            message: String,
            data: Option<Box<RawValue>>,
        }

        let refusal = if refusal.starts_with('"') {
            serde_json::from_str(refusal).map(|message| Refusal { message, data: None })
        } else {
            serde_json::from_str(refusal)
        };
        let Ok(Refusal { message, data }) = refusal else {
            return Output::Close(CloseReason::Protocol("invalid refusal"));
        };
        self.stage = Stage::Out;
        Output::Left(ClientIncoming::Refused { message, data }, Arc::clone(&self.namespace))
    }

    fn attachment(&mut self, bytes: &[u8]) -> Output<ClientIncoming> {
        match self.assembly.attachment(bytes) {
            Ok(whole) => self.finish(whole),
            Err(reason) => Output::Close(reason),
        }
    }

    fn assemble(&mut self, packet: Reassembly) -> Output<ClientIncoming> {
        let whole = self.assembly.begin(packet);
        self.finish(whole)
    }

    fn finish(&self, whole: Option<Whole>) -> Output<ClientIncoming> {
        let Some(Whole { namespace, content }) = whole else { return Output::Nothing };
        if !matches!(self.stage, Stage::In) || namespace != self.namespace {
            return Output::Nothing;
        }
        match content {
            Content::Event(event) => Output::Item(ClientIncoming::Event(event)),
            Content::Ack { id, args } => Output::Ack { namespace, id, args },
        }
    }
}

impl Protocol for ClientSession {
    type Item = ClientIncoming;

    fn receive(&mut self, message: Message<'_>, now: Instant) -> Output<ClientIncoming> {
        match self.engine.receive(message, now) {
            Output::Item(Told::Opened { max_payload }) => self.opened(max_payload, now),
            Output::Item(Told::Payload(Payload::Text(text))) => self.packet(&text[1..]),
            Output::Item(Told::Payload(Payload::Binary(bytes))) => self.attachment(&bytes),
            Output::Send(frame) => Output::Send(frame),
            Output::Pong(frame) => Output::Pong(frame),
            Output::Close(reason) => Output::Close(reason),
            Output::Nothing | Output::Left(..) | Output::Granted(..) | Output::Ack { .. } => Output::Nothing,
        }
    }

    fn tick(&mut self, now: Instant, listening: bool) -> Output<ClientIncoming> {
        match self.stage {
            Stage::Opening { by, .. } | Stage::Connecting { by } if now >= by => {
                Output::Close(CloseReason::ConnectTimeout)
            }
            _ => self.engine.tick(now, listening),
        }
    }

    fn deadline(&self) -> Instant {
        let engine = self.engine.deadline();
        match self.stage {
            Stage::Opening { by, .. } => by,
            Stage::Connecting { by } => by.min(engine),
            Stage::In | Stage::Out => engine,
        }
    }

    fn heard(&mut self, now: Instant) {
        self.engine.heard(now);
    }

    fn left(&mut self, namespace: &str, _: Instant) {
        if matches!(self.stage, Stage::In) && *namespace == *self.namespace {
            self.stage = Stage::Out;
        }
    }

    fn farewell(&mut self, reason: CloseReason) -> Option<Frame> {
        (reason.is_deliberate() && matches!(self.stage, Stage::In))
            .then(|| Frame::disconnect(&self.namespace))
    }
}
