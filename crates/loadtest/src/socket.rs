//! One Socket.IO connection: as little client as the protocol allows.

use crate::{
    frame, packet,
    packet::Packet,
    wire::{self, Wire},
};
use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Type};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream as StdStream},
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::net::{TcpSocket, TcpStream};

const READ_SIZE: usize = 4096;
const GREETING_LIMIT: Duration = Duration::from_secs(30);
/// A real network's segment size. Loopback's is so large that the kernel would hold megabytes for a stalled reader.
const NETWORK_SEGMENT: u32 = 1_460;
const STALLED_WINDOW: usize = 4_096;

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    /// A device, to `/client`.
    Device { app_id: String, device_id: String, api_key: String },
    /// An agent, to `/admin`.
    Agent { app_id: String, admin_token: String },
}

impl Login {
    /// The namespace that this login belongs to.
    pub(crate) fn namespace(&self) -> &'static str {
        match self {
            Self::Device { .. } => "/client",
            Self::Agent { .. } => "/admin",
        }
    }

    /// What it shows over REST: header lines, each ended by CRLF.
    pub(crate) fn headers(&self) -> String {
        match self {
            Self::Device { app_id, device_id, api_key } => {
                format!("X-App-Id: {app_id}\r\nX-Device-Id: {device_id}\r\nX-Api-Key: {api_key}\r\n")
            }
            Self::Agent { admin_token, .. } => format!("Authorization: Bearer {admin_token}\r\n"),
        }
    }

    fn connect_packet(&self) -> String {
        let auth = match self {
            Self::Device { app_id, device_id, api_key } => {
                serde_json::json!({ "app_id": app_id, "device_id": device_id, "api_key": api_key })
            }
            Self::Agent { app_id, admin_token } => {
                serde_json::json!({ "app_id": app_id, "admin_token": admin_token })
            }
        };
        format!("40{},{auth}", self.namespace())
    }
}

/// What the connection's TCP is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The server.
    pub(crate) server: SocketAddr,
    /// The loopback address to come from: one address has too few ports for many short connections.
    pub(crate) source: Ipv4Addr,
    /// Leaves the kernel little room for what is not read.
    pub(crate) narrow: bool,
    /// How packets are written on it.
    pub(crate) wire: Wire,
}

/// Bytes that all connections of this tool have sent and received, WebSocket's own included and TCP's not.
static SENT: AtomicU64 = AtomicU64::new(0);
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// How many bytes were sent and received until now.
pub(crate) fn traffic() -> (u64, u64) {
    (SENT.load(Relaxed), RECEIVED.load(Relaxed))
}

impl Route {
    /// The route of the connection number `index`: the sources change in turn.
    pub(crate) fn nth(server: SocketAddr, index: usize) -> Self {
        let last = 1 + (index % 64) as u8;
        Self { server, source: Ipv4Addr::new(127, 0, 0, last), narrow: false, wire: Wire::Json }
    }

    /// Opens the TCP connection.
    pub(crate) async fn open(self) -> Result<TcpStream> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(self.source, 0)).into())?;
        if self.narrow {
            socket.set_recv_buffer_size(STALLED_WINDOW)?;
            socket.set_tcp_mss(NETWORK_SEGMENT)?;
        }
        let stream = TcpSocket::from_std_stream(StdStream::from(socket)).connect(self.server).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// An authenticated connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    namespace: &'static str,
    wire: Wire,
    /// The last packet in text, where it came in another form.
    text: Vec<u8>,
    input: Vec<u8>,
    unread: Range<usize>,
    output: Vec<u8>,
}

impl Socket {
    /// Connects and waits for `connected`.
    pub(crate) async fn connect(route: Route, login: &Login) -> Result<Self> {
        tokio::time::timeout(GREETING_LIMIT, Self::greet(route, login))
            .await
            .context("no greeting in time")?
    }

    async fn greet(route: Route, login: &Login) -> Result<Self> {
        let stream = route.open().await.context("connecting")?;
        let input = vec![0; READ_SIZE];
        let mut socket = Self {
            stream,
            namespace: login.namespace(),
            wire: route.wire,
            text: Vec::new(),
            input,
            unread: 0..0,
            output: Vec::new(),
        };
        let upgrade = format!(
            "GET /v1/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZHRlc3QgbG9hZHRlcw==\r\n\r\n",
            route.server
        );
        socket.write(upgrade.as_bytes()).await?;
        socket.finish_upgrade().await?;
        ensure!(socket.next().await? == Packet::Open, "no Engine.IO handshake");
        socket.send(&login.connect_packet()).await?;
        loop {
            match socket.next().await? {
                Packet::Refused(reason) => bail!("refused: {}", String::from_utf8_lossy(reason)),
                Packet::Event(b"connected", _) => return Ok(socket),
                _ => {}
            }
        }
    }

    async fn finish_upgrade(&mut self) -> Result<()> {
        loop {
            let unread = &self.input[self.unread.clone()];
            if let Some(end) = memchr::memmem::find(unread, b"\r\n\r\n") {
                let status = String::from_utf8_lossy(&unread[..end.min(60)]).into_owned();
                ensure!(unread.starts_with(b"HTTP/1.1 101"), "not upgraded: {status}");
                self.unread.start += end + 4;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Waits for an event of this name and returns its arguments.
    pub(crate) async fn event(&mut self, wanted: &str) -> Result<Vec<u8>> {
        let waiting = async {
            loop {
                if let Packet::Event(name, data) = self.next().await?
                    && name == wanted.as_bytes()
                {
                    return Ok(data.to_vec());
                }
            }
        };
        tokio::time::timeout(GREETING_LIMIT, waiting).await.with_context(|| format!("no {wanted} in time"))?
    }

    /// Sends an event and waits for its ack, passing over everything else.
    pub(crate) async fn ask(&mut self, event: &str, argument: &str) -> Result<Vec<u8>> {
        const ASKED: u64 = 999_999_999;
        self.send(&format!("42{},{ASKED}[\"{event}\",{argument}]", self.namespace)).await?;
        let waiting = async {
            loop {
                if let Packet::Ack(ASKED, data) = self.next().await? {
                    ensure!(packet::succeeded(data), "{event}: {}", String::from_utf8_lossy(data));
                    return Ok(data.to_vec());
                }
            }
        };
        tokio::time::timeout(GREETING_LIMIT, waiting).await.with_context(|| format!("no ack of {event}"))?
    }

    /// The next packet; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<Packet<'_>> {
        let text = self.wait().await?;
        Ok(self.packet(text))
    }

    /// The packet that was waited for. It is there until the next wait.
    pub(crate) fn packet(&self, text: Range<usize>) -> Packet<'_> {
        match self.wire {
            Wire::Json => packet::parse(&self.input[text]),
            Wire::MessagePack => packet::parse(&self.text[text]),
        }
    }

    /// Waits for the next packet and tells where it lies. Dropping the future loses nothing but the answer to a ping.
    pub(crate) async fn wait(&mut self) -> Result<Range<usize>> {
        loop {
            let Some(found) = frame::parse(&self.input[self.unread.clone()]) else {
                self.fill().await?;
                continue;
            };
            let payload = self.unread.start + found.start..self.unread.start + found.end;
            self.unread.start += found.end;
            ensure!(found.last, "a fragmented message");
            match found.opcode {
                frame::TEXT if self.input[payload.clone()] == *b"2" => self.send("3").await?,
                frame::TEXT if self.wire == Wire::Json => return Ok(payload),
                frame::TEXT => {
                    self.text.clear();
                    self.text.extend_from_slice(&self.input[payload]);
                    return Ok(0..self.text.len());
                }
                frame::BINARY => {
                    self.text = wire::unpack(&self.input[payload])?.into_bytes();
                    return Ok(0..self.text.len());
                }
                frame::PING => {
                    let echo = self.input[payload].to_vec();
                    self.write_frame(frame::PONG, &echo).await?;
                }
                frame::CLOSE => {
                    let code = self.input[payload].first_chunk().map(|code| u16::from_be_bytes(*code));
                    bail!("closed by the server, code {code:?}");
                }
                _ => {}
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.input.len() {
            if self.unread.start > 0 {
                self.input.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
            } else {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        loop {
            match self.stream.try_read(&mut self.input[self.unread.end..]) {
                Ok(0) => bail!("closed by the server"),
                Ok(count) => {
                    self.unread.end += count;
                    RECEIVED.fetch_add(count as u64, Relaxed);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.readable().await?,
                Err(error) => return Err(error).context("reading"),
            }
        }
    }

    /// Sends one Engine.IO message.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        match self.wire {
            Wire::MessagePack if text.starts_with('4') => {
                self.write_frame(frame::BINARY, &wire::pack(text)?).await
            }
            _ => self.write_frame(frame::TEXT, text.as_bytes()).await,
        }
    }

    async fn write_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        frame::encode(opcode, payload, &mut output);
        let written = self.write(&output).await;
        self.output = output;
        written
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => {
                    SENT.fetch_add(count as u64, Relaxed);
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error).context("writing"),
            }
        }
        Ok(())
    }

    /// Says goodbye as a browser does, and lets go.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.write_frame(frame::CLOSE, &1000_u16.to_be_bytes()).await
    }
}
