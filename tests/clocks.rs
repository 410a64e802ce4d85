//! Clocks that are wrong: by an hour between nodes, and by an hour between two starts. Nothing but what people read as a time
//! depends on them.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, Client, ServerProcess, TestApp, TestCluster, eventually};

use crate::BINARY;

const HOUR: i64 = 3_600;

async fn resolve(app: &TestApp, conversation: &str) {
    let path = format!("/v1/admin/conversations/{conversation}");
    app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
}

/// The ids of an app's conversations as its inbox has them.
async fn inbox(app: &TestApp) -> Vec<Value> {
    let page = app.as_agent().get("/v1/admin/conversations").await.ok();
    page["conversations"].as_array().unwrap().iter().map(|conversation| conversation["id"].clone()).collect()
}

async fn times(app: &TestApp, conversation: &str) -> Vec<String> {
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let page = app.as_agent().get(&path).await.ok();
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|message| message["created_at"].as_str().unwrap().to_owned()).collect()
}

/// A resolved conversation of a device, and a newer one that was opened on another node or at another time.
async fn old_and_new(older: &TestApp, newer: &TestApp, device: &str) -> (String, String) {
    let old = older.conversation(device).await;
    older.as_device(device).post(&format!("/v1/conversations/{old}/messages"), &message("old")).await.ok();
    resolve(older, &old).await;
    let new = newer.conversation(device).await;
    assert_ne!(old, new);
    (old, new)
}

fn message(local_id: &str) -> Value {
    json!({ "local_id": local_id, "body": "hello" })
}

/// The device is joined to this conversation when it connects, and hears what is said there.
async fn is_joined_to(app: &TestApp, device: &str, conversation: &str) {
    let mut client: Client = app.device(device).await;
    assert_eq!(client.expect("conversation:joined").await["conversation_id"], conversation);
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let said = app.as_agent().post(&path, &message(&format!("for {device} at {}", app.address))).await.ok();
    assert_eq!(client.expect("message:new").await["id"], said["message"]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nodes_hours_apart_order_and_expiry_hold() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    cluster.add_with_clock(-HOUR).await;
    cluster.add_with_clock(HOUR).await;
    let app = cluster.app().await;
    let nodes = [cluster.at(&app, 0), cluster.at(&app, 1), cluster.at(&app, 2)];
    let mut expected = Vec::new();
    for (number, (older, newer)) in [(0, 1), (2, 0), (2, 1), (1, 2)].into_iter().enumerate() {
        let device = format!("phone-{number}");
        let (old, new) = old_and_new(&nodes[older], &nodes[newer], &device).await;
        for node in &nodes {
            is_joined_to(node, &device, &new).await;
        }
        expected.splice(0..0, [json!(new), json!(old)]);
    }
    for node in &nodes {
        assert_eq!(inbox(node).await, expected, "newest activity first, whichever node it was on");
    }
    let conversation = nodes[0].conversation("tablet").await;
    for number in 0..9 {
        let path = format!("/v1/conversations/{conversation}/messages");
        nodes[number % 3].as_device("tablet").post(&path, &message(&number.to_string())).await.ok();
    }
    let times = times(&nodes[0], &conversation).await;
    assert!(times.is_sorted(), "{times:?}");
    // The database's clock is this machine's: what people read is right, too.
    let now = chat::Ambient::system().now().to_string();
    assert_eq!(times.last().unwrap()[..13], now[..13], "the hour at least");

    let (_, token) = app.token_with(&["view_sessions"], &["--expires-in=4s"]).await;
    let mut open = Vec::new();
    for node in &nodes {
        open.push(node.agent_with(&token).await.unwrap());
    }
    for client in &mut open {
        assert_eq!(client.expect("error").await["code"], "INVALID_CREDENTIALS");
        assert!(client.closed().await);
    }
    for node in &nodes {
        let answer = node.as_agent_with(&token).get("/v1/admin/sessions").await;
        assert_eq!(answer.failure(), (401, "INVALID_CREDENTIALS"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_back_between_two_starts_changes_no_order() {
    let backend = Backend::sqlite();
    let before = ServerProcess::start(BINARY, &backend, &[]).await;
    let app = before.app().await;
    let old = app.conversation("phone").await;
    let path = format!("/v1/conversations/{old}/messages");
    app.as_device("phone").post(&path, &message("1")).await.ok();
    resolve(&app, &old).await;
    let lasting = app.conversation("tablet").await;
    let lasting_path = format!("/v1/conversations/{lasting}/messages");
    app.as_device("tablet").post(&lasting_path, &message("1")).await.ok();
    before.kill().await;

    let flags: [&str; 0] = [];
    let after = ServerProcess::start_with_clock(-HOUR, BINARY, backend.database(), &flags).await;
    let app = TestApp { address: after.address(), ..app };
    let new = app.conversation("phone").await;
    assert_ne!(new, old);
    is_joined_to(&app, "phone", &new).await;
    assert_eq!(inbox(&app).await, [json!(new), json!(lasting), json!(old)]);
    for number in 2..5 {
        app.as_device("tablet").post(&lasting_path, &message(&number.to_string())).await.ok();
    }
    let times = times(&app, &lasting).await;
    assert!(times.is_sorted_by(|earlier, later| earlier <= later), "{times:?}");
    assert_eq!(inbox(&app).await, [json!(lasting), json!(new), json!(old)]);
    // Time goes on, and does not only stand still.
    let first = times.last().unwrap().clone();
    eventually("a later time", || async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let local_id = format!("{:?}", std::time::Instant::now());
        let sent = app.as_device("tablet").post(&lasting_path, &message(&local_id)).await.ok();
        (sent["message"]["created_at"].as_str().unwrap() > first.as_str()).then_some(())
    })
    .await;
}
