//! Bytes that are no conversation at all: garbage frames, wrong handshakes, connections that say nothing or never
//! end, and readers that don't read. Whoever does this loses their own connection and nobody else's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, Frame, Method, TestApp, TestServer, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A device and an agent in conversation: others, who must not notice anything.
struct Bystanders {
    device: Client,
    agent: Client,
    conversation: String,
    said: usize,
}

impl Bystanders {
    async fn of(app: &TestApp) -> Self {
        let (device, conversation) = app.device_in_conversation("bystander").await;
        let agent = app.agent_in(&conversation).await;
        Self { device, agent, conversation, said: 0 }
    }

    /// Both talk to each other as ever.
    async fn are_unharmed(&mut self) {
        self.said += 1;
        let question = self.device.say(&self.conversation, &format!("q{}", self.said), "still there?").await;
        assert_eq!(self.agent.expect("message:new").await, question);
        let answer = self.agent.say(&self.conversation, &format!("a{}", self.said), "yes").await;
        assert_eq!(self.device.expect("message:new").await, question);
        assert_eq!(self.device.expect("message:new").await, answer);
        assert_eq!(self.agent.expect("message:new").await, answer);
        // What an inbox hears of others' comings and goings is of no interest here.
        self.agent.settled("session:connect").await;
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    patiently("a connection", TcpStream::connect(address)).await.unwrap()
}

/// All that comes until the server closes the connection.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = patiently("the server to close the connection", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes as much as the server takes.
async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    // Where the server has closed already, all the better.
    let _ = patiently("a write", stream.write_all(bytes)).await;
}

fn upgrade(query: &str) -> String {
    format!(
        "GET /v1/socket.io/?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[tokio::test]
async fn garbage_ends_the_connection_that_it_came_on_and_no_other() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    let many = format!("42/client,[\"ping\"{}]", ",1".repeat(300));
    let garbage = [
        "",
        "0",
        "0{}",
        "1",
        "2",
        "2probe",
        "5",
        "7",
        "9",
        "x",
        "\0",
        "é",
        "4",
        "49",
        "4é",
        "42",
        "42[]",
        "42/client",
        "42/client,",
        "42/client,[]",
        "42/client,{}",
        "42/client,[1",
        "42/client,[null]",
        "42/client,[\"message:send\"",
        "42/client,[\"connect\"]",
        "42/client,[\"disconnect\"]",
        "42/client,99999999999999999999[\"ping\"]",
        "42/client,-1[\"ping\"]",
        "42/admin,[\"ping\"]",
        "42/nowhere,[\"ping\"]",
        "40/client,{}",
        "40/other,[]",
        "40/other,{",
        "40/other,null",
        "41/client,{}",
        "41/nowhere,",
        "43/client,[]",
        "43/client,1",
        "44/client,{}",
        "45/client,[\"ping\"]",
        "45999-/client,[\"ping\"]",
        "450-/client,[\"ping\"]",
        "451-/client,[\"ping\",{\"_placeholder\":true,\"num\":7}]",
        "46/client,1[]",
        &many,
    ];
    for text in garbage {
        let mut client = app.device("stranger").await;
        client.expect("connected").await;
        client.send_text(text).await;
        let shown: String = text.chars().take(60).collect();
        // One that goes on would answer.
        assert_eq!(
            {
                let ack = client.ask("ping", json!({})).await;
                client.try_ack(ack).await
            },
            None,
            "{shown}"
        );
        assert_eq!(client.untaken(), Vec::<&str>::new(), "{shown}");
        bystanders.are_unharmed().await;
    }
    let frames = [
        Frame::binary(vec![0; 100]),
        Frame::binary(Vec::new()),
        Frame::binary(vec![0xff; 64 * 1024]),
        Frame::text("x".repeat(64 * 1024 + 1)),
        Frame::text(format!("42/client,[\"ping\",\"{}\"]", "x".repeat(1024 * 1024))),
        Frame::text(format!("42/nowhere,[\"ping\",\"{}\"]", "x".repeat(64 * 1024))),
        Frame::binary(vec![4; 200 * 1024]),
        Frame::Close(None),
    ];
    for frame in frames {
        let mut client = app.device("stranger").await;
        client.send_frame(frame).await;
        client.closed().await;
        bystanders.are_unharmed().await;
    }
    testkit::eventually("the last stranger's leave", async || {
        let presence = app.as_agent().get("/v1/admin/devices/stranger/presence").await.ok();
        (presence["active_connections"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_odd_but_allowed_ends_nothing() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut device = app.device("phone").await;
    for text in [
        "6",
        "3",
        "3probe",
        "43/client,1[]",
        "43/client,1[\"an answer to nothing\"]",
        "42/client,[\"ping\",1,2,3]",
    ] {
        device.send_text(text).await;
        assert_eq!(device.call("ping", json!({})).await, "pong", "{text}");
    }
    for frame in [Frame::Ping(vec![1, 2, 3].into()), Frame::Pong(Vec::new().into())] {
        device.send_frame(frame).await;
        assert_eq!(device.call("ping", json!({})).await, "pong");
    }
    let nested =
        format!("42/client,1004[\"message:send\",{{\"body\":{}{}}}]", "[".repeat(30_000), "]".repeat(30_000));
    device.send_text(&nested).await;
    assert_eq!(device.ack(1_004).await["error"], "VALIDATION_ERROR");
    // An event with an attachment: its payload is still what it is.
    device.send_text("451-/client,1005[\"message:send\",{\"_placeholder\":true,\"num\":0}]").await;
    device.send_frame(Frame::binary(vec![1, 2, 3])).await;
    assert_eq!(device.ack(1_005).await["error"], "MISSING_PARAMS");
    // A frame of exactly the largest size.
    let head = "42/client,1006[\"ping\",\"";
    device.send_text(&format!("{head}{}\"]", "x".repeat(64 * 1024 - head.len() - 2))).await;
    assert_eq!(device.ack(1_006).await, "pong");
    // Larger ones are skipped, and whoever sent them is told.
    device.send_text(&format!("42/client,1007[\"ping\",\"{}\"]", "x".repeat(64 * 1024))).await;
    assert_eq!(device.ack(1_007).await["error"], "MESSAGE_TOO_LONG");
    device.send_text(&format!("42/client,[\"ping\",\"{}\"]", "x".repeat(900 * 1024))).await;
    assert_eq!(device.expect("error").await["code"], "MESSAGE_TOO_LONG");
    assert_eq!(device.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn bytes_that_are_no_websocket_end_the_connection_that_they_came_on_and_no_other() {
    let server = TestServer::with(&[UNLIMITED]).await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    let after_upgrade: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 64],
        &[0xff; 64],
        // Not masked.
        b"\x81\x02hi",
        // A reserved bit.
        b"\xf1\x80\0\0\0\0",
        // An opcode that there is not.
        b"\x83\x80\0\0\0\0",
        // A length of 2^63.
        b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0",
        // A ping of more than 125 bytes.
        b"\x89\xfe\x00\x7e\0\0\0\0",
        // Text that is no UTF-8.
        b"\x81\x82\0\0\0\0\xff\xfe",
    ];
    for bytes in after_upgrade {
        let mut stream = connect(server.address()).await;
        write(&mut stream, upgrade("EIO=4&transport=websocket").as_bytes()).await;
        write(&mut stream, bytes).await;
        let told = rest_of(stream).await;
        assert!(told.starts_with("HTTP/1.1 101"), "{bytes:?}: {told}");
        bystanders.are_unharmed().await;
    }
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\0",
        b"GET /\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ] {
        let mut stream = connect(server.address()).await;
        write(&mut stream, bytes).await;
        stream.shutdown().await.unwrap();
        let told = rest_of(stream).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{bytes:?}: {told}");
        bystanders.are_unharmed().await;
    }
    let mut stream = connect(server.address()).await;
    write(
        &mut stream,
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(100_000)).as_bytes(),
    )
    .await;
    let told = rest_of(stream).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 431"), "{told}");
    bystanders.are_unharmed().await;
}

#[tokio::test]
async fn a_handshake_that_is_not_engine_io_4_over_websocket_gets_engine_io_s_own_error() {
    let server = TestServer::start().await;
    let with_upgrade = server
        .http()
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let plain = server.http();
    let unknown = json!({ "code": 0, "message": "Transport unknown" });
    let bad_request = json!({ "code": 3, "message": "Bad request" });
    let version = json!({ "code": 5, "message": "Unsupported protocol version" });
    for path in ["/v1/socket.io", "/v1/socket.io/"] {
        for (http, method, query, expected) in [
            (&plain, Method::GET, "EIO=4&transport=polling", &unknown),
            (&plain, Method::POST, "EIO=4&transport=polling", &unknown),
            (&plain, Method::GET, "EIO=4&transport=polling&t=abc&sid=x", &unknown),
            (&plain, Method::GET, "", &unknown),
            (&plain, Method::GET, "EIO=4", &unknown),
            (&plain, Method::GET, "EIO=4&transport=webtransport", &unknown),
            (&plain, Method::GET, "EIO=4&transport=websocket", &bad_request),
            (&with_upgrade, Method::GET, "EIO=3&transport=websocket", &version),
            (&with_upgrade, Method::GET, "EIO=5&transport=websocket", &version),
            (&with_upgrade, Method::GET, "transport=websocket", &version),
            (&with_upgrade, Method::GET, "EIO=4&transport=polling", &unknown),
            (
                &with_upgrade,
                Method::GET,
                "EIO=4&transport=websocket&sid=x",
                &json!({ "code": 1, "message": "Session ID unknown" }),
            ),
            (
                &plain,
                Method::POST,
                "EIO=4&transport=websocket",
                &json!({ "code": 2, "message": "Bad handshake method" }),
            ),
        ] {
            let answer = http.send(method.clone(), &format!("{path}?{query}"), Vec::new()).await;
            assert_eq!((answer.status, &answer.json), (400, expected), "{method} {query}");
        }
    }
}

/// The bystanders talk a lot.
const UNLIMITED: &str = "--rate-limit-device=0";
/// Short, and yet long enough for those who do nothing wrong on a machine that is busy.
const SHORT: &str = "--handshake-timeout=1s";

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_closed_and_one_that_is_finished_lives_on() {
    let server = TestServer::with(&["--handshake-timeout=300ms"]).await;
    let app = server.app().await;
    let mut device =
        testkit::eventually("a device that is fast enough", async || app.try_device("phone").await.ok())
            .await;
    let started = Instant::now();
    let mut silent = Client::open(server.address(), "/client").await;
    let mut refused = Client::open(server.address(), "/client").await;
    refused.send_text("40/client,{}").await;
    assert!(refused.receive().await.unwrap().starts_with("44/client,"));
    let mut upgraded = connect(server.address()).await;
    write(&mut upgraded, upgrade("EIO=4&transport=websocket").as_bytes()).await;
    silent.closed().await;
    refused.closed().await;
    rest_of(upgraded).await;
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(device.call("ping", json!({})).await, "pong");
}

#[tokio::test]
async fn a_connection_that_sends_nothing_or_half_a_request_is_closed() {
    let server = TestServer::with(&[SHORT, UNLIMITED, "--keep-alive-timeout=1s"]).await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    let mut held = Vec::new();
    for bytes in [
        "",
        "G",
        "GET /healthz HTTP/1.1",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ",
    ] {
        let mut stream = connect(server.address()).await;
        write(&mut stream, bytes.as_bytes()).await;
        held.push((bytes, stream));
    }
    bystanders.are_unharmed().await;
    for (bytes, stream) in held {
        let told = rest_of(stream).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{bytes:?}: {told}");
    }
    // One that asks for nothing more may be idle for longer, and not for ever.
    let mut stream = connect(server.address()).await;
    write(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(rest_of(stream).await.starts_with("HTTP/1.1 200"));
    bystanders.are_unharmed().await;
}

#[tokio::test]
async fn a_connection_goes_on_after_requests_that_were_refused() {
    let server = TestServer::start().await;
    let mut stream = connect(server.address()).await;
    let bad = "GET /v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /v1/conversations HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{\
        GET /v1/admin/sessions HTTP/1.1\r\nHost: x\r\n\r\n\
        DELETE /v1/conversations HTTP/1.1\r\nHost: x\r\n\r\n";
    write(&mut stream, bad.as_bytes()).await;
    write(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let told = rest_of(stream).await;
    let statuses: Vec<_> = told.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["404", "401", "401", "405", "200"], "{told}");
}

fn post_head(app: &TestApp, length: &str) -> String {
    format!(
        "POST /v1/conversations HTTP/1.1\r\nHost: x\r\nX-App-Id: {}\r\nX-Device-Id: phone\r\nX-Api-Key: {}\r\n{length}\r\n\r\n",
        app.app_id, app.api_key
    )
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_refused_in_time() {
    let server = TestServer::with(&[SHORT, UNLIMITED]).await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    let mut held = Vec::new();
    for (length, body) in [
        ("Content-Length: 1000", "{"),
        ("Content-Length: 1000", ""),
        ("Transfer-Encoding: chunked", ""),
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n"),
        ("Transfer-Encoding: chunked", "no number\r\n{}\r\n"),
    ] {
        let mut stream = connect(server.address()).await;
        write(&mut stream, post_head(&app, length).as_bytes()).await;
        write(&mut stream, body.as_bytes()).await;
        held.push((length, body, stream));
    }
    bystanders.are_unharmed().await;
    for (length, body, stream) in held {
        let told = rest_of(stream).await;
        assert!(told.starts_with("HTTP/1.1 400"), "{length} {body:?}: {told}");
        assert!(told.contains("\"code\":\"VALIDATION_ERROR\""), "{told}");
    }
    let opened = app.as_device("phone").get("/v1/conversations").await.ok();
    assert_eq!(opened["conversations"], json!([]), "half a body does nothing");
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_at_the_limit() {
    let server = TestServer::with(&[UNLIMITED]).await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    for length in ["Content-Length: 100000000000", "Transfer-Encoding: chunked"] {
        let (mut reading, mut writing) = connect(server.address()).await.into_split();
        writing.write_all(post_head(&app, length).as_bytes()).await.unwrap();
        let endless = tokio::spawn(async move {
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            let mut written = 0;
            while writing.write_all(chunk.as_bytes()).await.is_ok() {
                written += chunk.len();
            }
            written
        });
        let mut told = vec![0; 12];
        patiently("an answer", reading.read_exact(&mut told)).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 413", "{length}");
        // The server hangs up on who goes on.
        let _ = patiently("the end", reading.read_to_end(&mut told)).await;
        drop(reading);
        let written = patiently("the writer's end", endless).await.unwrap();
        assert!(written < 64 * 1024 * 1024, "{written}");
        bystanders.are_unharmed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_open_connections_are_in_nobody_s_way_and_are_closed() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let server = TestServer::with(&["--handshake-timeout=8s", UNLIMITED]).await;
    let app = server.app().await;
    let mut bystanders = Bystanders::of(&app).await;
    let mut held = Vec::new();
    for number in 0..2_000 {
        let mut stream = connect(server.address()).await;
        match number % 4 {
            0 => {}
            1 => {
                write(&mut stream, b"GET /v1/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n")
                    .await;
            }
            2 => write(&mut stream, post_head(&app, "Content-Length: 5").as_bytes()).await,
            _ => write(&mut stream, upgrade("EIO=4&transport=websocket").as_bytes()).await,
        }
        held.push(stream);
        if number % 500 == 0 {
            bystanders.are_unharmed().await;
        }
    }
    for round in 0..10 {
        bystanders.are_unharmed().await;
        assert!(app.try_device(&format!("new-{round}")).await.is_ok());
        assert_eq!(app.as_device("phone").get("/v1/conversations").await.status, 200);
    }
    for stream in held {
        rest_of(stream).await;
    }
    bystanders.are_unharmed().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_the_others_get_everything() {
    let server = TestServer::with(&["--rate-limit-agent=0", "--max-queue-bytes=524288"]).await;
    let app = server.app().await;
    let (mut reader, conversation) = app.device_in_conversation("phone").await;
    let (mut deaf, _) = app.device_in_conversation("deaf").await;
    let mut agent = app.agent_in(&conversation).await;
    let mut victim = app.agent_in(&conversation).await;
    // 20 kB each: what the kernel keeps for a socket is some megabytes.
    let body = "🎉".repeat(5_000);
    let mut sent = 0;
    let metric = async || {
        let text = server.http().get("/metrics").await.text;
        text.lines().any(|line| line.contains("slow_readers_dropped_total ") && !line.ends_with(" 0"))
    };
    while !metric().await {
        assert!(sent < 3_000, "nobody was dropped after {sent} messages of 20 kB");
        for _ in 0..20 {
            sent += 1;
            let message = agent.say(&conversation, &sent.to_string(), &body).await;
            assert_eq!(reader.expect("message:new").await, message, "the reader gets everything");
        }
    }
    let mut seqs = Vec::new();
    while let Some((event, data)) = victim.next().await {
        if event == "message:new" {
            seqs.push(data["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "in order and without a gap until its end");
    assert!((seqs.len() as u64) < sent, "it was cut off");
    assert_eq!(deaf.call("ping", json!({})).await, "pong");
    assert_eq!(reader.call("ping", json!({})).await, "pong");
    let page = app
        .as_device("phone")
        .get(&format!("/v1/conversations/{conversation}/messages?before=&limit=1"))
        .await
        .ok();
    assert_eq!(page["messages"][0]["seq"], sent);
    assert_eq!(reader.settled("message:new").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_device_s_name_in_a_header_may_be_in_any_script_but_must_be_text() {
    let server = TestServer::start().await;
    let app = server.app().await;
    for (name, status) in [("電話".as_bytes(), "200"), (b"\xff\xfe", "401"), (b"\xc3", "401")] {
        let head = format!(
            "GET /v1/conversations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-App-Id: {}\r\nX-Api-Key: {}\r\nX-Device-Id: ",
            app.app_id, app.api_key
        );
        let mut stream = connect(server.address()).await;
        write(&mut stream, &[head.as_bytes(), name, b"\r\n\r\n"].concat()).await;
        let told = rest_of(stream).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{name:?}: {told}");
        assert_eq!(told.contains("\"code\":\"VALIDATION_ERROR\""), status == "401", "{told}");
    }
}
