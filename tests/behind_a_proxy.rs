//! Behind a proxy that keeps its connections to the server open between requests, as all of them do.

use std::path::Path;
use std::time::Duration;

use backing::Nginx;
use serde_json::json;
use testkit::{TestApp, TestServer, eventually, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a handshake may take in these tests: connections are idle for longer than that.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// One answer on a connection that goes on.
async fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut chunk = [0; 4096];
    let count = patiently("an answer", stream.read(&mut chunk)).await?;
    Ok(String::from_utf8_lossy(&chunk[..count]).into_owned())
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_as_long_as_is_said_and_not_for_a_handshake() {
    let server = TestServer::with(&["--handshake-timeout=300ms", "--keep-alive-timeout=3s"]).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..2 {
        assert!(ask(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
        tokio::time::sleep(2 * HANDSHAKE).await;
    }
    assert!(ask(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
    let ended = patiently("the end of an idle connection", stream.read(&mut [0; 64])).await;
    assert_eq!(ended.unwrap(), 0);
}

/// Connections of HTTP that are open, the one that asks among them.
async fn open(server: &TestServer) -> u32 {
    let text = server.http().get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("replyhq_http_connections "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn nginx_finds_the_connection_that_it_has_kept() {
    let server = TestServer::with(&["--handshake-timeout=300ms"]).await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nginx.conf");
    let configuration = std::fs::read_to_string(path).unwrap();
    let nginx = Nginx::before(server.address(), &configuration).await.unwrap();
    let app = TestApp { address: nginx.address(), ..app };
    eventually("the others to be gone", || async { (open(&server).await == 1).then_some(()) }).await;
    for number in 0..3 {
        let message = json!({ "local_id": number.to_string(), "body": "x" });
        let path = format!("/v1/conversations/{conversation}/messages");
        let answer = app.as_device("phone").post(&path, &message).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        tokio::time::sleep(2 * HANDSHAKE).await;
        // A server that closes it may do so while the next request is on its way.
        assert_eq!(open(&server).await, 2);
    }
}
