//! An attacker: where it comes from, and the first steps that most attacks have in common.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http;
use crate::line::{Line, Window};
use crate::server::App;
use crate::socket::{Login, Socket};

const ASK_LIMIT: Duration = Duration::from_secs(20);

/// What all attackers of a trial did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    opened: AtomicU64,
    sent: AtomicU64,
    done: AtomicU64,
    complaint: Mutex<Option<String>>,
}

impl Tally {
    /// Connections that were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Bytes that the kernel took for the server.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Things that were done and answered, where an attack counts them.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What first ended an attacker's connection.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the first complaint.
    pub(crate) fn complain(&self, complaint: &anyhow::Error) {
        let mut kept = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| format!("{complaint:#}"));
    }
}

/// The address of the attacker with this number.
pub(crate) fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 66, (index / 250 % 256) as u8, 1 + (index % 250) as u8)
}

/// One attacker. Each comes from an address of its own, as a botnet's do: what an address may have does not protect.
#[derive(Clone, Debug)]
pub(crate) struct Hostile {
    /// Its number: 0, 1, 2 …
    pub(crate) index: usize,
    /// Where it comes from.
    pub(crate) source: Ipv4Addr,
    /// Whom it attacks.
    pub(crate) server: SocketAddr,
    /// The app, whose key anybody has.
    pub(crate) app: App,
    /// Where it is counted.
    pub(crate) tally: Arc<Tally>,
}

impl Hostile {
    /// The name of a device that is this attacker's own.
    pub(crate) fn device_id(&self) -> String {
        format!("hostile-{}", self.index)
    }

    /// Opens a TCP connection.
    pub(crate) async fn line(&self, window: Window) -> Result<Line> {
        let line = Line::open(self.server, self.source, window).await.context("connecting")?;
        self.tally.opened.fetch_add(1, Ordering::Relaxed);
        Ok(line)
    }

    /// Opens an upgraded connection that is not logged in.
    pub(crate) async fn upgraded(&self, window: Window) -> Result<Socket> {
        Socket::upgrade(self.line(window).await?).await
    }

    /// Logs in as a device.
    pub(crate) async fn device(&self, device_id: &str, window: Window) -> Result<Socket> {
        Socket::log_in(self.line(window).await?, &Login::device(&self.app, device_id)).await
    }

    /// Logs in as an agent.
    pub(crate) async fn agent(&self) -> Result<Socket> {
        Socket::log_in(self.line(Window::Usual).await?, &Login::agent(&self.app)).await
    }

    /// Opens the device's conversation, over REST.
    pub(crate) async fn conversation(&self, device_id: &str) -> Result<String> {
        let opened = self.ask("POST", "/v1/conversations", device_id, "{}").await?;
        let id = opened.pointer("/conversation/id").and_then(Value::as_str).context("no conversation id")?;
        Ok(id.to_owned())
    }

    /// A REST request of a device that must go well.
    pub(crate) async fn ask(&self, method: &str, path: &str, device_id: &str, body: &str) -> Result<Value> {
        let request = http::text(method, path, &http::device(&self.app, device_id), body);
        let (status, answer) = self.request(&request).await?;
        ensure!((200..300).contains(&status), "{method} {path} answered {status}: {answer}");
        Ok(serde_json::from_str(&answer)?)
    }

    /// A single request on a connection of its own: its status and its body.
    pub(crate) async fn request(&self, request: &str) -> Result<(u16, String)> {
        self.tally.opened.fetch_add(1, Ordering::Relaxed);
        self.count(request.len() as u64);
        http::ask(self.server, self.source, ASK_LIMIT, request).await
    }

    /// Writes once, and counts it.
    pub(crate) async fn write(&self, line: &Line, bytes: &[u8]) -> Result<()> {
        line.write(bytes).await?;
        self.count(bytes.len() as u64);
        Ok(())
    }

    /// Writes without end and reads nothing.
    pub(crate) async fn flood(&self, line: &Line, bytes: &[u8]) -> Result<()> {
        Err(line.flood(bytes, |count| self.count(count)).await).context("flooding")
    }

    /// Writes without end, and reads what comes as fast as it can.
    pub(crate) async fn flood_and_skim(&self, line: &Line, bytes: &[u8]) -> Result<()> {
        tokio::select! {
            flooded = self.flood(line, bytes) => flooded,
            error = line.skim() => Err(error).context("reading"),
        }
    }

    /// Bytes were sent.
    pub(crate) fn count(&self, bytes: u64) {
        self.tally.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Something was done.
    pub(crate) fn did(&self) {
        self.tally.done.fetch_add(1, Ordering::Relaxed);
    }
}
