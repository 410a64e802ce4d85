//! An app with the SDK that was before Socket.IO, as it is compiled into what people have: it knows messages by `local_id`
//! alone, over all conversations; drops in silence what it can't decode; reads neither close codes nor errors; and comes
//! back a second after every connection that had opened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{Answer, Http, TestApp, eventually, patiently};

/// From the end of a connection that had opened to the next attempt; doubled after each that did not open.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// From one sign of life to the next.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The statuses that it can decode.
const STATUSES: [&str; 3] = ["SENT", "DELIVERED", "READ"];

/// An app that runs. Killed when dropped.
pub struct OldPhone {
    app: TestApp,
    device_id: String,
    seen: Arc<Mutex<Seen>>,
    say: mpsc::UnboundedSender<String>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    address: Option<SocketAddr>,
    store: BTreeMap<String, Value>,
    frames: Vec<Value>,
    opened: usize,
    refused: Vec<u16>,
    ended: Vec<Option<u16>>,
}

impl OldPhone {
    /// Starts the app on this device.
    pub fn start(app: &TestApp, device_id: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen { address: Some(app.address), ..Seen::default() }));
        let (say, said) = mpsc::unbounded_channel();
        // As it writes it, nothing percent-encoded.
        let query = format!("app_id={}&api_key={}&device_id={device_id}", app.app_id, app.api_key);
        let running = tokio::spawn(run(Arc::clone(&seen), query, said));
        Self { app: app.clone(), device_id: device_id.into(), seen, say, running }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it finds the server there.
    pub fn move_to(&self, address: SocketAddr) {
        self.seen().address = Some(address);
    }

    /// Its REST.
    ///
    /// # Panics
    /// If it has no address, which it has from the start on.
    pub fn rest(&self) -> Http {
        let address = self.seen().address.expect("an address");
        let app = TestApp { address, ..self.app.clone() };
        app.as_device(&self.device_id).header("X-SDK-Version", "1.0.0")
    }

    /// Opens its person's conversation and moves there; returns its id.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn open(&self, user: Value) -> String {
        let context = json!({
            "platform": "android", "os_version": "14", "app_version": "3.2.1", "device_model": null,
            "locale": "de-DE", "timezone": null, "sdk_version": "1.0.0",
        });
        let body = json!({ "user": user, "device_context": context });
        let answer = self.rest().post("/v1/conversations", &body).await.ok();
        let id = answer["conversation"]["id"].as_str().expect("an id").to_owned();
        self.say(&json!({ "type": "subscribe", "conversation_id": id }));
        let is_there =
            |frame: &Value| frame["type"] == "subscribed" && frame["conversation_id"] == id.as_str();
        self.told("it is subscribed", is_there).await;
        id
    }

    /// Sends a message as it does; what comes back replaces what it shows with a spinner.
    pub async fn send(&self, conversation_id: &str, local_id: &str, body: &str) -> Answer {
        let path = format!("/v1/conversations/{conversation_id}/messages");
        let body = json!({ "local_id": local_id, "body": body, "device_context": { "locale": null } });
        let answer = self.rest().post(&path, &body).await;
        self.seen().take_in(&answer.json["message"]);
        answer
    }

    /// Asks for what was said since then, in milliseconds since 1970, or for the newest messages, and keeps it.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn fetch(&self, conversation_id: &str, since_ms: Option<i64>) -> Vec<Value> {
        let after = since_ms.map(|ms| format!("after={ms}&")).unwrap_or_default();
        let path = format!("/v1/conversations/{conversation_id}/messages?{after}limit=50");
        let messages = self.rest().get(&path).await.ok()["messages"].as_array().expect("a list").clone();
        messages.iter().for_each(|message| self.seen().take_in(message));
        messages
    }

    /// Says something on the connection; it waits if there is none just now.
    pub fn say(&self, frame: &Value) {
        self.say_text(&frame.to_string());
    }

    /// As [`say`](Self::say), for what need not be JSON.
    ///
    /// # Panics
    /// If the app has ended, which it does when dropped.
    pub fn say_text(&self, text: &str) {
        self.say.send(text.to_owned()).expect("a running app");
    }

    /// What it shows of a conversation, in its order.
    pub fn shown(&self, conversation_id: &str) -> Vec<Value> {
        let all = self.seen().store.values().cloned().collect::<Vec<_>>();
        let mut shown: Vec<_> =
            all.into_iter().filter(|message| message["conversation_id"] == conversation_id).collect();
        // Within a millisecond by `seq`, which it does not know, so that a test can compare.
        shown.sort_by_key(|message| (message["created_at"].to_string(), message["seq"].as_u64()));
        shown
    }

    /// The texts of what it shows.
    pub fn texts(&self, conversation_id: &str) -> Vec<String> {
        self.shown(conversation_id)
            .iter()
            .map(|message| message["body"].as_str().unwrap_or_default().into())
            .collect()
    }

    /// Everything that it was ever told on its socket.
    pub fn frames(&self) -> Vec<Value> {
        self.seen().frames.clone()
    }

    /// How often a connection has opened.
    pub fn opened(&self) -> usize {
        self.seen().opened
    }

    /// With which status of HTTP each connection was refused that was.
    pub fn refused(&self) -> Vec<u16> {
        self.seen().refused.clone()
    }

    /// With which close code each connection ended that did; `None` where it just broke off.
    pub fn ended(&self) -> Vec<Option<u16>> {
        self.seen().ended.clone()
    }

    /// Waits for a frame.
    pub async fn told(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { self.frames().into_iter().find(&is_it) }).await
    }

    /// Waits until it shows exactly these texts.
    pub async fn shows(&self, conversation_id: &str, texts: &[&str]) {
        eventually(&format!("{texts:?} to be shown"), || async {
            (self.texts(conversation_id) == texts).then_some(())
        })
        .await;
    }
}

impl Drop for OldPhone {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Seen {
    fn take_in(&mut self, message: &Value) {
        let texts = ["id", "local_id", "conversation_id", "body", "sender", "created_at"];
        let is_whole = texts.iter().all(|field| message[field].is_string());
        if is_whole && STATUSES.iter().any(|status| message["status"] == *status) {
            let local_id = message["local_id"].as_str().unwrap_or_default().to_owned();
            self.store.insert(local_id, message.clone());
        }
    }

    fn hear(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        if frame["type"] == "message.new" {
            self.take_in(&frame["message"]);
        }
        self.frames.push(frame);
    }
}

async fn run(seen: Arc<Mutex<Seen>>, query: String, mut said: mpsc::UnboundedReceiver<String>) {
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut back_off = BACK_OFF;
    loop {
        let address = lock().address;
        match connect(address.expect("an address"), &query).await {
            Ok(socket) => {
                lock().opened += 1;
                back_off = BACK_OFF;
                let code = listen(&seen, socket, &mut said).await;
                lock().ended.push(code);
            }
            Err(status) => lock().refused.extend(status),
        }
        tokio::time::sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// A connection, or the status with which it was refused, if it was by a server.
async fn connect(address: SocketAddr, query: &str) -> Result<WebSocketStream<TcpStream>, Option<u16>> {
    let stream = TcpStream::connect(address).await.map_err(|_| None)?;
    let url = format!("ws://{address}/v1/realtime?{query}");
    match patiently("the upgrade", tokio_tungstenite::client_async(url, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(Some(response.status().as_u16())),
        Err(_) => Err(None),
    }
}

/// Returns the code with which it was closed.
async fn listen(
    seen: &Mutex<Seen>,
    mut socket: WebSocketStream<TcpStream>,
    said: &mut mpsc::UnboundedReceiver<String>,
) -> Option<u16> {
    let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        tokio::select! {
            _ = pings.tick() => {
                let ping = json!({ "type": "ping" }).to_string();
                socket.send(Message::text(ping)).await.ok()?;
            }
            Some(text) = said.recv() => socket.send(Message::text(text)).await.ok()?,
            frame = socket.next() => match frame?.ok()? {
                Message::Text(text) => {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).hear(&text);
                }
                Message::Close(close) => {
                    // What is left to say at the end: the answer to the close frame.
                    let _ = socket.flush().await;
                    return close.map(|close| close.code.into());
                }
                _ => {}
            },
        }
    }
}
