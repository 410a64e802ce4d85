//! A server of bytes, for the client's end: it sends what it is told to, however wrong, and says what it got.
//! Answers nothing by itself.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use socketio::websocket::{Control, Data, Decoded, Decoder, Message, OpCode, Role, encode};
use socketio::{ClientConnection, ClientIncoming, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::client::{Received, within};

/// The heartbeat that [`Server::open`] announces, in seconds: after their sum of silence it is taken for dead.
pub(crate) const INTERVAL: u64 = 25;
pub(crate) const TIMEOUT: u64 = 60;

pub(crate) struct Server {
    io: DuplexStream,
    decoder: Decoder,
    unread: Vec<u8>,
    /// The masks of all frames read.
    pub(crate) masks: Vec<[u8; 4]>,
}

/// Mask keys that count: no two are the same.
pub(crate) fn keys() -> impl FnMut() -> [u8; 4] + Send + 'static {
    let mut next = 0x0100_0000_u32;
    move || {
        next += 0x0103;
        next.to_be_bytes()
    }
}

/// A connection that begins after the upgrade, in memory.
pub(crate) fn pair(
    config: Config,
    namespace: &str,
    auth: Option<&RawValue>,
) -> (ClientConnection<DuplexStream>, Server) {
    let (client, server) = tokio::io::duplex(4096);
    let connection = ClientConnection::new(client, Bytes::new(), Arc::new(config), namespace, auth, keys());
    (connection, Server::new(server))
}

/// A [`pair`] in `/`, with the handshake read.
pub(crate) async fn joined(config: Config) -> (ClientConnection<DuplexStream>, Server) {
    let (mut connection, mut server) = pair(config, "/", None);
    server.open(None).await;
    join(&mut connection, &mut server).await;
    (connection, server)
}

/// Grants `/` to a connection that has got the open packet.
pub(crate) async fn join(connection: &mut ClientConnection<DuplexStream>, server: &mut Server) {
    let grant = async {
        assert_eq!(server.expect_text().await, "40");
        server.text("40{\"sid\":\"sid\"}").await;
    };
    match tokio::join!(connection.next(), grant).0 {
        ClientIncoming::Connected { sid } => assert_eq!(sid, "sid"),
        other => panic!("not connected: {other:?}"),
    }
}

impl Server {
    pub(crate) fn new(io: DuplexStream) -> Self {
        Self {
            io,
            decoder: Decoder::new(Role::Server, 64 * 1024 * 1024),
            unread: Vec::new(),
            masks: Vec::new(),
        }
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        // A client that has hung up meanwhile is seen by reading.
        let _ = self.io.write_all(bytes).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.bytes(&unmasked(OpCode::Data(Data::Text), text.as_bytes())).await;
    }

    pub(crate) async fn binary(&mut self, bytes: &[u8]) {
        self.bytes(&unmasked(OpCode::Data(Data::Binary), bytes)).await;
    }

    pub(crate) async fn control(&mut self, control: Control, payload: &[u8]) {
        self.bytes(&unmasked(OpCode::Control(control), payload)).await;
    }

    /// The open packet.
    pub(crate) async fn open(&mut self, max_payload: Option<usize>) {
        let max = max_payload.map(|max| format!(",\"maxPayload\":{max}")).unwrap_or_default();
        let (interval, timeout) = (INTERVAL * 1000, TIMEOUT * 1000);
        let open = format!(
            "0{{\"sid\":\"e\",\"upgrades\":[],\"pingInterval\":{interval},\"pingTimeout\":{timeout}{max}}}"
        );
        self.text(&open).await;
    }

    /// The next message; does not return by itself when the client is silent.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            let mask = mask(&self.unread);
            match self
                .decoder
                .decode(&mut self.unread)
                .expect("the client's frames are masked and well-formed")
            {
                Decoded::Incomplete => {}
                Decoded::Fragment { .. } | Decoded::Skipped { .. } => panic!("the client does not fragment"),
                Decoded::Message { consumed, message } => {
                    let received = match message {
                        Message::Text(text) => Received::Text(text.into_owned()),
                        Message::Binary(bytes) => Received::Binary(bytes.into_owned()),
                        Message::Pong(payload) => Received::Pong(payload.to_vec()),
                        Message::Close(code) => Received::Close(code.map(u16::from)),
                        Message::Ping(payload) => Received::Ping(payload.to_vec()),
                        Message::TooLarge { .. } => panic!("nothing is too large here"),
                    };
                    self.masks.extend(mask);
                    self.unread.drain(..consumed);
                    return received;
                }
            }
            match self.io.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return Received::Gone,
                Ok(_) => {}
            }
        }
    }

    /// The next message, which is to be text.
    pub(crate) async fn expect_text(&mut self) -> String {
        match within(self.next()).await {
            Received::Text(text) => text,
            other => panic!("not text: {other:?}"),
        }
    }

    /// The code of the close frame that comes next.
    pub(crate) async fn expect_close(&mut self) -> Option<u16> {
        match within(self.next()).await {
            Received::Close(code) => code,
            other => panic!("not a close: {other:?}"),
        }
    }
}

pub(crate) fn unmasked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, opcode, payload);
    out
}

/// The mask key of the frame that the bytes begin with.
fn mask(bytes: &[u8]) -> Option<[u8; 4]> {
    let at = match bytes.get(1)? & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    bytes.get(at..at + 4)?.try_into().ok()
}
