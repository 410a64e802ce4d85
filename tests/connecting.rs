//! Connecting: what a device is told first, and in which order.

use serde_json::json;
use testkit::TestServer;

#[tokio::test]
async fn a_device_hears_connected_and_then_joins_its_latest_conversation() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut device = app.device("phone").await;
    let (first, connected) = device.next().await.unwrap();
    assert_eq!(first, "connected");
    assert!(connected["connection_id"].as_str().unwrap().starts_with("conn_"));
    let (second, joined) = device.next().await.unwrap();
    assert_eq!(second, "conversation:joined");
    assert_eq!(joined, json!({ "conversation_id": conversation, "last_seq": 0 }));
    assert_eq!(device.call("ping", json!({})).await, "pong");
}
