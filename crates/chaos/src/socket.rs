//! A Socket.IO connection as an app has it, which knows that networks fail: everything has a limit, and silence is an
//! error as it is for stock clients.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::site::App;

/// How long the handshake, up to `connected`, may take.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// How long a write may wait for the network.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    Device(String),
    Agent,
}

impl Login {
    pub(crate) fn namespace(&self) -> &'static str {
        match self {
            Self::Device(_) => "/client",
            Self::Agent => "/admin",
        }
    }

    fn auth(&self, app: &App) -> Value {
        match self {
            Self::Device(device_id) => {
                json!({ "app_id": app.app_id, "device_id": device_id, "api_key": app.api_key })
            }
            Self::Agent => json!({ "app_id": app.app_id, "admin_token": app.admin_token }),
        }
    }
}

/// What comes.
#[derive(Debug)]
pub(crate) enum Packet {
    Event(String, Value),
    Ack(u64, Value),
}

/// A connection whose namespace was accepted.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    namespace: &'static str,
    next_ack: u64,
    /// How long nothing may come before the connection counts as dead: what the server said in its handshake.
    silence: Duration,
    heard_at: Instant,
    /// Its id, as `connected` said.
    pub(crate) connection_id: String,
}

impl Socket {
    /// Connects and waits for `connected`.
    pub(crate) async fn connect(address: SocketAddr, login: &Login, app: &App) -> Result<Self> {
        timeout(GREETING_LIMIT, Self::greet(address, login, app)).await.context("no greeting in time")?
    }

    async fn greet(address: SocketAddr, login: &Login, app: &App) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}/v1/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = tokio_tungstenite::client_async(url, stream).await?;
        let mut socket = Self {
            stream,
            namespace: login.namespace(),
            next_ack: 0,
            silence: GREETING_LIMIT,
            heard_at: Instant::now(),
            connection_id: String::new(),
        };
        let open = socket.text().await?;
        let handshake: Value = serde_json::from_str(open.strip_prefix('0').context("no handshake")?)?;
        let part = |name: &str| handshake[name].as_u64().with_context(|| format!("no {name} in {open}"));
        socket.silence = Duration::from_millis(part("pingInterval")? + part("pingTimeout")?);
        socket.write(format!("40{},{}", socket.namespace, login.auth(app))).await?;
        loop {
            let text = socket.text().await?;
            if let Some(refusal) = text.strip_prefix("44") {
                bail!("refused: {refusal}");
            }
            if let Some(Packet::Event(name, data)) = socket.read(&text)?
                && name == "connected"
            {
                socket.connection_id = data["connection_id"].as_str().context("no connection_id")?.to_owned();
                return Ok(socket);
            }
        }
    }

    /// The next packet. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Packet> {
        loop {
            let text = self.text().await?;
            if let Some(packet) = self.read(&text)? {
                return Ok(packet);
            }
        }
    }

    /// Emits an event and asks for an ack. Returns its number.
    pub(crate) async fn ask(&mut self, event: &str, payload: &Value) -> Result<u64> {
        let id = self.next_ack;
        self.next_ack += 1;
        self.write(format!("42{},{id}{}", self.namespace, json!([event, payload]))).await?;
        Ok(id)
    }

    /// Ends it as a closing app does.
    pub(crate) async fn close(mut self) {
        // Where the network is gone there is nobody to tell.
        let _ = timeout(WRITE_LIMIT, self.stream.close(None)).await;
    }

    async fn text(&mut self) -> Result<String> {
        loop {
            let until = self.heard_at + self.silence;
            let frame = timeout_at(until, self.stream.next()).await.context("silence")?;
            self.heard_at = Instant::now();
            match frame.context("closed")?? {
                Frame::Text(text) if text.as_str() == "2" => self.write("3".into()).await?,
                Frame::Text(text) => return Ok(text.as_str().to_owned()),
                Frame::Close(_) => bail!("closed"),
                _ => {}
            }
        }
    }

    async fn write(&mut self, text: String) -> Result<()> {
        timeout(WRITE_LIMIT, self.stream.send(Frame::text(text)))
            .await
            .context("writing takes too long")??;
        Ok(())
    }

    fn read(&self, text: &str) -> Result<Option<Packet>> {
        let kind = text.get(..2).context("a short packet")?;
        let rest = text[2..].strip_prefix(self.namespace).and_then(|rest| rest.strip_prefix(','));
        let rest = rest.unwrap_or_default();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (id, payload) = rest.split_at(digits);
        match kind {
            "40" => Ok(None),
            "42" => {
                let mut event: Vec<Value> = serde_json::from_str(payload)?;
                ensure!(!event.is_empty(), "an event without a name");
                let data = if event.len() > 1 { event.swap_remove(1) } else { Value::Null };
                let name = event.swap_remove(0).as_str().context("a name that is no text")?.to_owned();
                Ok(Some(Packet::Event(name, data)))
            }
            "43" => {
                let mut answer: Vec<Value> = serde_json::from_str(payload)?;
                let answer = if answer.is_empty() { Value::Null } else { answer.swap_remove(0) };
                Ok(Some(Packet::Ack(id.parse()?, answer)))
            }
            "41" => bail!("the server left the namespace"),
            _ => bail!("not understood: {text}"),
        }
    }
}
