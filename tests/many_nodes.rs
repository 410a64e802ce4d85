//! Several nodes on one Postgres and one Redis, and what may happen to them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, TestApp, TestCluster, eventually, patiently};

use crate::BINARY;

/// P6: after a node's death its devices go offline within this time.
const GONE_WITHIN: Duration = Duration::from_secs(10);

async fn presence(app: &TestApp, device: &str) -> Value {
    app.as_agent().get(&format!("/v1/admin/devices/{device}/presence")).await.ok()
}

/// The next change of this device's presence.
async fn change(agent: &mut Client, device: &str) -> bool {
    loop {
        let change = agent.expect("presence:change").await;
        if change["device_id"] == device {
            return change["is_online"].as_bool().unwrap();
        }
    }
}

/// Waits until an inbox hears of this message.
async fn updated_with(agent: &mut Client, message: &Value) {
    while agent.expect("conversation:updated").await["last_message"]["id"] != message["id"] {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_on_one_node_is_heard_on_the_other() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let mut agent = there.agent().await;
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    assert!(change(&mut agent, "phone").await);
    agent.done("conversation:join", json!({ "conversation_id": conversation })).await;
    let sent = device.say(&conversation, "1", "hello").await;
    assert_eq!(agent.expect("message:new").await["id"], sent["id"]);
    updated_with(&mut agent, &sent).await;
    let answer = agent.say(&conversation, "2", "good day").await;
    assert_eq!(device.expect("message:new").await["id"], sent["id"]);
    assert_eq!(device.expect("message:new").await["id"], answer["id"]);
    let stats = there.as_agent().get("/v1/admin/stats").await.ok();
    assert_eq!(stats, json!({ "connections": 1, "devices_online": 1, "nodes": 2 }));
    device.cut();
    assert!(!change(&mut agent, "phone").await);
    assert_eq!(presence(&here, "phone").await["is_online"], false);
}

/// Joins for the first time, and collects what there is up to message `last`.
async fn join_and_collect(mut client: Client, conversation: String, last: u64) -> Vec<u64> {
    let joined =
        client.done("conversation:join", json!({ "conversation_id": conversation, "after": "" })).await;
    assert_eq!(joined["has_more"], false);
    let mut seqs: Vec<u64> = joined["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["seq"].as_u64().unwrap())
        .collect();
    while seqs.last() != Some(&last) {
        seqs.push(client.expect("message:new").await["seq"].as_u64().unwrap());
    }
    seqs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_join_an_idle_conversation_at_once_while_it_is_written_to_each_gets_everything() {
    const ROUNDS: usize = 100;
    // As many as a device may send at once.
    const MESSAGES: u64 = 10;
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    for round in 0..ROUNDS {
        let nodes = [cluster.at(&app, round % 2), cluster.at(&app, (round + 1) % 2)];
        let (mut device, conversation) = nodes[0].device_in_conversation(&format!("phone-{round}")).await;
        let mut agents = Vec::new();
        for number in 0..6 {
            agents.push(nodes[number % 2].agent().await);
        }
        let writing = tokio::spawn({
            let conversation = conversation.clone();
            async move {
                for number in 1..=MESSAGES {
                    device.say(&conversation, &number.to_string(), "x").await;
                }
                device
            }
        });
        let joining: Vec<_> = agents
            .into_iter()
            .map(|agent| tokio::spawn(join_and_collect(agent, conversation.clone(), MESSAGES)))
            .collect();
        for joined in joining {
            let seqs = patiently("every message", joined).await.unwrap();
            assert_eq!(seqs, (1..=MESSAGES).collect::<Vec<_>>(), "round {round}");
        }
        writing.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_of_a_killed_node_go_offline_once_and_those_that_come_back_never_flicker() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (dying, living) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let mut agent = living.agent().await;
    let _stays_away = dying.device("away").await;
    let _moves = dying.device("moves").await;
    assert!(change(&mut agent, "away").await);
    assert!(change(&mut agent, "moves").await);
    let killed = Instant::now();
    cluster.nodes.remove(1).kill().await;
    let _moved = living.device("moves").await;
    let gone = agent.expect("presence:change").await;
    assert!(killed.elapsed() < GONE_WITHIN, "{:?}", killed.elapsed());
    assert_eq!((&gone["device_id"], &gone["is_online"]), (&json!("away"), &json!(false)));
    assert!(agent.settled("presence:change").await.is_empty());
    assert_eq!(presence(&living, "moves").await["active_connections"], 1);
    assert_eq!(presence(&living, "away").await["active_connections"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_while_redis_was_away_arrives_by_itself_and_a_wiped_redis_heals() {
    let mut cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, conversation) = here.device_in_conversation("phone").await;
    let mut agent = there.agent_in(&conversation).await;
    eventually("the device to be online", || async {
        (presence(&there, "phone").await["is_online"] == true).then_some(())
    })
    .await;
    // It keeps nothing: what comes back is empty.
    cluster.redis.kill();
    let sent = device.say(&conversation, "1", "is anybody there?").await;
    let started = Instant::now();
    assert_eq!(agent.expect("message:new").await["id"], sent["id"]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    updated_with(&mut agent, &sent).await;
    cluster.redis.restart().await.unwrap();
    patiently("presence to be right again", async {
        for node in [&here, &there] {
            while presence(node, "phone").await["active_connections"] != 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    })
    .await;
    let again = device.say(&conversation, "2", "again").await;
    assert_eq!(agent.expect("message:new").await["id"], again["id"]);
    assert!(agent.settled("presence:change").await.is_empty(), "nobody came or went");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_frozen_puts_itself_right_and_brings_no_ghosts_back() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (frozen, living) = (cluster.at(&app, 1), cluster.at(&app, 0));
    let mut agent = living.agent().await;
    let mut device = frozen.device("phone").await;
    assert!(change(&mut agent, "phone").await);
    cluster.nodes[1].signal("STOP").await;
    let gone = agent.expect("presence:change").await;
    assert_eq!(gone["is_online"], false);
    cluster.nodes[1].signal("CONT").await;
    // It is closed without the packet that would keep stock clients from coming back.
    assert!(!device.closed().await);
    assert!(agent.settled("presence:change").await.is_empty());
    assert_eq!(presence(&living, "phone").await["active_connections"], 0);
    let _back = frozen.device("phone").await;
    assert!(change(&mut agent, "phone").await);
    for node in [&frozen, &living] {
        assert_eq!(presence(node, "phone").await["active_connections"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flushed_redis_heals_and_nobody_flickers() {
    let cluster = TestCluster::of(BINARY, 2).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let mut agent = there.agent().await;
    let stays = here.device("stays").await;
    let leaves = here.device("leaves").await;
    assert!(change(&mut agent, "stays").await);
    assert!(change(&mut agent, "leaves").await);
    cluster.redis.cli(&["FLUSHALL"]).await.unwrap();
    leaves.cut();
    // What changes just after the flush is told once all nodes have put back what they had.
    assert!(!change(&mut agent, "leaves").await);
    for node in [&here, &there] {
        assert_eq!(presence(node, "stays").await["active_connections"], 1);
        assert_eq!(presence(node, "leaves").await["active_connections"], 0);
    }
    let _second = there.device("stays").await;
    drop(stays);
    eventually("one connection to be left", || async {
        (presence(&there, "stays").await["active_connections"] == 1).then_some(())
    })
    .await;
    assert!(agent.settled("presence:change").await.is_empty());
}
