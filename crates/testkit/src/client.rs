//! A Socket.IO client that hides nothing: what came is there in the order in which it came.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::patiently;
use crate::wire::{self, Wire};

/// A connection in one namespace.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    namespace: String,
    wire: Wire,
    /// The frames that came, if they are kept.
    heard: Option<Vec<u8>>,
    /// Events that came and were not taken yet.
    events: VecDeque<(String, Value)>,
    acks: HashMap<u64, Value>,
    next_ack: u64,
    /// Whether the connection is over.
    is_closed: bool,
    /// Whether the server has left the namespace by a packet of its own.
    is_disconnected: bool,
    answers_pings: bool,
}

/// A refused connection: `connect_error`.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Its message: the code.
    pub message: String,
    /// What came with it.
    pub data: Value,
}

impl Client {
    /// Connects and waits until the namespace is accepted.
    ///
    /// # Errors
    /// The refusal.
    pub async fn connect(address: SocketAddr, namespace: &str, auth: Value) -> Result<Self, Refusal> {
        Self::open(address, namespace).await.enter(auth).await
    }

    /// As [`connect`](Self::connect), with packets that are written so, and every byte that comes is kept.
    ///
    /// # Errors
    /// The refusal.
    pub async fn connect_by(
        wire: Wire,
        address: SocketAddr,
        namespace: &str,
        auth: Value,
    ) -> Result<Self, Refusal> {
        let mut client = Self::open(address, namespace).await;
        client.wire = wire;
        client.heard = Some(Vec::new());
        client.enter(auth).await
    }

    async fn enter(mut self, auth: Value) -> Result<Self, Refusal> {
        self.send_packet(0, None, &auth).await;
        let namespace = &self.namespace;
        let accepted = format!("40{namespace},");
        let refused = format!("44{namespace},");
        let Some(text) = self.receive().await else {
            return Err(Refusal { message: "closed".into(), data: Value::Null });
        };
        if text.starts_with(&accepted) {
            return Ok(self);
        }
        let refusal =
            text.strip_prefix(&refused).unwrap_or_else(|| panic!("before the answer to CONNECT came {text}"));
        let refusal: Value = serde_json::from_str(refusal).expect("JSON");
        let message = refusal["message"].as_str().expect("a message").to_owned();
        Err(Refusal { message, data: refusal["data"].clone() })
    }

    /// A WebSocket whose Engine.IO handshake is done, and which has asked for no namespace.
    pub async fn open(address: SocketAddr, namespace: &str) -> Self {
        let url = format!("ws://{address}/v1/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = patiently("the upgrade", async {
            let stream = TcpStream::connect(address).await.expect("a server");
            stream.set_nodelay(true).expect("an open socket");
            tokio_tungstenite::client_async(url, stream).await.expect("an upgrade")
        })
        .await;
        let mut client = Self {
            socket,
            namespace: namespace.into(),
            wire: Wire::Json,
            heard: None,
            events: VecDeque::new(),
            acks: HashMap::new(),
            next_ack: 0,
            is_closed: false,
            is_disconnected: false,
            answers_pings: true,
        };
        let open = client.receive().await.expect("the open packet");
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// From here on pings get no answer, as if the network were cut.
    pub fn fall_silent(&mut self) {
        self.answers_pings = false;
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&mut self, text: &str) {
        // A closed connection shows itself when something is received.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends any frame.
    pub async fn send_frame(&mut self, frame: Message) {
        // A closed connection shows itself when something is received.
        let _ = self.socket.send(frame).await;
    }

    async fn send_packet(&mut self, kind: u8, id: Option<u64>, data: &Value) {
        let frame = self.wire.write(kind, &self.namespace, id, data);
        self.send_frame(frame).await;
    }

    /// All that has come, as it came, to a client that [keeps](Self::connect_by) it.
    ///
    /// # Panics
    /// If it is none.
    pub fn heard(&self) -> &[u8] {
        self.heard.as_deref().expect("a client that keeps what it hears")
    }

    /// The next packet that is no ping, as text whatever the wire; `None` at the connection's end.
    pub async fn receive(&mut self) -> Option<String> {
        loop {
            let frame = patiently("a frame", self.socket.next()).await;
            if let (Some(heard), Some(Ok(Message::Text(_) | Message::Binary(_)))) = (&mut self.heard, &frame)
            {
                heard.extend(frame.iter().flatten().flat_map(|frame| frame.clone().into_data()));
            }
            match frame {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                    if self.answers_pings {
                        self.send_text("3").await;
                    }
                }
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Binary(packet))) if self.wire == Wire::MessagePack => {
                    return Some(wire::unpack(&packet));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.is_closed = true;
                    return None;
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// Takes one packet in; false at the connection's end.
    async fn take_in(&mut self) -> bool {
        let Some(text) = self.receive().await else { return false };
        let namespace = format!("{},", self.namespace);
        let (kind, rest) = text.split_at(2);
        let Some(rest) = rest.strip_prefix(&namespace) else {
            panic!("not of {namespace} {text}");
        };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (id, payload) = rest.split_at(digits);
        match kind {
            "42" => {
                let Value::Array(mut event) = serde_json::from_str(payload).expect("JSON") else {
                    panic!("no event: {text}")
                };
                let data = if event.len() > 1 { event.swap_remove(1) } else { Value::Null };
                let Value::String(name) = event.swap_remove(0) else { panic!("no name: {text}") };
                self.events.push_back((name, data));
            }
            "43" => {
                let answer: Value = serde_json::from_str(payload).expect("JSON");
                self.acks.insert(id.parse().expect("an ack's id"), answer[0].clone());
            }
            "41" => self.is_disconnected = true,
            _ => panic!("unexpected packet {text}"),
        }
        true
    }

    /// Emits an event without asking for an ack.
    pub async fn emit(&mut self, name: &str, payload: Value) {
        self.send_packet(2, None, &json!([name, payload])).await;
    }

    /// Emits an event and asks for an ack, without waiting for it. Returns its number for [`ack`](Self::ack).
    pub async fn ask(&mut self, name: &str, payload: Value) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.send_packet(2, Some(id), &json!([name, payload])).await;
        id
    }

    /// The ack with this number; `None` if the connection ends before it comes.
    pub async fn try_ack(&mut self, id: u64) -> Option<Value> {
        loop {
            if let Some(answer) = self.acks.remove(&id) {
                return Some(answer);
            }
            if !self.take_in().await {
                return None;
            }
        }
    }

    /// The ack with this number.
    ///
    /// # Panics
    /// If the connection ends before it comes.
    pub async fn ack(&mut self, id: u64) -> Value {
        self.try_ack(id).await.expect("an ack before the connection ends")
    }

    /// Emits an event and waits for its ack.
    pub async fn call(&mut self, name: &str, payload: Value) -> Value {
        let id = self.ask(name, payload).await;
        self.ack(id).await
    }

    /// As [`call`](Self::call), for one that must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn done(&mut self, name: &str, payload: Value) -> Value {
        let answer = self.call(name, payload).await;
        assert_eq!(answer["success"], true, "{name}: {answer}");
        answer
    }

    /// As [`call`](Self::call), for one that must fail; returns the code.
    ///
    /// # Panics
    /// If it does not fail, or not in the one shape.
    pub async fn refused(&mut self, name: &str, payload: Value) -> String {
        let answer = self.call(name, payload).await;
        assert_eq!(answer["success"], false, "{name}: {answer}");
        assert!(answer["message"].is_string(), "{name}: {answer}");
        answer["error"].as_str().expect("a code").to_owned()
    }

    /// Sends a message, which must succeed, and returns it as it was stored.
    ///
    /// # Panics
    /// If it does not succeed.
    pub async fn say(&mut self, conversation_id: &str, local_id: &str, body: &str) -> Value {
        let message = json!({ "conversation_id": conversation_id, "local_id": local_id, "body": body });
        self.done("message:send", message).await["message"].take()
    }

    /// The next event, whatever it is; `None` at the connection's end.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.take_in().await {
                return None;
            }
        }
    }

    /// Waits for the next event of this name and takes it; others stay where they are.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn expect(&mut self, name: &str) -> Value {
        let mut seen = 0;
        loop {
            while seen < self.events.len() {
                if self.events[seen].0 == name {
                    return self.events.remove(seen).map(|(_, data)| data).unwrap_or_default();
                }
                seen += 1;
            }
            assert!(self.take_in().await, "the connection ended before {name}");
        }
    }

    /// Everything of this name that the server had sent when it answered a `ping` of now; others stay.
    pub async fn settled(&mut self, name: &str) -> Vec<Value> {
        assert_eq!(self.call("ping", json!({})).await, "pong");
        let (taken, left) = std::mem::take(&mut self.events).into_iter().partition(|event| event.0 == name);
        self.events = left;
        let taken: VecDeque<(String, Value)> = taken;
        taken.into_iter().map(|(_, data)| data).collect()
    }

    /// Drops the `message:new` events up to `last_seq` that have come already: an answer has them too.
    pub fn discard_until_joined(&mut self, last_seq: u64) {
        self.events.retain(|(name, data)| name != "message:new" || data["seq"].as_u64() > Some(last_seq));
    }

    /// The names of all events that were not taken yet.
    pub fn untaken(&self) -> Vec<&str> {
        self.events.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Waits until the connection ends; true if the server left the namespace by a packet first.
    pub async fn closed(&mut self) -> bool {
        while !self.is_closed {
            if !self.take_in().await {
                break;
            }
        }
        self.is_disconnected
    }

    /// Ends the connection as a closing browser tab does.
    pub async fn close(mut self) {
        // Where the server was faster, all the better.
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = patiently("the end", self.socket.next()).await {}
    }

    /// Ends the connection without a word, as a cut network does (the server's kernel is told).
    pub fn cut(self) {
        let stream = self.socket.into_inner();
        // Without lingering the kernel sends a reset.
        let _ = stream.set_zero_linger();
    }
}
