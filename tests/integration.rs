//! What a client may expect of each part by itself: authentication, subscription, rooms, both namespaces, who is
//! connected, ping, and what administrators do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestServer};

/// Revocation and expiry close open connections within this.
const TOKENS_CLOSE_WITHIN: Duration = Duration::from_secs(5);

async fn refusal(server: &TestServer, namespace: &str, auth: &Value) -> String {
    match Client::connect(server.address(), namespace, auth.clone()).await {
        Ok(_) => panic!("{auth} was accepted on {namespace}"),
        Err(refusal) => {
            assert_eq!(refusal.data["code"], refusal.message.as_str(), "{auth}");
            assert!(refusal.data["message"].is_string(), "{auth}");
            refusal.message
        }
    }
}

fn with(auth: &Value, field: &str, value: Value) -> Value {
    let mut auth = auth.clone();
    auth[field] = value;
    auth
}

fn without(auth: &Value, field: &str) -> Value {
    let mut auth = auth.clone();
    auth.as_object_mut().unwrap().remove(field);
    auth
}

/// What is wrong whatever the namespace: each field missing, empty, null, of another type.
async fn malformed_credentials_are_refused(server: &TestServer, namespace: &str, good: &Value) {
    for field in good.as_object().unwrap().keys() {
        assert_eq!(refusal(server, namespace, &without(good, field)).await, "MISSING_PARAMS", "{field}");
        assert_eq!(
            refusal(server, namespace, &with(good, field, json!(""))).await,
            "MISSING_PARAMS",
            "{field}"
        );
        for wrong in [json!(1), json!(true), json!([]), json!({}), Value::Null] {
            let refused = refusal(server, namespace, &with(good, field, wrong.clone())).await;
            assert_eq!(refused, "VALIDATION_ERROR", "{field}: {wrong}");
        }
    }
    assert_eq!(refusal(server, namespace, &json!({})).await, "MISSING_PARAMS");
}

#[tokio::test]
async fn a_device_without_a_good_credential_is_refused_with_the_reason() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let good = app.device_auth("phone");
    malformed_credentials_are_refused(&server, "/client", &good).await;
    for (field, value, code) in [
        ("api_key", json!("rhq_key_wrong"), "INVALID_CREDENTIALS"),
        ("api_key", json!(other.api_key), "INVALID_CREDENTIALS"),
        ("api_key", json!(app.admin_token), "INVALID_CREDENTIALS"),
        ("api_key", json!(format!("{} ", app.api_key)), "INVALID_CREDENTIALS"),
        ("app_id", json!(other.app_id), "INVALID_CREDENTIALS"),
        ("app_id", json!("app_unknown"), "INVALID_CREDENTIALS"),
        ("device_id", json!("d".repeat(129)), "VALIDATION_ERROR"),
        ("device_id", json!("a\0b"), "VALIDATION_ERROR"),
    ] {
        assert_eq!(refusal(&server, "/client", &with(&good, field, value)).await, code, "{field}");
    }
    assert!(Client::connect(server.address(), "/client", good).await.is_ok());
    let longest = app.device_auth(&"ß".repeat(128));
    assert!(Client::connect(server.address(), "/client", longest).await.is_ok());
}

#[tokio::test]
async fn an_agent_without_a_good_credential_is_refused_with_the_reason() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let good = app.agent_auth();
    malformed_credentials_are_refused(&server, "/admin", &good).await;
    let (revoked_id, revoked) = app.token(&["view_sessions"]).await;
    app.command(&["token", "revoke", &revoked_id]).await;
    let (_, expired) = app.token_with(&["view_sessions"], &["--expires-in=1ms"]).await;
    testkit::eventually("the token's expiry", async || {
        (app.as_agent_with(&expired).get("/v1/admin/sessions").await.status == 401).then_some(())
    })
    .await;
    for (field, value) in [
        ("admin_token", json!("rhq_adm_wrong")),
        ("admin_token", json!(other.admin_token)),
        ("admin_token", json!(app.api_key)),
        ("admin_token", json!(revoked)),
        ("admin_token", json!(expired)),
        ("app_id", json!(other.app_id)),
        ("app_id", json!("app_unknown")),
    ] {
        let refused = refusal(&server, "/admin", &with(&good, field, value.clone())).await;
        assert_eq!(refused, "INVALID_CREDENTIALS", "{field}: {value}");
    }
    assert!(Client::connect(server.address(), "/admin", good).await.is_ok());
}

#[tokio::test]
async fn a_connect_without_any_auth_names_what_is_missing() {
    let server = TestServer::start().await;
    for namespace in ["/client", "/admin"] {
        let mut client = Client::open(server.address(), namespace).await;
        client.send_text(&format!("40{namespace},")).await;
        let refused = client.receive().await.unwrap();
        assert!(refused.starts_with(&format!("44{namespace},{{\"message\":\"MISSING_PARAMS\"")), "{refused}");
    }
}

#[tokio::test]
async fn there_are_two_namespaces_and_no_others() {
    let server = TestServer::start().await;
    let app = server.app().await;
    for namespace in ["/nowhere", "/Client", "/client/", "/adminn"] {
        let refused = Client::connect(server.address(), namespace, app.agent_auth()).await.err().unwrap();
        assert_eq!(refused.message, "Invalid namespace", "{namespace}");
    }
    let mut client = Client::open(server.address(), "/").await;
    client.send_text("40").await;
    assert_eq!(client.receive().await.unwrap(), "44{\"message\":\"Invalid namespace\"}");
}

#[tokio::test]
async fn who_was_refused_may_try_again_on_the_same_socket() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut client = Client::open(server.address(), "/client").await;
    let wrong = with(&app.device_auth("phone"), "api_key", json!("wrong"));
    for _ in 0..3 {
        client.send_text(&format!("40/client,{wrong}")).await;
        assert!(client.receive().await.unwrap().starts_with("44/client,"));
    }
    client.send_text(&format!("40/client,{}", app.device_auth("phone"))).await;
    assert!(client.receive().await.unwrap().starts_with("40/client,{\"sid\":\"conn_"));
    assert_eq!(client.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn a_key_is_void_at_once_when_another_takes_its_place() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let rotated = app.command(&["app", "rotate-key", &app.app_id]).await;
    assert_eq!(refusal(&server, "/client", &app.device_auth("phone")).await, "INVALID_CREDENTIALS");
    let renewed = with(&app.device_auth("phone"), "api_key", rotated["api_key"].clone());
    assert!(Client::connect(server.address(), "/client", renewed).await.is_ok());
}

#[tokio::test]
async fn a_device_hears_a_conversation_while_it_is_joined_and_not_while_it_has_left() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    agent.say(&conversation, "1", "while joined").await;
    device.done("conversation:leave", json!({ "conversation_id": conversation })).await;
    agent.say(&conversation, "2", "while away").await;
    let back = device.done("conversation:join", json!({ "conversation_id": conversation })).await;
    assert_eq!(back["last_seq"], 2);
    assert_eq!(device.expect("conversation:joined").await["last_seq"], 2);
    agent.say(&conversation, "3", "back again").await;
    let heard = device.settled("message:new").await;
    assert_eq!(bodies(&heard), ["while joined", "back again"]);
}

#[tokio::test]
async fn joining_twice_changes_nothing_and_each_message_comes_once() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    for client in [&mut device, &mut agent] {
        client.done("conversation:join", json!({ "conversation_id": conversation })).await;
        client.done("conversation:join", json!(conversation)).await;
    }
    device.say(&conversation, "1", "hello").await;
    assert_eq!(bodies(&device.settled("message:new").await), ["hello"]);
    assert_eq!(bodies(&agent.settled("message:new").await), ["hello"]);
    device.done("conversation:leave", json!({ "conversation_id": conversation })).await;
    agent.say(&conversation, "2", "gone after one leave").await;
    assert_eq!(device.settled("message:new").await, [] as [Value; 0]);
}

#[tokio::test]
async fn joining_again_while_messages_come_loses_none_of_them() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let count = 300;
    let mut acks = Vec::new();
    for number in 0..count {
        let message =
            json!({ "conversation_id": conversation, "local_id": format!("m{number}"), "body": "x" });
        acks.push(agent.ask("message:send", message).await);
        device.emit("conversation:join", json!(conversation)).await;
    }
    for ack in acks {
        assert_eq!(agent.ack(ack).await["success"], true);
    }
    let heard: Vec<_> =
        device.settled("message:new").await.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(heard, (1..=count).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_conversation_of_another_is_not_there() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let (mut device, _) = app.device_in_conversation("phone").await;
    let of_neighbour = app.conversation("neighbour").await;
    let of_other_app = other.conversation("phone").await;
    let mut agent = app.agent().await;
    for id in [of_neighbour.as_str(), &of_other_app, "conv_unknown", "nonsense"] {
        for event in ["conversation:join", "conversation:leave", "typing:start", "typing:stop"] {
            let payload = json!({ "conversation_id": id });
            assert_eq!(device.refused(event, payload).await, "CONVERSATION_NOT_FOUND", "{event} {id}");
            assert_eq!(device.refused(event, json!(id)).await, "CONVERSATION_NOT_FOUND", "{event} {id}");
        }
        if id != of_neighbour {
            let payload = json!({ "conversation_id": id });
            assert_eq!(agent.refused("conversation:join", payload).await, "CONVERSATION_NOT_FOUND", "{id}");
        }
    }
    other
        .as_agent()
        .post(
            &format!("/v1/admin/conversations/{of_other_app}/messages"),
            &json!({ "local_id": "1", "body": "x" }),
        )
        .await
        .ok();
    app.as_device("neighbour")
        .post(&format!("/v1/conversations/{of_neighbour}/messages"), &json!({ "local_id": "1", "body": "x" }))
        .await
        .ok();
    assert_eq!(device.settled("message:new").await, [] as [Value; 0]);
    assert_eq!(agent.settled("message:new").await, [] as [Value; 0]);
}

#[tokio::test]
async fn an_early_sdk_may_send_the_conversation_s_id_alone() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    for event in ["conversation:join", "typing:start", "typing:stop", "conversation:leave"] {
        device.done(event, json!(conversation)).await;
    }
    let mut agent = app.agent().await;
    for event in ["conversation:join", "typing:start", "typing:stop", "conversation:leave"] {
        agent.done(event, json!(conversation)).await;
    }
}

#[tokio::test]
async fn an_agent_subscribes_to_their_own_app_and_to_no_other() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let mut agent = app.agent().await;
    agent.done("app:subscribe", json!({ "app_id": app.app_id })).await;
    agent.done("app:subscribe", json!({ "app_id": app.app_id })).await;
    assert_eq!(agent.refused("app:subscribe", json!({ "app_id": "" })).await, "MISSING_PARAMS");
    for app_id in [other.app_id.as_str(), "app_unknown"] {
        let refused = agent.refused("app:subscribe", json!({ "app_id": app_id })).await;
        assert_eq!(refused, "FORBIDDEN", "{app_id}");
    }
    let _other_device = other.device("phone").await;
    other.conversation("phone").await;
    let _device = app.device("phone").await;
    assert_eq!(agent.expect("presence:change").await["app_id"], app.app_id.as_str());
    let conversation = app.conversation("phone").await;
    let updated = agent.settled("conversation:updated").await;
    assert_eq!(updated.len(), 1, "each event once, though subscribed thrice: {updated:?}");
    assert_eq!(updated[0]["conversation"]["id"], conversation.as_str());
    assert_eq!(agent.settled("presence:change").await, [] as [Value; 0]);
}

#[tokio::test]
async fn typing_ends_when_the_one_who_types_leaves() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    device.done("typing:start", json!(conversation)).await;
    device.done("conversation:leave", json!(conversation)).await;
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    assert_eq!(agent.expect("user:typing").await["is_typing"], false);
    device.done("conversation:join", json!(conversation)).await;
    device.done("typing:start", json!(conversation)).await;
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    device.cut();
    assert_eq!(agent.expect("user:typing").await["is_typing"], false);
    assert_eq!(agent.settled("user:typing").await, [] as [Value; 0]);
}

/// Whether an agent is shown that somebody at the device types, told once each.
async fn told_typing(client: &mut Client, name: &str, expected: &[bool]) {
    for is_typing in expected {
        assert_eq!(client.expect(name).await["is_typing"], *is_typing, "{name}");
    }
    assert_eq!(client.settled(name).await, [] as [Value; 0]);
}

#[tokio::test]
async fn typing_that_is_never_stopped_ends_by_itself() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let typing = json!(conversation);
    device.done("typing:start", typing.clone()).await;
    agent.done("typing:start", typing.clone()).await;
    let (user, agents) = ("user:typing", "agent:typing");
    // Twice: whoever looks at the time has to come again.
    for _ in 0..2 {
        told_typing(&mut agent, user, &[true, false]).await;
        told_typing(&mut device, agents, &[true, false]).await;
        device.done("typing:start", typing.clone()).await;
        agent.done("typing:start", typing.clone()).await;
    }
    // Who sends has stopped, also over REST, and nobody else.
    device.say(&conversation, "1", "x").await;
    told_typing(&mut agent, user, &[true, false]).await;
    told_typing(&mut device, agents, &[true]).await;
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    app.as_agent().post(&path, &json!({ "local_id": "2", "body": "x" })).await.ok();
    told_typing(&mut device, agents, &[false]).await;
    // A conversation that is resolved is one in which nobody types.
    device.done("typing:start", typing.clone()).await;
    let path = format!("/v1/admin/conversations/{conversation}");
    app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
    told_typing(&mut agent, user, &[true, false]).await;
}

#[tokio::test]
async fn a_connection_may_join_so_many_conversations_and_no_more() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut conversations = Vec::new();
    for _ in 0..101 {
        let conversation = app.conversation("phone").await;
        let path = format!("/v1/admin/conversations/{conversation}");
        app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
        conversations.push(conversation);
    }
    let mut device = app.device("phone").await;
    assert_eq!(device.expect("conversation:joined").await["conversation_id"], conversations[100].as_str());
    for conversation in &conversations[..99] {
        device.done("conversation:join", json!(conversation)).await;
    }
    assert_eq!(device.refused("conversation:join", json!(conversations[99])).await, "VALIDATION_ERROR");
    device.done("conversation:join", json!(conversations[0])).await;
    device.done("conversation:leave", json!(conversations[0])).await;
    device.done("conversation:join", json!(conversations[99])).await;
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_reaches_all_who_joined_its_conversation_and_nobody_else() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let (mut phone, conversation) = app.device_in_conversation("phone").await;
    let (mut tab, _) = app.device_in_conversation("phone").await;
    let (mut neighbour, _) = app.device_in_conversation("neighbour").await;
    let (mut stranger, of_stranger) = other.device_in_conversation("phone").await;
    let mut ada = app.agent_in(&conversation).await;
    let mut grace = app.agent_in(&conversation).await;
    let mut idle = app.agent().await;
    let mut foreign = other.agent_in(&of_stranger).await;
    let sent = phone.say(&conversation, "1", "hello").await;
    for (name, client) in [("phone", &mut phone), ("tab", &mut tab), ("ada", &mut ada), ("grace", &mut grace)]
    {
        assert_eq!(client.settled("message:new").await, std::slice::from_ref(&sent), "{name}");
    }
    for (name, client) in [
        ("neighbour", &mut neighbour),
        ("stranger", &mut stranger),
        ("idle", &mut idle),
        ("foreign", &mut foreign),
    ] {
        assert_eq!(client.settled("message:new").await, [] as [Value; 0], "{name}");
    }
    assert_eq!(idle.settled("conversation:updated").await.last().unwrap()["last_message"], sent);
    assert_eq!(foreign.settled("conversation:updated").await, [] as [Value; 0]);
}

#[tokio::test]
async fn one_socket_may_be_in_both_namespaces_and_leave_one_of_them() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut socket = Client::open(server.address(), "/client").await;
    socket.send_text(&format!("40/client,{}", app.device_auth("phone"))).await;
    socket.send_text(&format!("40/admin,{}", app.agent_auth())).await;
    let mut packets = Vec::new();
    while !(packets.iter().any(|packet: &String| packet.starts_with("42/client,[\"conversation:joined\""))
        && packets.iter().any(|packet| packet.starts_with("42/admin,[\"connected\"")))
    {
        packets.push(socket.receive().await.unwrap());
    }
    let join = json!(["conversation:join", { "conversation_id": conversation }]);
    socket.send_text(&format!("42/admin,7{join}")).await;
    let send = json!(["message:send", { "conversation_id": conversation, "local_id": "1", "body": "hello" }]);
    socket.send_text(&format!("42/client,7{send}")).await;
    while packets.iter().filter(|packet| packet.contains("[\"message:new\"")).count() < 2
        || packets.iter().filter(|packet| packet.starts_with("43/")).count() < 2
    {
        packets.push(socket.receive().await.unwrap());
    }
    for namespace in ["/client", "/admin"] {
        let of = |kind: &str| {
            packets.iter().filter(|packet| packet.starts_with(&format!("{kind}{namespace},"))).count()
        };
        assert_eq!(of("40"), 1);
        assert_eq!(of("43"), 1, "an ack's number counts within its namespace: {packets:?}");
        let new = format!("42{namespace},[\"message:new\"");
        assert_eq!(packets.iter().filter(|packet| packet.starts_with(&new)).count(), 1);
    }
    socket.send_text("41/client,").await;
    let mut watcher = app.agent().await;
    testkit::eventually("the device's leave", async || {
        let presence = app.as_agent().get("/v1/admin/devices/phone/presence").await.ok();
        (presence["is_online"] == false).then_some(())
    })
    .await;
    let before = packets.len();
    socket.send_text("42/admin,8[\"ping\",{}]").await;
    while !packets[before..].iter().any(|packet| packet == "43/admin,8[\"pong\"]") {
        packets.push(socket.receive().await.unwrap());
    }
    watcher.say(&conversation, "2", "after").await;
    socket.send_text("42/admin,9[\"ping\",{}]").await;
    while packets.last().unwrap() != "43/admin,9[\"pong\"]" {
        packets.push(socket.receive().await.unwrap());
    }
    let heard: Vec<_> =
        packets[before..].iter().filter(|packet| packet.contains("[\"message:new\"")).collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("42/admin,"), "{heard:?}");
}

#[tokio::test]
async fn a_device_may_leave_its_namespace_and_come_back_on_the_same_socket() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    for round in 0..3 {
        assert_eq!(agent.expect("presence:change").await["is_online"], true);
        device.send_text("41/client,").await;
        assert_eq!(agent.expect("session:disconnect").await["reason"], "client namespace disconnect");
        assert_eq!(agent.expect("presence:change").await["is_online"], false);
        device.send_text(&format!("40/client,{}", app.device_auth("phone"))).await;
        assert!(device.receive().await.unwrap().starts_with("40/client,"));
        device.expect("connected").await;
        device.expect("conversation:joined").await;
        agent.say(&conversation, &format!("{round}"), "again").await;
        assert_eq!(device.settled("message:new").await.len(), 1);
    }
}

#[tokio::test]
async fn two_sockets_in_two_namespaces_talk_to_each_other() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let question = device.say(&conversation, "1", "hello?").await;
    assert_eq!(agent.expect("message:new").await, question);
    let answer = agent.say(&conversation, "2", "hello!").await;
    assert_eq!(device.expect("message:new").await, question);
    assert_eq!(device.expect("message:new").await, answer);
}

async fn counts(app: &TestApp, agent: &mut Client, device_id: &str) -> [usize; 3] {
    let listed = agent.done("sessions:list", json!({ "app_id": app.app_id })).await;
    let rest = app.as_agent().get("/v1/admin/sessions").await.ok();
    assert_eq!(listed["sessions"], rest["sessions"]);
    let presence = app.as_agent().get(&format!("/v1/admin/devices/{device_id}/presence")).await.ok();
    assert_eq!(presence["device_id"], device_id);
    let active = presence["active_connections"].as_u64().unwrap() as usize;
    assert_eq!(presence["is_online"], active > 0);
    let sessions = listed["sessions"].as_array().unwrap();
    [sessions.len(), sessions.iter().filter(|session| session["device_id"] == device_id).count(), active]
}

#[tokio::test]
async fn all_who_tell_how_many_are_connected_tell_the_same() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let _elsewhere = other.device("phone").await;
    let mut agent = app.agent().await;
    assert_eq!(counts(&app, &mut agent, "phone").await, [0, 0, 0]);
    let first = app.device("phone").await;
    assert_eq!(counts(&app, &mut agent, "phone").await, [1, 1, 1]);
    let second = app.device("phone").await;
    let _laptop = app.device("laptop").await;
    assert_eq!(counts(&app, &mut agent, "phone").await, [3, 2, 2]);
    first.close().await;
    agent.expect("session:disconnect").await;
    assert_eq!(counts(&app, &mut agent, "phone").await, [2, 1, 1]);
    second.cut();
    agent.expect("session:disconnect").await;
    assert_eq!(counts(&app, &mut agent, "phone").await, [1, 0, 0]);
    assert_eq!(counts(&app, &mut agent, "never-seen").await, [1, 0, 0]);
}

#[tokio::test]
async fn the_list_of_sessions_comes_in_pages_that_hold_each_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut devices = Vec::new();
    let mut connected = Vec::new();
    for number in 0..7 {
        let mut device = app.device(&format!("device-{number}")).await;
        connected.push(device.expect("connected").await["connection_id"].clone());
        devices.push(device);
    }
    let mut agent = app.agent().await;
    for is_socket in [true, false] {
        let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = if is_socket {
                agent.done("sessions:list", json!({ "app_id": app.app_id, "after": after, "limit": 3 })).await
            } else {
                app.as_agent().get(&format!("/v1/admin/sessions?limit=3&after={after}")).await.ok()
            };
            pages += 1;
            let sessions = page["sessions"].as_array().unwrap();
            seen.extend(sessions.iter().map(|session| session["connection_id"].clone()));
            if page["has_more"] == false {
                break;
            }
            assert_eq!(sessions.len(), 3);
            after = sessions[2]["connection_id"].as_str().unwrap().to_owned();
        }
        seen.sort_by_key(Value::to_string);
        connected.sort_by_key(Value::to_string);
        assert_eq!((seen, pages), (connected.clone(), 3));
    }
    assert_eq!(agent.refused("sessions:list", json!({ "app_id": "app_other" })).await, "FORBIDDEN");
}

#[tokio::test]
async fn ping_is_acked_with_pong_or_answered_with_a_pong_event() {
    let server = TestServer::start().await;
    let app = server.app().await;
    // The agent first: they would hear of the device.
    for namespace in ["/admin", "/client"] {
        let auth = if namespace == "/client" { app.device_auth("phone") } else { app.agent_auth() };
        let mut client = Client::connect(server.address(), namespace, auth).await.unwrap();
        client.expect("connected").await;
        assert_eq!(client.call("ping", json!({})).await, "pong");
        assert_eq!(client.call("ping", Value::Null).await, "pong");
        assert_eq!(client.untaken(), Vec::<&str>::new(), "with an ack there is no event");
        client.emit("ping", json!({})).await;
        assert_eq!(client.expect("pong").await, json!({}));
    }
}

#[tokio::test]
async fn resolving_and_reopening_are_told_to_all_agents_and_kept_in_the_record() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent().await;
    let path = format!("/v1/admin/conversations/{conversation}");
    for status in ["resolved", "open", "resolved"] {
        let changed = app.as_agent().patch(&path, &json!({ "status": status })).await.ok();
        assert_eq!(changed["conversation"]["status"], status);
        assert_eq!(agent.expect("conversation:updated").await["conversation"]["status"], status);
        assert_eq!(app.as_agent().get(&path).await.ok()["conversation"]["status"], status);
        let list = app.as_agent().get(&format!("/v1/admin/conversations?status={status}")).await.ok();
        assert_eq!(list["conversations"][0]["id"], conversation.as_str());
        let (id, opposite) = (&conversation, if status == "open" { "resolved" } else { "open" });
        let list = app.as_agent().get(&format!("/v1/admin/conversations?status={opposite}")).await.ok();
        assert_eq!(list["conversations"], json!([]), "{id}");
    }
    app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
    assert_eq!(
        agent.settled("conversation:updated").await,
        [] as [Value; 0],
        "nothing changed, nothing is told"
    );
    let audit = app.as_agent().get("/v1/admin/audit").await.ok();
    let entries = audit["entries"].as_array().unwrap();
    let acts: Vec<_> = entries
        .iter()
        .filter(|entry| entry["target"] == conversation.as_str())
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(acts, ["conversation.resolve", "conversation.reopen", "conversation.resolve"], "newest first");
}

#[tokio::test]
async fn the_record_names_who_did_what_and_is_for_those_who_manage() {
    let server = TestServer::start().await;
    let (app, other) = (server.app().await, server.app().await);
    let (token_id, token) =
        app.token(&["view_sessions", "view_presence", "view_conversations", "send_messages"]).await;
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/admin/conversations/{conversation}");
    app.as_agent_with(&token).patch(&path, &json!({ "status": "resolved" })).await.ok();
    app.command(&["token", "revoke", &token_id]).await;
    app.command(&["app", "rotate-key", &app.app_id]).await;
    let manager = app.as_agent_with(&app.token(&["manage"]).await.1);
    let mut acts = Vec::new();
    let mut before = String::new();
    loop {
        let page = manager.get(&format!("/v1/admin/audit?limit=2{before}")).await.ok();
        let entries = page["entries"].as_array().unwrap().clone();
        before = format!("&before={}", entries.last().unwrap()["id"]);
        acts.extend(entries);
        if page["has_more"] == false {
            break;
        }
    }
    let told: Vec<_> = acts
        .iter()
        .map(|act| {
            (act["action"].as_str().unwrap(), act["actor"].as_str().unwrap(), act["target"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told[1..],
        [
            ("app.rotate_key", "cli", app.app_id.as_str()),
            ("token.revoke", "cli", &token_id),
            ("conversation.resolve", &token_id, &conversation),
            ("token.create", "cli", &token_id),
            told[5],
            ("app.create", "cli", &app.app_id),
        ]
    );
    assert_eq!((told[0].0, told[5].0), ("token.create", "token.create"));
    let text = json!(acts).to_string();
    for secret in [&app.api_key, &app.admin_token, &token] {
        assert!(!text.contains(secret.as_str()), "no secret is in the record");
    }
    let all_but_manage =
        app.token(&["view_sessions", "view_presence", "view_conversations", "send_messages"]).await.1;
    assert_eq!(app.as_agent_with(&all_but_manage).get("/v1/admin/audit").await.failure(), (403, "FORBIDDEN"));
    let elsewhere = other.as_agent().get("/v1/admin/audit").await.ok();
    assert!(!elsewhere.to_string().contains(&app.app_id));
}

#[tokio::test]
async fn a_token_s_use_and_end_are_listed_and_its_secret_is_not() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let list = async || app.command(&["token", "list", "--app", &app.app_id]).await;
    let (id, secret) = app.token_with(&["view_sessions"], &["--expires-in=90d"]).await;
    let row = |list: &Value| {
        list["tokens"].as_array().unwrap().iter().find(|token| token["id"] == id.as_str()).unwrap().clone()
    };
    let fresh = list().await;
    assert!(!fresh.to_string().contains(&secret));
    let fresh = row(&fresh);
    assert_eq!((&fresh["name"], &fresh["permissions"]), (&json!("Ada"), &json!(["view_sessions"])));
    assert!(fresh["expires_at"].as_str().unwrap() > fresh["created_at"].as_str().unwrap());
    assert_eq!((&fresh["last_used_at"], &fresh["revoked_at"]), (&Value::Null, &Value::Null));
    let agent = app.agent_with(&secret).await.unwrap();
    assert!(row(&list().await)["last_used_at"].is_string());
    agent.close().await;
    app.command(&["token", "revoke", &id]).await;
    assert!(row(&list().await)["revoked_at"].is_string());
    assert_eq!(app.agent_with(&secret).await.err().unwrap().message, "INVALID_CREDENTIALS");
    assert_eq!(
        app.as_agent_with(&secret).get("/v1/admin/sessions").await.failure(),
        (401, "INVALID_CREDENTIALS")
    );
}

/// Waits for the end of an agent's connection, which must be said before it is done.
async fn put_out(mut agent: Client, since: Instant) {
    assert_eq!(agent.expect("error").await["code"], "INVALID_CREDENTIALS");
    assert!(agent.closed().await, "the namespace is left by a packet first");
    assert!(since.elapsed() < TOKENS_CLOSE_WITHIN, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_revoked_token_s_connections_are_closed_and_those_of_others_are_not() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (id, secret) = app.token(&["view_sessions"]).await;
    let (first, second) = (app.agent_with(&secret).await.unwrap(), app.agent_with(&secret).await.unwrap());
    let (mut other, mut device) = (app.agent().await, app.device("phone").await);
    app.command(&["token", "revoke", &id]).await;
    let revoked = Instant::now();
    put_out(first, revoked).await;
    put_out(second, revoked).await;
    assert_eq!(other.call("ping", json!({})).await, "pong");
    assert_eq!(device.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn an_expired_token_s_connections_are_closed() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let created = Instant::now();
    let lifetime = Duration::from_secs(3);
    let (_, secret) = app.token_with(&["view_sessions"], &["--expires-in=3s"]).await;
    let mut agent = app.agent_with(&secret).await.unwrap();
    assert_eq!(agent.call("ping", json!({})).await, "pong");
    put_out(agent, created + lifetime).await;
    assert!(created.elapsed() >= lifetime, "not before its time");
    assert_eq!(app.agent_with(&secret).await.err().unwrap().message, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn an_agent_s_connection_may_join_a_thousand_conversations_and_no_more() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let mut joins = Vec::new();
    for number in 0..=1_000 {
        let conversation = app.conversation(&format!("device-{number}")).await;
        joins.push(agent.ask("conversation:join", json!(conversation)).await);
    }
    let last = joins.pop().unwrap();
    for join in joins {
        assert_eq!(agent.ack(join).await["success"], true);
    }
    assert_eq!(agent.ack(last).await["error"], "VALIDATION_ERROR");
}
