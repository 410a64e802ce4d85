//! Broadcasts: the exact form of everything that is sent, to whom, in which order, and how often.

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer};

use crate::agents::agent;

/// The value as text, with what differs from run to run named instead of shown.
fn form(value: &Value) -> String {
    normalised(value).to_string()
}

fn normalised(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(named(text).unwrap_or(text)),
        Value::Array(items) => items.iter().map(normalised).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), normalised(value))).collect()
        }
        other => other.clone(),
    }
}

fn named(text: &str) -> Option<&'static str> {
    let ids = [
        ("app_", "[app]"),
        ("conv_", "[conversation]"),
        ("msg_", "[message]"),
        ("conn_", "[connection]"),
        ("tok_", "[token]"),
        ("req_", "[request]"),
    ];
    if let Some((_, name)) = ids.into_iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return Some(name);
    }
    // RFC 3339, UTC, milliseconds, Z; anything else stays and shows itself.
    let pattern = "0000-00-00T00:00:00.000Z";
    let is_time = text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, wanted)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted });
    is_time.then_some("[time]")
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

async fn post(app: &TestApp, conversation: &str, local_id: &str) {
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    app.as_agent().post(&path, &json!({ "local_id": local_id, "body": "x" })).await.ok();
}

#[tokio::test]
async fn every_event_to_a_device_has_its_documented_form() {
    let mut server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    agent.say(&conversation, "a1", "Hello").await;
    let mut device = app.device("phone").await;
    insta::assert_snapshot!(form(&device.expect("connected").await),
        @r#"{"connection_id":"[connection]","server_time":"[time]"}"#);
    insta::assert_snapshot!(form(&device.expect("conversation:joined").await),
        @r#"{"conversation_id":"[conversation]","last_message_id":"[message]","last_seq":1}"#);
    let answer = agent.say(&conversation, "a2", "Hi").await;
    insta::assert_snapshot!(form(&device.expect("message:new").await),
        @r#"{"body":"Hi","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"a2","sender":"agent","sender_id":"[token]","sender_name":"Ada","seq":2,"status":"sent"}"#);
    let question = device.say(&conversation, "d1", "Where?").await;
    insta::assert_snapshot!(form(&device.expect("message:new").await),
        @r#"{"body":"Where?","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"d1","sender":"user","seq":3,"status":"sent"}"#);
    let mut tab = app.device_in_conversation("phone").await.0;
    device.done("delivery:receipt", json!({ "message_id": answer["id"] })).await;
    insta::assert_snapshot!(form(&tab.expect("message:status").await),
        @r#"{"at":"[time]","by":"user","conversation_id":"[conversation]","status":"delivered","up_to_seq":2}"#);
    let read = json!({ "conversation_id": conversation, "up_to_message_id": question["id"] });
    agent.done("message:read", read).await;
    insta::assert_snapshot!(form(&tab.expect("message:status").await),
        @r#"{"at":"[time]","by":"agent","conversation_id":"[conversation]","status":"read","up_to_seq":3}"#);
    agent.done("typing:start", json!(conversation)).await;
    insta::assert_snapshot!(form(&device.expect("agent:typing").await),
        @r#"{"conversation_id":"[conversation]","is_typing":true}"#);
    device.done("typing:start", json!(conversation)).await;
    insta::assert_snapshot!(form(&tab.expect("user:typing").await),
        @r#"{"conversation_id":"[conversation]","device_id":"phone","is_typing":true}"#);
    device.emit("ping", json!({})).await;
    insta::assert_snapshot!(form(&device.expect("pong").await), @"{}");
    device.emit("conversation:join", json!({})).await;
    insta::assert_snapshot!(form(&device.expect("error").await),
        @r#"{"code":"MISSING_PARAMS","message":"conversation_id is required"}"#);
    server.shut_down().await;
    let mut shutdown = device.expect("server:shutdown").await;
    assert!(shutdown["reconnect_delay_ms"].take().is_u64());
    insta::assert_snapshot!(form(&shutdown),
        @r#"{"message":"the server is shutting down","reconnect_delay_ms":null}"#);
}

#[tokio::test]
async fn every_event_to_an_agent_has_its_documented_form() {
    let mut server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    insta::assert_snapshot!(form(&agent.expect("connected").await),
        @r#"{"connection_id":"[connection]","server_time":"[time]"}"#);
    app.as_device("phone")
        .post("/v1/identify", &json!({ "user": { "id": "u1", "name": "Grace" } }))
        .await
        .ok();
    let conversation = app.conversation("phone").await;
    insta::assert_snapshot!(form(&agent.expect("conversation:updated").await),
        @r#"{"conversation":{"app_id":"[app]","created_at":"[time]","device_id":"phone","id":"[conversation]","last_seq":0,"status":"open","unread_count":0,"updated_at":"[time]","user_id":"u1","user_name":"Grace"},"last_message":null}"#);
    agent.done("conversation:join", json!(conversation)).await;
    insta::assert_snapshot!(form(&agent.expect("conversation:joined").await),
        @r#"{"conversation_id":"[conversation]","last_seq":0}"#);
    let (mut device, _) = app.device_in_conversation("phone").await;
    insta::assert_snapshot!(form(&agent.expect("session:connect").await),
        @r#"{"app_id":"[app]","connected_at":"[time]","connection_id":"[connection]","device_id":"phone","user_info":{"name":"Grace","user_id":"u1"}}"#);
    insta::assert_snapshot!(form(&agent.expect("presence:change").await),
        @r#"{"active_connections":1,"app_id":"[app]","device_id":"phone","is_online":true,"user_info":{"name":"Grace","user_id":"u1"}}"#);
    device.say(&conversation, "d1", "Where?").await;
    insta::assert_snapshot!(form(&agent.expect("message:new").await),
        @r#"{"body":"Where?","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"d1","sender":"user","sender_name":"Grace","seq":1,"status":"sent"}"#);
    insta::assert_snapshot!(form(&agent.expect("conversation:updated").await),
        @r#"{"conversation":{"app_id":"[app]","created_at":"[time]","device_id":"phone","id":"[conversation]","last_seq":1,"status":"open","unread_count":1,"updated_at":"[time]","user_id":"u1","user_name":"Grace","waiting_since":"[time]"},"last_message":{"body":"Where?","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"d1","sender":"user","sender_name":"Grace","seq":1,"status":"sent"}}"#);
    let answer = agent.say(&conversation, "a1", "Here").await;
    device
        .done("message:read", json!({ "conversation_id": conversation, "up_to_message_id": answer["id"] }))
        .await;
    insta::assert_snapshot!(form(&agent.expect("message:status").await),
        @r#"{"at":"[time]","by":"user","conversation_id":"[conversation]","status":"read","up_to_seq":2}"#);
    device.done("typing:start", json!(conversation)).await;
    insta::assert_snapshot!(form(&agent.expect("user:typing").await),
        @r#"{"conversation_id":"[conversation]","device_id":"phone","is_typing":true}"#);
    device.cut();
    insta::assert_snapshot!(form(&agent.expect("session:disconnect").await),
        @r#"{"app_id":"[app]","connection_id":"[connection]","device_id":"phone","reason":"transport close"}"#);
    insta::assert_snapshot!(form(&agent.expect("presence:change").await),
        @r#"{"active_connections":0,"app_id":"[app]","device_id":"phone","is_online":false,"user_info":{"name":"Grace","user_id":"u1"}}"#);
    agent.emit("ping", json!({})).await;
    insta::assert_snapshot!(form(&agent.expect("pong").await), @"{}");
    agent.emit("sessions:list", json!({ "app_id": "app_other" })).await;
    insta::assert_snapshot!(form(&agent.expect("error").await),
        @r#"{"code":"FORBIDDEN","message":"this token is for another app"}"#);
    server.shut_down().await;
    let mut shutdown = agent.expect("server:shutdown").await;
    assert!(shutdown["reconnect_delay_ms"].take().is_u64());
    insta::assert_snapshot!(form(&shutdown),
        @r#"{"message":"the server is shutting down","reconnect_delay_ms":null}"#);
}

#[tokio::test]
async fn every_ack_to_a_device_has_its_documented_form() {
    let server = TestServer::with(&["--rate-limit-device=1"]).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let here = json!({ "conversation_id": conversation });
    let send = json!({ "conversation_id": conversation, "local_id": "1", "body": "Hi" });
    insta::assert_snapshot!(form(&device.call("conversation:join", here.clone()).await),
        @r#"{"last_seq":0,"success":true}"#);
    let sent = device.call("message:send", send.clone()).await;
    insta::assert_snapshot!(form(&sent),
        @r#"{"message":{"body":"Hi","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"1","sender":"user","seq":1,"status":"sent"},"success":true}"#);
    assert_eq!(device.call("message:send", send.clone()).await, sent, "a retry gets the same answer");
    insta::assert_snapshot!(form(&device.call("conversation:join", here.clone()).await),
        @r#"{"last_message_id":"[message]","last_seq":1,"success":true}"#);
    let caught_up = json!({ "conversation_id": conversation, "after": "" });
    insta::assert_snapshot!(form(&device.call("conversation:join", caught_up).await),
        @r#"{"has_more":false,"last_message_id":"[message]","last_seq":1,"messages":[{"body":"Hi","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"1","sender":"user","seq":1,"status":"sent"}],"receipts":{"agent_delivered_seq":0,"agent_read_seq":0,"user_delivered_seq":0,"user_read_seq":0},"success":true}"#);
    let up_to = json!({ "conversation_id": conversation, "up_to_message_id": sent["message"]["id"] });
    for (event, payload) in [
        ("typing:start", here.clone()),
        ("typing:stop", here.clone()),
        ("delivery:receipt", json!({ "message_id": sent["message"]["id"] })),
        ("delivery:receipt", up_to.clone()),
        ("message:read", up_to),
        ("conversation:leave", here.clone()),
    ] {
        assert_eq!(device.call(event, payload).await, json!({ "success": true }), "{event}");
    }
    assert_eq!(device.call("ping", json!({})).await, json!("pong"));
    insta::assert_snapshot!(form(&device.call("conversation:leave", here).await),
        @r#"{"error":"CONVERSATION_NOT_FOUND","message":"this connection has not joined that conversation","success":false}"#);
    // However slow this machine is, sooner or later two come within a second.
    let mut limited = loop {
        let answer = device.call("message:send", send.clone()).await;
        if answer["success"] == false {
            break answer;
        }
    };
    assert!((1..=1_001).contains(&limited["retry_after_ms"].take().as_u64().unwrap()));
    assert!(limited["message"].take().as_str().unwrap().starts_with("too many sends; wait "));
    insta::assert_snapshot!(form(&limited),
        @r#"{"error":"RATE_LIMITED","message":null,"retry_after_ms":null,"success":false}"#);
}

#[tokio::test]
async fn every_ack_to_an_agent_has_its_documented_form() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent().await;
    let here = json!({ "conversation_id": conversation });
    let own = json!({ "app_id": app.app_id });
    assert_eq!(agent.call("app:subscribe", own.clone()).await, json!({ "success": true }));
    insta::assert_snapshot!(form(&agent.call("conversation:join", here.clone()).await),
        @r#"{"last_activity":0,"last_seq":0,"success":true}"#);
    let send = json!({ "conversation_id": conversation, "local_id": "1", "body": "Hi" });
    let sent = agent.call("message:send", send).await;
    insta::assert_snapshot!(form(&sent),
        @r#"{"message":{"body":"Hi","conversation_id":"[conversation]","created_at":"[time]","id":"[message]","local_id":"1","sender":"agent","sender_id":"[token]","sender_name":"Ada","seq":1,"status":"sent"},"success":true}"#);
    let up_to = json!({ "conversation_id": conversation, "up_to_message_id": sent["message"]["id"] });
    for (event, payload) in [
        ("typing:start", here.clone()),
        ("typing:stop", here.clone()),
        ("message:read", up_to),
        ("conversation:leave", here),
    ] {
        assert_eq!(agent.call(event, payload).await, json!({ "success": true }), "{event}");
    }
    insta::assert_snapshot!(form(&agent.call("sessions:list", own).await),
        @r#"{"has_more":false,"sessions":[{"app_id":"[app]","connected_at":"[time]","connection_id":"[connection]","device_id":"phone"}],"success":true}"#);
    assert_eq!(agent.call("ping", json!({})).await, json!("pong"));
    insta::assert_snapshot!(form(&agent.call("app:subscribe", json!({ "app_id": "app_other" })).await),
        @r#"{"error":"FORBIDDEN","message":"this token is for another app","success":false}"#);
}

#[tokio::test]
async fn each_event_reaches_those_it_is_for_and_only_those() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut typist, conversation) = app.device_in_conversation("phone").await;
    let (mut tab, _) = app.device_in_conversation("phone").await;
    let (mut neighbour, _) = app.device_in_conversation("neighbour").await;
    let mut joined = app.agent_in(&conversation).await;
    let mut watching = app.agent().await;
    let message = joined.say(&conversation, "1", "x").await;
    typist.done("typing:start", json!(conversation)).await;
    joined.done("typing:start", json!(conversation)).await;
    typist.done("delivery:receipt", json!({ "message_id": message["id"] })).await;
    let notes = format!("/v1/admin/conversations/{conversation}/notes");
    app.as_agent().post(&notes, &json!({ "local_id": "n1", "body": "x" })).await.ok();
    let (_, token) = agent(&app, "ben", "agent").await;
    let mut looking = app.agent_with(&token).await.unwrap();
    looking.done("conversation:join", json!({ "conversation_id": conversation })).await;
    looking.done("conversation:viewing", json!({ "conversation_id": conversation })).await;
    let table = [
        ("message:new", [1, 1, 0, 1, 0]),
        ("message:status", [1, 1, 0, 1, 0]),
        ("user:typing", [0, 1, 0, 1, 0]),
        ("agent:typing", [1, 1, 0, 0, 0]),
        ("activity:new", [0, 0, 0, 1, 0]),
        ("agent:viewing", [0, 0, 0, 1, 0]),
    ];
    for (event, expected) in table {
        let mut heard = [0; 5];
        let clients = [&mut typist, &mut tab, &mut neighbour, &mut joined, &mut watching];
        for (count, client) in heard.iter_mut().zip(clients) {
            *count = client.settled(event).await.len();
        }
        assert_eq!(heard, expected, "{event}");
    }
    for device in [&mut typist, &mut tab, &mut neighbour] {
        for event in ["conversation:updated", "session:connect", "session:disconnect", "presence:change"] {
            assert_eq!(device.settled(event).await, [] as [Value; 0], "{event} is for agents");
        }
        assert_eq!(device.untaken(), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_from_all_sides_come_to_all_in_order_each_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (device, conversation) = app.device_in_conversation("phone").await;
    let tab = app.device_in_conversation("phone").await.0;
    let (ada, grace) = (app.agent_in(&conversation).await, app.agent_in(&conversation).await);
    let mut listener = app.agent_in(&conversation).await;
    let senders = [device, tab, ada, grace];
    let mut sending = Vec::new();
    for (number, mut sender) in senders.into_iter().enumerate() {
        let conversation = conversation.clone();
        sending.push(tokio::spawn(async move {
            let mut asked = Vec::new();
            for message in 0..250 {
                let local_id = format!("{number}-{message}");
                let send = json!({ "conversation_id": conversation, "local_id": local_id, "body": local_id });
                asked.push(sender.ask("message:send", send).await);
            }
            let mut own = Vec::new();
            for ack in asked {
                let answer = sender.ack(ack).await;
                assert_eq!(answer["success"], true, "{answer}");
                own.push(answer["message"].clone());
            }
            (sender, own)
        }));
    }
    let mut clients = Vec::new();
    let mut all = Vec::new();
    for sender in sending {
        let (client, own) = sender.await.unwrap();
        let own_seqs = seqs(&own);
        assert!(own_seqs.is_sorted(), "one connection's messages keep their order: {own_seqs:?}");
        all.extend(own);
        clients.push(client);
    }
    all.sort_by_key(|message| message["seq"].as_u64());
    assert_eq!(seqs(&all), (1..=1_000).collect::<Vec<_>>());
    for client in clients.iter_mut().chain([&mut listener]) {
        let heard = client.settled("message:new").await;
        assert!(heard == all, "heard {:?}", seqs(&heard));
    }
    let inbox = listener.settled("conversation:updated").await;
    let told: Vec<_> =
        inbox.iter().map(|updated| updated["conversation"]["last_seq"].as_u64().unwrap()).collect();
    // Who does not read meanwhile is told less often, and of the newest.
    assert!(told.is_sorted() && told.last() == Some(&1_000), "{told:?}");
}

#[tokio::test]
async fn a_retry_is_broadcast_to_nobody() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let first = device.say(&conversation, "1", "once").await;
    for _ in 0..10 {
        assert_eq!(device.say(&conversation, "1", "once").await, first);
    }
    let path = format!("/v1/conversations/{conversation}/messages");
    app.as_device("phone").post(&path, &json!({ "local_id": "1", "body": "once" })).await.ok();
    for client in [&mut device, &mut agent] {
        assert_eq!(client.settled("message:new").await, std::slice::from_ref(&first));
    }
    assert_eq!(agent.settled("conversation:updated").await.len(), 1);
}

/// What an agent with all permissions but `without` hears of a device's visit.
async fn heard_without(app: &TestApp, without: &str, device_id: &str) -> Vec<String> {
    let permissions: Vec<_> =
        ["view_sessions", "view_presence", "view_conversations", "send_messages", "manage"]
            .into_iter()
            .filter(|permission| *permission != without)
            .collect();
    let token = app.token(&permissions).await.1;
    let mut agent = app.agent_with(&token).await.unwrap();
    agent.expect("connected").await;
    let mut witness: Client = app.agent().await;
    let (device, conversation) = app.device_in_conversation(device_id).await;
    post(app, &conversation, "1").await;
    device.close().await;
    witness.expect("session:disconnect").await;
    assert_eq!(witness.settled("presence:change").await.len(), 2);
    // They come once for all that changed, so that only whether they do is certain.
    let counted = if without == "view_conversations" { &mut witness } else { &mut agent };
    counted.expect("inbox:counts").await;
    assert_eq!(agent.call("ping", json!({})).await, "pong");
    let mut heard: Vec<_> = agent.untaken().into_iter().map(str::to_owned).collect();
    if without != "view_conversations" {
        heard.retain(|event| event != "inbox:counts");
    }
    heard.sort();
    heard
}

#[tokio::test]
async fn an_agent_hears_of_nothing_that_their_token_does_not_allow() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let all = [
        "conversation:updated",
        "conversation:updated",
        "presence:change",
        "presence:change",
        "session:connect",
        "session:disconnect",
    ];
    for (without, prefix) in [
        ("manage", "nothing"),
        ("send_messages", "nothing"),
        ("view_sessions", "session:"),
        ("view_presence", "presence:"),
        ("view_conversations", "conversation:"),
    ] {
        let expected: Vec<_> = all.into_iter().filter(|event| !event.starts_with(prefix)).collect();
        assert_eq!(heard_without(&app, without, without).await, expected, "without {without}");
    }
}

#[tokio::test]
async fn an_agent_may_do_only_what_their_token_allows() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let message = device.say(&conversation, "1", "x").await;
    let here = json!({ "conversation_id": conversation });
    let up_to = json!({ "conversation_id": conversation, "up_to_message_id": message["id"] });
    let send = json!({ "conversation_id": conversation, "local_id": "2", "body": "x" });
    let of_app = json!({ "app_id": app.app_id });
    let reading = app.agent_with(&app.token(&["view_conversations"]).await.1).await.unwrap();
    let writing = app.agent_with(&app.token(&["send_messages"]).await.1).await.unwrap();
    let watching = app.agent_with(&app.token(&["view_sessions"]).await.1).await.unwrap();
    for (name, mut agent, join, write, list) in [
        ("reading", reading, true, false, false),
        ("writing", writing, false, true, false),
        ("watching", watching, false, false, true),
    ] {
        agent.done("app:subscribe", of_app.clone()).await;
        for (event, payload, may) in [
            ("conversation:join", &here, join),
            ("message:read", &up_to, join),
            ("message:send", &send, write),
            ("sessions:list", &of_app, list),
        ] {
            let answer = agent.call(event, payload.clone()).await;
            assert_eq!(answer["success"], may, "{name} {event}: {answer}");
            assert!(may || answer["error"] == "FORBIDDEN", "{name} {event}: {answer}");
        }
        // Nobody of them has both: to have joined, and the permission to write.
        let refused = agent.refused("typing:start", here.clone()).await;
        assert_eq!(refused, if write { "CONVERSATION_NOT_FOUND" } else { "FORBIDDEN" }, "{name}");
    }
    assert_eq!(device.settled("agent:typing").await, [] as [Value; 0]);
}
