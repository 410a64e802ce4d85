//! What a team says of a conversation and its person, and sees of itself: tags, marks, counts, a text about the person, who is looking.
//! No device sees any of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, Http, TestApp, TestCluster, TestServer};

use crate::BINARY;
use crate::agents::agent;

fn at(conversation: &str) -> String {
    format!("/v1/admin/conversations/{conversation}")
}

async fn row(http: &Http, conversation: &str) -> Value {
    http.get(&at(conversation)).await.ok()["conversation"].clone()
}

async fn change(http: &Http, conversation: &str, change: Value) -> Value {
    http.patch(&at(conversation), &change).await.ok()["conversation"].clone()
}

async fn ids(http: &Http, query: &str) -> Vec<String> {
    let page = http.get(&format!("/v1/admin/conversations?{query}")).await.ok();
    page["conversations"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().into()).collect()
}

async fn kinds(http: &Http, conversation: &str) -> Vec<String> {
    let page = http.get(&format!("{}/activity", at(conversation))).await.ok();
    let said = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("kind"), text("body")).trim().to_owned()
    };
    page["activity"].as_array().unwrap().iter().map(said).collect()
}

async fn write(app: &TestApp, device: &str, conversation: &str, local_id: &str) -> Value {
    let path = format!("/v1/conversations/{conversation}/messages");
    app.as_device(device).post(&path, &json!({ "local_id": local_id, "body": "Hello" })).await.ok()["message"]
        .clone()
}

/// Two agents of an app, each with their id.
async fn ada_and_ben(app: &TestApp) -> [(String, String, Http); 2] {
    let mut both = Vec::new();
    for name in ["ada", "ben"] {
        let (id, token) = agent(app, name, "agent").await;
        let http = app.as_agent_with(&token);
        both.push((id, token, http));
    }
    both.try_into().unwrap_or_else(|_| unreachable!("there are two"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_put_on_and_taken_off_listed_filtered_and_counted() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let [(_, ada_token, ada), (_, _, ben)] = ada_and_ben(&app).await;
    let (first, second) = (app.conversation("phone").await, app.conversation("tablet").await);
    let mut watching = app.agent_with(&ada_token).await.unwrap();

    // What looks the same is the same, and what is there already is no news.
    let tagged = change(&ada, &first, json!({ "add_tags": ["  VIP ", "Billing  question", "vip"] })).await;
    assert_eq!(tagged["tags"], json!(["billing question", "vip"]));
    assert_eq!(watching.expect("conversation:updated").await["conversation"]["tags"], tagged["tags"]);
    assert_eq!(change(&ben, &first, json!({ "add_tags": ["vip"] })).await["tags"], tagged["tags"]);
    // Two who change different tags at once both have their way.
    let (one, other) = tokio::join!(
        change(&ada, &second, json!({ "add_tags": ["vip"] })),
        change(&ben, &second, json!({ "add_tags": ["refund"] }))
    );
    assert!(one["tags"].as_array().unwrap().len() + other["tags"].as_array().unwrap().len() == 3);
    assert_eq!(row(&ada, &second).await["tags"], json!(["refund", "vip"]));
    change(&ben, &first, json!({ "remove_tags": ["billing question", "never there"] })).await;
    assert_eq!(
        kinds(&ada, &first).await,
        ["tagged billing question", "tagged vip", "untagged billing question"]
    );

    // The list has what was ever put on, and by each how many are open; a page by a tag is by activity.
    let list = json!([
        { "tag": "billing question", "open": 0 }, { "tag": "refund", "open": 1 }, { "tag": "vip", "open": 2 }
    ]);
    assert_eq!(ada.get("/v1/admin/tags").await.ok()["tags"], list);
    write(&app, "phone", &first, "1").await;
    assert_eq!(ids(&ada, "tag=VIP").await, [first.clone(), second.clone()]);
    write(&app, "tablet", &second, "1").await;
    assert_eq!(ids(&ada, "tag=vip").await, [second.clone(), first.clone()]);
    let page = ada.get("/v1/admin/conversations?tag=vip&limit=1").await.ok();
    let after = page["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&ada, &format!("tag=vip&limit=1&after={after}")).await, std::slice::from_ref(&first));
    change(&ada, &first, json!({ "status": "resolved" })).await;
    assert_eq!(ids(&ada, "tag=vip").await, std::slice::from_ref(&second));
    assert_eq!(ids(&ada, "tag=vip&status=resolved").await, std::slice::from_ref(&first));
    assert_eq!(ids(&ada, "tag=billing%20question").await, [] as [String; 0]);

    // The list is kept by whoever manages; off it, a tag stays where it is.
    let owner = app.as_agent();
    owner.post("/v1/admin/tags", &json!({ "tag": "Later" })).await.ok();
    owner.delete("/v1/admin/tags/vip").await.ok();
    let tags = owner.get("/v1/admin/tags").await.ok()["tags"].as_array().unwrap().clone();
    let names: Vec<_> = tags.iter().map(|tag| tag["tag"].as_str().unwrap()).collect();
    assert_eq!(names, ["billing question", "later", "refund"]);
    assert_eq!(row(&ada, &second).await["tags"], json!(["refund", "vip"]));
    assert_eq!(owner.delete("/v1/admin/tags/vip").await.failure(), (404, "NOT_FOUND"));
    assert_eq!(ada.post("/v1/admin/tags", &json!({ "tag": "x" })).await.failure(), (403, "FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tag_or_one_too_many_is_refused_and_changes_nothing() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let http = app.as_agent();
    let id = app.conversation("phone").await;
    let many: Vec<_> = (0..20).map(|number| format!("tag {number}")).collect();
    assert_eq!(change(&http, &id, json!({ "add_tags": many })).await["tags"].as_array().unwrap().len(), 20);
    for (wrong, code) in [
        (json!({ "add_tags": [] }), "MISSING_PARAMS"),
        (json!({ "add_tags": ["one more"] }), "VALIDATION_ERROR"),
        (json!({ "add_tags": [""] }), "MISSING_PARAMS"),
        (json!({ "add_tags": ["x".repeat(33)] }), "VALIDATION_ERROR"),
        (json!({ "add_tags": ["a\u{0}b"] }), "VALIDATION_ERROR"),
        (json!({ "add_tags": "vip" }), "VALIDATION_ERROR"),
        (json!({ "add_tags": [7] }), "VALIDATION_ERROR"),
        (json!({ "add_tags": ["new"], "remove_tags": ["New "] }), "VALIDATION_ERROR"),
        (json!({ "remove_tags": vec!["x"; 21] }), "VALIDATION_ERROR"),
        (json!({ "marked_unread": "yes" }), "VALIDATION_ERROR"),
    ] {
        assert_eq!(http.patch(&at(&id), &wrong).await.failure(), (400, code), "{wrong}");
    }
    // One for another fits.
    let swapped = change(&http, &id, json!({ "add_tags": ["one more"], "remove_tags": ["tag 7"] })).await;
    assert_eq!(swapped["tags"].as_array().unwrap().len(), 20);
    for wrong in ["tag=x&view=mine", "tag=x&view=waiting"] {
        let answer = http.get(&format!("/v1/admin/conversations?{wrong}")).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"), "{wrong}");
    }
    // An app's list has an end, and what is beyond it is not half done.
    for number in 21..500 {
        http.post("/v1/admin/tags", &json!({ "tag": format!("t{number}") })).await.ok();
    }
    let other = app.conversation("tablet").await;
    let answer = http.patch(&at(&other), &json!({ "add_tags": ["tag 1", "499", "500", "501"] })).await;
    assert_eq!(answer.failure(), (400, "VALIDATION_ERROR"));
    assert_eq!(row(&http, &other).await.get("tags"), None);
    assert_eq!(http.post("/v1/admin/tags", &json!({ "tag": "tag 1" })).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_the_teams_until_somebody_reads_answers_or_takes_it_away() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let [(_, ada_token, ada), (_, _, ben)] = ada_and_ben(&app).await;
    let (mut device, id) = app.device_in_conversation("phone").await;
    let message = write(&app, "phone", &id, "1").await;
    let read = json!({ "up_to_message_id": message["id"] });
    ada.post(&format!("{}/messages/read", at(&id)), &read).await;
    let mut watching = app.agent_with(&ada_token).await.unwrap();
    watching.done("conversation:join", json!({ "conversation_id": id })).await;
    watching.done("message:read", json!({ "conversation_id": id, "up_to_message_id": message["id"] })).await;
    device.settled("message:status").await;

    let before = row(&ada, &id).await;
    let marked = change(&ada, &id, json!({ "marked_unread": true })).await;
    assert_eq!((&marked["is_marked_unread"], &marked["updated_at"]), (&json!(true), &before["updated_at"]));
    while watching.expect("conversation:updated").await["conversation"]["is_marked_unread"] != true {}
    // The person sees nothing of it: what was read is read.
    assert!(device.settled("message:status").await.is_empty());
    let seen = app.as_device("phone").get("/v1/conversations").await.text;
    assert!(!seen.contains("marked"), "{seen}");
    assert!(kinds(&ada, &id).await.is_empty(), "that is no activity");

    // Whoever takes it away, reads what is new, or answers, has looked at it.
    assert_eq!(change(&ben, &id, json!({ "marked_unread": false })).await.get("is_marked_unread"), None);
    change(&ada, &id, json!({ "marked_unread": true })).await;
    let path = format!("{}/messages", at(&id));
    ben.post(&path, &json!({ "local_id": "a", "body": "Hi" })).await.ok();
    assert_eq!(row(&ada, &id).await.get("is_marked_unread"), None, "it was answered");
    change(&ada, &id, json!({ "marked_unread": true })).await;
    let next = write(&app, "phone", &id, "2").await;
    assert_eq!(row(&ada, &id).await["is_marked_unread"], true, "a word of the person's takes nothing away");
    watching.done("message:read", json!({ "conversation_id": id, "up_to_message_id": next["id"] })).await;
    assert_eq!(row(&ada, &id).await.get("is_marked_unread"), None, "it was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_what_the_views_have_and_come_by_themselves() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let [(ada_id, ada_token, ada), (_, ben_token, ben)] = ada_and_ben(&app).await;
    let mut conversations = Vec::new();
    for number in 0..4 {
        let device = format!("phone-{number}");
        let id = app.conversation(&device).await;
        write(&app, &device, &id, "1").await;
        conversations.push(id);
    }
    let mut watching = [app.agent_with(&ada_token).await.unwrap(), app.agent_with(&ben_token).await.unwrap()];
    let mut program = app.agent().await;
    change(&ada, &conversations[0], json!({ "assignee_id": ada_id })).await;
    change(&ada, &conversations[1], json!({ "assignee_id": ada_id })).await;
    change(&ada, &conversations[2], json!({ "status": "resolved" })).await;
    let path = format!("{}/messages", at(&conversations[1]));
    let answer = ada.post(&path, &json!({ "local_id": "a", "body": "Hi" })).await.ok();
    for client in &mut watching[..1] {
        client.done("conversation:join", json!({ "conversation_id": conversations[1] })).await;
    }
    let read = json!({ "conversation_id": conversations[1], "up_to_message_id": answer["message"]["id"] });
    watching[0].done("message:read", read).await;
    let shared = json!({ "open": 3, "unassigned": 1, "waiting": 2 });
    let with = |mine: u64, unread: u64| {
        let mut counts = shared.clone();
        counts["mine"] = mine.into();
        counts["mine_unread"] = unread.into();
        counts
    };
    let counts = "/v1/admin/conversations/counts";
    assert_eq!(ada.get(counts).await.ok(), with(2, 1));
    assert_eq!(ben.get(counts).await.ok(), with(0, 0));
    assert_eq!(app.as_agent().get(counts).await.ok(), shared, "nobody has a program's");
    change(&ada, &conversations[1], json!({ "marked_unread": true })).await;
    assert_eq!(ada.get(counts).await.ok(), with(2, 2));
    // The same comes by itself, once for all that changed meanwhile.
    let [of_ada, of_ben] = &mut watching;
    for (client, expected) in [(of_ada, with(2, 2)), (of_ben, with(0, 0)), (&mut program, shared.clone())] {
        let mut told = 0;
        while client.expect("inbox:counts").await != expected {
            told += 1;
            assert!(told < 20, "that is one for each change");
        }
    }
    // It comes to nobody who may not see conversations, and is asked by nobody.
    let (_, blind) = app.token(&["view_sessions", "send_messages"]).await;
    assert_eq!(app.as_agent_with(&blind).get(counts).await.failure(), (403, "FORBIDDEN"));
    let mut blind = app.agent_with(&blind).await.unwrap();
    change(&ada, &conversations[1], json!({ "marked_unread": false })).await;
    assert_eq!(watching[0].expect("inbox:counts").await, with(2, 1));
    assert!(blind.settled("inbox:counts").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_team_knows_of_a_person_stays_with_the_person() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let [(_, _, ada), (_, _, ben)] = ada_and_ben(&app).await;
    let about =
        async |http: &Http, id: &str| http.get(&format!("{}/person", at(id))).await.ok()["about"].clone();
    let describe = async |http: &Http, id: &str, text: &str| {
        http.patch(&format!("{}/person", at(id)), &json!({ "about": text })).await.ok()["about"].clone()
    };
    let id = app.conversation("phone").await;
    assert_eq!(about(&ada, &id).await, Value::Null);
    assert_eq!(describe(&ada, &id, "  Pays late\n").await, "Pays late");
    assert_eq!(describe(&ben, &id, "Pays late").await, "Pays late");
    assert_eq!(kinds(&ada, &id).await, ["described Pays late"], "the same again is no news");
    // Nobody becomes somebody: what is known of the one is known of the other, and of nobody who comes after.
    let identify = async |device: &str, user: Value| {
        app.as_device(device).post("/v1/identify", &json!({ "user": user })).await.ok();
    };
    identify("phone", json!({ "id": "ann" })).await;
    assert_eq!(about(&ben, &id).await, "Pays late");
    identify("phone", json!({ "id": "bob" })).await;
    let of_bob = app.conversation("phone").await;
    assert_ne!(of_bob, id);
    assert_eq!(about(&ben, &of_bob).await, Value::Null);
    assert_eq!(about(&ben, &id).await, "Pays late");
    // Who only says so elsewhere is not taken for the same.
    let elsewhere = app.conversation("tablet").await;
    identify("tablet", json!({ "id": "ann" })).await;
    assert_eq!(about(&ben, &elsewhere).await, Value::Null);
    // It is taken away, and kept in what happened.
    assert_eq!(describe(&ben, &id, "").await, Value::Null);
    assert_eq!(kinds(&ada, &id).await, ["described Pays late", "identified", "described"]);
    for (wrong, status, code) in [
        (json!({}), 400, "MISSING_PARAMS"),
        (json!({ "about": "x".repeat(2_001) }), 400, "VALIDATION_ERROR"),
        (json!({ "about": 7 }), 400, "VALIDATION_ERROR"),
    ] {
        assert_eq!(
            ada.patch(&format!("{}/person", at(&id)), &wrong).await.failure(),
            (status, code),
            "{wrong}"
        );
    }
    let device = app.as_device("phone").get("/v1/conversations").await.text;
    assert!(!device.contains("Pays late"), "{device}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_a_proven_person_is_known_wherever_they_are() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, secret) = app.identity_secret().await;
    let http = app.as_agent();
    let identify = async |device: &str| {
        let token = testkit::token_of(&secret, "ann");
        app.as_device(device).post("/v1/identify", &json!({ "token": token })).await.ok();
    };
    let first = app.conversation("phone").await;
    let about = json!({ "about": "A friend of the house" });
    http.patch(&format!("{}/person", at(&first)), &about).await.ok();
    identify("phone").await;
    identify("tablet").await;
    let again = app.conversation("tablet").await;
    assert_eq!(again, first, "it is the same conversation");
    change(&http, &first, json!({ "status": "resolved" })).await;
    let second = app.conversation("tablet").await;
    assert_ne!(second, first);
    let card = http.get(&format!("{}/person", at(&second))).await.ok();
    assert_eq!(card["about"], about["about"]);
}

/// Who is shown as looking, and who of them as typing.
fn viewers(event: &Value) -> Vec<String> {
    let said = |agent: &Value| {
        let typing = if agent["is_typing"] == true { " types" } else { "" };
        format!("{}{typing}", agent["name"].as_str().unwrap())
    };
    event["agents"].as_array().unwrap().iter().map(said).collect()
}

async fn shown(client: &mut Client, expected: &[&str]) {
    // What was before may still come.
    let mut seen = Vec::new();
    while seen != expected {
        seen = viewers(&client.expect("agent:viewing").await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_see_who_else_looks_at_a_conversation_and_who_writes_there() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let [(_, ada_token, _), (_, ben_token, _)] = ada_and_ben(&app).await;
    let (mut device, id) = app.device_in_conversation("phone").await;
    let here = json!({ "conversation_id": id });
    let mut ada = app.agent_with(&ada_token).await.unwrap();
    assert_eq!(ada.refused("conversation:viewing", here.clone()).await, "CONVERSATION_NOT_FOUND");
    ada.done("conversation:join", here.clone()).await;
    assert!(ada.settled("agent:viewing").await.is_empty(), "nobody looks at it");
    ada.done("conversation:viewing", here.clone()).await;
    shown(&mut ada, &["ada"]).await;
    // Who comes later is told with the join; two screens are one agent.
    let mut ben = app.agent_with(&ben_token).await.unwrap();
    ben.done("conversation:join", here.clone()).await;
    shown(&mut ben, &["ada"]).await;
    let mut bens_phone = app.agent_with(&ben_token).await.unwrap();
    bens_phone.done("conversation:join", here.clone()).await;
    for client in [&mut ben, &mut bens_phone] {
        client.done("conversation:viewing", here.clone()).await;
    }
    shown(&mut ada, &["ada", "ben"]).await;
    ben.done("typing:start", here.clone()).await;
    shown(&mut ada, &["ada", "ben types"]).await;
    // Nothing more is said of it, and after a while it is over.
    shown(&mut ada, &["ada", "ben"]).await;
    ben.done("typing:start", here.clone()).await;
    shown(&mut ada, &["ada", "ben types"]).await;
    ben.done("typing:stop", here.clone()).await;
    shown(&mut ada, &["ada", "ben"]).await;
    // One of two screens looks elsewhere, and then the other is gone without a word.
    ben.done("conversation:viewing", json!({})).await;
    assert!(ada.settled("agent:viewing").await.is_empty(), "he looks at it still");
    bens_phone.cut();
    shown(&mut ada, &["ada"]).await;
    ben.done("conversation:viewing", here.clone()).await;
    shown(&mut ada, &["ada", "ben"]).await;
    ben.done("conversation:leave", here.clone()).await;
    shown(&mut ada, &["ada"]).await;
    // A program is nobody who looks, and no device hears of any of it.
    let mut program = app.agent_in(&id).await;
    assert_eq!(program.refused("conversation:viewing", here.clone()).await, "FORBIDDEN");
    assert!(device.settled("agent:viewing").await.is_empty());
    assert_eq!(device.refused("conversation:viewing", here).await, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_on_another_node_is_seen_and_is_gone_within_ten_seconds_of_its_death() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let [(_, ada_token, _), (_, ben_token, _)] = ada_and_ben(&app).await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let id = here.conversation("phone").await;
    let conversation = json!({ "conversation_id": id });
    let (mut ada, mut ben) =
        (here.agent_with(&ada_token).await.unwrap(), there.agent_with(&ben_token).await.unwrap());
    for client in [&mut ada, &mut ben] {
        client.done("conversation:join", conversation.clone()).await;
        client.done("conversation:viewing", conversation.clone()).await;
    }
    shown(&mut ada, &["ada", "ben"]).await;
    shown(&mut ben, &["ada", "ben"]).await;
    // As long as both live, both are seen: longer than a silent node is believed.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(9) {
        assert!(ada.settled("agent:viewing").await.is_empty());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    cluster.nodes.remove(1).kill().await;
    let killed = Instant::now();
    // No client waits so long for one event.
    while ada.settled("agent:viewing").await.last().map(viewers) != Some(vec!["ada".to_owned()]) {
        assert!(killed.elapsed() < Duration::from_secs(10), "he is still shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
