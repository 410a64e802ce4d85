//! What happens in a conversation beside its messages: notes and what agents do. Durable, once, in order, without holes, caught
//! up by a cursor, delivered by itself; and nothing of it for a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backing::{FaultProxy, Passage};
use serde_json::{Value, json};
use testkit::{Backend, Client, Http, ServerProcess, TestCluster, TestServer, Wire, eventually};

use crate::BINARY;
use crate::agents::agent;

/// How long what is committed takes at most to those who are there, whatever fails but the database.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

async fn note(http: &Http, conversation: &str, local_id: &str, body: &str) -> Value {
    let path = format!("/v1/admin/conversations/{conversation}/notes");
    http.post(&path, &json!({ "local_id": local_id, "body": body })).await.ok()["activity"].clone()
}

/// All of a conversation's activity, in pages.
async fn activity(http: &Http, conversation: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last["n"].as_u64().unwrap());
        let path = format!("/v1/admin/conversations/{conversation}/activity?after={after}&limit=7");
        let page = http.get(&path).await.ok();
        all.extend(page["activity"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            assert_eq!(page["last_activity"].as_u64(), Some(all.len() as u64));
            return all;
        }
    }
}

/// What happened, in words.
fn words(activity: &[Value]) -> Vec<String> {
    let name = |of: &Value| of["name"].as_str().unwrap_or_default().to_owned();
    let said = |one: &Value| {
        let (kind, body) = (one["kind"].as_str().unwrap(), one["body"].as_str().unwrap_or_default());
        format!("{} {kind} {}{body}", name(&one["by"]), name(&one["to"])).trim().to_owned()
    };
    activity.iter().map(said).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_do_is_told_to_those_who_are_there_in_order_and_kept() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (ada_id, ada_token) = agent(&app, "ada", "agent").await;
    let (ben_id, ben_token) = agent(&app, "ben", "agent").await;
    let (ada, ben) = (app.as_agent_with(&ada_token), app.as_agent_with(&ben_token));
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    device.say(&conversation, "1", "Hello").await;
    let mut there = app.agent_with(&ben_token).await.expect("an agent");
    there.done("conversation:join", json!({ "conversation_id": conversation })).await;
    let path = format!("/v1/admin/conversations/{conversation}");
    let before = ada.get(&path).await.ok();

    let written = note(&ada, &conversation, "n1", "She has a discount").await;
    assert_eq!(
        (&written["n"], &written["kind"], &written["by"]["id"]),
        (&json!(1), &json!("note"), &json!(ada_id))
    );
    let after = ada.get(&path).await.ok();
    assert_eq!(before, after, "a note changes nothing of how the conversation stands");
    ada.patch(&path, &json!({ "assignee_id": ben_id })).await.ok();
    ben.patch(&path, &json!({ "status": "resolved" })).await.ok();
    device.say(&conversation, "2", "One more thing").await;
    ben.patch(&path, &json!({ "assignee_id": null })).await.ok();
    ben.patch("/v1/admin/devices/phone", &json!({ "blocked": true })).await.ok();
    ben.patch("/v1/admin/devices/phone", &json!({ "blocked": false })).await.ok();
    app.as_device("phone")
        .post("/v1/identify", &json!({ "user": { "id": "ann", "name": "Ann" } }))
        .await
        .ok();
    let expected = [
        "ada note She has a discount",
        "ada assigned ben",
        "ben resolved",
        "reopened",
        "ben released ben",
        "ben blocked",
        "ben unblocked",
        "identified Ann",
    ];
    let mut heard = Vec::new();
    for n in 1..=expected.len() {
        let told = there.expect("activity:new").await;
        assert_eq!(told["n"].as_u64(), Some(n as u64));
        heard.push(told);
    }
    assert_eq!(words(&heard), expected);
    assert_eq!(activity(&ada, &conversation).await, heard, "what was told is what is kept");

    // What changes nothing is no news; a rename changes nothing of what was.
    ben.patch(&path, &json!({ "status": "open", "assignee_id": null })).await.ok();
    ada.patch("/v1/admin/me", &json!({ "name": "Ada Lovelace" })).await.ok();
    assert_eq!(words(&activity(&ben, &conversation).await), expected);
    // The newest first, for who opens it.
    let newest = ada.get(&format!("{path}/activity?limit=2")).await.ok();
    assert_eq!(words(newest["activity"].as_array().unwrap()), expected[6..]);
    assert_eq!((&newest["has_more"], &newest["last_activity"]), (&json!(true), &json!(8)));
    let before = ada.get(&format!("{path}/activity?before=3&limit=9")).await.ok();
    assert_eq!(words(before["activity"].as_array().unwrap()), expected[..2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_is_sent_again_is_the_same_and_another_of_that_name_is_refused() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, ada_token) = agent(&app, "ada", "agent").await;
    let (_, ben_token) = agent(&app, "ben", "agent").await;
    let (ada, ben) = (app.as_agent_with(&ada_token), app.as_agent_with(&ben_token));
    let conversation = app.conversation("phone").await;
    let path = format!("/v1/admin/conversations/{conversation}/notes");
    let first = ada.post(&path, &json!({ "local_id": "n1", "body": "x" })).await;
    let again = ada.post(&path, &json!({ "local_id": "n1", "body": "x" })).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.ok(), again.ok());
    for (http, body) in [(&ada, "y"), (&ben, "x")] {
        let answer = http.post(&path, &json!({ "local_id": "n1", "body": body })).await;
        assert_eq!(answer.failure(), (409, "LOCAL_ID_CONFLICT"));
    }
    let named = ada.clone().header("Idempotency-Key", "n2").post(&path, &json!({ "body": "z" })).await.ok();
    assert_eq!((&named["activity"]["n"], &named["activity"]["local_id"]), (&json!(2), &json!("n2")));
    for (wrong, status, code) in [
        (json!({}), 400, "MISSING_PARAMS"),
        (json!({ "body": "x" }), 400, "MISSING_PARAMS"),
        (json!({ "local_id": "n3", "body": "" }), 400, "MISSING_PARAMS"),
        (json!({ "local_id": "n3", "body": 7 }), 400, "VALIDATION_ERROR"),
        (json!({ "local_id": "n".repeat(65), "body": "x" }), 400, "VALIDATION_ERROR"),
        (json!({ "local_id": "n3", "body": "x".repeat(5_001) }), 413, "MESSAGE_TOO_LONG"),
    ] {
        assert_eq!(ada.post(&path, &wrong).await.failure(), (status, code), "{wrong}");
    }
    let nowhere =
        ada.post("/v1/admin/conversations/conv_x/notes", &json!({ "local_id": "a", "body": "x" })).await;
    assert_eq!(nowhere.failure(), (404, "CONVERSATION_NOT_FOUND"));
    let list = format!("/v1/admin/conversations/{conversation}/activity");
    assert_eq!(ada.get(&format!("{list}?after=3")).await.failure(), (404, "ACTIVITY_NOT_FOUND"));
    assert_eq!(ada.get(&format!("{list}?before=4")).await.failure(), (404, "ACTIVITY_NOT_FOUND"));
    for wrong in ["after=1&before=2", "after=x", "after=-1", "limit=0"] {
        assert_eq!(ada.get(&format!("{list}?{wrong}")).await.failure(), (400, "VALIDATION_ERROR"), "{wrong}");
    }
    // Who may only look looks; who may not read writes nothing where only readers see it.
    let (_, viewer) = agent(&app, "vic", "viewer").await;
    let viewer = app.as_agent_with(&viewer);
    assert_eq!(activity(&viewer, &conversation).await.len(), 2);
    assert_eq!(
        viewer.post(&path, &json!({ "local_id": "v", "body": "x" })).await.failure(),
        (403, "FORBIDDEN")
    );
    let (_, blind) = app.token(&["send_messages"]).await;
    let blind = app.as_agent_with(&blind);
    assert_eq!(
        blind.post(&path, &json!({ "local_id": "b", "body": "x" })).await.failure(),
        (403, "FORBIDDEN")
    );
    assert_eq!(blind.get(&list).await.failure(), (403, "FORBIDDEN"));
}

/// A client's own copy of what happened: only the next one is taken.
#[derive(Default)]
struct Copy(u64);

impl Copy {
    fn take(&mut self, activity: &Value, from: &str) {
        assert_eq!(activity["n"].as_u64(), Some(self.0 + 1), "from {from}");
        self.0 += 1;
    }

    /// Joins with what it has, as often as there is more.
    async fn catch_up(&mut self, agent: &mut Client, conversation: &str) {
        loop {
            let payload = json!({ "conversation_id": conversation, "after_activity": self.0 });
            let answer = agent.done("conversation:join", payload).await;
            assert!(answer.get("messages").is_none(), "what was not asked for");
            for one in answer["activity"].as_array().unwrap() {
                self.take(one, "the page");
            }
            if answer["has_more_activity"] == false {
                assert_eq!(answer["last_activity"].as_u64(), Some(self.0));
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_gets_what_followed_their_number_and_then_everything_as_it_comes() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (http, conversation, stop) = (app.as_agent(), conversation.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                written += 1;
                note(&http, &conversation, &format!("n{written}"), "x").await;
            }
            written
        })
    };
    let mut copy = Copy::default();
    for round in 0..25 {
        let mut agent = app.agent().await;
        copy.catch_up(&mut agent, &conversation).await;
        for _ in 0..round % 5 {
            copy.take(&agent.expect("activity:new").await, "a live event");
        }
        if round % 2 == 0 {
            // Joined once more for the messages alone: what happens goes on without a hole.
            agent.done("conversation:join", json!({ "conversation_id": conversation, "after": "" })).await;
            copy.take(&agent.expect("activity:new").await, "a live event behind another join");
        }
        agent.cut();
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let mut agent = app.agent().await;
    copy.catch_up(&mut agent, &conversation).await;
    assert_eq!(copy.0, written);
    let beyond = json!({ "conversation_id": conversation, "after_activity": written + 1 });
    assert_eq!(agent.refused("conversation:join", beyond).await, "ACTIVITY_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_write_at_once_leave_no_hole_and_no_double() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let writing = (0..8).map(|writer| {
        let (http, conversation) = (app.as_agent(), conversation.clone());
        tokio::spawn(async move {
            for number in 0..12 {
                // Each sent twice at once, as by a client that lost the answer.
                let local_id = format!("{writer}-{number}");
                let (one, other) = tokio::join!(
                    note(&http, &conversation, &local_id, "x"),
                    note(&http, &conversation, &local_id, "x")
                );
                assert_eq!(one, other);
            }
        })
    });
    for writing in writing.collect::<Vec<_>>() {
        writing.await.unwrap();
    }
    let all = activity(&app.as_agent(), &conversation).await;
    assert_eq!(all.len(), 96);
    assert!(all.iter().enumerate().all(|(index, one)| one["n"].as_u64() == Some(index as u64 + 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_device_ever_hears_of_any_of_it_nor_sees_a_hole() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (ada_id, ada_token) = agent(&app, "ada", "agent").await;
    let ada = app.as_agent_with(&ada_token);
    let conversation = app.conversation("phone").await;
    let auth = app.device_auth("phone");
    let mut device = Client::connect_by(Wire::Json, app.address, "/client", auth).await.unwrap();
    device.expect("conversation:joined").await;
    let path = format!("/v1/admin/conversations/{conversation}");
    let mut seqs = Vec::new();
    for number in 0..5 {
        note(&ada, &conversation, &format!("n{number}"), "a secret of the team's").await;
        ada.patch(&path, &json!({ "assignee_id": if number % 2 == 0 { Some(&ada_id) } else { None } }))
            .await
            .ok();
        ada.patch(&path, &json!({ "status": "resolved" })).await.ok();
        seqs.push(device.say(&conversation, &number.to_string(), "Hello").await["seq"].as_u64().unwrap());
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert_eq!(activity(&ada, &conversation).await.len(), 20);
    // It asks for all that a device can ask for, also as an agent would.
    let joined =
        device.done("conversation:join", json!({ "conversation_id": conversation, "after": "" })).await;
    assert!(joined.get("activity").is_none() && joined.get("last_activity").is_none(), "{joined}");
    let as_agents = json!({ "conversation_id": conversation, "after": "", "after_activity": 0 });
    let joined = device.done("conversation:join", as_agents).await;
    assert!(joined.get("activity").is_none() && joined.get("last_activity").is_none(), "{joined}");
    assert!(device.settled("activity:new").await.is_empty());
    let heard = String::from_utf8_lossy(device.heard()).into_owned();
    let http = app.as_device("phone");
    let mut seen = vec![heard];
    for read in [
        "/v1/conversations".to_owned(),
        format!("/v1/conversations/{conversation}/messages"),
        format!("/v1/conversations/{conversation}/activity"),
        format!("{path}/activity"),
        "/v1/unread".to_owned(),
    ] {
        seen.push(http.get(&read).await.text);
    }
    seen.push(http.post(&format!("{path}/notes"), &json!({ "local_id": "x", "body": "x" })).await.text);
    for text in seen {
        for leak in ["secret of the team", "activity:new", "last_activity", &ada_id] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_was_answered_outlives_the_server() {
    let backend = Backend::fresh().await;
    for round in 0..3 {
        let server = ServerProcess::start(BINARY, &backend, &[]).await;
        let app = server.app().await;
        let conversation = app.conversation("phone").await;
        let written = note(&app.as_agent(), &conversation, "n1", &format!("round {round}")).await;
        server.kill().await;
        let server = ServerProcess::start(BINARY, &backend, &[]).await;
        let http =
            Http::new(server.address()).header("Authorization", &format!("Bearer {}", app.admin_token));
        assert_eq!(activity(&http, &conversation).await, [written]);
        server.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_on_a_node_that_died_before_it_could_tell_is_told_by_the_others() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = FaultProxy::start(([127, 0, 0, 1], cluster.redis.port()).into()).await.unwrap();
    let flags = [format!("--redis-url=redis://{}", redis.address())];
    let database = vec!["--database-url".into(), cluster.postgres.url("postgres").into()];
    cluster.nodes.push(ServerProcess::start_on(BINARY, database, &flags).await);
    let (here, there) = (cluster.at(&app, 1), cluster.at(&app, 0));
    eventually("the node to be in touch", || async {
        (here.as_agent().get("/readyz").await.json["status"] == "ok").then_some(())
    })
    .await;
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut inside = there.agent_in(&conversation).await;
    note(&here.as_agent(), &conversation, "n1", "with everything in order").await;
    assert_eq!(inside.expect("activity:new").await["n"], 1);
    here.as_agent()
        .patch(&format!("/v1/admin/conversations/{conversation}"), &json!({ "status": "resolved" }))
        .await
        .ok();
    assert_eq!(inside.expect("activity:new").await["kind"], "resolved");
    // From here on nothing that the node publishes gets out: it is as if it died before each publish.
    redis.set(Passage::Held);
    note(&here.as_agent(), &conversation, "n2", "nobody is told").await;
    device.say(&conversation, "1", "it is reopened by this").await;
    let committed = Instant::now();
    cluster.nodes.remove(1).kill().await;
    drop(redis);
    for kind in ["note", "reopened"] {
        assert_eq!(inside.expect("activity:new").await["kind"], kind);
    }
    assert!(committed.elapsed() < DELIVERED_WITHIN, "{:?}", committed.elapsed());
    // Once, and what follows is in order.
    note(&there.as_agent(), &conversation, "n3", "on the other node").await;
    assert_eq!(inside.expect("activity:new").await["n"], 5);
    assert!(inside.settled("activity:new").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_on_two_nodes_see_the_same_in_the_same_order() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let nodes = [cluster.at(&app, 0), cluster.at(&app, 1)];
    let conversation = nodes[0].conversation("phone").await;
    let mut inside = [nodes[0].agent_in(&conversation).await, nodes[1].agent_in(&conversation).await];
    let writing = nodes.iter().enumerate().map(|(node, app)| {
        let (http, conversation) = (app.as_agent(), conversation.clone());
        tokio::spawn(async move {
            for number in 0..20 {
                note(&http, &conversation, &format!("{node}-{number}"), "x").await;
            }
        })
    });
    for writing in writing.collect::<Vec<_>>() {
        writing.await.unwrap();
    }
    let kept = activity(&nodes[0].as_agent(), &conversation).await;
    for agent in &mut inside {
        for one in &kept {
            assert_eq!(&agent.expect("activity:new").await, one);
        }
    }
}
