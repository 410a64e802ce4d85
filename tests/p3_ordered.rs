//! P3: `seq` is 1, 2, 3 … without holes, and every subscriber gets every message in that order, each once.

use serde_json::json;
use testkit::{Client, TestServer};

const SENDERS: usize = 4;
const EACH: usize = 60;
const ALL: usize = SENDERS * 3 * EACH;

async fn seqs(mut client: Client) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < ALL {
        seqs.push(client.expect("message:new").await["seq"].as_u64().unwrap());
    }
    assert!(client.settled("message:new").await.is_empty(), "more than was sent");
    seqs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_senders_on_three_transports_are_heard_in_one_order_by_all() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut listeners = Vec::new();
    for number in 0..6 {
        let client = if number % 2 == 0 {
            let mut device = app.device("phone").await;
            device.expect("conversation:joined").await;
            device
        } else {
            let mut agent = app.agent().await;
            agent.done("conversation:join", json!({ "conversation_id": conversation })).await;
            agent
        };
        listeners.push(tokio::spawn(seqs(client)));
    }
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        for transport in ["device", "agent", "rest"] {
            let (app, conversation) = (app.clone(), conversation.clone());
            senders.push(tokio::spawn(async move {
                send(&app, transport, &format!("{transport}-{sender}"), &conversation).await;
            }));
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let expected: Vec<u64> = (1..=ALL as u64).collect();
    for listener in listeners {
        assert_eq!(listener.await.unwrap(), expected);
    }
}

async fn send(app: &testkit::TestApp, transport: &str, name: &str, conversation: &str) {
    let message = |number: usize| json!({ "local_id": format!("{name}-{number}"), "body": "x" });
    if transport == "rest" {
        let path = format!("/v1/conversations/{conversation}/messages");
        for number in 0..EACH {
            assert_eq!(app.as_device("phone").post(&path, &message(number)).await.status, 201);
        }
        return;
    }
    let mut client = if transport == "device" { app.device("phone").await } else { app.agent().await };
    let mut asked = Vec::new();
    for number in 0..EACH {
        let mut payload = message(number);
        payload["conversation_id"] = json!(conversation);
        asked.push(client.ask("message:send", payload).await);
    }
    let mut last = 0;
    for ask in asked {
        let answer = client.ack(ask).await;
        let seq = answer["message"]["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        assert!(seq > last, "one sender's messages keep their order");
        last = seq;
    }
}
