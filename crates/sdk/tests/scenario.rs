//! The scenario that every language's binding runs: a person's day with an app, against a real server.

use sdk::{ConnectionState, Delivery, Sender};
use serde_json::json;
use testkit::TestServer;

use crate::phone::{Phone, bodies};

#[tokio::test]
async fn what_is_written_offline_is_sent_once_and_in_order() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", app.address);
    let phone = Phone::open(&url, &app.app_id, &app.api_key, folder.path()).await;
    phone.client.set_network(false).await.unwrap();
    for body in ["one", "two", "three"] {
        phone.client.send(None, body).await.unwrap();
    }
    let timeline = phone.timeline("three that wait", |timeline| timeline.items.len() == 3).await;
    assert_eq!(bodies(&timeline), ["one", "two", "three"]);
    assert!(timeline.items.iter().all(|item| item.delivery == Delivery::Queued));
    phone.client.set_network(true).await.unwrap();
    let timeline = phone
        .timeline("all sent", |timeline| {
            timeline.items.len() == 3 && timeline.items.iter().all(|item| item.delivery == Delivery::Sent)
        })
        .await;
    assert_eq!(bodies(&timeline), ["one", "two", "three"]);
    let conversation = timeline.conversation_id.clone().unwrap();
    let mut agent = app.agent_in(&conversation).await;
    agent
        .done(
            "message:send",
            json!({ "conversation_id": conversation.as_str(), "local_id": "a", "body": "Hello" }),
        )
        .await;
    let item = phone.item("the agent's message", |item| item.sender == Sender::Agent).await;
    assert_eq!((item.body.as_str(), item.seq), ("Hello", Some(4)));
    let state = phone.state("one unread", |state| state.unread == 1).await;
    assert_eq!(state.connection, ConnectionState::Online);
    phone.client.mark_read(None).await.unwrap();
    phone.state("none unread", |state| state.unread == 0).await;
    agent.done("message:read", json!({ "conversation_id": conversation.as_str(), "up_to_message_id": timeline.items[2].message_id.as_ref().unwrap().as_str() })).await;
    phone.item("read by the agent", |item| item.body == "three" && item.delivery == Delivery::Read).await;
    agent.done("typing:start", json!({ "conversation_id": conversation.as_str() })).await;
    phone.timeline("the agent's typing", |timeline| timeline.is_agent_typing).await;
    phone.client.close().await;
    let log = phone.platform.text();
    assert!(!log.contains("Hello") && !log.contains(&app.api_key), "{log}");
}
