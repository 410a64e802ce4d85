//! What fails between and under the nodes: each case, what everyone sees of it, and that it passes by itself.

use std::time::{Duration, Instant};

use backing::{FaultProxy, Passage, Postgres, Redis, RedisOptions, Signal};
use serde_json::{Value, json};
use testkit::{Client, ServerProcess, TestApp, TestCluster, eventually};

use crate::BINARY;

/// P4: a committed message reaches every connected subscriber within this time.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

/// How many are connected is told within this time, by this node's own knowledge if need be.
const STATS_WITHIN: Duration = Duration::from_secs(2);

/// When the database is away a send is refused within this time: the longest wait for a connection, and for an answer.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);

async fn status(app: &TestApp) -> (u16, String) {
    let answer = app.as_agent().get("/readyz").await;
    (answer.status, answer.json["status"].as_str().unwrap_or_default().to_owned())
}

async fn until_status(app: &TestApp, status_code: u16, wanted: &str) {
    eventually(&format!("/readyz to say {wanted}"), || async {
        (status(app).await == (status_code, wanted.to_owned())).then_some(())
    })
    .await;
}

/// The value of a metric without labels, or of all its labels together.
async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = app.as_agent().get("/metrics").await.text;
    let lines =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn active(app: &TestApp, device: &str) -> Value {
    let presence = app.as_agent().get(&format!("/v1/admin/devices/{device}/presence")).await.ok();
    presence["active_connections"].clone()
}

/// Waits until an inbox hears of this message.
async fn updated_with(agent: &mut Client, message: &Value) {
    while agent.expect("conversation:updated").await["last_message"]["id"] != message["id"] {}
}

/// All messages of a conversation, oldest first.
async fn stored(app: &TestApp, conversation: &str) -> Vec<Value> {
    let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200");
    app.as_agent().get(&path).await.ok()["messages"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_node_died_between_commit_and_publish_arrives_on_the_other_nodes() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = node_behind_a_proxy(&mut cluster).await;
    let (here, there) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut inside = there.agent_in(&conversation).await;
    let mut inbox = there.agent().await;
    let first = device.say(&conversation, "1", "with everything in order").await;
    assert_eq!(inside.expect("message:new").await["id"], first["id"]);
    // From here on nothing that the node publishes gets out: it is as if it died before each publish.
    redis.set(Passage::Held);
    let sent = device.say(&conversation, "2", "nobody is told").await;
    let acknowledged = Instant::now();
    cluster.nodes.remove(1).kill().await;
    drop(redis);
    assert_eq!(inside.expect("message:new").await["id"], sent["id"]);
    updated_with(&mut inbox, &sent).await;
    assert!(acknowledged.elapsed() < DELIVERED_WITHIN, "{:?}", acknowledged.elapsed());
    // Once, and what follows is in order.
    let next = there.device("phone").await.say(&conversation, "3", "on the other node").await;
    assert_eq!(inside.expect("message:new").await["id"], next["id"]);
    assert!(inside.settled("message:new").await.is_empty());
    assert!(metric(&there, "replyhq_missed_made_up_total").await > 0.0);
}

/// One more node, whose way to Redis can be broken.
async fn node_behind_a_proxy(cluster: &mut TestCluster) -> FaultProxy {
    let redis = FaultProxy::start(([127, 0, 0, 1], cluster.redis.port()).into()).await.unwrap();
    let flags = [format!("--redis-url=redis://{}", redis.address())];
    let database = vec!["--database-url".into(), cluster.postgres.url("postgres").into()];
    cluster.nodes.push(ServerProcess::start_on(BINARY, database, &flags).await);
    let http = testkit::Http::new(cluster.nodes.last().unwrap().address());
    eventually("the node to be in touch", || async {
        (http.get("/readyz").await.json["status"] == "ok").then_some(())
    })
    .await;
    redis
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_tabs_of_a_killed_node_come_back_elsewhere_though_the_dead_ones_still_count() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let mut dead = Vec::new();
    for _ in 0..20 {
        dead.push(there.device("phone").await);
    }
    cluster.nodes.remove(1).kill().await;
    let mut tabs = Vec::new();
    for _ in 0..20 {
        tabs.push(here.device("phone").await);
    }
    let all = here.as_agent().get("/v1/admin/devices/phone/presence").await.ok();
    assert_eq!(all["active_connections"], 40, "the dead node's lease has not ended");
    eventually("the dead node's end", || async {
        let presence = here.as_agent().get("/v1/admin/devices/phone/presence").await.ok();
        (presence["active_connections"] == 20).then_some(())
    })
    .await;
    for mut tab in tabs {
        assert_eq!(tab.call("ping", json!({})).await, "pong", "nobody was put out for the dead");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_was_silent_longest_goes_whichever_node_it_is_on() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let nodes = [cluster.at(&app, 0), cluster.at(&app, 1)];
    let mut tabs = Vec::new();
    for number in 0..20 {
        tabs.push(nodes[number % 2].device("phone").await);
    }
    for (silent, newcomer) in [(3, 0), (6, 0), (11, 1)] {
        tokio::time::sleep(Duration::from_millis(5)).await;
        for (number, tab) in tabs.iter_mut().enumerate() {
            if number != silent {
                assert_eq!(tab.call("ping", json!({})).await, "pong");
            }
        }
        let newest = nodes[newcomer].device("phone").await;
        let mut gone = std::mem::replace(&mut tabs[silent], newest);
        assert_eq!(gone.expect("error").await["code"], "TOO_MANY_CONNECTIONS");
        assert!(gone.closed().await, "after a Socket.IO disconnect stock clients stay away");
    }
    for tab in &mut tabs {
        assert_eq!(tab.call("ping", json!({})).await, "pong");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_ends_for_those_whose_typist_vanished_with_their_node() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, conversation) = there.device_in_conversation("phone").await;
    let mut agent = here.agent_in(&conversation).await;
    device.done("typing:start", json!(conversation)).await;
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    cluster.nodes.remove(1).kill().await;
    assert_eq!(agent.expect("user:typing").await["is_typing"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_next_person_is_answered_no_node_shows_the_device_anything_of_the_one_before() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = node_behind_a_proxy(&mut cluster).await;
    redis.set(Passage::Slow(Duration::from_millis(50)));
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let user = |id: &str| json!({ "user": { "id": id } });
    let mut agent = there.agent().await;
    for round in 0..3 {
        let phone = format!("phone-{round}");
        here.as_device(&phone).post("/v1/identify", &user("ann")).await.ok();
        let (mut device, conversation) = there.device_in_conversation(&phone).await;
        here.as_device(&phone).post("/v1/identify", &user("bob")).await.ok();
        // The agent is on the node that the device is connected to: nothing has to travel.
        let sent = agent.say(&conversation, "1", "for Ann").await;
        assert_eq!(sent["seq"], 1);
        assert_eq!(device.expect("error").await["code"], "IDENTITY_CHANGED");
        device.closed().await;
        assert!(!device.untaken().contains(&"message:new"), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_of_the_next_person_finds_out_by_itself() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = node_behind_a_proxy(&mut cluster).await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let user = |id: &str| json!({ "user": { "id": id } });
    here.as_device("phone").post("/v1/identify", &user("ann")).await.ok();
    let (mut device, _) = there.device_in_conversation("phone").await;
    redis.set(Passage::Held);
    here.as_device("phone").post("/v1/identify", &user("bob")).await.ok();
    let answered = Instant::now();
    assert_eq!(device.expect("error").await["code"], "IDENTITY_CHANGED");
    assert!(answered.elapsed() < DELIVERED_WITHIN, "{:?}", answered.elapsed());
    device.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_missed_a_message_is_told_of_it_although_it_heard_of_a_later_receipt() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = node_behind_a_proxy(&mut cluster).await;
    let (here, there) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut inbox = there.agent().await;
    let mut inside = there.agent_in(&conversation).await;
    let answer = inside.say(&conversation, "0", "how can I help?").await;
    updated_with(&mut inbox, &answer).await;
    redis.set(Passage::Held);
    let sent = device.say(&conversation, "1", "nobody is told").await;
    redis.cut();
    redis.set(Passage::Free);
    let sent_at = Instant::now();
    let read = json!({ "conversation_id": conversation, "up_to_message_id": answer["id"] });
    device.done("message:read", read).await;
    updated_with(&mut inbox, &sent).await;
    assert!(sent_at.elapsed() < DELIVERED_WITHIN, "{:?}", sent_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_called_offline_while_its_node_could_not_object_is_called_online_again() {
    let mut cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let redis = node_behind_a_proxy(&mut cluster).await;
    let (cut_off, living) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let mut agent = living.agent().await;
    let mut device = cut_off.device("phone").await;
    assert_eq!(agent.expect("presence:change").await["is_online"], true);
    redis.set(Passage::Held);
    // Redis forgets everything, and only the other node is there to put anything back.
    cluster.redis.cli(&["FLUSHALL"]).await.unwrap();
    assert_eq!(agent.expect("presence:change").await["is_online"], false);
    redis.cut();
    redis.set(Passage::Free);
    let back = agent.expect("presence:change").await;
    assert_eq!((&back["device_id"], &back["is_online"]), (&json!("phone"), &json!(true)));
    assert_eq!(device.call("ping", json!({})).await, "pong", "it was connected all the time");
    assert_eq!(active(&living, "phone").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_and_went_while_redis_was_away_is_known_everywhere_when_it_comes_back_empty() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let mut agent = there.agent().await;
    let _stays = here.device("stays").await;
    let leaves = here.device("leaves").await;
    for _ in 0..2 {
        assert_eq!(agent.expect("presence:change").await["is_online"], true);
    }
    cluster.redis.kill();
    until_status(&here, 200, "degraded").await;
    leaves.cut();
    eventually("the device to be gone here", || async { (active(&here, "leaves").await == 0).then_some(()) })
        .await;
    let _comes = here.device("comes").await;
    cluster.redis.restart().await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let change = agent.expect("presence:change").await;
        told.push((change["device_id"].as_str().unwrap().to_owned(), change["is_online"] == true));
    }
    told.sort();
    assert_eq!(told, [("comes".to_owned(), true), ("leaves".to_owned(), false)]);
    until_status(&here, 200, "ok").await;
    let _later = here.device("later").await;
    assert_eq!(agent.expect("presence:change").await["device_id"], "later");
    for (device, count) in [("stays", 1), ("leaves", 0), ("comes", 1), ("later", 1)] {
        assert_eq!(active(&there, device).await, count, "{device}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_comes_while_redis_is_away_is_told_who_else_is_online_when_it_is_back() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let _devices = (there.device("phone").await, there.device("phone").await);
    eventually("the device to be online", || async { (active(&here, "phone").await == 2).then_some(()) })
        .await;
    cluster.redis.signal(Signal::STOP).unwrap();
    until_status(&here, 200, "degraded").await;
    let mut agent = here.agent().await;
    agent.expect("connected").await;
    assert_eq!(active(&here, "phone").await, 0, "this node knows only its own");
    cluster.redis.signal(Signal::CONT).unwrap();
    let change = agent.expect("presence:change").await;
    assert_eq!((&change["device_id"], &change["is_online"]), (&json!("phone"), &json!(true)));
    assert_eq!(change["active_connections"], 2, "as many as there are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_hangs_everyone_is_served_and_told_and_afterwards_all_is_well_by_itself() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut neighbour = here.agent_in(&conversation).await;
    let mut agent = there.agent_in(&conversation).await;
    agent.say(&conversation, "0", "are you there?").await;
    let asked = device.expect("message:new").await;
    neighbour.expect("message:new").await;
    agent.expect("message:new").await;

    cluster.redis.signal(Signal::STOP).unwrap();
    // Before anybody knows that it hangs.
    let asked_at = Instant::now();
    here.as_agent().get("/v1/admin/stats").await.ok();
    assert!(asked_at.elapsed() < STATS_WITHIN, "{:?}", asked_at.elapsed());
    until_status(&here, 200, "degraded").await;
    until_status(&there, 200, "degraded").await;
    assert_eq!(metric(&here, "replyhq_cluster_in_touch").await, 0.0);
    let started = Instant::now();
    let sent = device.say(&conversation, "1", "yes").await;
    assert_eq!(neighbour.expect("message:new").await["id"], sent["id"], "its own clients are served");
    assert_eq!(agent.expect("message:new").await["id"], sent["id"]);
    assert!(started.elapsed() < DELIVERED_WITHIN, "{:?}", started.elapsed());
    // Receipts recover as messages do.
    let started = Instant::now();
    let read = json!({ "conversation_id": conversation, "up_to_message_id": asked["id"] });
    device.done("message:read", read).await;
    loop {
        let status = agent.expect("message:status").await;
        if status["status"] == "read" && status["by"] == "user" {
            assert_eq!(status["up_to_seq"], asked["seq"]);
            break;
        }
    }
    assert!(started.elapsed() < DELIVERED_WITHIN, "{:?}", started.elapsed());
    // Who comes now is let in, and who is on this node is known here.
    let _tablet = here.device("tablet").await;
    assert_eq!(active(&here, "tablet").await, 1);

    cluster.redis.signal(Signal::CONT).unwrap();
    until_status(&here, 200, "ok").await;
    until_status(&there, 200, "ok").await;
    for (name, count) in [("phone", 1), ("tablet", 1)] {
        eventually("presence to be right on the other node", || async {
            (active(&there, name).await == count).then_some(())
        })
        .await;
    }
    let after = device.say(&conversation, "2", "and now?").await;
    assert_eq!(agent.expect("message:new").await["id"], after["id"]);
    assert_eq!(metric(&here, "replyhq_cluster_in_touch").await, 1.0);
}

/// A cluster of one node, an app, a device in its conversation, and an agent there.
async fn scene() -> (TestCluster, TestApp, Client, String, Client) {
    let cluster = TestCluster::of(BINARY, 1).await;
    let app = cluster.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let first = device.say(&conversation, "first", "hello").await;
    assert_eq!(agent.expect("message:new").await["id"], first["id"]);
    device.expect("message:new").await;
    (cluster, app, device, conversation, agent)
}

/// While Postgres is away: sends are refused soon, `/readyz` and metrics say so, and connections stay.
async fn is_refused(app: &TestApp, device: &mut Client, conversation: &str, errors_before: f64) {
    let started = Instant::now();
    let message = json!({ "conversation_id": conversation, "local_id": "lost?", "body": "is this stored?" });
    assert_eq!(device.refused("message:send", message).await, "SERVER_ERROR");
    assert!(started.elapsed() < REFUSED_WITHIN, "{:?}", started.elapsed());
    until_status(app, 503, "database_unavailable").await;
    assert_eq!(app.as_agent().get("/healthz").await.status, 200);
    assert!(metric(app, "replyhq_database_errors_total").await > errors_before);
    assert_eq!(device.call("ping", json!({})).await, "pong");
}

/// When Postgres is back: the same connections go on, the retry settles what was refused, everything is there once.
async fn goes_on(app: &TestApp, device: &mut Client, conversation: &str, agent: &mut Client) {
    until_status(app, 200, "ok").await;
    let message = json!({ "conversation_id": conversation, "local_id": "lost?", "body": "is this stored?" });
    let settled = device.done("message:send", message).await["message"].clone();
    let last = device.say(conversation, "last", "good").await;
    for expected in [&settled, &last] {
        for client in [&mut *device, &mut *agent] {
            assert_eq!(client.expect("message:new").await["id"], expected["id"]);
        }
    }
    assert!(agent.settled("message:new").await.is_empty());
    let all: Vec<Value> =
        stored(app, conversation).await.iter().map(|message| message["local_id"].clone()).collect();
    assert_eq!(all, ["first", "lost?", "last"]);
}

/// Keeps a copy of the database, and has everybody wait until service resumes.
async fn keep_copy(cluster: &mut TestCluster, apps: &[&TestApp]) {
    cluster.postgres.stop().await.unwrap();
    cluster.postgres.keep_copy().unwrap();
    cluster.postgres.run().await.unwrap();
    for app in apps {
        until_status(app, 200, "ok").await;
    }
}

/// The client is told that what it was given is gone, and closed in a way after which stock clients come back.
async fn is_told_that_history_changed(client: &mut Client) {
    assert_eq!(client.expect("error").await["code"], "HISTORY_CHANGED");
    assert!(!client.closed().await, "the transport alone: after a Socket.IO disconnect clients stay away");
}

/// Comes back as clients do: with the last message that it has, and when that is gone, with the newest one that is there
/// and that it has too. Returns what it was given that it did not have.
async fn come_back(client: &mut Client, conversation: &str, has: &[Value]) -> Vec<Value> {
    let join = |after: &Value| json!({ "conversation_id": conversation, "after": after });
    let code = client.refused("conversation:join", join(&has.last().unwrap()["id"])).await;
    assert_eq!(code, "MESSAGE_NOT_FOUND");
    let all = client.done("conversation:join", join(&json!(""))).await["messages"].clone();
    let is_common = |message: &&Value| has.iter().any(|known| known["id"] == message["id"]);
    let common = all.as_array().unwrap().iter().rfind(is_common).unwrap();
    let after = client.done("conversation:join", join(&common["id"])).await["messages"].clone();
    after.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_database_went_back_in_time_everybody_who_has_what_is_gone_is_put_right_though_nobody_writes()
 {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let (mut bystander, elsewhere) = there.device_in_conversation("tablet").await;
    bystander.say(&elsewhere, "1", "long ago").await;
    let mut has = Vec::new();
    for number in 1..=3 {
        has.push(device.say(&conversation, &number.to_string(), "kept").await);
    }
    keep_copy(&mut cluster, &[&here, &there]).await;
    let mut inside = there.agent_in(&conversation).await;
    let mut inbox = there.agent().await;
    for number in 4..=6 {
        has.push(device.say(&conversation, &number.to_string(), "lost").await);
    }
    updated_with(&mut inbox, has.last().unwrap()).await;
    cluster.postgres.kill();
    cluster.postgres.put_copy_back().unwrap();
    cluster.postgres.run().await.unwrap();
    let is_back = Instant::now();
    for client in [&mut device, &mut inside, &mut inbox] {
        is_told_that_history_changed(client).await;
    }
    assert!(is_back.elapsed() < DELIVERED_WITHIN, "{:?}", is_back.elapsed());
    // Who has lost nothing goes on.
    assert_eq!(bystander.call("ping", json!({})).await, "pong");
    assert!(bystander.settled("error").await.is_empty());
    let mut device = there.device("phone").await;
    let mut inside = here.agent().await;
    for client in [&mut device, &mut inside] {
        assert!(come_back(client, &conversation, &has).await.is_empty());
    }
    let again = device.say(&conversation, "4", "lost").await;
    assert_eq!((&again["seq"], again["id"] == has[3]["id"]), (&json!(4), false));
    for client in [&mut device, &mut inside] {
        assert_eq!(client.expect("message:new").await["id"], again["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_database_went_back_in_time_what_is_written_at_once_reaches_everybody() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut has = vec![device.say(&conversation, "1", "kept").await];
    keep_copy(&mut cluster, &[&here, &there]).await;
    let mut inside = there.agent_in(&conversation).await;
    for number in 2..=9 {
        has.push(device.say(&conversation, &number.to_string(), "lost").await);
    }
    inside.expect("message:new").await;
    cluster.postgres.kill();
    cluster.postgres.put_copy_back().unwrap();
    cluster.postgres.run().await.unwrap();
    // As soon as it can be: the room has delivered nine, and this is the second.
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let written = eventually("a message to be taken", || async {
        let answer = there.as_agent().post(&path, &json!({ "local_id": "new", "body": "new" })).await;
        (answer.status == 201 || answer.status == 200).then(|| answer.json["message"].clone())
    })
    .await;
    assert_eq!(written["seq"], 2);
    is_told_that_history_changed(&mut device).await;
    is_told_that_history_changed(&mut inside).await;
    let mut device = here.device("phone").await;
    let mut inside = there.agent().await;
    for client in [&mut device, &mut inside] {
        let missed = come_back(client, &conversation, &has).await;
        assert_eq!(missed.iter().map(|message| &message["id"]).collect::<Vec<_>>(), [&written["id"]]);
    }
    let next = device.say(&conversation, "next", "live").await;
    for client in [&mut device, &mut inside] {
        assert_eq!(client.expect("message:new").await["id"], next["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_hangs_sends_are_refused_soon_and_afterwards_service_resumes() {
    let (cluster, app, mut device, conversation, mut agent) = scene().await;
    let errors = metric(&app, "replyhq_database_errors_total").await;
    cluster.postgres.stop_processes().unwrap();
    is_refused(&app, &mut device, &conversation, errors).await;
    cluster.postgres.continue_processes().unwrap();
    goes_on(&app, &mut device, &conversation, &mut agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_gone_sends_are_refused_soon_and_afterwards_service_resumes() {
    let (mut cluster, app, mut device, conversation, mut agent) = scene().await;
    let errors = metric(&app, "replyhq_database_errors_total").await;
    cluster.postgres.kill();
    is_refused(&app, &mut device, &conversation, errors).await;
    cluster.postgres.run().await.unwrap();
    goes_on(&app, &mut device, &conversation, &mut agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_read_only_sends_are_refused_history_is_read_and_afterwards_service_resumes() {
    let (cluster, app, mut device, conversation, mut agent) = scene().await;
    let errors = metric(&app, "replyhq_database_errors_total").await;
    cluster.postgres.set("default_transaction_read_only", "on").await.unwrap();
    is_refused(&app, &mut device, &conversation, errors).await;
    assert_eq!(stored(&app, &conversation).await.len(), 1);
    cluster.postgres.set("default_transaction_read_only", "off").await.unwrap();
    goes_on(&app, &mut device, &conversation, &mut agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_connections_are_replaced_and_a_retry_settles_what_was_on_them() {
    let (cluster, app, mut device, conversation, mut agent) = scene().await;
    for round in 0..5 {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        cluster.postgres.psql(others).await.unwrap();
        let message = json!({ "conversation_id": conversation, "local_id": format!("{round}"), "body": "x" });
        let mut answer = device.call("message:send", message.clone()).await;
        while answer["success"] != true {
            assert_eq!(answer["error"], "SERVER_ERROR", "{answer}");
            answer = device.call("message:send", message.clone()).await;
        }
        assert_eq!(agent.expect("message:new").await["id"], answer["message"]["id"]);
    }
    assert_eq!(stored(&app, &conversation).await.len(), 6);
    until_status(&app, 200, "ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_politely_takes_only_those_offline_who_do_not_come_back() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (leaving, staying) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let mut agent = staying.agent().await;
    let mut moves = leaving.device("moves").await;
    let mut stays_away = leaving.device("away").await;
    // One with a tab on each node is not offline for a moment.
    let _tab_here = staying.device("both").await;
    let mut tab_there = leaving.device("both").await;
    for _ in 0..3 {
        assert_eq!(agent.expect("presence:change").await["is_online"], true);
    }
    cluster.nodes[1].signal("TERM").await;
    for device in [&mut moves, &mut stays_away, &mut tab_there] {
        let shutdown = device.expect("server:shutdown").await;
        assert!(shutdown["reconnect_delay_ms"].is_u64());
        assert!(!device.closed().await);
    }
    assert_eq!(cluster.nodes[1].ended().await.code(), Some(0));
    let _moved = staying.device("moves").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let change = agent.expect("presence:change").await;
        told.push((change["device_id"].as_str().unwrap().to_owned(), change["is_online"] == true));
        if change["device_id"] == "moves" && change["is_online"] == true {
            break;
        }
    }
    eventually("presence to settle", || async {
        let right = active(&staying, "away").await == 0
            && active(&staying, "moves").await == 1
            && active(&staying, "both").await == 1;
        right.then_some(())
    })
    .await;
    told.extend(
        agent
            .settled("presence:change")
            .await
            .iter()
            .map(|change| (change["device_id"].as_str().unwrap().to_owned(), change["is_online"] == true)),
    );
    let of =
        |device: &str| told.iter().filter(|(name, _)| name == device).map(|(_, on)| *on).collect::<Vec<_>>();
    assert_eq!(of("away"), [false]);
    assert!(of("both").is_empty(), "{told:?}");
    assert!(of("moves").is_empty() || of("moves") == [false, true], "{told:?}");
    eventually("the node to be counted no more", || async {
        let stats = staying.as_agent().get("/v1/admin/stats").await.ok();
        (stats["nodes"] == 1 && stats["devices_online"] == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_on_its_postgres_goes_on_serving_when_its_lock_was_lost_with_the_connection() {
    let mut postgres = Postgres::start().await.unwrap();
    let database = vec!["--database-url".into(), postgres.url("postgres").into()];
    let server = ServerProcess::start_on::<&str>(BINARY, database, &[]).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    postgres.restart().await.unwrap();
    until_status(&app, 200, "ok").await;
    let message = json!({ "conversation_id": conversation, "local_id": "1", "body": "x" });
    while device.call("message:send", message.clone()).await["success"] != true {}
    eventually("the lock to be taken again", || async {
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted";
        (postgres.psql(locks).await.unwrap() == "1").then_some(())
    })
    .await;
    // Another one that can't hear it is still refused.
    let output = another(&postgres, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--redis-url"));
    // A Redis of its own is no way around: the other one does not listen there.
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let output = another(&postgres, &[format!("--redis-url={}", redis.url())]).await;
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What one more server on this Postgres says before it ends.
async fn another(postgres: &Postgres, flags: &[String]) -> std::process::Output {
    let output = tokio::process::Command::new(BINARY)
        .args(["serve", "--listen=127.0.0.1:0", "--database-url", &postgres.url("postgres")])
        .args(flags)
        .kill_on_drop(true)
        .output();
    testkit::patiently("the refusal", output).await.unwrap()
}
