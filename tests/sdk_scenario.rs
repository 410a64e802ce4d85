//! The SDK's scenario, the one that every language's binding runs: a person's day with an app, against a real server in
//! a process that is killed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sdk::{
    ChatClient, ClientError, ClientState, Config, ConnectionState, Delivery, Dialing, Identity, LogLevel,
    Platform, Sender, Stream, Timeline, User,
};
use serde_json::{Value, json};
use testkit::{Backend, ServerProcess, TestApp, TestServer, patiently, token_of};
use tokio::net::TcpStream;

use crate::BINARY;

/// The app's system: its way to the server leads to wherever that is now, as a load balancer's would.
struct Phone {
    server: Mutex<SocketAddr>,
    log: Mutex<String>,
}

impl Platform for Phone {
    fn log(&self, _level: LogLevel, message: &str) {
        let mut log = self.log.lock().unwrap();
        log.push_str(message);
        log.push('\n');
    }

    fn dial(&self, _host: &str, _port: u16) -> Dialing {
        let server = *self.server.lock().unwrap();
        Box::pin(async move { Ok(Box::new(TcpStream::connect(server).await?) as Box<dyn Stream>) })
    }
}

async fn state(
    client: &ChatClient,
    what: &str,
    is_wanted: impl Fn(&ClientState) -> bool,
) -> Arc<ClientState> {
    let mut states = client.subscribe_state();
    patiently(what, async {
        loop {
            let state = states.next().await.unwrap();
            if is_wanted(&state) {
                return state;
            }
        }
    })
    .await
}

async fn timeline(client: &ChatClient, what: &str, is_wanted: impl Fn(&Timeline) -> bool) -> Arc<Timeline> {
    let mut timelines = client.subscribe_timeline(None);
    patiently(what, async {
        loop {
            let timeline = timelines.next().await.unwrap().unwrap();
            if is_wanted(&timeline) {
                return timeline;
            }
        }
    })
    .await
}

fn bodies(timeline: &Timeline) -> Vec<&str> {
    timeline.items.iter().map(|item| item.body.as_str()).collect()
}

/// Whether any file in the folder holds this text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_day_with_an_app() {
    let backend = Backend::fresh().await;
    let server = ServerProcess::start(BINARY, &backend, &[]).await;
    let app = server.app().await;
    let folder = tempfile::tempdir().unwrap();
    let phone = Arc::new(Phone { server: Mutex::new(server.address()), log: Mutex::default() });

    // Offline: what was written is there.
    let config = Config::new("http://chat.example.com", &app.app_id, &app.api_key, folder.path());
    let client = ChatClient::open(config, Arc::clone(&phone) as Arc<dyn Platform>).await.unwrap();
    client.set_network(false).await.unwrap();
    let person = User { id: "u1".into(), name: Some("Grace".into()), email: None, attributes: None };
    client.identify(person).await.unwrap();
    for body in ["one", "two", "three"] {
        client.send(None, body).await.unwrap();
    }
    let shown = timeline(&client, "what was written", |timeline| timeline.items.len() == 3).await;
    assert!(shown.items.iter().all(|item| item.delivery == Delivery::Queued));
    assert_eq!(client.subscribe_state().current().connection, ConnectionState::Offline);

    // Connected: it is sent, once and in order.
    client.set_network(true).await.unwrap();
    let sent =
        |timeline: &Timeline| timeline.items.iter().filter(|item| item.delivery == Delivery::Sent).count();
    let shown = timeline(&client, "all sent", |timeline| sent(timeline) == 3).await;
    assert_eq!(bodies(&shown), ["one", "two", "three"]);
    let conversation = shown.conversation_id.clone().unwrap();

    // An agent types and answers; the unread count and the read mark go back and forth.
    let mut agent = app.agent_in(&conversation).await;
    agent.done("typing:start", json!({ "conversation_id": conversation.as_str() })).await;
    timeline(&client, "the agent's typing", |timeline| timeline.is_agent_typing).await;
    client.typing(None, true).await.unwrap();
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    agent.say(&conversation, "a1", "Hello, Grace").await;
    let shown = timeline(&client, "the answer", |timeline| timeline.items.len() == 4).await;
    assert_eq!((shown.items[3].sender, shown.items[3].seq), (Sender::Agent, Some(4)));
    state(&client, "one unread", |state| state.unread == 1).await;
    client.mark_read(None).await.unwrap();
    state(&client, "none unread", |state| state.unread == 0).await;
    let read =
        json!({ "conversation_id": conversation.as_str(), "up_to_message_id": shown.items[2].message_id });
    agent.done("message:read", read).await;
    timeline(&client, "read by the agent", |timeline| timeline.items[2].delivery == Delivery::Read).await;

    // The server is killed; the app goes on, and so does the server.
    server.kill().await;
    state(&client, "the loss", |state| state.connection != ConnectionState::Online).await;
    client.send(None, "four").await.unwrap();
    let server = ServerProcess::start(BINARY, &backend, &[]).await;
    *phone.server.lock().unwrap() = server.address();
    let app = TestApp { address: server.address(), ..app };
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    app.as_agent().post(&path, &json!({ "local_id": "a2", "body": "Still here" })).await.ok();
    let shown = timeline(&client, "both", |timeline| {
        timeline.items.len() == 6 && timeline.items.iter().all(|item| item.seq.is_some())
    })
    .await;
    let stored = app.as_agent().get(&path).await.ok();
    let stored: Vec<_> = stored["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies(&shown), stored, "nothing lost, doubled or reordered");
    assert_eq!(stored[..4], ["one", "two", "three", "Hello, Grace"]);
    let presence: Value = app
        .as_agent()
        .get(&format!("/v1/admin/devices/{}/presence", client.subscribe_state().current().device_id))
        .await
        .ok();
    assert_eq!(presence["is_online"], true);

    // Logged out: nothing of Grace is left.
    assert_eq!(client.drain(Duration::from_secs(20)).await, Ok(0));
    client.logout().await.unwrap();
    timeline(&client, "nothing", |timeline| timeline.items.is_empty()).await;
    client.close().await;
    for text in ["Grace", "three", "Hello", conversation.as_str()] {
        assert!(!holds(folder.path(), text), "{text}");
    }
    let log = phone.log.lock().unwrap();
    assert!(!log.contains("Hello") && !log.contains("four") && !log.contains(&app.api_key), "{log}");
}

// The tokens of docs/sdk/rust.md, as they are printed there.
// [tokens]
/// `fetch_token` asks your backend: when the server has to be told who is there, now or later, and never in the background.
async fn sign_in<F, T, E>(client: &ChatClient, user_id: &str, fetch_token: F) -> Result<(), ClientError>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<String, E>> + Send + 'static,
    E: std::fmt::Display + 'static,
{
    // Where only the token knows who it is: `Identity::by_token(fetch_token)`.
    client.identify(Identity::proven(user_id, fetch_token)).await
}

async fn sign_out(client: &ChatClient) -> Result<(), ClientError> {
    // What waits gets a last chance; then nothing of the person stays, and the server is told that they have gone.
    client.drain(Duration::from_secs(5)).await?;
    client.logout().await
}
// [/tokens]

/// A phone with the app.
async fn phone_of(app: &TestApp, folder: &Path) -> ChatClient {
    let phone = Arc::new(Phone { server: Mutex::new(app.address), log: Mutex::default() });
    let config = Config::new("http://chat.example.com", &app.app_id, &app.api_key, folder);
    ChatClient::open(config, phone as Arc<dyn Platform>).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_person_with_two_phones() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, secret) = app.identity_secret().await;
    let fetched = Arc::new(AtomicUsize::new(0));
    let backend = |fetched: Arc<AtomicUsize>| {
        let secret = secret.clone();
        move || {
            fetched.fetch_add(1, Ordering::Relaxed);
            let token = token_of(&secret, "ann");
            async move { Ok::<_, std::convert::Infallible>(token) }
        }
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];

    // What is written on one phone is on the other, live.
    let first = phone_of(&app, folders[0].path()).await;
    sign_in(&first, "ann", backend(fetched.clone())).await.unwrap();
    first.send(None, "From the first").await.unwrap();
    timeline(&first, "sent", |timeline| timeline.items.iter().all(|item| item.seq.is_some())).await;
    let second = phone_of(&app, folders[1].path()).await;
    second.identify(Identity::by_token(backend(Arc::default()))).await.unwrap();
    timeline(&second, "the first's", |timeline| bodies(timeline) == ["From the first"]).await;
    second.send(None, "From the second").await.unwrap();
    let both = ["From the first", "From the second"];
    let shown = timeline(&first, "the second's", |timeline| bodies(timeline) == both).await;
    let conversation = shown.conversation_id.clone().unwrap();
    assert_eq!(fetched.load(Ordering::Relaxed), 1);

    // The operator unbinds one; its app fetches another token, and nothing of what was written is lost.
    let device = first.subscribe_state().current().device_id.clone();
    app.as_agent().post(&format!("/v1/admin/devices/{device}/unbind"), &json!({})).await.ok();
    patiently("another token", async {
        while fetched.load(Ordering::Relaxed) < 2 {
            first.send(None, "Written meanwhile").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let state_after = state(&first, "all sent", |state| state.queued == 0).await;
    assert_eq!(state_after.wedged, 0);
    let shown =
        timeline(&first, "all of it", |timeline| timeline.items.iter().all(|item| item.seq.is_some())).await;
    assert_eq!(shown.conversation_id.as_ref(), Some(&conversation));
    timeline(&second, "the same", |timeline| bodies(timeline) == bodies(&shown)).await;

    // Blocked, it says so, and what is written waits.
    let path = format!("/v1/admin/devices/{device}");
    app.as_agent().patch(&path, &json!({ "blocked": true })).await.ok();
    state(&first, "blocked", |state| state.connection == ConnectionState::Blocked).await;
    first.send(None, "Written while blocked").await.unwrap();
    assert_eq!(state(&first, "it waits", |state| state.queued == 1).await.wedged, 0);
    app.as_agent().patch(&path, &json!({ "blocked": false })).await.ok();
    first.network_changed().await.unwrap();
    timeline(&second, "what waited", |timeline| {
        timeline.items.last().is_some_and(|item| item.body == "Written while blocked")
    })
    .await;

    // Logged out, the phone is nobody's on the server, too.
    sign_out(&first).await.unwrap();
    testkit::holds("she has left the first phone", || async {
        let person = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}/person")).await.ok();
        let devices = person["devices"].as_array().unwrap().clone();
        devices.iter().all(|known| known["device_id"] != device.as_str() || known["is_verified"] == false)
    })
    .await;
    second.send(None, "Still here").await.unwrap();
    state(&second, "all sent", |state| state.queued == 0).await;
    assert_eq!(first.subscribe_state().current().conversations, []);
}
