//! One Engine.IO connection over WebSocket: as little client as the protocol allows, in steps that can be left out.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame;
use crate::line::Line;
use crate::server::App;

const READ_SIZE: usize = 16 * 1024;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The request that upgrades to Engine.IO.
pub(crate) const UPGRADE: &str = "GET /v1/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: YXR0YWNrYXR0YWNrYXR0YQ==\r\n\r\n";

/// Who logs in.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    namespace: &'static str,
    auth: Value,
}

impl Login {
    /// A device.
    pub(crate) fn device(app: &App, device_id: &str) -> Self {
        let auth = json!({ "app_id": app.app_id, "device_id": device_id, "api_key": app.api_key });
        Self { namespace: "/client", auth }
    }

    /// An agent.
    pub(crate) fn agent(app: &App) -> Self {
        Self { namespace: "/admin", auth: json!({ "app_id": app.app_id, "admin_token": app.admin_token }) }
    }

    /// The CONNECT packet.
    pub(crate) fn packet(&self) -> String {
        format!("40{},{}", self.namespace, self.auth)
    }
}

/// A connection that is upgraded.
#[derive(Debug)]
pub(crate) struct Socket {
    line: Line,
    input: Vec<u8>,
    unread: Range<usize>,
    /// Bytes a second that are read at most, and from when on the next ones may be.
    pace: Option<(f64, Instant)>,
}

impl Socket {
    /// Upgrades, and waits for the Engine.IO handshake.
    pub(crate) async fn upgrade(line: Line) -> Result<Self> {
        let mut socket = Self { line, input: vec![0; READ_SIZE], unread: 0..0, pace: None };
        let upgraded = async {
            socket.line.write(UPGRADE.as_bytes()).await?;
            let end = loop {
                let unread = &socket.input[socket.unread.clone()];
                if let Some(end) = memchr::memmem::find(unread, b"\r\n\r\n") {
                    break end;
                }
                socket.fill().await?;
            };
            let unread = &socket.input[socket.unread.clone()];
            let status = String::from_utf8_lossy(&unread[..end.min(40)]).into_owned();
            ensure!(unread.starts_with(b"HTTP/1.1 101"), "not upgraded: {status}");
            socket.unread.start += end + 4;
            ensure!(socket.next().await?.starts_with('0'), "no Engine.IO handshake");
            Ok(())
        };
        timeout(ANSWER_LIMIT, upgraded).await.context("no upgrade in time")??;
        Ok(socket)
    }

    /// Upgrades and logs in.
    pub(crate) async fn log_in(line: Line, login: &Login) -> Result<Self> {
        let mut socket = Self::upgrade(line).await?;
        socket.connect(login).await?;
        Ok(socket)
    }

    /// Logs in, and waits for `connected`.
    pub(crate) async fn connect(&mut self, login: &Login) -> Result<()> {
        self.send(&login.packet()).await?;
        let (accepted, refused) =
            (format!("42{},[\"connected\"", login.namespace), format!("44{}", login.namespace));
        let connected = async {
            loop {
                let text = self.next().await?;
                if text.starts_with(&accepted) {
                    return Ok(());
                }
                ensure!(!text.starts_with(&refused), "refused: {text}");
            }
        };
        timeout(ANSWER_LIMIT, connected).await.context("no greeting in time")?
    }

    /// Reads this many bytes a second from here on.
    pub(crate) fn read_slowly(&mut self, bytes_per_second: u32) {
        self.pace = Some((f64::from(bytes_per_second), Instant::now()));
    }

    /// Sends one Engine.IO message.
    pub(crate) async fn send(&self, text: &str) -> Result<()> {
        Ok(self.line.write(&frame::text(text)).await?)
    }

    /// Sends bytes that are frames already.
    pub(crate) async fn send_raw(&self, frames: &[u8]) -> Result<()> {
        Ok(self.line.write(frames).await?)
    }

    /// Sends an event with an ack in `namespace`, and returns the answer; all else that comes is passed over.
    pub(crate) async fn ask(&mut self, namespace: &str, event: &str, argument: &Value) -> Result<Value> {
        const ASKED: u32 = 999_999_999;
        self.send(&format!("42{namespace},{ASKED}[\"{event}\",{argument}]")).await?;
        let answer = format!("43{namespace},{ASKED}[");
        let answered = async {
            loop {
                if let Some(answer) = self.next().await?.strip_prefix(&answer) {
                    return Ok(serde_json::from_str(answer.strip_suffix(']').unwrap_or(answer))?);
                }
            }
        };
        timeout(ANSWER_LIMIT, answered).await.with_context(|| format!("no answer to {event}"))?
    }

    /// The next Engine.IO message; Engine.IO's pings are answered on the way. Dropping the future loses nothing but
    /// such an answer.
    pub(crate) async fn next(&mut self) -> Result<&str> {
        loop {
            let Some(found) = frame::parse(&self.input[self.unread.clone()]) else {
                self.fill().await?;
                continue;
            };
            let payload = self.unread.start + found.start..self.unread.start + found.end;
            self.unread.start += found.end;
            match found.opcode {
                frame::TEXT if self.input[payload.clone()] == *b"2" => self.send("3").await?,
                frame::TEXT => return Ok(std::str::from_utf8(&self.input[payload])?),
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
        if let Some((_, from)) = self.pace {
            sleep_until(from).await;
        }
        let free = &mut self.input[self.unread.end..];
        // Who reads slowly reads little at a time, so that it is slow evenly.
        let most = if self.pace.is_some() { free.len().min(READ_SIZE) } else { free.len() };
        let count = self.line.read(&mut free[..most]).await?;
        self.unread.end += count;
        if let Some((pace, from)) = &mut self.pace {
            *from = (*from).max(Instant::now()) + Duration::from_secs_f64(count as f64 / *pace);
        }
        Ok(())
    }

    /// Says goodbye as a browser does, and lets go.
    pub(crate) async fn close(self) -> Result<()> {
        let mut close = Vec::new();
        frame::encode(frame::CLOSE, true, &1000_u16.to_be_bytes(), &mut close);
        Ok(self.line.write(&close).await?)
    }

    /// What is below: nothing is read or answered any more.
    pub(crate) fn into_line(self) -> Line {
        self.line
    }
}
