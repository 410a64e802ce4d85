//! P1: a message is acknowledged after its commit, never before. `kill -9` at any instant loses none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Backend, ServerProcess, TestApp, eventually};

use crate::BINARY;

/// How often the server is killed.
const ROUNDS: u64 = 12;
/// Connections that send all the time.
const SENDERS: u64 = 6;
/// Sends that each of them has in flight.
const WINDOW: usize = 8;

const NO_LIMITS: [&str; 3] =
    ["--rate-limit-device=0", "--rate-limit-agent=0", "--max-connections-per-device=0"];

/// What was acknowledged: the message as the ack had it, by conversation and `local_id`.
type Acknowledged = HashMap<(String, String), Value>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_random_instants_has_every_message_that_it_acknowledged() {
    let backend = Backend::fresh().await;
    let mut acknowledged = Acknowledged::new();
    let mut app: Option<TestApp> = None;
    let mut conversations = Vec::new();
    for round in 0..ROUNDS {
        let server = ServerProcess::start(BINARY, &backend, &NO_LIMITS).await;
        let app = match &mut app {
            None => {
                let made = server.app().await;
                for sender in 0..SENDERS {
                    conversations.push(made.conversation(&format!("device-{sender}")).await);
                }
                app.insert(made)
            }
            Some(app) => {
                app.address = server.address();
                app
            }
        };
        check(app, &conversations, &acknowledged).await;
        let acks = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let conversation = conversations[usize::try_from(sender).unwrap()].clone();
                tokio::spawn(send(
                    app.clone(),
                    sender,
                    round,
                    conversation,
                    Arc::clone(&acks),
                    Arc::clone(&stop),
                ))
            })
            .collect();
        // Another instant each time: after so many acks, and a little later.
        let enough = 20 + round * 37;
        eventually("acks", || async { (acks.load(Ordering::Relaxed) >= enough).then_some(()) }).await;
        tokio::time::sleep(Duration::from_micros(round * 700)).await;
        server.kill().await;
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            acknowledged.extend(sender.await.unwrap());
        }
    }
    let server = ServerProcess::start(BINARY, &backend, &NO_LIMITS).await;
    let mut app = app.unwrap();
    app.address = server.address();
    let stored = check(&app, &conversations, &acknowledged).await;
    assert!(acknowledged.len() as u64 >= ROUNDS * 20);
    assert!(stored >= acknowledged.len());
}

/// Sends until the server is gone; returns what it has acknowledged.
async fn send(
    app: TestApp,
    sender: u64,
    round: u64,
    conversation: String,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let Ok(mut device) = app.try_device(&format!("device-{sender}")).await else { return acknowledged };
    let mut in_flight = std::collections::VecDeque::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        while in_flight.len() < WINDOW {
            let local_id = format!("{round}-{number}");
            number += 1;
            let body = format!("{sender} {local_id}");
            let payload = json!({ "conversation_id": conversation, "local_id": local_id, "body": body });
            in_flight.push_back((local_id, device.ask("message:send", payload).await));
        }
        let Some((local_id, ask)) = in_flight.pop_front() else { break };
        let Some(answer) = device.try_ack(ask).await else { break };
        assert_eq!(answer["success"], true, "{answer}");
        acknowledged.insert((conversation.clone(), local_id), answer["message"].clone());
        acks.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Reads everything back: all that was acknowledged is there as it was, nothing is there twice, `seq` has no hole.
async fn check(app: &TestApp, conversations: &[String], acknowledged: &Acknowledged) -> usize {
    let mut stored = HashMap::new();
    for conversation in conversations {
        let mut after = String::new();
        let mut seq = 0;
        loop {
            let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200&after={after}");
            let page = app.as_agent().get(&path).await.ok();
            for message in page["messages"].as_array().unwrap() {
                seq += 1;
                assert_eq!(message["seq"], seq, "a hole");
                let key = (conversation.clone(), message["local_id"].as_str().unwrap().to_owned());
                assert!(stored.insert(key, message.clone()).is_none(), "stored twice: {message}");
                after = message["id"].as_str().unwrap().to_owned();
            }
            if page["has_more"] == false {
                break;
            }
        }
        let row = app.as_agent().get(&format!("/v1/admin/conversations/{conversation}")).await.ok();
        assert_eq!(row["conversation"]["last_seq"], seq);
        assert_eq!(row["conversation"]["unread_count"], seq);
    }
    for (key, message) in acknowledged {
        assert_eq!(stored.get(key), Some(message), "acknowledged and lost: {key:?}");
    }
    stored.len()
}
