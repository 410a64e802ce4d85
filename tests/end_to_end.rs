//! A support chat as it happens, from the first connect to the resolved conversation.

use serde_json::{Value, json};
use testkit::{Client, TestServer};

fn bodies(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|message| message["body"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_device_connects_opens_a_conversation_joins_it_and_writes() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut device = app.device("phone").await;
    let connected = device.expect("connected").await;
    assert!(connected["server_time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(device.settled("conversation:joined").await, [] as [Value; 0], "there is none to join yet");
    let user =
        json!({ "id": "u1", "name": "Grace", "email": "grace@example.org", "attributes": { "plan": "pro" } });
    let opened = app
        .as_device("phone")
        .post("/v1/conversations", &json!({ "user": user, "device_context": { "os": "iOS" } }))
        .await
        .ok();
    let conversation = opened["conversation"]["id"].as_str().unwrap();
    assert_eq!(opened["conversation"]["user_id"], "u1");
    let again = app.as_device("phone").post("/v1/conversations", &json!({})).await.ok();
    assert_eq!(again["conversation"]["id"], conversation, "the open one, not another");
    let joined =
        device.done("conversation:join", json!({ "conversation_id": conversation, "after": "" })).await;
    let receipts = json!({
        "user_delivered_seq": 0, "user_read_seq": 0, "agent_delivered_seq": 0, "agent_read_seq": 0,
    });
    assert_eq!(
        joined,
        json!({ "success": true, "last_seq": 0, "messages": [], "has_more": false, "receipts": receipts })
    );
    let sent = device.say(conversation, "l1", "My order is missing").await;
    assert_eq!(
        (&sent["seq"], &sent["sender"], &sent["sender_name"]),
        (&json!(1), &json!("user"), &json!("Grace"))
    );
    assert_eq!(device.expect("message:new").await, sent);
    let mut next_time = app.device("phone").await;
    let joined = next_time.expect("conversation:joined").await;
    assert_eq!(
        joined,
        json!({ "conversation_id": conversation, "last_message_id": sent["id"], "last_seq": 1 })
    );
}

#[tokio::test]
async fn a_question_reaches_the_agent_and_the_answer_reaches_the_device() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent().await;
    let question = device.say(&conversation, "q", "Where is my order?").await;
    let inbox = agent.expect("conversation:updated").await;
    assert_eq!(inbox["last_message"], question, "an agent who has joined nothing sees it in the inbox");
    assert_eq!(inbox["conversation"]["unread_count"], 1);
    let joined =
        agent.done("conversation:join", json!({ "conversation_id": conversation, "after": "" })).await;
    assert_eq!(joined["messages"], json!([question]));
    agent
        .done("message:read", json!({ "conversation_id": conversation, "up_to_message_id": question["id"] }))
        .await;
    let read = device.expect("message:status").await;
    assert_eq!((&read["status"], &read["up_to_seq"]), (&json!("read"), &json!(1)));
    let answer = agent.say(&conversation, "a", "On its way!").await;
    assert_eq!(
        (&answer["sender"], &answer["sender_name"], &answer["seq"]),
        (&json!("agent"), &json!("Ada"), &json!(2))
    );
    assert_eq!(device.expect("message:new").await, question);
    assert_eq!(device.expect("message:new").await, answer);
    device
        .done(
            "delivery:receipt",
            json!({ "message_id": answer["id"], "received_at": "2026-01-01T00:00:00.000Z" }),
        )
        .await;
    device
        .done("message:read", json!({ "conversation_id": conversation, "up_to_message_id": answer["id"] }))
        .await;
    let mut statuses = Vec::new();
    while statuses.len() < 3 {
        statuses.push(agent.expect("message:status").await["status"].clone());
    }
    assert_eq!(statuses, ["read", "delivered", "read"]);
    let page = app.as_device("phone").get(&format!("/v1/conversations/{conversation}/messages")).await.ok();
    assert_eq!(bodies(&page["messages"]), ["Where is my order?", "On its way!"]);
}

#[tokio::test]
async fn the_device_sees_that_an_agent_types() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (mut tab, _) = app.device_in_conversation("phone").await;
    let (mut neighbour, _) = app.device_in_conversation("neighbour").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut colleague = app.agent_in(&conversation).await;
    for is_typing in [true, false] {
        let event = if is_typing { "typing:start" } else { "typing:stop" };
        agent.done(event, json!({ "conversation_id": conversation })).await;
        for client in [&mut device, &mut tab] {
            let told = client.expect("agent:typing").await;
            assert_eq!(told, json!({ "conversation_id": conversation, "is_typing": is_typing }));
        }
    }
    for client in [&mut neighbour, &mut colleague, &mut agent] {
        assert_eq!(client.settled("agent:typing").await, [] as [Value; 0]);
    }
}

#[tokio::test]
async fn the_agents_and_the_device_s_other_tabs_see_that_the_user_types() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let (mut tab, _) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut idle = app.agent().await;
    for is_typing in [true, false] {
        let event = if is_typing { "typing:start" } else { "typing:stop" };
        device.done(event, json!({ "conversation_id": conversation })).await;
        for client in [&mut tab, &mut agent] {
            let told = client.expect("user:typing").await;
            let expected =
                json!({ "conversation_id": conversation, "device_id": "phone", "is_typing": is_typing });
            assert_eq!(told, expected);
        }
    }
    assert_eq!(device.settled("user:typing").await, [] as [Value; 0], "not to the one who types");
    assert_eq!(idle.settled("user:typing").await, [] as [Value; 0], "not to one who has not joined");
}

#[tokio::test]
async fn a_device_that_was_away_gets_exactly_what_it_missed_and_then_what_comes_live() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let last = agent.say(&conversation, "seen", "seen").await;
    assert_eq!(device.expect("message:new").await, last);
    device.cut();
    agent.expect("session:disconnect").await;
    let mut missed = Vec::new();
    for number in 0..120 {
        missed.push(agent.say(&conversation, &format!("missed-{number}"), "missed").await);
    }
    let mut device = app.device("phone").await;
    assert_eq!(device.expect("conversation:joined").await["last_seq"], 121);
    // More comes while it catches up.
    let mut pending = Vec::new();
    for number in 0..50 {
        let message =
            json!({ "conversation_id": conversation, "local_id": format!("live-{number}"), "body": "live" });
        pending.push(agent.ask("message:send", message).await);
    }
    let page = device
        .done("conversation:join", json!({ "conversation_id": conversation, "after": last["id"] }))
        .await;
    let mut got = page["messages"].as_array().unwrap().clone();
    assert_eq!(got.len(), 50, "a page");
    assert_eq!(page["has_more"], true);
    let joined_at = page["last_seq"].as_u64().unwrap();
    while got.last().unwrap()["seq"].as_u64().unwrap() < joined_at {
        let after = got.last().unwrap()["id"].as_str().unwrap();
        let path = format!("/v1/conversations/{conversation}/messages?limit=30&after={after}");
        let page = app.as_device("phone").get(&path).await.ok();
        got.extend(page["messages"].as_array().unwrap().iter().cloned());
    }
    let caught_up = got.last().unwrap()["seq"].as_u64().unwrap();
    for ack in pending {
        assert_eq!(agent.ack(ack).await["success"], true);
    }
    let live = device.settled("message:new").await;
    got.extend(live.into_iter().filter(|message| message["seq"].as_u64().unwrap() > caught_up));
    let seqs: Vec<_> = got.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (2..=171).collect::<Vec<_>>());
    assert_eq!(got[..120], missed[..]);
}

#[tokio::test]
async fn what_a_join_carries_and_what_comes_live_after_it_meet_without_gap_or_overlap() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let first = agent.say(&conversation, "first", "first").await;
    let (mut expected, mut cursor) = (1, first["id"].clone());
    for round in 0..20 {
        let mut pending = Vec::new();
        for number in 0..20 {
            let local_id = format!("{round}-{number}");
            let message = json!({ "conversation_id": conversation, "local_id": local_id, "body": "x" });
            pending.push(agent.ask("message:send", message).await);
        }
        // An agent joins nothing by itself, so that the join is the only source here.
        let mut late: Client = app.agent().await;
        let joined =
            late.done("conversation:join", json!({ "conversation_id": conversation, "after": cursor })).await;
        assert_eq!(joined["has_more"], false);
        for ack in pending {
            assert_eq!(agent.ack(ack).await["success"], true);
        }
        let mut got = joined["messages"].as_array().unwrap().clone();
        assert_eq!(got.len() as u64 + expected, joined["last_seq"].as_u64().unwrap());
        got.extend(late.settled("message:new").await);
        for message in &got {
            expected += 1;
            assert_eq!(message["seq"], expected);
        }
        assert_eq!(expected, 1 + 20 * (round + 1));
        cursor = got.last().unwrap()["id"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_one_in_a_conversation_may_come_and_go_while_messages_come_and_misses_nothing() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    // Who sends need not have joined; so the room is made and dropped with each visit.
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    device.done("conversation:leave", json!(conversation)).await;
    let mut visitor = app.agent().await;
    let (rounds, count) = (20, 150);
    let (mut cursor, mut seen) = (json!(""), 0);
    for round in 0..rounds {
        let mut pending = Vec::new();
        for number in 0..count {
            let local_id = format!("{round}-{number}");
            let message = json!({ "conversation_id": conversation, "local_id": local_id, "body": "x" });
            pending.push(device.ask("message:send", message).await);
        }
        let visiting = tokio::spawn(async move {
            for ack in pending {
                assert_eq!(device.ack(ack).await["success"], true);
            }
            device
        });
        let until = (round + 1) * count;
        while seen < until {
            let join = json!({ "conversation_id": conversation, "after": cursor });
            let joined = visitor.done("conversation:join", join).await;
            let mut got = joined["messages"].as_array().unwrap().clone();
            let is_behind = joined["has_more"] == true;
            while !is_behind && got.len() < 30 && seen + (got.len() as u64) < until {
                got.push(visitor.expect("message:new").await);
            }
            for message in &got {
                seen += 1;
                assert_eq!(message["seq"], seen);
            }
            cursor = got.last().unwrap()["id"].clone();
            visitor.done("conversation:leave", json!(conversation)).await;
            // What came between the last look and the leave is asked for with the next join.
            visitor.settled("message:new").await;
        }
        device = visiting.await.unwrap();
    }
    assert_eq!(seen, rounds * count);
}

#[tokio::test]
async fn a_cursor_that_is_no_message_of_the_conversation_is_refused_and_the_join_undone() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let elsewhere = app.conversation("neighbour").await;
    let mut agent = app.agent_in(&elsewhere).await;
    let foreign = agent.say(&elsewhere, "1", "x").await;
    let mut late = app.agent().await;
    for after in [foreign["id"].as_str().unwrap(), "msg_unknown", "x"] {
        let join = json!({ "conversation_id": conversation, "after": after });
        assert_eq!(late.refused("conversation:join", join).await, "MESSAGE_NOT_FOUND");
    }
    agent.say(&conversation, "1", "x").await;
    assert_eq!(late.settled("message:new").await, [] as [Value; 0]);
}

#[tokio::test]
async fn messages_by_rest_and_by_socket_are_one_conversation() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let of_device = format!("/v1/conversations/{conversation}/messages");
    let of_agent = format!("/v1/admin/conversations/{conversation}/messages");
    let mut sent = Vec::new();
    for round in 0..2 {
        let body = |who: &str| json!({ "local_id": format!("{who}-{round}"), "body": who });
        sent.push(device.say(&conversation, &format!("socket-{round}"), "device, socket").await);
        sent.push(
            app.as_device("phone").post(&of_device, &body("device, rest")).await.ok()["message"].clone(),
        );
        sent.push(agent.say(&conversation, &format!("agent-{round}"), "agent, socket").await);
        sent.push(app.as_agent().post(&of_agent, &body("agent, rest")).await.ok()["message"].clone());
    }
    assert_eq!(device.settled("message:new").await, sent);
    assert_eq!(agent.settled("message:new").await, sent);
    assert_eq!(app.as_device("phone").get(&of_device).await.ok()["messages"], json!(sent));
    assert_eq!(app.as_agent().get(&of_agent).await.ok()["messages"], json!(sent));
    app.as_device("phone")
        .post(&format!("{of_device}/delivered"), &json!({ "up_to_message_id": sent[7]["id"] }))
        .await
        .ok();
    app.as_device("phone")
        .post(&format!("{of_device}/read"), &json!({ "up_to_message_id": sent[7]["id"] }))
        .await
        .ok();
    for client in [&mut device, &mut agent] {
        let told: Vec<_> =
            client.settled("message:status").await.iter().map(|told| told["status"].clone()).collect();
        assert_eq!(told, ["delivered", "read"]);
    }
}

#[tokio::test]
async fn after_a_resolve_the_device_s_next_conversation_is_a_new_one() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, first) = app.device_in_conversation("phone").await;
    device.say(&first, "1", "old matter").await;
    app.as_agent()
        .patch(&format!("/v1/admin/conversations/{first}"), &json!({ "status": "resolved" }))
        .await
        .ok();
    let second = app.conversation("phone").await;
    assert_ne!(first, second);
    assert_eq!(app.conversation("phone").await, second);
    let list = app.as_device("phone").get("/v1/conversations").await.ok();
    let both: Vec<_> =
        list["conversations"].as_array().unwrap().iter().map(|one| (&one["id"], &one["status"])).collect();
    assert_eq!(both, [(&json!(second), &json!("open")), (&json!(first), &json!("resolved"))]);
    assert_eq!(list["has_more"], false);
    let page = app.as_device("phone").get("/v1/conversations?limit=1").await.ok();
    assert_eq!((page["conversations"].as_array().unwrap().len(), &page["has_more"]), (1, &json!(true)));
    let mut back = app.device("phone").await;
    assert_eq!(back.expect("conversation:joined").await["conversation_id"], second.as_str());
}

#[tokio::test]
async fn a_user_s_message_opens_a_resolved_conversation_again_and_an_agent_s_does_not() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let path = format!("/v1/admin/conversations/{conversation}");
    app.as_agent().patch(&path, &json!({ "status": "resolved" })).await.ok();
    assert_eq!(agent.expect("conversation:updated").await["conversation"]["status"], "resolved");
    agent.say(&conversation, "1", "Anything else?").await;
    assert_eq!(agent.expect("conversation:updated").await["conversation"]["status"], "resolved");
    device.say(&conversation, "2", "Yes!").await;
    assert_eq!(agent.expect("conversation:updated").await["conversation"]["status"], "open");
    assert_eq!(app.as_agent().get(&path).await.ok()["conversation"]["status"], "open");
    assert_eq!(app.conversation("phone").await, conversation);
}

#[tokio::test]
async fn who_uses_a_device_is_shown_to_agents() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut agent = app.agent().await;
    app.as_device("phone")
        .post("/v1/identify", &json!({ "user": { "id": "u7", "name": "Grace" } }))
        .await
        .ok();
    assert_eq!(agent.expect("conversation:updated").await["conversation"]["user_id"], "u7");
    let mut device = app.device("phone").await;
    assert_eq!(
        agent.expect("session:connect").await["user_info"],
        json!({ "user_id": "u7", "name": "Grace" })
    );
    let listed = agent.done("sessions:list", json!({ "app_id": app.app_id })).await;
    assert_eq!(listed["sessions"][0]["user_info"]["name"], "Grace");
    assert_eq!(device.say(&conversation, "1", "hi").await["sender_name"], "Grace");
    let inbox = app.as_agent().get("/v1/admin/conversations").await.ok();
    assert_eq!(inbox["conversations"][0]["is_online"], true);
}

#[tokio::test]
async fn the_inbox_shows_the_newest_activity_first_in_pages_that_hold_each_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut conversations = Vec::new();
    for number in 0..7 {
        conversations.push(app.conversation(&format!("device-{number}")).await);
    }
    let mut agent = app.agent().await;
    agent.say(&conversations[2], "1", "newest").await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = app.as_agent().get(&format!("/v1/admin/conversations?limit=3&after={after}")).await.ok();
        seen.extend(
            page["conversations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            assert_eq!(page["next_cursor"], Value::Null);
            break;
        }
        after = page["next_cursor"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen[0], conversations[2]);
    let mut sorted = seen.clone();
    sorted.sort();
    conversations.sort();
    assert_eq!(sorted, conversations);
}
