//! Apps with the SDK that was before Socket.IO, beside all others: nothing is lost for them, and nothing leaks to them.

use std::collections::HashSet;
use std::time::Duration;

use protocol::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};
use testkit::{Backend, Http, Method, OldPhone, ServerProcess, TestApp, TestServer, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::BINARY;

const DEVICE: &str = "7c5f0a3e-3b1d-4c59-9c0e-2f4f2c6a9d10";

fn ann() -> Value {
    json!({ "id": "ann", "name": "Ann", "email": null, "attributes": null })
}

async fn serving() -> (TestServer, TestApp) {
    let server = TestServer::with(&["--legacy"]).await;
    let app = server.app().await;
    (server, app)
}

/// Says something as the agent.
async fn agent_says(app: &TestApp, conversation: &str, local_id: &str, body: &str) -> Value {
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let answer = app.as_agent().post(&path, &json!({ "local_id": local_id, "body": body })).await.ok();
    answer["message"].clone()
}

#[tokio::test]
async fn an_old_app_writes_and_is_answered_live() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    let established = &phone.frames()[0];
    assert_eq!(established["type"], "connection.established");
    assert!(established["connection_id"].as_str().is_some_and(|id| id.starts_with("conn_")), "{established}");

    let mut agent = app.agent_in(&conversation).await;
    let sent = phone.send(&conversation, "l-1", "hello").await;
    assert_eq!((sent.status, &sent.json["message"]["status"]), (201, &json!("SENT")));
    assert_eq!(agent.expect("message:new").await["body"], "hello");
    let again = phone.send(&conversation, "l-1", "hello").await;
    assert_eq!((again.status, &again.json), (200, &sent.json));

    phone.say(&json!({ "type": "user.typing", "conversation_id": conversation }));
    let typing = agent.expect("user:typing").await;
    assert_eq!((&typing["is_typing"], &typing["device_id"]), (&json!(true), &json!(DEVICE)));
    phone.say(&json!({ "type": "user.typing", "conversation_id": conversation, "is_typing": false }));
    assert_eq!(agent.expect("user:typing").await["is_typing"], false);

    agent.done("typing:start", json!({ "conversation_id": conversation })).await;
    let is_typing = |frame: &Value| frame["type"] == "agent.typing";
    let typing = phone.told("the agent to type", is_typing).await;
    assert_eq!(typing, json!({ "type": "agent.typing", "conversation_id": conversation, "is_typing": true }));
    // Under a local_id that the phone has chosen too.
    let message = agent.say(&conversation, "l-1-of-the-agent", "hi Ann").await;
    phone.shows(&conversation, &["hello", "hi Ann"]).await;
    let shown = phone.shown(&conversation);
    assert_eq!((&shown[1]["local_id"], &shown[1]["sender"]), (&message["id"], &json!("agent")));

    phone.say(&json!({ "type": "ping" }));
    assert_eq!(phone.told("a pong", |frame| frame["type"] == "pong").await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn what_agents_name_alike_in_two_conversations_is_two_messages() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let first = phone.open(ann()).await;
    agent_says(&app, &first, "1", "one").await;
    let resolve = json!({ "status": "resolved" });
    app.as_agent().patch(&format!("/v1/admin/conversations/{first}"), &resolve).await.ok();
    let second = phone.open(ann()).await;
    assert_ne!(first, second);
    agent_says(&app, &second, "1", "two").await;
    phone.shows(&second, &["two"]).await;
    phone.shows(&first, &["one"]).await;
}

#[tokio::test]
async fn a_connection_is_in_one_conversation_at_a_time_and_in_none_of_others() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let first = phone.open(ann()).await;
    app.as_agent()
        .patch(&format!("/v1/admin/conversations/{first}"), &json!({ "status": "resolved" }))
        .await
        .ok();
    let second = phone.open(ann()).await;
    let foreign = app.conversation("someone-else").await;
    for id in [foreign.as_str(), "", "conv_none"] {
        phone.say(&json!({ "type": "subscribe", "conversation_id": id }));
    }
    phone.say_text("{nonsense");
    phone.say(&json!({ "type": "no such thing" }));
    phone.say(&json!(["subscribe"]));
    phone.say(&json!({ "type": "ping" }));
    phone.told("a pong", |frame| frame["type"] == "pong").await;
    let codes: Vec<_> = phone
        .frames()
        .iter()
        .filter(|frame| frame["type"] == "error")
        .map(|frame| frame["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [
            "UNAUTHORIZED_CONVERSATION",
            "UNAUTHORIZED_CONVERSATION",
            "UNAUTHORIZED_CONVERSATION",
            "INVALID_JSON"
        ]
    );

    agent_says(&app, &first, "a", "to the one that it has left").await;
    agent_says(&app, &foreign, "b", "to somebody else").await;
    agent_says(&app, &second, "c", "to the one that it is in").await;
    phone.shows(&second, &["to the one that it is in"]).await;
    assert!(phone.texts(&first).is_empty() && phone.texts(&foreign).is_empty());
    // Typing elsewhere is nothing, and no error.
    let mut agent = app.agent_in(&first).await;
    phone.say(&json!({ "type": "user.typing", "conversation_id": first }));
    phone.say(&json!({ "type": "subscribe", "conversation_id": first }));
    phone.shows(&first, &["to the one that it has left"]).await;
    phone.say(&json!({ "type": "user.typing", "conversation_id": first, "is_typing": true }));
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    assert!(agent.settled("user:typing").await.is_empty());
}

#[tokio::test]
async fn what_is_said_while_it_is_away_is_there_when_it_comes_back() {
    let (mut server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    phone.send(&conversation, "l-1", "before").await;
    server.restart(&["--legacy"]).await;
    let is_going = |frame: &Value| frame["type"] == "server.going_away" && frame["message"].is_string();
    phone.told("the server to go", is_going).await;
    eventually("the connection to end", || async { (!phone.ended().is_empty()).then_some(()) }).await;
    assert_eq!(phone.ended(), [Some(1001)]);
    let moved = TestApp { address: server.address(), ..app };
    agent_says(&moved, &conversation, "a", "meanwhile").await;
    phone.move_to(server.address());
    phone.shows(&conversation, &["before", "meanwhile"]).await;
    agent_says(&moved, &conversation, "b", "and live").await;
    phone.shows(&conversation, &["before", "meanwhile", "and live"]).await;
}

#[tokio::test]
async fn a_server_that_is_killed_has_all_that_it_had_acknowledged() {
    let backend = Backend::fresh().await;
    let server = ServerProcess::start(BINARY, &backend, &["--legacy", "--rate-limit-device=0"]).await;
    let app = server.app().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    let mut texts = Vec::new();
    for number in 0..20 {
        texts.push(format!("message {number}"));
        let sent = phone.send(&conversation, &format!("l-{number}"), &texts[number]).await;
        assert_eq!(sent.status, 201);
    }
    server.kill().await;
    let server = ServerProcess::start(BINARY, &backend, &["--legacy"]).await;
    let moved = TestApp { address: server.address(), ..app };
    texts.push("from the agent".into());
    agent_says(&moved, &conversation, "a", "from the agent").await;
    phone.move_to(server.address());
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    phone.shows(&conversation, &texts).await;
    // Another phone of the same person's, which has nothing yet, by REST alone.
    let fetched = phone.fetch(&conversation, None).await;
    assert_eq!(fetched.iter().map(|message| &message["body"]).collect::<Vec<_>>(), texts);
}

#[tokio::test]
async fn two_people_on_one_old_phone_see_nothing_of_each_other() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let anns = phone.open(ann()).await;
    phone.send(&anns, "l-1", "Ann's secret").await;
    let mut agent = app.agent_in(&anns).await;
    // The next person signs in on the same device.
    let bobs =
        phone.rest().post("/v1/conversations", &json!({ "user": { "id": "bob", "name": null } })).await.ok();
    let bobs = bobs["conversation"]["id"].as_str().unwrap().to_owned();
    assert_ne!(anns, bobs);
    eventually("the connection of before to end", || async { (!phone.ended().is_empty()).then_some(()) })
        .await;
    let heard_before = phone.frames().len();
    agent.say(&anns, "a", "for Ann only").await;
    let is_bobs = |frame: &Value| frame["type"] == "subscribed" && frame["conversation_id"] == bobs.as_str();
    phone.told("Bob's conversation", is_bobs).await;
    agent.say(&anns, "b", "for Ann only, too").await;
    phone.say(&json!({ "type": "subscribe", "conversation_id": anns }));
    phone.told("a refusal", |frame| frame["code"] == "UNAUTHORIZED_CONVERSATION").await;
    agent_says(&app, &bobs, "c", "for Bob").await;
    phone.shows(&bobs, &["for Bob"]).await;
    let since: String = phone.frames()[heard_before..].iter().map(Value::to_string).collect();
    assert!(!since.contains("Ann"), "{since}");
    let read = phone.rest().get(&format!("/v1/conversations/{anns}/messages")).await;
    assert_eq!(read.failure(), (404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(phone.send(&anns, "l-2", "as Ann").await.failure(), (404, "CONVERSATION_NOT_FOUND"));
    // And back.
    assert_eq!(phone.open(ann()).await, anns);
    phone.shows(&anns, &["Ann's secret", "for Ann only", "for Ann only, too"]).await;
}

#[tokio::test]
async fn old_and_new_clients_and_agents_agree_on_one_conversation() {
    let server = TestServer::with(&["--legacy", "--rate-limit-device=0", "--rate-limit-agent=0"]).await;
    let app = server.app().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    let mut tablet = app.device(DEVICE).await;
    tablet.expect("conversation:joined").await;
    let mut agent = app.agent_in(&conversation).await;
    const EACH: usize = 40;
    let by_phone = async {
        for number in 0..EACH {
            assert_eq!(
                phone.send(&conversation, &format!("p-{number}"), &format!("phone {number}")).await.status,
                201
            );
        }
    };
    let by_tablet = async {
        for number in 0..EACH {
            tablet.say(&conversation, &format!("t-{number}"), &format!("tablet {number}")).await;
        }
    };
    let by_agent = async {
        for number in 0..EACH {
            agent.say(&conversation, &format!("a-{number}"), &format!("agent {number}")).await;
        }
    };
    tokio::join!(by_phone, by_tablet, by_agent);
    let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200");
    let stored = app.as_agent().get(&path).await.ok()["messages"].as_array().unwrap().clone();
    let stored: Vec<_> = stored.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(stored.len(), 3 * EACH);
    let ids = |messages: &[Value]| messages.iter().map(|message| message["id"].clone()).collect::<Vec<_>>();
    eventually("the phone to have all", || async {
        (phone.shown(&conversation).len() == 3 * EACH).then_some(())
    })
    .await;
    let live: Vec<_> = phone
        .frames()
        .iter()
        .filter(|frame| frame["type"] == "message.new")
        .map(|frame| frame["message"].clone())
        .collect();
    assert_eq!(ids(&live), stored, "in order, each once");
    for client in [&mut tablet, &mut agent] {
        let mut heard = Vec::new();
        while heard.len() < 3 * EACH {
            heard.push(client.expect("message:new").await);
        }
        assert_eq!(ids(&heard), stored);
    }
    assert_eq!(ids(&phone.fetch(&conversation, None).await), stored);
}

#[tokio::test]
async fn nothing_is_lost_that_is_said_while_it_connects() {
    let (_server, app) = serving().await;
    let conversation = {
        let phone = OldPhone::start(&app, DEVICE);
        phone.open(ann()).await
    };
    let mut texts = Vec::new();
    for round in 0..10 {
        let phone = OldPhone::start(&app, DEVICE);
        while phone.frames().iter().all(|frame| frame["type"] != "subscribed") {
            texts.push(format!("{round}: {}", texts.len()));
            agent_says(&app, &conversation, &format!("a-{}", texts.len()), texts.last().unwrap()).await;
        }
        let newest = &texts[texts.len().saturating_sub(100)..];
        eventually("all of them", || async {
            let shown = phone.texts(&conversation);
            shown.ends_with(newest).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_page_goes_by_the_phones_clock_with_an_hour_to_spare() {
    let server = TestServer::with(&["--legacy", "--rate-limit-agent=0"]).await;
    let app = server.app().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    phone.send(&conversation, "l-0", "0").await;
    for number in 1..=230 {
        agent_says(&app, &conversation, &format!("a-{number}"), &number.to_string()).await;
    }
    let bodies = |page: Vec<Value>| {
        page.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest: Vec<_> = (31..=230).map(|number: u32| number.to_string()).collect();
    let page = phone.fetch(&conversation, None).await;
    let now = Timestamp::deserialize(&page.last().unwrap()["created_at"]).unwrap().epoch_ms();
    let minutes = |count: i64| 60_000 * count;
    assert_eq!(bodies(page), newest, "the newest, ascending");
    assert_eq!(bodies(phone.fetch(&conversation, Some(now)).await), newest);
    assert_eq!(
        bodies(phone.fetch(&conversation, Some(now + minutes(50))).await),
        newest,
        "a clock that goes wrong"
    );
    assert_eq!(phone.fetch(&conversation, Some(now + minutes(70))).await.len(), 0);
    // Everybody else's cursors are as they were, even with that header.
    let first =
        app.as_device(DEVICE).get(&format!("/v1/conversations/{conversation}/messages?limit=1")).await.ok();
    let first = &first["messages"][0];
    assert_eq!((&first["status"], &first["local_id"]), (&json!("sent"), &json!("l-0")));
    let id = first["id"].as_str().unwrap();
    let page =
        phone.rest().get(&format!("/v1/conversations/{conversation}/messages?after={id}&limit=2")).await.ok();
    assert_eq!(page["messages"][0]["body"], "1");
    assert_eq!(page["messages"][0]["local_id"], page["messages"][0]["id"]);
    for beyond in ["99999999999999999999999", "-1", "18446744073709551616"] {
        let answer =
            phone.rest().get(&format!("/v1/conversations/{conversation}/messages?after={beyond}")).await;
        assert!(answer.status == 200 || answer.status == 404, "{beyond}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_read_is_told_in_capitals() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    let sent = phone.send(&conversation, "l-1", "hello").await.json["message"].clone();
    let path = format!("/v1/conversations/{conversation}/messages");
    let mut agent = app.agent_in(&conversation).await;
    agent
        .done("message:read", json!({ "conversation_id": conversation, "up_to_message_id": sent["id"] }))
        .await;
    let page = phone.rest().get(&path).await.ok();
    assert_eq!(page["messages"][0]["status"], "READ");
    let again =
        phone.rest().post("/v1/conversations", &json!({ "user": null, "device_context": null })).await.ok();
    assert_eq!(again["conversation"]["last_message"]["status"], "READ");
    assert_eq!(again["conversation"]["status"], "open");
    // Everybody else is told as ever.
    assert_eq!(app.as_device(DEVICE).get(&path).await.ok()["messages"][0]["status"], "read");
}

#[tokio::test]
async fn who_has_no_good_credential_is_refused_before_anything_opens() {
    let (server, app) = serving().await;
    let other = server.app().await;
    for (app_id, key) in [
        (app.app_id.as_str(), other.api_key.as_str()),
        (&app.app_id, "key_0123456789abcdef0123456789abcdef"),
        ("app_none", &app.api_key),
        (&app.app_id, &app.admin_token),
        (&app.app_id, ""),
        ("", ""),
    ] {
        let wrong = TestApp { app_id: app_id.into(), api_key: key.into(), ..app.clone() };
        let phone = OldPhone::start(&wrong, DEVICE);
        eventually("a refusal", || async { phone.refused().first().copied() }).await;
        assert_eq!((phone.refused(), phone.opened()), (vec![401], 0), "{app_id} {key}");
    }
    // The key in a header is stronger than the one in the query.
    let upgrade = |headers: &'static str, query: String| async move {
        let mut tcp = TcpStream::connect(app.address).await.unwrap();
        let request = format!(
            "GET /v1/realtime?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        tcp.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let query = format!("app_id={}&device_id={DEVICE}&api_key={}", app.app_id, app.api_key);
    assert_eq!(upgrade("X-Api-Key: wrong\r\n", query.clone()).await, "401");
    assert_eq!(upgrade("", query.clone()).await, "101");
    let plain = Http::new(server.address()).get(&format!("/v1/realtime?{query}")).await;
    assert_eq!((plain.status, &plain.json["code"]), (426, &json!("VALIDATION_ERROR")));
    // The agents' socket of that time was opened by the app's public key: there is none here.
    assert_eq!(Http::new(server.address()).get(&format!("/admin/realtime?{query}")).await.status, 404);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_closes_what_it_opened_and_the_phone_backs_off() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    phone.open(ann()).await;
    app.command(&["app", "rotate-key", &app.app_id]).await;
    phone.told("why", |frame| frame["code"] == "INVALID_API_KEY").await;
    eventually("a refusal", || async { phone.refused().first().copied() }).await;
    assert_eq!((phone.refused()[0], phone.opened()), (401, 1));
}

#[tokio::test]
async fn who_falls_silent_is_told_so_and_dropped() {
    let server = TestServer::with(&["--legacy", "--ping-interval=300ms", "--ping-timeout=700ms"]).await;
    let app = server.app().await;
    let url = format!("/v1/realtime?app_id={}&device_id={DEVICE}&api_key={}", app.app_id, app.api_key);
    let mut tcp = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "GET {url} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    testkit::patiently("the end", tcp.read_to_end(&mut told)).await.unwrap();
    let told = told.split(|byte| *byte == b'\n').next_back().unwrap();
    let text = String::from_utf8_lossy(told);
    assert!(text.contains("connection.established") && text.contains("CONNECTION_TIMEOUT"), "{text}");
    assert!(told.windows(2).any(|frame| frame == [0x89, 0]), "a ping");
    assert!(told.ends_with(&[0x88, 2, 0x11, 0x38]), "the code 4408: {:?}", told.last_chunk::<8>());
    let presence = || async {
        let path = format!("/v1/admin/devices/{DEVICE}/presence");
        app.as_agent().get(&path).await.ok()["is_online"].as_bool()
    };
    eventually("it to be offline", || async { presence().await.filter(|is_online| !is_online) }).await;
    // One that answers pings stays.
    let phone = OldPhone::start(&app, DEVICE);
    phone.open(ann()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((phone.opened(), phone.ended().len()), (1, 0));
}

#[tokio::test]
async fn a_shutdown_does_not_bring_all_old_phones_back_at_once() {
    let mut server = TestServer::with(&["--legacy", "--reconnect-spread=2s"]).await;
    let app = server.app().await;
    let phones: Vec<_> = (0..8).map(|number| OldPhone::start(&app, &format!("device-{number}"))).collect();
    for phone in &phones {
        phone.told("it is in", |frame| frame["type"] == "connection.established").await;
    }
    let ends = async {
        let mut ends = Vec::new();
        while ends.len() < phones.len() {
            let ended = phones.iter().filter(|phone| !phone.ended().is_empty()).count();
            ends.extend((ends.len()..ended).map(|_| tokio::time::Instant::now()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ends
    };
    let (ends, ()) = tokio::join!(testkit::patiently("all ends", ends), server.shut_down());
    let spread = *ends.last().unwrap() - ends[0];
    assert!(spread >= Duration::from_secs(1), "{spread:?}");
    assert!(phones.iter().all(|phone| phone.ended() == [Some(1001)]));
}

#[tokio::test]
async fn old_apps_are_told_that_they_are_old_and_operators_how_many_there_are() {
    let server =
        TestServer::with(&["--legacy", "--legacy-sunset=2031-06-30", "--legacy-notice=Please update"]).await;
    let app = server.app().await;
    let phone = OldPhone::start(&app, DEVICE);
    let conversation = phone.open(ann()).await;
    let answer = phone.send(&conversation, "l-1", "hello").await;
    assert_eq!(answer.headers["sunset"], "Mon, 30 Jun 2031 00:00:00 GMT");
    assert!(answer.headers["deprecation"].to_str().unwrap().starts_with('@'));
    phone.shows(&conversation, &["Please update", "hello"]).await;
    let notice = phone.shown(&conversation)[0].clone();
    assert_eq!(notice["sender"], "system");
    // Shown once a device, whatever it opens.
    phone.say(&json!({ "type": "subscribe", "conversation_id": conversation }));
    phone.say(&json!({ "type": "ping" }));
    phone.told("a pong", |frame| frame["type"] == "pong").await;
    assert_eq!(phone.shown(&conversation).len(), 2);
    // Stored nowhere, and nobody else's.
    let read = app.as_device(DEVICE).get(&format!("/v1/conversations/{conversation}/messages")).await;
    assert_eq!(read.json["messages"].as_array().unwrap().len(), 1);
    assert!(!read.headers.contains_key("deprecation"));
    let token = phone.rest().post("/v1/push-token", &json!({ "token": "t", "platform": "android" })).await;
    assert_eq!((token.status, token.headers.contains_key("deprecation")), (204, true));
    let identified = phone.rest().post("/v1/identify", &json!({ "user": ann() })).await;
    assert_eq!((identified.status, identified.headers.contains_key("sunset")), (200, true));
    let not_there = phone.rest().send(Method::PATCH, "/v1/conversations", Vec::new()).await;
    assert_eq!(not_there.status, 405);
    let metrics = server.http().get("/metrics").await.text;
    for (what, count) in [("connection", 1), ("call", 3)] {
        let line = format!("replyhq_legacy_total{{app=\"{}\",use=\"{what}\"}} {count}", app.app_id);
        assert!(metrics.contains(&line), "{line} not in {metrics}");
    }
    assert_eq!(server.http().get("/health").await.status, 200);
}

#[tokio::test]
async fn without_the_setting_old_clients_are_told_that_it_is_over() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let phone = OldPhone::start(&app, DEVICE);
    eventually("a refusal", || async { phone.refused().first().copied() }).await;
    assert_eq!((phone.refused()[0], phone.opened()), (410, 0));
    assert_eq!(server.http().get("/health").await.status, 404);
    let conversation = app.conversation(DEVICE).await;
    let sent = phone.send(&conversation, "l-1", "hello").await;
    assert_eq!(sent.json["message"]["status"], "sent");
    assert!(!sent.headers.contains_key("deprecation"));
    let wrong = Command::new(BINARY).args(["serve", "--legacy-sunset=soon"]).output().await.unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && told.contains("2027-06-30"), "{told}");
}

#[tokio::test]
async fn an_app_that_ran_when_the_server_was_replaced_goes_on_with_the_conversation_that_it_names() {
    let (_server, app) = serving().await;
    let phone = OldPhone::start(&app, DEVICE);
    let before = "0b0e7a4e-58b8-4f0f-8a35-0d3f6f1c9f11";
    phone.say(&json!({ "type": "subscribe", "conversation_id": before }));
    let subscribed = phone.told("a conversation", |frame| frame["type"] == "subscribed").await;
    let conversation = subscribed["conversation_id"].as_str().unwrap().to_owned();
    assert_eq!(phone.send(before, "l-1", "where is my order?").await.status, 201);
    agent_says(&app, &conversation, "a", "on its way").await;
    phone.shows(&conversation, &["where is my order?", "on its way"]).await;
    assert_eq!(phone.fetch(before, None).await.len(), 2);
    // Whoever is named first there, it is theirs.
    assert_eq!(phone.open(ann()).await, conversation);
    // In everybody else's words there is no such conversation.
    let read = app.as_device(DEVICE).get(&format!("/v1/conversations/{before}/messages")).await;
    assert_eq!(read.failure(), (404, "CONVERSATION_NOT_FOUND"));
}

#[tokio::test]
async fn an_app_that_is_taken_over_is_used_as_it_was() {
    let server = TestServer::with(&["--legacy"]).await;
    let app = server.app().await;
    let (id, key) = ("3f2c9a52-1f0e-4b3f-9a57-6f0d1c2b3a49", "key_00112233445566778899aabbccddeeff");
    app.command(&["app", "create", "Old shop", "--id", id, "--api-key", key]).await;
    let old = TestApp { app_id: id.into(), api_key: key.into(), ..app.clone() };
    let phone = OldPhone::start(&old, DEVICE);
    let conversation = phone.open(ann()).await;
    phone.send(&conversation, "l-1", "hello").await;
    phone.shows(&conversation, &["hello"]).await;
    // The same device of another app is another device.
    let phone = OldPhone::start(&app, DEVICE);
    phone.open(ann()).await;
    phone.say(&json!({ "type": "subscribe", "conversation_id": conversation }));
    phone.told("a refusal", |frame| frame["code"] == "UNAUTHORIZED_CONVERSATION").await;
    let ids: HashSet<_> = phone.frames().iter().map(|frame| frame["type"].to_string()).collect();
    assert!(!ids.contains("\"message.new\""), "{ids:?}");
}
