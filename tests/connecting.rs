//! Connecting: what a device is told first, and in which order.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::http::request::Builder;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use serde_json::json;
use testkit::TestServer;
use tokio::net::TcpStream;

/// The answer to a request that is sent as it is.
async fn ask(server: &TestServer, request: Request<Empty<Bytes>>) -> Response<Bytes> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = if parts.status == 101 { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    Response::from_parts(parts, body)
}

fn upgrade() -> Builder {
    Request::get("/v1/socket.io/?EIO=4&transport=websocket")
        .header("Host", "x")
        .header("Origin", "https://shop.example")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn a_page_may_send_what_it_has_to_and_read_why_it_was_refused() {
    let server = TestServer::start().await;
    let preflight = Request::options("/v1/admin/conversations")
        .header("Host", "x")
        .header("Origin", "https://shop.example")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "authorization");
    let answer = ask(&server, preflight.body(Empty::new()).unwrap()).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_lowercase();
    let allowed = header("access-control-allow-headers");
    let needed = [
        "authorization",
        "content-type",
        "idempotency-key",
        "x-api-key",
        "x-app-id",
        "x-device-id",
        "x-request-id",
    ];
    for name in needed {
        assert!(allowed.split(',').any(|allowed| allowed.trim() == name), "{name} is not in {allowed}");
    }
    assert_eq!(header("access-control-max-age"), "7200");
    let polling = Request::get("/v1/socket.io/?EIO=4&transport=polling")
        .header("Host", "x")
        .header("Origin", "https://shop.example");
    let answer = ask(&server, polling.body(Empty::new()).unwrap()).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (400, &"*".parse().unwrap())
    );
}

#[tokio::test]
async fn a_client_that_names_protocols_is_told_the_first_of_them() {
    let server = TestServer::start().await;
    let answer = ask(&server, upgrade().body(Empty::new()).unwrap()).await;
    assert_eq!(answer.status(), 101);
    assert!(!answer.headers().contains_key("sec-websocket-protocol"));
    let named = upgrade().header("Sec-WebSocket-Protocol", "chat.v2, chat.v1").body(Empty::new()).unwrap();
    assert_eq!(ask(&server, named).await.headers()["sec-websocket-protocol"], "chat.v2");
}

#[tokio::test]
async fn an_upgrade_over_an_http_that_knows_none_is_refused() {
    let server = TestServer::start().await;
    let old = upgrade().version(Version::HTTP_10).body(Empty::new()).unwrap();
    assert_eq!(ask(&server, old).await.status(), 400);
}

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
