//! A client of bytes: it sends what it is told to, however wrong, and says what it got. Answers nothing by
//! itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socketio::websocket::{Control, Data, Decoded, Decoder, Message, OpCode, Role, encode_masked};
use socketio::{Config, Connection, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);
const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x31];

/// One thing that the server sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    Gone,
}

pub(crate) struct Client<Io = TcpStream> {
    io: Io,
    decoder: Decoder,
    unread: Vec<u8>,
}

/// A connection that begins after the upgrade, with kernel buffers so small that a stall is felt.
pub(crate) async fn pair(config: Config) -> (Connection<TcpStream>, Client) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_send_buffer_size(16 * 1024).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(16 * 1024).unwrap();
    let (client, server) = tokio::join!(client.connect(listener.local_addr().unwrap()), listener.accept());
    let connection = Connection::new(server.unwrap().0, Bytes::new(), Arc::new(config), "sid");
    (connection, Client::new(client.unwrap(), Vec::new()))
}

/// The same in memory, for a paused clock.
pub(crate) fn memory_pair(config: Config) -> (Connection<DuplexStream>, Client<DuplexStream>) {
    let (client, server) = tokio::io::duplex(4096);
    let connection = Connection::new(server, Bytes::new(), Arc::new(config), "sid");
    (connection, Client::new(client, Vec::new()))
}

/// A [`pair`] of which `/` is accepted and the handshake is read.
pub(crate) async fn joined(config: Config) -> (Connection<TcpStream>, Client) {
    let (mut connection, mut client) = pair(config).await;
    join(&mut connection, &mut client, "/").await;
    (connection, client)
}

/// Joins a namespace; reads the open packet too when that is still to come.
pub(crate) async fn join<Io: AsyncRead + AsyncWrite + Unpin + Send>(
    connection: &mut Connection<Io>,
    client: &mut Client<Io>,
    namespace: &str,
) {
    client.text(&if namespace == "/" { "40".to_owned() } else { format!("40{namespace},") }).await;
    match connection.next().await {
        Incoming::Connect { namespace: asked, .. } => assert_eq!(&*asked, namespace),
        other => panic!("not a CONNECT: {other:?}"),
    }
    connection.accept(namespace, "sid");
    let read = async {
        let mut text = client.expect_text().await;
        if text.starts_with('0') {
            text = client.expect_text().await;
        }
        text
    };
    let answer = connection.during(read).await;
    assert!(answer.starts_with("40") && answer.ends_with("{\"sid\":\"sid\"}"), "{answer}");
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Client<Io> {
    pub(crate) fn new(io: Io, already_read: Vec<u8>) -> Self {
        Self { io, decoder: Decoder::new(Role::Client, 64 * 1024 * 1024), unread: already_read }
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        // A server that has hung up meanwhile is seen by reading.
        let _ = self.io.write_all(bytes).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.bytes(&masked(OpCode::Data(Data::Text), text.as_bytes())).await;
    }

    pub(crate) async fn binary(&mut self, bytes: &[u8]) {
        self.bytes(&masked(OpCode::Data(Data::Binary), bytes)).await;
    }

    pub(crate) async fn control(&mut self, control: Control, payload: &[u8]) {
        self.bytes(&masked(OpCode::Control(control), payload)).await;
    }

    /// The next message; does not return by itself when the server is silent.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            match self.decoder.decode(&mut self.unread).expect("the server's frames are well-formed") {
                Decoded::Incomplete => {}
                Decoded::Fragment { .. } | Decoded::Skipped { .. } => panic!("the server does not fragment"),
                Decoded::Message { consumed, message } => {
                    let received = match message {
                        Message::Text(text) => Received::Text(text.into_owned()),
                        Message::Binary(bytes) => Received::Binary(bytes.into_owned()),
                        Message::Pong(payload) => Received::Pong(payload.to_vec()),
                        Message::Close(code) => Received::Close(code.map(u16::from)),
                        // Only where there is no Engine.IO: no test of that expects one.
                        Message::Ping(payload) => Received::Ping(payload.to_vec()),
                        Message::TooLarge { .. } => panic!("nothing is too large here"),
                    };
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

    /// The code of the close frame that comes before anything but pings, and then the end.
    pub(crate) async fn expect_close(&mut self) -> Option<u16> {
        loop {
            match within(self.next()).await {
                Received::Text(text) if text == "2" => {}
                Received::Close(code) => return code,
                other => panic!("not a close: {other:?}"),
            }
        }
    }
}

pub(crate) fn masked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_masked(&mut out, opcode, payload, MASK);
    out
}

/// Fails instead of hanging. Long, for a machine that has other things to do.
pub(crate) async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.expect("it happens in time")
}
