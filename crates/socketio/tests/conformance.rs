//! What the official protocol suites check of the WebSocket transport, against the same server that they are
//! pointed at.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use socketio::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, Received, within};
use crate::echo;

/// The suites' values where they are what is checked.
async fn start_exact(is_bare: bool) -> SocketAddr {
    start_with(echo::config(), is_bare).await
}

/// Times in which a busy machine still gets an answer through.
async fn start(is_bare: bool) -> SocketAddr {
    let config = Config {
        ping_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(4),
        ..echo::config()
    };
    start_with(config, is_bare).await
}

async fn start_with(config: Config, is_bare: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(echo::serve(listener, config, is_bare));
    address
}

async fn request(address: SocketAddr, target: &str, headers: &str) -> (TcpStream, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        assert!(within(stream.read_buf(&mut read)).await.unwrap() > 0, "an answer comes");
    };
    let rest = read.split_off(end);
    (stream, String::from_utf8(read).unwrap(), rest)
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Opens a session and reads its first packet.
async fn open(address: SocketAddr, path: &str) -> (Client, Value) {
    let target = format!("{path}?EIO=4&transport=websocket");
    let (stream, head, rest) = request(address, &target, UPGRADE).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut client = Client::new(stream, rest);
    let open = client.expect_text().await;
    let data = serde_json::from_str(open.strip_prefix('0').expect("an open packet")).unwrap();
    (client, data)
}

/// A session that is in `/`, its greeting read.
async fn connect() -> Client {
    let (mut client, _) = open(start(false).await, "/socket.io/").await;
    client.text("40").await;
    assert!(client.expect_text().await.starts_with("40{\"sid\":"));
    assert_eq!(client.expect_text().await, "42[\"auth\",{}]");
    client
}

/// The next packet that is no ping.
async fn packet(client: &mut Client) -> Received {
    loop {
        match within(client.next()).await {
            Received::Text(text) if text == "2" => client.text("3").await,
            other => return other,
        }
    }
}

fn text(text: &str) -> Received {
    Received::Text(text.to_owned())
}

#[tokio::test]
async fn the_handshake_tells_the_real_values() {
    for (is_bare, path) in [(false, "/socket.io/"), (true, "/engine.io/")] {
        let (_, data) = open(start_exact(is_bare).await, path).await;
        let data = data.as_object().unwrap();
        assert_eq!(data.len(), 5);
        assert!(data["sid"].is_string());
        assert_eq!(data["upgrades"], serde_json::json!([]));
        assert_eq!(data["pingInterval"], 300);
        assert_eq!(data["pingTimeout"], 200);
        assert_eq!(data["maxPayload"], 1_000_000);
    }
}

#[tokio::test]
async fn bad_requests_are_refused() {
    for (is_bare, path) in [(false, "/socket.io/"), (true, "/engine.io/")] {
        let address = start(is_bare).await;
        for query in [
            "transport=websocket",
            "EIO=abc&transport=websocket",
            "EIO=3&transport=websocket",
            "EIO=4",
            "EIO=4&transport=abc",
        ] {
            let (_, head, _) = request(address, &format!("{path}?{query}"), UPGRADE).await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{query}: {head}");
        }
        let (_, head, _) = request(address, &format!("{path}?EIO=4&transport=polling"), "").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}

#[tokio::test]
async fn pings_are_sent_and_their_answers_taken() {
    for (is_bare, path) in [(false, "/socket.io/"), (true, "/engine.io/")] {
        let (mut client, _) = open(start(is_bare).await, path).await;
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(client.expect_text().await, "2");
            client.text("3").await;
        }
        assert!(start.elapsed() >= Duration::from_millis(850));
    }
}

#[tokio::test]
async fn a_missing_answer_ends_the_session() {
    for (is_bare, path) in [(false, "/socket.io/"), (true, "/engine.io/")] {
        let (mut client, _) = open(start_exact(is_bare).await, path).await;
        let start = Instant::now();
        assert_eq!(client.expect_text().await, "2");
        assert!(matches!(within(client.next()).await, Received::Close(_) | Received::Gone));
        assert!(start.elapsed() >= Duration::from_millis(450));
    }
}

#[tokio::test]
async fn a_close_packet_ends_the_session() {
    for (is_bare, path) in [(false, "/socket.io/"), (true, "/engine.io/")] {
        let (mut client, _) = open(start(is_bare).await, path).await;
        client.text("1").await;
        assert_eq!(client.expect_close().await, Some(1000));
    }
}

#[tokio::test]
async fn bare_messages_are_echoed() {
    let (mut client, _) = open(start(true).await, "/engine.io/").await;
    client.text("4hello").await;
    assert_eq!(packet(&mut client).await, text("4hello"));
    client.binary(&[1, 2, 3, 4]).await;
    assert_eq!(packet(&mut client).await, Received::Binary(vec![1, 2, 3, 4]));
    client.text("abc").await;
    assert_eq!(client.expect_close().await, Some(1002));
}

#[tokio::test]
async fn namespaces_are_connected_with_and_without_a_payload() {
    let address = start(false).await;
    for namespace in ["", "/custom,"] {
        for (payload, auth) in [("", "{}"), ("{\"token\":\"abc\"}", "{\"token\":\"abc\"}")] {
            let (mut client, _) = open(address, "/socket.io/").await;
            client.text(&format!("40{namespace}{payload}")).await;
            let answer = client.expect_text().await;
            let data = answer.strip_prefix(&format!("40{namespace}")).expect(&answer);
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data.as_object().unwrap().keys().collect::<Vec<_>>(), ["sid"]);
            assert_eq!(client.expect_text().await, format!("42{namespace}[\"auth\",{auth}]"));
        }
    }
    let (mut client, _) = open(address, "/socket.io/").await;
    client.text("40/random").await;
    assert_eq!(client.expect_text().await, "44/random,{\"message\":\"Invalid namespace\"}");
    // Nothing accepted, every ping answered: the connect timeout ends it.
    loop {
        match within(client.next()).await {
            Received::Text(text) if text == "2" => client.text("3").await,
            other => break assert_eq!(other, Received::Close(Some(1008))),
        }
    }
}

#[tokio::test]
async fn a_client_can_leave_a_namespace_and_stay() {
    let mut client = connect().await;
    client.text("40/custom").await;
    assert!(matches!(packet(&mut client).await, Received::Text(text) if text.starts_with("40/custom,")));
    assert_eq!(packet(&mut client).await, text("42/custom,[\"auth\",{}]"));
    client.text("41/custom").await;
    client.text("42[\"message\",\"message to main namespace\"]").await;
    assert_eq!(packet(&mut client).await, text("42[\"message-back\",\"message to main namespace\"]"));
    client.text("41").await;
    assert_eq!(client.expect_text().await, "2");
}

#[tokio::test]
async fn events_and_answers_carry_text_and_bytes() {
    let mut client = connect().await;
    client.text("42[\"message\",1,\"2\",{\"3\":[true]}]").await;
    assert_eq!(packet(&mut client).await, text("42[\"message-back\",1,\"2\",{\"3\":[true]}]"));
    client.text("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]").await;
    assert_eq!(packet(&mut client).await, text("43456[1,\"2\",{\"3\":[false]}]"));
    let placeholders = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
    for (sent, answered) in [
        (format!("452-[\"message\",{placeholders}]"), format!("452-[\"message-back\",{placeholders}]")),
        (format!("452-789[\"message-with-ack\",{placeholders}]"), format!("462-789[{placeholders}]")),
    ] {
        client.text(&sent).await;
        client.binary(&[1, 2, 3]).await;
        client.binary(&[4, 5, 6]).await;
        assert_eq!(packet(&mut client).await, text(&answered));
        assert_eq!(packet(&mut client).await, Received::Binary(vec![1, 2, 3]));
        assert_eq!(packet(&mut client).await, Received::Binary(vec![4, 5, 6]));
    }
}

#[tokio::test]
async fn invalid_packets_end_the_session() {
    for invalid in ["4abc", "42{}", "42abc[\"message-with-ack\",1,\"2\",{\"3\":[false]}]"] {
        let mut client = connect().await;
        client.text(invalid).await;
        assert_eq!(client.expect_close().await, Some(1002), "{invalid}");
    }
}
