//! P5: a client that was away names the last message that it has, and gets exactly what it missed, then live events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{TestApp, TestServer};

/// How often the client is cut off.
const CUTS: u64 = 40;
/// What one answer carries at most: the page of `conversation:join`.
const PAGE: u64 = 50;

/// A client's own copy of the conversation. It takes a message only as the next one: anything else is a failure of the
/// server, which gave it a gap or gave it something twice.
#[derive(Default)]
struct Copy {
    last_seq: u64,
    last_id: String,
}

impl Copy {
    fn take(&mut self, message: &Value, from: &str) {
        assert_eq!(message["seq"].as_u64(), Some(self.last_seq + 1), "from {from}");
        self.last_seq += 1;
        self.last_id = message["id"].as_str().unwrap().to_owned();
    }

    fn take_all(&mut self, messages: &Value, from: &str) {
        for message in messages.as_array().unwrap() {
            self.take(message, from);
        }
    }
}

/// Sends without a pause until it is told to stop; returns how many.
async fn send(app: TestApp, conversation: String, stop: Arc<AtomicBool>) -> u64 {
    let mut agent = app.agent().await;
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let payload = json!({ "conversation_id": conversation, "local_id": format!("{sent}"), "body": "x" });
        agent.done("message:send", payload).await;
        sent += 1;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cut_off_at_random_instants_ends_with_the_whole_history_each_message_once() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let stop = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn(send(app.clone(), conversation.clone(), Arc::clone(&stop)));
    let mut copy = Copy::default();
    for cut in 0..CUTS {
        let mut device = app.device("phone").await;
        device.expect("conversation:joined").await;
        // The connection joins by itself, so what came until the answer below is not what counts.
        let answer = catch_up(&mut device, &conversation, &mut copy).await;
        assert_eq!(answer["last_seq"].as_u64(), Some(copy.last_seq));
        for _ in 0..cut % 7 {
            let message = device.expect("message:new").await;
            copy.take(&message, "a live event");
        }
        device.cut();
    }
    stop.store(true, Ordering::Relaxed);
    let sent = sender.await.unwrap();
    let mut device = app.device("phone").await;
    catch_up(&mut device, &conversation, &mut copy).await;
    assert_eq!(copy.last_seq, sent);
    assert!(sent > CUTS, "{sent}");
}

/// Joins with the last message that it has; reads the rest over REST if one page was not enough.
async fn catch_up(device: &mut testkit::Client, conversation: &str, copy: &mut Copy) -> Value {
    let payload = json!({ "conversation_id": conversation, "after": copy.last_id });
    let id = device.ask("conversation:join", payload).await;
    let answer = device.ack(id).await;
    assert_eq!(answer["success"], true, "{answer}");
    let until = answer["last_seq"].as_u64().unwrap();
    // Live events that came before the answer are from the automatic join; they are in the page as well.
    device.discard_until_joined(until);
    copy.take_all(&answer["messages"], "the page");
    let mut page = answer.clone();
    while page["has_more"] == true {
        let payload = json!({ "conversation_id": conversation, "after": copy.last_id });
        page = device.done("conversation:join", payload).await;
        copy.take_all(&page["messages"], "another page");
        device.discard_until_joined(page["last_seq"].as_u64().unwrap());
    }
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_with_a_cursor_gives_the_page_and_then_every_later_message_and_nothing_between() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let stop = Arc::new(AtomicBool::new(false));
    let sender = tokio::spawn(send(app.clone(), conversation.clone(), Arc::clone(&stop)));
    for _ in 0..20 {
        // An agent is joined to nothing by itself: all that it gets is from this join.
        let mut agent = app.agent().await;
        let mut copy = Copy::default();
        let newest = app
            .as_agent()
            .get(&format!("/v1/admin/conversations/{conversation}/messages?before=&limit=5"))
            .await
            .ok();
        if let Some(message) = newest["messages"].as_array().unwrap().first() {
            copy.last_seq = message["seq"].as_u64().unwrap();
            copy.last_id = message["id"].as_str().unwrap().to_owned();
        }
        let payload = json!({ "conversation_id": conversation, "after": copy.last_id });
        let answer = agent.done("conversation:join", payload).await;
        assert!(answer["messages"].as_array().unwrap().len() as u64 <= PAGE);
        copy.take_all(&answer["messages"], "the page");
        assert_eq!(answer["last_seq"].as_u64(), Some(copy.last_seq));
        for _ in 0..10 {
            copy.take(&agent.expect("message:new").await, "a live event");
        }
    }
    stop.store(true, Ordering::Relaxed);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_client_that_was_away_is_told_how_far_the_agents_got_meanwhile() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let first = device.say(&conversation, "1", "one").await;
    let second = device.say(&conversation, "2", "two").await;
    drop(device);
    let mut agent = app.agent_in(&conversation).await;
    let read = json!({ "conversation_id": conversation, "up_to_message_id": first["id"] });
    agent.done("message:read", read).await;
    let mut device = app.device("phone").await;
    let join = json!({ "conversation_id": conversation, "after": second["id"] });
    let joined = device.done("conversation:join", join).await;
    assert_eq!(joined["messages"], json!([]), "nothing was written");
    assert_eq!(
        joined["receipts"],
        json!({ "user_delivered_seq": 0, "user_read_seq": 0, "agent_delivered_seq": 1, "agent_read_seq": 1 })
    );
}
