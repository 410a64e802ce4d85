//! A message's way: stored once, in order, its status seen by both sides, its limits told and not its sender dropped.

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer};

fn seqs(messages: &Value) -> Vec<u64> {
    messages.as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

fn messages_of(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}/messages")
}

fn admin_messages_of(conversation: &str) -> String {
    format!("/v1/admin/conversations/{conversation}/messages")
}

fn sending(conversation: &str, local_id: &str, body: &str) -> Value {
    json!({ "conversation_id": conversation, "local_id": local_id, "body": body })
}

/// All of the conversation's messages, as the device sees them.
async fn stored(app: &TestApp, device_id: &str, conversation: &str) -> Vec<Value> {
    let page = app.as_device(device_id).get(&format!("{}?limit=200", messages_of(conversation))).await.ok();
    assert_eq!(page["has_more"], false);
    page["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn messages_sent_at_once_on_one_connection_keep_their_order() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut asked = Vec::new();
    for number in 0..200 {
        asked.push(device.ask("message:send", sending(&conversation, &number.to_string(), "x")).await);
    }
    for (number, ack) in asked.into_iter().enumerate() {
        let answer = device.ack(ack).await;
        assert_eq!(answer["message"]["seq"], number + 1);
        assert_eq!(answer["message"]["local_id"], number.to_string());
    }
    let stored = stored(&app, "phone", &conversation).await;
    assert_eq!(seqs(&json!(stored)), (1..=200).collect::<Vec<_>>());
    assert_eq!(device.settled("message:new").await, stored);
}

#[tokio::test]
async fn each_conversation_counts_for_itself() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut phone, of_phone) = app.device_in_conversation("phone").await;
    let (mut laptop, of_laptop) = app.device_in_conversation("laptop").await;
    for seq in 1..=20 {
        assert_eq!(phone.say(&of_phone, &seq.to_string(), "x").await["seq"], seq);
        assert_eq!(laptop.say(&of_laptop, &seq.to_string(), "x").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_retry_by_any_way_returns_the_stored_message() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let path = messages_of(&conversation);
    let first = device.say(&conversation, "key", "once").await;
    device.say(&conversation, "later", "x").await;
    assert_eq!(device.say(&conversation, "key", "once").await, first);
    let body = json!({ "local_id": "key", "body": "once" });
    let retried = app.as_device("phone").post(&path, &body).await;
    assert_eq!((retried.status, &retried.json["message"]), (200, &first));
    let keyed = app.as_device("phone").header("Idempotency-Key", "key");
    let retried = keyed.post(&path, &json!({ "body": "once" })).await;
    assert_eq!((retried.status, &retried.json["message"]), (200, &first));
    // The field is nearer than the header.
    let other = keyed.post(&path, &json!({ "local_id": "other", "body": "once" })).await;
    assert_eq!((other.status, &other.json["message"]["local_id"]), (201, &json!("other")));
    let by_key = app.as_device("phone").header("Idempotency-Key", "by-key");
    for status in [201, 200] {
        let sent = by_key.post(&path, &json!({ "body": "keyed" })).await;
        assert_eq!((sent.status, &sent.json["message"]["local_id"]), (status, &json!("by-key")));
    }
    assert_eq!(stored(&app, "phone", &conversation).await.len(), 4);
}

#[tokio::test]
async fn an_agent_s_retry_by_any_way_returns_the_stored_message() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let first = agent.say(&conversation, "key", "once").await;
    assert_eq!(agent.say(&conversation, "key", "once").await, first);
    let path = admin_messages_of(&conversation);
    let retried = app.as_agent().post(&path, &json!({ "local_id": "key", "body": "once" })).await;
    assert_eq!((retried.status, &retried.json["message"]), (200, &first));
    let keyed = app.as_agent().header("Idempotency-Key", "key").post(&path, &json!({ "body": "once" })).await;
    assert_eq!((keyed.status, &keyed.json["message"]), (200, &first));
    assert_eq!(stored(&app, "phone", &conversation).await, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_sent_at_once_on_many_connections_is_stored_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut listener, conversation) = app.device_in_conversation("phone").await;
    for round in 0..10 {
        let mut racing = Vec::new();
        for racer in 0..8 {
            let (app, conversation) = (app.clone(), conversation.clone());
            racing.push(tokio::spawn(async move {
                let local_id = round.to_string();
                if racer % 2 == 0 {
                    let mut device = app.device("phone").await;
                    device.say(&conversation, &local_id, "same").await
                } else {
                    let body = json!({ "local_id": local_id, "body": "same" });
                    app.as_device("phone").post(&messages_of(&conversation), &body).await.ok()["message"]
                        .clone()
                }
            }));
        }
        let mut answers = Vec::new();
        for racer in racing {
            answers.push(racer.await.unwrap());
        }
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
        assert_eq!(listener.settled("message:new").await, [answers[0].clone()]);
    }
    assert_eq!(stored(&app, "phone", &conversation).await.len(), 10);
}

#[tokio::test]
async fn a_local_id_with_another_body_is_refused_and_changes_nothing() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let first = device.say(&conversation, "key", "original").await;
    agent.expect("message:new").await;
    agent.expect("conversation:updated").await;
    let before = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
    let other = json!({ "local_id": "key", "body": "another" });
    let same = json!({ "local_id": "key", "body": "original" });
    assert_eq!(
        device.refused("message:send", sending(&conversation, "key", "another")).await,
        "LOCAL_ID_CONFLICT"
    );
    let by_device = app.as_device("phone").post(&messages_of(&conversation), &other).await;
    assert_eq!(by_device.failure(), (409, "LOCAL_ID_CONFLICT"));
    let keyed = app.as_device("phone").header("Idempotency-Key", "key");
    let by_key = keyed.post(&messages_of(&conversation), &json!({ "body": "another" })).await;
    assert_eq!(by_key.failure(), (409, "LOCAL_ID_CONFLICT"));
    // What the user wrote is not the agent's, word for word the same or not.
    for body in [&other, &same] {
        let by_agent = app.as_agent().post(&admin_messages_of(&conversation), body).await;
        assert_eq!(by_agent.failure(), (409, "LOCAL_ID_CONFLICT"));
    }
    assert_eq!(
        agent.refused("message:send", sending(&conversation, "key", "another")).await,
        "LOCAL_ID_CONFLICT"
    );
    assert_eq!(stored(&app, "phone", &conversation).await, [first]);
    let after = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
    assert_eq!(before, after);
    for event in ["message:new", "conversation:updated"] {
        assert_eq!(agent.settled(event).await, [] as [Value; 0], "{event}");
    }
    assert_eq!(device.say(&conversation, "next", "x").await["seq"], 2, "no seq was used up");
}

#[tokio::test]
async fn the_same_local_id_in_another_conversation_names_another_message() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut phone, of_phone) = app.device_in_conversation("phone").await;
    let (mut laptop, of_laptop) = app.device_in_conversation("laptop").await;
    let first = phone.say(&of_phone, "1", "x").await;
    let second = laptop.say(&of_laptop, "1", "y").await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(phone.refused("message:send", sending(&of_laptop, "1", "y")).await, "CONVERSATION_NOT_FOUND");
}

#[tokio::test]
async fn what_the_device_received_and_read_is_seen_by_both_sides_and_never_goes_back() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(agent.say(&conversation, &number.to_string(), "x").await["id"].clone());
    }
    let statuses = async || {
        let by_device = stored(&app, "phone", &conversation).await;
        let by_agent = app.as_agent().get(&admin_messages_of(&conversation)).await.ok();
        assert_eq!(json!(by_device), by_agent["messages"]);
        by_device.iter().map(|message| message["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses().await, ["sent", "sent", "sent", "sent"]);
    let up_to = |at: usize| json!({ "conversation_id": conversation, "up_to_message_id": ids[at] });
    device.done("delivery:receipt", json!({ "message_id": ids[2] })).await;
    assert_eq!(statuses().await, ["delivered", "delivered", "delivered", "sent"]);
    device.done("message:read", up_to(1)).await;
    assert_eq!(statuses().await, ["read", "read", "delivered", "sent"]);
    // Nothing new in these, so nothing is told of them.
    device.done("delivery:receipt", up_to(0)).await;
    device.done("delivery:receipt", up_to(2)).await;
    device.done("message:read", up_to(0)).await;
    device.done("message:read", up_to(1)).await;
    let path = messages_of(&conversation);
    for kind in ["delivered", "read"] {
        let body = json!({ "up_to_message_id": ids[0] });
        let answer = app.as_device("phone").post(&format!("{path}/{kind}"), &body).await.ok();
        assert_eq!(answer, json!({ "success": true }));
    }
    assert_eq!(statuses().await, ["read", "read", "delivered", "sent"]);
    // Who has read has received.
    device.done("message:read", up_to(3)).await;
    assert_eq!(statuses().await, ["read", "read", "read", "read"]);
    device.done("delivery:receipt", up_to(3)).await;
    for client in [&mut device, &mut agent] {
        let told: Vec<_> = client
            .settled("message:status")
            .await
            .iter()
            .map(|told| (told["status"].clone(), told["up_to_seq"].clone(), told["by"].clone()))
            .collect();
        let expected = [("delivered", 3), ("read", 2), ("read", 4)]
            .map(|(status, seq)| (json!(status), json!(seq), json!("user")));
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn what_the_agents_have_read_is_seen_by_both_sides_and_counts_as_unread_no_more() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(device.say(&conversation, &number.to_string(), "x").await["id"].clone());
        let updated = agent.expect("conversation:updated").await;
        assert_eq!(updated["conversation"]["unread_count"], number);
    }
    let unread = async || {
        let list = app.as_agent().get("/v1/admin/conversations").await.ok();
        let one = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
        let count = list["conversations"][0]["unread_count"].as_u64().unwrap();
        assert_eq!(one["conversation"]["unread_count"], count);
        count
    };
    assert_eq!(unread().await, 3);
    agent.say(&conversation, "agent", "an answer is not unread").await;
    assert_eq!(agent.expect("conversation:updated").await["conversation"]["unread_count"], 3);
    for (at, left) in [(1, 1), (0, 1), (2, 0)] {
        agent
            .done("message:read", json!({ "conversation_id": conversation, "up_to_message_id": ids[at] }))
            .await;
        assert_eq!(unread().await, left);
    }
    let counts: Vec<_> = agent
        .settled("conversation:updated")
        .await
        .iter()
        .map(|updated| updated["conversation"]["unread_count"].clone())
        .collect();
    assert_eq!(counts, [1, 0], "the one that said nothing new is not told of");
    for client in [&mut device, &mut agent] {
        let told: Vec<_> =
            client.settled("message:status").await.iter().map(|told| told["up_to_seq"].clone()).collect();
        assert_eq!(told, [2, 3]);
    }
    let statuses: Vec<_> =
        stored(&app, "phone", &conversation).await.iter().map(|message| message["status"].clone()).collect();
    assert_eq!(
        statuses,
        ["read", "read", "read", "sent"],
        "an agent's reading says nothing of an agent's message"
    );
}

async fn device_says(app: &TestApp, conversation: &str, number: u32) {
    let sent = json!({ "local_id": format!("later {number}"), "body": "x" });
    app.as_device("phone").post(&messages_of(conversation), &sent).await.ok();
}

#[tokio::test]
async fn what_the_person_has_not_read_is_counted_for_the_device() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (agent, rest) = (app.as_agent(), app.as_device("phone"));
    let unread = async || {
        let listed = rest.get("/v1/conversations").await.ok()["conversations"][0]["unread_count"].clone();
        assert_eq!(rest.get("/v1/unread").await.ok(), json!({ "unread_count": listed }));
        let opened = rest.post("/v1/conversations", &json!({})).await.ok();
        assert_eq!(opened["conversation"]["unread_count"], listed);
        listed
    };
    assert_eq!(unread().await, 0);
    let mut ids = Vec::new();
    for number in 0..3 {
        let sent = json!({ "local_id": format!("a{number}"), "body": "x" });
        let message = agent.post(&admin_messages_of(&conversation), &sent).await.ok()["message"].clone();
        ids.push(message["id"].clone());
        device.say(&conversation, &format!("u{number}"), "y").await;
    }
    assert_eq!(unread().await, 3, "without the person's own");
    let read = json!({ "conversation_id": conversation, "up_to_message_id": ids[1] });
    assert_eq!(device.call("message:read", read).await["success"], true);
    assert_eq!(unread().await, 1);
    assert_eq!(app.as_device("tablet").get("/v1/unread").await.ok(), json!({ "unread_count": 0 }));
    let inbox = agent.get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
    assert_eq!(inbox["conversation"]["unread_count"], 3, "an agent sees what agents have not read");
    let identify = json!({ "user": { "id": "ann" } });
    rest.post("/v1/identify", &identify).await.ok();
    assert_eq!(unread().await, 1, "they are hers now");
    rest.post("/v1/identify", &json!({ "user": { "id": "bob" } })).await.ok();
    assert_eq!(rest.get("/v1/unread").await.ok(), json!({ "unread_count": 0 }), "and not his");
    rest.post("/v1/identify", &identify).await.ok();
    for number in 0..1_001 {
        let sent = json!({ "local_id": format!("b{number}"), "body": "x" });
        agent.post(&admin_messages_of(&conversation), &sent).await.ok();
    }
    assert_eq!(unread().await, 1_000, "what counting costs is bounded");
    for number in 0..10 {
        device_says(&app, &conversation, number).await;
    }
    assert_eq!(unread().await, 990, "by whomever the messages are that it would read past");
}

#[tokio::test]
async fn a_receipt_for_what_is_not_there_or_not_one_s_own_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (mut neighbour, elsewhere) = app.device_in_conversation("neighbour").await;
    let mut agent = app.agent_in(&conversation).await;
    let own = agent.say(&conversation, "1", "x").await["id"].clone();
    let foreign = agent.say(&elsewhere, "1", "x").await["id"].clone();
    for (payload, code) in [
        (json!({ "message_id": foreign }), "MESSAGE_NOT_FOUND"),
        (json!({ "message_id": "msg_unknown" }), "MESSAGE_NOT_FOUND"),
        (json!({ "conversation_id": conversation, "up_to_message_id": foreign }), "MESSAGE_NOT_FOUND"),
        (json!({ "conversation_id": elsewhere, "up_to_message_id": foreign }), "CONVERSATION_NOT_FOUND"),
        (json!({ "conversation_id": elsewhere, "up_to_message_id": own }), "CONVERSATION_NOT_FOUND"),
    ] {
        assert_eq!(device.refused("delivery:receipt", payload.clone()).await, code, "{payload}");
        if payload["message_id"].is_null() {
            assert_eq!(device.refused("message:read", payload.clone()).await, code, "{payload}");
        }
    }
    assert_eq!(neighbour.settled("message:status").await, [] as [Value; 0]);
    assert_eq!(stored(&app, "phone", &conversation).await[0]["status"], "sent");
    assert_eq!(stored(&app, "neighbour", &elsewhere).await[0]["status"], "sent");
}

#[tokio::test]
async fn pages_go_both_ways_and_hold_each_message_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    for number in 1..=210 {
        device.say(&conversation, &number.to_string(), "x").await;
    }
    let as_device = app.as_device("phone");
    let as_agent = app.as_agent();
    for (http, path) in
        [(&as_device, messages_of(&conversation)), (&as_agent, admin_messages_of(&conversation))]
    {
        let get = async |query: &str| http.get(&format!("{path}?{query}")).await.ok();
        // Without a word: the first 50.
        let page = get("").await;
        assert_eq!((seqs(&page["messages"]), &page["has_more"]), ((1..=50).collect(), &json!(true)));
        assert_eq!(get("after=").await, page, "an empty cursor is none");
        let most = get("limit=1000").await;
        assert_eq!((seqs(&most["messages"]), &most["has_more"]), ((1..=200).collect(), &json!(true)));
        let newest = get("before=&limit=10").await;
        assert_eq!((seqs(&newest["messages"]), &newest["has_more"]), ((201..=210).collect(), &json!(true)));
        for limit in [1, 7, 70, 200] {
            let (mut forward, mut cursor) = (Vec::new(), Value::String(String::new()));
            loop {
                let page = get(&format!("limit={limit}&after={}", cursor.as_str().unwrap())).await;
                let messages = page["messages"].as_array().unwrap();
                assert!(messages.len() <= limit);
                forward.extend(seqs(&page["messages"]));
                if page["has_more"] == false {
                    break;
                }
                cursor = messages.last().unwrap()["id"].clone();
            }
            assert_eq!(forward, (1..=210).collect::<Vec<_>>(), "{limit}");
            let (mut backward, mut cursor) = (Vec::new(), Value::String(String::new()));
            loop {
                let page = get(&format!("limit={limit}&before={}", cursor.as_str().unwrap())).await;
                let messages = page["messages"].as_array().unwrap();
                backward.splice(0..0, seqs(&page["messages"]));
                if page["has_more"] == false {
                    break;
                }
                cursor = messages.first().unwrap()["id"].clone();
            }
            assert_eq!(backward, (1..=210).collect::<Vec<_>>(), "{limit}");
        }
        let last = newest["messages"][9]["id"].as_str().unwrap();
        let nothing = get(&format!("after={last}")).await;
        assert_eq!(nothing, json!({ "messages": [], "has_more": false }));
        for (query, status, code) in [
            ("limit=0", 400, "VALIDATION_ERROR"),
            ("limit=-1", 400, "VALIDATION_ERROR"),
            ("limit=many", 400, "VALIDATION_ERROR"),
            ("after=msg_unknown", 404, "MESSAGE_NOT_FOUND"),
            ("before=msg_unknown", 404, "MESSAGE_NOT_FOUND"),
            ("after=&before=", 400, "VALIDATION_ERROR"),
        ] {
            assert_eq!(http.get(&format!("{path}?{query}")).await.failure(), (status, code), "{query}");
        }
    }
}

/// Sends until one is refused; how many were not, and the refusal.
async fn sent_until_refused(client: &mut Client, conversation: &str, prefix: &str) -> (usize, Value) {
    let mut asked = Vec::new();
    for number in 0..400 {
        asked
            .push(client.ask("message:send", sending(conversation, &format!("{prefix}{number}"), "x")).await);
    }
    let mut refused = Value::Null;
    let mut count = 0;
    for ack in asked {
        let answer = client.ack(ack).await;
        if answer["success"] == true {
            count += usize::from(refused.is_null());
        } else if refused.is_null() {
            refused = answer;
        }
    }
    (count, refused)
}

#[tokio::test]
async fn a_device_that_sends_too_fast_is_told_how_long_to_wait() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (mut laptop, of_laptop) = app.device_in_conversation("laptop").await;
    let (count, refused) = sent_until_refused(&mut device, &conversation, "").await;
    assert!((10..=20).contains(&count), "a burst of 10, and 5 a second: {count}");
    assert_eq!(refused["error"], "RATE_LIMITED");
    assert!((1..=201).contains(&refused["retry_after_ms"].as_u64().unwrap()), "{refused}");
    let path = messages_of(&conversation);
    let limited = app.as_device("phone").post(&path, &json!({ "local_id": "rest", "body": "x" })).await;
    if limited.status != 201 {
        assert_eq!(limited.failure(), (429, "RATE_LIMITED"), "REST and sockets share the limit");
        assert_eq!(limited.headers["retry-after"], "1");
        assert!((1..=201).contains(&limited.json["retry_after_ms"].as_u64().unwrap()));
    }
    assert_eq!(device.call("ping", json!({})).await, "pong", "the connection goes on");
    laptop.say(&of_laptop, "1", "another device is not held back").await;
    // Who waits as long as they were told gets through.
    loop {
        let answer = device.call("message:send", sending(&conversation, "after the wait", "x")).await;
        let Some(wait) = answer["retry_after_ms"].as_u64() else {
            assert_eq!(answer["success"], true);
            break;
        };
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    }
}

#[tokio::test]
async fn a_device_s_connections_share_one_limit_and_rest_tells_when_to_retry() {
    let server = TestServer::with(&["--rate-limit-device=1"]).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (mut tab, _) = app.device_in_conversation("phone").await;
    device.say(&conversation, "1", "x").await;
    tab.say(&conversation, "2", "x").await;
    // However slow this machine is, sooner or later two come within a second.
    let limited = testkit::eventually("a refusal", async || {
        let body = json!({ "local_id": "3", "body": "x" });
        let answer = app.as_device("phone").post(&messages_of(&conversation), &body).await;
        (answer.status >= 400).then_some(answer)
    })
    .await;
    assert_eq!(limited.failure(), (429, "RATE_LIMITED"));
    assert_eq!(limited.headers["retry-after"], "1");
    assert!((1..=1_001).contains(&limited.json["retry_after_ms"].as_u64().unwrap()));
    for number in 0..50 {
        device.emit("message:send", sending(&conversation, &format!("unacked-{number}"), "x")).await;
    }
    let told = device.expect("error").await;
    assert_eq!(told["code"], "RATE_LIMITED");
    assert!(told["retry_after_ms"].is_u64());
}

#[tokio::test]
async fn an_agent_s_connections_are_limited_each_for_itself() {
    let server = TestServer::with(&["--rate-limit-agent=2"]).await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut ada = app.agent_in(&conversation).await;
    let mut grace = app.agent_in(&conversation).await;
    let (count, refused) = sent_until_refused(&mut ada, &conversation, "a").await;
    assert!((4..=10).contains(&count), "{count}");
    assert_eq!(refused["error"], "RATE_LIMITED");
    let (count, refused) = sent_until_refused(&mut grace, &conversation, "g").await;
    assert!((4..=10).contains(&count), "{count}");
    assert_eq!(refused["error"], "RATE_LIMITED");
}

#[tokio::test]
async fn an_agent_s_rest_sends_are_limited_by_token() {
    let server = TestServer::with(&["--rate-limit-agent=1"]).await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let path = admin_messages_of(&conversation);
    let body = json!({ "local_id": "1", "body": "x" });
    let limited = testkit::eventually("a refusal", async || {
        let answer = app.as_agent().post(&path, &body).await;
        (answer.status >= 400).then_some(answer)
    })
    .await;
    assert_eq!(limited.failure(), (429, "RATE_LIMITED"));
    assert_eq!(limited.headers["retry-after"], "1");
    let colleague = app.token(&["send_messages"]).await.1;
    app.as_agent_with(&colleague).post(&path, &json!({ "local_id": "2", "body": "x" })).await.ok();
}

#[tokio::test]
async fn a_body_of_five_thousand_characters_is_the_longest() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    // One character is one character, of however many bytes, and however it is escaped.
    for (number, character) in ["a", "é", "ß", "漢", "🎉", "\"", "\\", "\n"].into_iter().enumerate() {
        let longest = character.repeat(5_000);
        let sent = device.say(&conversation, &number.to_string(), &longest).await;
        assert_eq!(sent["body"], longest);
        assert_eq!(agent.expect("message:new").await["body"], longest);
        let too_long = character.repeat(5_001);
        for client in [&mut device, &mut agent] {
            let refused = client.refused("message:send", sending(&conversation, "long", &too_long)).await;
            assert_eq!(refused, "MESSAGE_TOO_LONG", "{character:?}");
        }
        let body = json!({ "local_id": "long", "body": too_long });
        let by_device = app.as_device("phone").post(&messages_of(&conversation), &body).await;
        assert_eq!(by_device.failure(), (413, "MESSAGE_TOO_LONG"), "{character:?}");
        let by_agent = app.as_agent().post(&admin_messages_of(&conversation), &body).await;
        assert_eq!(by_agent.failure(), (413, "MESSAGE_TOO_LONG"), "{character:?}");
    }
    // What takes six bytes in JSON takes them from everybody who reads it.
    let (fits, too_long) = ("\u{1}".repeat(3_333), "\u{1}".repeat(3_334));
    assert_eq!(device.say(&conversation, "control", &fits).await["body"], fits);
    let refused = device.refused("message:send", sending(&conversation, "long", &too_long)).await;
    assert_eq!(refused, "MESSAGE_TOO_LONG");
    assert_eq!(device.refused("message:send", sending(&conversation, "empty", "")).await, "MISSING_PARAMS");
    let empty = app
        .as_device("phone")
        .post(&messages_of(&conversation), &json!({ "local_id": "1", "body": "" }))
        .await;
    assert_eq!(empty.failure(), (400, "MISSING_PARAMS"));
    assert_eq!(
        device.say(&conversation, "one", "x").await["seq"],
        10,
        "nothing of what was refused is there"
    );
}

#[tokio::test]
async fn a_local_id_has_one_to_sixty_four_characters() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let path = messages_of(&conversation);
    for character in ["a", "漢", "🎉"] {
        let longest = character.repeat(64);
        assert_eq!(device.say(&conversation, &longest, "x").await["local_id"], longest);
        let too_long = character.repeat(65);
        let refused = device.refused("message:send", sending(&conversation, &too_long, "x")).await;
        assert_eq!(refused, "VALIDATION_ERROR");
        let by_rest = app.as_device("phone").post(&path, &json!({ "local_id": too_long, "body": "x" })).await;
        assert_eq!(by_rest.failure(), (400, "VALIDATION_ERROR"));
    }
    assert_eq!(device.refused("message:send", sending(&conversation, "", "x")).await, "MISSING_PARAMS");
    for body in [json!({ "local_id": "", "body": "x" }), json!({ "body": "x" })] {
        let answer = app.as_device("phone").post(&path, &body).await;
        assert_eq!(answer.failure(), (400, "MISSING_PARAMS"), "{body}");
    }
    let long_key = app.as_device("phone").header("Idempotency-Key", &"k".repeat(65));
    assert_eq!(long_key.post(&path, &json!({ "body": "x" })).await.failure(), (400, "VALIDATION_ERROR"));
    for text in ["a\0b", "\0"] {
        assert_eq!(
            device.refused("message:send", sending(&conversation, text, "x")).await,
            "VALIDATION_ERROR"
        );
        assert_eq!(
            device.refused("message:send", sending(&conversation, "nul", text)).await,
            "VALIDATION_ERROR"
        );
    }
}
