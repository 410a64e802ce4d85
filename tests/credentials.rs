//! Credentials that are withdrawn, of whatever kind: what they opened is closed within five seconds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer, eventually};

const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// The client is told why, and leaves in a way after which stock clients stay away.
async fn is_put_out(client: &mut Client, since: Instant) {
    assert_eq!(client.expect("error").await["code"], "INVALID_CREDENTIALS");
    assert!(client.closed().await, "the namespace is left by a packet first");
    assert!(since.elapsed() < CLOSED_WITHIN, "{:?}", since.elapsed());
}

async fn rotate(app: &TestApp, flags: &[&str]) -> TestApp {
    let rotated = app.command(&[&["app", "rotate-key", &app.app_id], flags].concat()).await;
    TestApp { api_key: rotated["api_key"].as_str().unwrap().to_owned(), ..app.clone() }
}

/// What `app list` says of the app's old key.
async fn old_key(app: &TestApp) -> Value {
    let list = app.command(&["app", "list"]).await;
    let rows = list["apps"].as_array().unwrap();
    rows.iter().find(|row| row["app_id"] == app.app_id.as_str()).unwrap()["old_key"].clone()
}

#[tokio::test]
async fn the_sockets_of_a_key_that_was_replaced_are_closed_and_no_others() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let (mut phone, mut tablet) = (app.device("phone").await, app.device("tablet").await);
    let (mut foreign, mut agent) = (other.device("phone").await, app.agent().await);
    let renewed = rotate(&app, &[]).await;
    let rotated = Instant::now();
    assert_eq!(app.as_device("phone").get("/v1/conversations").await.failure(), (401, "INVALID_CREDENTIALS"));
    let mut new = renewed.device("phone").await;
    is_put_out(&mut phone, rotated).await;
    is_put_out(&mut tablet, rotated).await;
    for client in [&mut new, &mut foreign, &mut agent] {
        assert_eq!(client.call("ping", json!({})).await, "pong");
    }
    assert_eq!(app.try_device("phone").await.err().unwrap().message, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn a_key_that_is_kept_is_good_until_its_end_and_its_use_is_seen() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut before = app.device("phone").await;
    let renewed = rotate(&app, &["--keep-old-for=6s"]).await;
    let ends = Instant::now() + Duration::from_secs(6);
    assert_eq!(old_key(&app).await["last_used_at"], Value::Null);
    let (mut new, mut old) = (renewed.device("tablet").await, app.device("watch").await);
    app.as_device("phone").get("/v1/conversations").await.ok();
    renewed.as_device("phone").get("/v1/conversations").await.ok();
    assert!(old_key(&app).await["last_used_at"].is_string(), "somebody still has the old one");
    // A third would leave the first without notice.
    let refused = app.try_command(&["app", "rotate-key", &app.app_id, "--keep-old-for=90d"]).await;
    assert!(refused.unwrap_err().contains("old key"));
    assert_eq!(before.call("ping", json!({})).await, "pong");
    is_put_out(&mut before, ends).await;
    is_put_out(&mut old, ends).await;
    assert!(ends.elapsed() < CLOSED_WITHIN && Instant::now() >= ends, "not before its time");
    assert_eq!(app.as_device("phone").get("/v1/conversations").await.failure(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(new.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn an_old_key_can_be_ended_before_its_time() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut old = app.device("phone").await;
    let renewed = rotate(&app, &["--keep-old-for=90d"]).await;
    assert_eq!(app.command(&["app", "end-old-key", &app.app_id]).await["ended"], true);
    is_put_out(&mut old, Instant::now()).await;
    assert_eq!(app.command(&["app", "end-old-key", &app.app_id]).await["ended"], false);
    renewed.device("phone").await;
    // And there is room for another old one.
    rotate(&renewed, &["--keep-old-for=1h"]).await;
    renewed.device("phone").await;
}

/// Over REST a credential is not looked up for each request: one that was withdrawn opens nothing all the same, and what
/// takes its place is good at once.
#[tokio::test]
async fn who_has_just_been_let_in_over_rest_is_not_for_long_once_their_credential_is_withdrawn() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let token = app.command(&["token", "create", "--app", &app.app_id, "--name", "Bob"]).await;
    let (id, secret) = (token["id"].as_str().unwrap(), token["admin_token"].as_str().unwrap());
    app.as_device("phone").get("/v1/conversations").await.ok();
    app.as_agent_with(secret).get("/v1/admin/conversations").await.ok();

    app.command(&["token", "revoke", id]).await;
    let renewed = rotate(&app, &[]).await;
    let withdrawn = Instant::now();
    renewed.as_device("phone").get("/v1/conversations").await.ok();
    for (client, path) in [
        (app.as_device("phone"), "/v1/conversations"),
        (app.as_agent_with(secret), "/v1/admin/conversations"),
    ] {
        let refused = || async { (client.get(path).await.status == 401).then_some(()) };
        eventually("it is refused", refused).await;
        assert!(withdrawn.elapsed() < CLOSED_WITHIN, "{:?}", withdrawn.elapsed());
        assert_eq!(client.get(path).await.failure(), (401, "INVALID_CREDENTIALS"));
    }
    app.as_agent().get("/v1/admin/conversations").await.ok();

    // A page that is let in from here on is let in at once, too.
    let origin = ("Origin", "https://shop.example.com");
    app.command(&["app", "allow-origins", &app.app_id, "https://other.example.com"]).await;
    let from_page = || renewed.as_device("phone").header(origin.0, origin.1);
    let refused = || async { (from_page().get("/v1/conversations").await.status == 403).then_some(()) };
    eventually("the page is refused", refused).await;
    app.command(&["app", "allow-origins", &app.app_id, origin.1]).await;
    from_page().get("/v1/conversations").await.ok();
}

#[tokio::test]
async fn an_app_of_another_system_keeps_its_id_and_its_key() {
    const ID: &str = "0d9b7f3a-5b0e-4c53-9d6f-2a7f0c1e8b44";
    const KEY: &str = "key_0123456789abcdef0123456789abcdef";
    let server = TestServer::start().await;
    let app = server.app().await;
    let create = async |id: &str, key: &str| {
        let (id, key) = (format!("--id={id}"), format!("--api-key={key}"));
        app.try_command(&["app", "create", "Shop of old", &id, &key]).await
    };
    let taken = create(ID, KEY).await.unwrap();
    assert_eq!(taken, json!({ "app_id": ID, "api_key": KEY }));
    let old = TestApp { app_id: ID.into(), api_key: KEY.into(), ..app.clone() };
    let conversation = old.conversation("phone").await;
    old.device("phone").await.say(&conversation, "1", "as before").await;
    // It is an app like any other: its key can be replaced, and is nobody else's.
    app.device("phone").await;
    let foreign = TestApp { api_key: app.api_key.clone(), ..old.clone() };
    assert_eq!(foreign.try_device("phone").await.err().unwrap().message, "INVALID_CREDENTIALS");
    let renewed = rotate(&old, &["--keep-old-for=1h"]).await;
    renewed.device("phone").await;
    old.device("tablet").await;
    for (id, key, complaint) in [
        (ID, KEY, "already"),
        (app.app_id.as_str(), KEY, "already"),
        ("", KEY, "letters"),
        ("a b", KEY, "letters"),
        ("x", "too-short", "20 to 256"),
        ("x", "key with spaces in it, and long", "20 to 256"),
    ] {
        let refused = create(id, key).await.unwrap_err();
        assert!(refused.contains(complaint) && !refused.contains("too-short"), "{id} {key}: {refused}");
    }
    assert_eq!(old.command(&["app", "list"]).await["apps"].as_array().unwrap().len(), 2);
}
