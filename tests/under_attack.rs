//! What a stranger with the app's public key can't do: hold the server's memory, its connections or its time, throw
//! agents out, or learn what is not theirs. The costs are measured by the attacker, `cargo xtask attack`.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testkit::{Answer, Backend, Client, Http, ServerProcess, TestApp, TestServer, eventually, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::BINARY;

/// The value of a metric without labels, or with these.
async fn metric(http: &Http, name: &str) -> f64 {
    let text = http.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// A socket of which nothing is read any more, as the browser of a sleeping machine or an attacker has it.
struct Blind {
    stream: TcpStream,
}

impl Blind {
    /// Logs in with small buffers and reads up to the end of its greeting.
    async fn login(app: &TestApp, device_id: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = socket.connect(app.address).await.unwrap();
        let mut blind = Self { stream };
        let upgrade = "GET /v1/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        blind.stream.write_all(upgrade.as_bytes()).await.unwrap();
        blind.text(&format!("40/client,{}", app.device_auth(device_id))).await;
        let mut read = Vec::new();
        while !read.windows(9).any(|window| window == b"connected") {
            let mut chunk = [0; 1024];
            let count = patiently("the greeting", blind.stream.read(&mut chunk)).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&chunk[..count]);
        }
        blind
    }

    async fn text(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        // A server that has hung up is what some wait for.
        let _ = self.stream.write_all(&frame).await;
    }
}

#[tokio::test]
async fn who_answers_pings_without_reading_them_is_dropped() {
    let flags = ["--ping-interval=300ms", "--ping-timeout=900ms", "--rate-limit-agent=0"];
    let server = TestServer::with(&flags).await;
    let app = server.app().await;
    let conversation = app.conversation("sleeper").await;
    let mut blind = Blind::login(&app, "sleeper").await;
    let mut agent = app.agent().await;
    let pongs = tokio::spawn(async move {
        loop {
            blind.text("3").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    // More than the system keeps for it.
    for number in 0..400 {
        agent.say(&conversation, &number.to_string(), &"x".repeat(5_000)).await;
    }
    let http = server.http();
    eventually("the sleeper to be gone", || async {
        (metric(&http, "replyhq_slow_readers_dropped_total").await > 0.0).then_some(())
    })
    .await;
    eventually("nothing to be kept for it", || async {
        (metric(&http, "replyhq_outgoing_queue_bytes").await < 100_000.0).then_some(())
    })
    .await;
    pongs.abort();
}

/// A conversation with a page that no buffer of the system holds.
async fn long_conversation(app: &TestApp) -> String {
    let conversation = app.conversation("reader").await;
    let mut agent = app.agent().await;
    for number in 0..60 {
        agent.say(&conversation, &number.to_string(), &"x".repeat(5_000)).await;
    }
    conversation
}

/// Asks for that page so often that the answers are more than the system keeps, and reads nothing.
async fn ask_and_not_read(app: &TestApp, conversation: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    let request = format!(
        "GET /v1/conversations/{conversation}/messages HTTP/1.1\r\nHost: x\r\nX-App-Id: {}\r\n\
         X-Device-Id: reader\r\nX-Api-Key: {}\r\n\r\n",
        app.app_id, app.api_key
    );
    stream.write_all(request.repeat(30).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn who_asks_and_does_not_read_the_answer_is_dropped() {
    let flags = ["--write-timeout=500ms", "--rate-limit-agent=0"];
    let server = TestServer::with(&flags).await;
    let app = server.app().await;
    let conversation = long_conversation(&app).await;
    let _asking = ask_and_not_read(&app, &conversation).await;
    let http = server.http();
    let count = || metric(&http, "replyhq_http_connections");
    eventually("the connection to be there", || async { (count().await >= 2.0).then_some(()) }).await;
    // The one that asks for the metrics is left.
    eventually("the connection to be gone", || async { (count().await <= 1.0).then_some(()) }).await;
}

#[tokio::test]
async fn an_answer_that_the_system_has_taken_and_nobody_reads_is_dropped_too() {
    let server = TestServer::with(&["--write-timeout=500ms"]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    // Some dozen KiB, which are written at once: then the connection is idle, as far as the process knows.
    stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let http = server.http();
    let count = || metric(&http, "replyhq_http_connections");
    eventually("the connection to be there", || async { (count().await >= 2.0).then_some(()) }).await;
    eventually("the connection to be gone", || async { (count().await <= 1.0).then_some(()) }).await;
    drop(stream);
}

#[tokio::test]
async fn who_does_not_read_does_not_keep_the_server_from_leaving() {
    let backend = Backend::fresh().await;
    let flags = ["--shutdown-timeout=60s", "--write-timeout=60s", "--rate-limit-agent=0"];
    let mut server = ServerProcess::start(BINARY, &backend, &flags).await;
    let app = server.app().await;
    let conversation = long_conversation(&app).await;
    let _asking = ask_and_not_read(&app, &conversation).await;
    let http = Http::new(server.address());
    eventually("the connection to be there", || async {
        (metric(&http, "replyhq_http_connections").await >= 2.0).then_some(())
    })
    .await;
    server.signal("TERM").await;
    // Far less than any of the limits above.
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_socket_that_has_left_its_namespace_is_counted_and_closed() {
    let server = TestServer::with(&["--handshake-timeout=700ms"]).await;
    let app = server.app().await;
    let http = server.http();
    let mut device = app.device("phone").await;
    assert_eq!(metric(&http, "replyhq_sockets_without_namespace").await, 0.0);
    device.send_text("41/client,").await;
    eventually("the socket to be seen", || async {
        (metric(&http, "replyhq_sockets_without_namespace").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(metric(&http, "replyhq_sockets").await, 1.0);
    device.closed().await;
    eventually("the socket to be gone", || async {
        (metric(&http, "replyhq_sockets").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn made_up_devices_do_not_open_conversations_without_end() {
    let server = TestServer::with(&["--rate-limits=open.app=60/50"]).await;
    let app = server.app().await;
    let mut opened = 0;
    for number in 0..80 {
        let answer = app.as_device(&format!("made-up-{number}")).post("/v1/conversations", &json!({})).await;
        if answer.status == 200 {
            opened += 1;
            continue;
        }
        assert_eq!(answer.failure(), (429, "RATE_LIMITED"));
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= 1 && answer.json["retry_after_ms"].as_u64().unwrap() <= wait * 1_000);
    }
    assert!((50..60).contains(&opened), "{opened}");
    assert!(metric(&server.http(), "replyhq_rate_limited_total{action=\"open\"}").await > 20.0);
    // Who has a conversation is none the poorer, and neither is another app.
    let known = app.as_device("made-up-0");
    assert_eq!(known.post("/v1/conversations", &json!({})).await.status, 200);
    let other = server.app().await;
    other.conversation("phone").await;
}

#[tokio::test]
async fn each_kind_of_act_has_a_limit_of_its_own() {
    let limits = "--rate-limits=open.device=60/2,identify.device=60/2,join.device=60/3,receipt.device=60/2,\
        typing.device=60/2,read.device=60/2,join.agent=60/2,typing.agent=60/2,receipt.agent=60/2,read.agent=60/4,\
        change.agent=60/2";
    let server = TestServer::with(&[limits]).await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let message = device.say(&conversation, "1", "Hello").await;
    let there = json!({ "conversation_id": conversation, "up_to_message_id": message["id"] });
    let listing = json!({ "app_id": app.app_id });
    for (is_agent, event, payload) in [
        (false, "conversation:join", &there),
        (false, "typing:start", &there),
        (false, "delivery:receipt", &there),
        (true, "conversation:join", &there),
        (true, "typing:start", &there),
        (true, "message:read", &there),
        (true, "sessions:list", &listing),
    ] {
        let client = if is_agent { &mut agent } else { &mut device };
        let mut answer = Value::Null;
        for _ in 0..10 {
            answer = client.call(event, payload.clone()).await;
        }
        assert_eq!(answer["error"], "RATE_LIMITED", "{event}: {answer}");
        assert!(answer["retry_after_ms"].as_u64().unwrap() > 0, "{event}: {answer}");
    }
    let (as_device, as_agent) = (app.as_device("phone"), app.as_agent());
    let receipt = json!({ "up_to_message_id": message["id"] });
    let status = json!({ "status": "open" });
    let (of_device, of_agent) =
        (format!("/v1/conversations/{conversation}"), format!("/v1/admin/conversations/{conversation}"));
    for (http, path, body) in [
        (&as_device, "/v1/conversations".to_owned(), Some(&json!({}))),
        (&as_device, "/v1/identify".to_owned(), Some(&json!({ "user": { "id": "ann" } }))),
        (&as_device, "/v1/conversations".to_owned(), None),
        (&as_device, "/v1/unread".to_owned(), None),
        (&as_device, "/v1/device-context".to_owned(), Some(&json!({ "device_context": {} }))),
        (&as_device, format!("{of_device}/messages"), None),
        (&as_device, format!("{of_device}/messages/read"), Some(&receipt)),
        (&as_agent, "/v1/admin/sessions".to_owned(), None),
        (&as_agent, "/v1/admin/stats".to_owned(), None),
        (&as_agent, of_agent.clone(), None),
        (&as_agent, format!("{of_agent}/messages"), None),
        (&as_agent, "/v1/admin/devices/phone/presence".to_owned(), None),
    ] {
        let mut statuses = Vec::new();
        for _ in 0..10 {
            let answer = match body {
                Some(body) => http.post(&path, body).await,
                None => http.get(&path).await,
            };
            statuses.push(answer.status);
        }
        assert_eq!(statuses.last(), Some(&429), "{path}: {statuses:?}");
    }
    let mut last = 0;
    for _ in 0..4 {
        last = as_agent.patch(&of_agent, &status).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn guesses_on_an_open_socket_are_slowed() {
    let server = TestServer::with(&["--rate-limits=event.connection=600/2"]).await;
    let app = server.app().await;
    let mut guessing = Client::open(server.address(), "/client").await;
    let mut wrong = app.device_auth("phone");
    wrong["api_key"] = json!("rhq_key_wrong");
    for _ in 0..5 {
        guessing.send_text(&format!("40/client,{wrong}")).await;
        let refusal = guessing.receive().await.unwrap();
        assert!(refusal.starts_with("44/client,"), "{refusal}");
    }
    assert!(metric(&server.http(), "replyhq_rate_limited_total{action=\"event\"}").await >= 1.0);
}

#[tokio::test]
async fn a_device_that_logs_in_too_often_is_closed_and_not_refused_for_good() {
    let server = TestServer::with(&["--rate-limits=connect.device=60/2"]).await;
    let app = server.app().await;
    let (_first, _second) = (app.device("phone").await, app.device("phone").await);
    // A stock client never comes back after a refusal; from a closed connection it does.
    assert_eq!(app.try_device("phone").await.err().unwrap().message, "closed");
    app.device("another").await;
    patiently("the bucket to fill", async {
        while app.try_device("phone").await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Several requests on one connection, as a proxy makes them, each for another client.
async fn by_proxy(server: &TestServer, first: &[u8], clients: &[&str]) -> Vec<u16> {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(first).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut statuses = Vec::new();
    for forwarded in clients {
        let request = Request::get("/v1/socket.io/?EIO=4&transport=websocket")
            .header("Host", "x")
            .header("X-Forwarded-For", *forwarded);
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        statuses.push(response.status().as_u16());
        response.into_body().collect().await.unwrap();
    }
    statuses
}

#[tokio::test]
async fn the_address_is_the_one_that_named_proxies_tell_of_request_by_request() {
    let limits = "--rate-limits=connect.address=60/1";
    let upgraded = 400; // It asks for no upgrade, but it was counted.
    let ann = "203.0.113.1";
    let bob = "198.51.100.9, 203.0.113.2";
    let named = TestServer::with(&[limits, "--trusted-proxies=127.0.0.0/8"]).await;
    assert_eq!(by_proxy(&named, b"", &[ann, bob, ann, bob]).await, [upgraded, upgraded, 429, 429]);
    // Another proxy of ours in front of this one tells who is behind it, before any request.
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\n";
    assert_eq!(by_proxy(&named, header, &[ann, ann]).await, [upgraded, 429]);
    // Where it is said that there are none, nobody is believed.
    let none = TestServer::with(&[limits, "--trusted-proxies=none"]).await;
    assert_eq!(by_proxy(&none, b"", &[ann, bob]).await, [upgraded, 429]);
    // Where nothing is said, a local address may be a proxy's, and not all behind it are refused.
    let unsaid = TestServer::with(&[limits]).await;
    assert_eq!(by_proxy(&unsaid, b"", &[ann, bob, ann, bob]).await, [upgraded; 4]);
}

#[tokio::test]
async fn health_is_answered_where_no_more_connections_may_be() {
    let server = TestServer::with(&["--max-connections=2"]).await;
    let app = server.app().await;
    let (_first, _second) = (app.device("first").await, app.device("second").await);
    // Some who want in wait all the time.
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(TcpStream::connect(server.address()).await.unwrap());
        assert_eq!(server.http().get("/healthz").await.status, 200);
    }
    assert_eq!(server.http().get("/readyz").await.json["status"], "ok");
}

#[tokio::test]
async fn what_is_for_those_who_run_the_server_can_have_a_listener_of_its_own() {
    let port = backing::Port::claim().unwrap();
    let internal = format!("127.0.0.1:{}", port.number());
    let server = TestServer::with(&[&format!("--internal-listen={internal}"), "--max-connections=1"]).await;
    let app = server.app().await;
    let _device = app.device("phone").await;
    let inside = Http::new(internal.parse().unwrap());
    for path in ["/metrics", "/docs", "/openapi.json", "/healthz", "/readyz"] {
        assert_eq!(inside.get(path).await.status, 200, "{path}, though no more connections may be elsewhere");
    }
    let refused = inside.get("/v1/conversations").await;
    assert_eq!(refused.status, 404);
    drop(_device);
    for (path, status) in [("/metrics", 404), ("/docs", 404), ("/openapi.json", 404), ("/healthz", 200)] {
        let answer = eventually("a place", || async {
            let answer = server.http().get(path).await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn refused_logins_are_counted_by_namespace_and_code() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut wrong = app.device_auth("phone");
    wrong["api_key"] = json!("rhq_key_wrong");
    for _ in 0..3 {
        Client::connect(server.address(), "/client", wrong.clone()).await.err().unwrap();
    }
    app.agent_with("rhq_adm_wrong").await.err().unwrap();
    Http::new(server.address()).get("/v1/conversations").await.failure();
    app.as_agent_with("rhq_adm_wrong").get("/v1/admin/sessions").await.failure();
    let http = server.http();
    let counted = |namespace: &str, code: &str| {
        let name = format!("replyhq_logins_refused_total{{namespace=\"{namespace}\",code=\"{code}\"}}");
        let http = http.clone();
        async move { metric(&http, &name).await }
    };
    assert_eq!(counted("/client", "INVALID_CREDENTIALS").await, 3.0);
    assert_eq!(counted("/admin", "INVALID_CREDENTIALS").await, 1.0);
    assert_eq!(counted("rest", "MISSING_PARAMS").await, 1.0);
    assert_eq!(counted("rest", "INVALID_CREDENTIALS").await, 1.0);
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn no_answer_is_kept_guessed_at_or_framed() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let answers = [
        app.as_device("phone").get("/v1/conversations").await,
        app.as_device("phone").get(&format!("/v1/conversations/{conversation}/messages")).await,
        app.as_agent().get("/v1/admin/conversations").await,
        server.http().get("/v1/conversations").await,
        server.http().get("/v1/nowhere").await,
        server.http().get("/v1/socket.io/?EIO=4&transport=polling").await,
        server.http().get("/healthz").await,
        server.http().get("/metrics").await,
        server.http().get("/docs").await,
    ];
    for answer in &answers {
        assert_eq!(header(answer, "cache-control"), "no-store", "{}", answer.text);
        assert_eq!(header(answer, "x-content-type-options"), "nosniff", "{}", answer.text);
        assert!(
            header(answer, "content-security-policy").contains("frame-ancestors 'none'"),
            "{}",
            answer.text
        );
        let vary: Vec<_> = answer.headers.get_all("vary").iter().map(|v| v.to_str().unwrap()).collect();
        assert!(vary.join(",").to_lowercase().contains("authorization"), "{vary:?}");
    }
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_use_an_app_s_key() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let from = |origin: &str| app.as_device("phone").header("Origin", origin);
    assert_eq!(from("https://evil.example").get("/v1/conversations").await.status, 200);
    let kept = app.command(&["app", "allow-origins", &app.app_id, "https://Shop.example:443/"]).await;
    assert_eq!(kept["allowed_origins"], json!(["https://shop.example"]));
    assert_eq!(from("https://shop.example").get("/v1/conversations").await.status, 200);
    // The list from before may count for a second more.
    let is_refused = || async {
        (from("https://evil.example").get("/v1/conversations").await.status == 403).then_some(())
    };
    eventually("the page is refused", is_refused).await;
    assert_eq!(from("https://evil.example").get("/v1/conversations").await.failure(), (403, "FORBIDDEN"));
    assert_eq!(from("null").get("/v1/conversations").await.failure(), (403, "FORBIDDEN"));
    // Apps send none.
    assert_eq!(app.as_device("phone").get("/v1/conversations").await.status, 200);
    app.device("phone").await;
    let address = server.address();
    let upgrade = |origin: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /v1/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut blind = Blind { stream: upgrade("https://evil.example").await };
    blind.text(&format!("40/client,{}", app.device_auth("phone"))).await;
    let mut read = Vec::new();
    while !read.windows(9).any(|window| window == b"FORBIDDEN") {
        let mut chunk = [0; 1024];
        let count = patiently("the refusal", blind.stream.read(&mut chunk)).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..count]);
    }
}

#[tokio::test]
async fn agents_who_may_not_read_conversations_see_no_device_id() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, sees) = app.token(&["view_sessions", "view_presence"]).await;
    let (_, acts) = app.token(&["send_messages"]).await;
    let (mut watcher, mut reader) = (app.agent_with(&sees).await.unwrap(), app.agent().await);
    let (device, conversation) = app.device_in_conversation("secret-phone").await;
    let handle = watcher.expect("session:connect").await["device_id"].as_str().unwrap().to_owned();
    assert!(handle.starts_with("hdl_"), "{handle}");
    assert_eq!(watcher.expect("presence:change").await["device_id"], handle.as_str());
    assert_eq!(reader.expect("session:connect").await["device_id"], "secret-phone");
    assert_eq!(reader.expect("presence:change").await["device_id"], "secret-phone");
    let listed = watcher.done("sessions:list", json!({ "app_id": app.app_id })).await;
    assert_eq!(listed["sessions"][0]["device_id"], handle.as_str());
    let seeing = app.as_agent_with(&sees);
    let listed = seeing.get("/v1/admin/sessions").await.ok();
    assert_eq!(listed["sessions"][0]["device_id"], handle.as_str());
    // What stands for a device can be asked about.
    let presence = seeing.get(&format!("/v1/admin/devices/{handle}/presence")).await.ok();
    assert_eq!(presence, json!({ "device_id": handle, "is_online": true, "active_connections": 1 }));
    // It is nothing that opens anything, nor the same elsewhere.
    assert_ne!(app.conversation(&handle).await, conversation);
    // Who may resolve a conversation is not told whose it is, nor what stands in it.
    let resolved = json!({ "status": "resolved" });
    let acting = app.as_agent_with(&acts);
    let changed = acting.patch(&format!("/v1/admin/conversations/{conversation}"), &resolved).await.ok();
    assert_eq!(changed["conversation"]["device_id"], handle.as_str());
    assert_eq!(changed["conversation"]["status"], "resolved");
    device.close().await;
    assert_eq!(watcher.expect("session:disconnect").await["device_id"], handle.as_str());
    assert_eq!(watcher.expect("presence:change").await["device_id"], handle.as_str());
    assert_eq!(reader.expect("session:disconnect").await["device_id"], "secret-phone");
}

#[tokio::test]
async fn an_inbox_is_told_the_beginning_of_a_message_and_no_more() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    agent.settled("conversation:updated").await;
    let long = "🎉".repeat(5_000);
    device.say(&conversation, "1", &long).await;
    let updated = agent.expect("conversation:updated").await;
    assert_eq!(updated["last_message"]["body"], "🎉".repeat(200));
    assert_eq!(agent.expect("message:new").await["body"], long);
}

#[tokio::test]
async fn every_page_fits_however_long_what_is_in_it_is() {
    const MOST: usize = 300 * 1024;
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let name = "\"".repeat(256);
    let mut devices = Vec::new();
    for number in 0..150 {
        let device_id = format!("{number:\u{1f600}<128}");
        let device_id = device_id.as_str();
        let user = json!({ "user": { "id": name, "name": name, "email": name } });
        let opened = app.as_device(device_id).post("/v1/conversations", &user).await.ok();
        let conversation = opened["conversation"]["id"].as_str().unwrap().to_owned();
        let mut device = app.device(device_id).await;
        device.say(&conversation, "1", &"\"".repeat(5_000)).await;
        devices.push(device);
    }
    let mut agent = app.agent().await;
    let mut seen = 0;
    let mut after = String::new();
    loop {
        let page = agent.done("sessions:list", json!({ "app_id": app.app_id, "after": after })).await;
        assert!(page.to_string().len() < MOST);
        let sessions = page["sessions"].as_array().unwrap();
        seen += sessions.len();
        after = sessions.last().unwrap()["connection_id"].as_str().unwrap().to_owned();
        if page["has_more"] != true {
            break;
        }
    }
    assert_eq!(seen, 150);
    let (mut seen, mut after) = (0, String::new());
    loop {
        let page = app.as_agent().get(&format!("/v1/admin/conversations?limit=200&after={after}")).await;
        assert!(page.text.len() < MOST, "{}", page.text.len());
        let page = page.ok();
        seen += page["conversations"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => after = cursor.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 150);
}

#[tokio::test]
async fn who_stops_typing_without_having_begun_tells_nobody() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    let mut agent = app.agent_in(&conversation).await;
    let there = json!({ "conversation_id": conversation });
    for _ in 0..5 {
        device.done("typing:stop", there.clone()).await;
    }
    device.done("typing:start", there.clone()).await;
    device.done("typing:stop", there.clone()).await;
    assert_eq!(agent.expect("user:typing").await["is_typing"], true);
    assert_eq!(agent.expect("user:typing").await["is_typing"], false);
    assert!(agent.settled("user:typing").await.is_empty());
}

#[tokio::test]
async fn who_says_the_same_again_changes_nothing() {
    let server = TestServer::start().await;
    let app = server.app().await;
    app.conversation("phone").await;
    let mut agent = app.agent().await;
    let ann = json!({ "user": { "id": "ann", "name": "Ann", "attributes": { "plan": "gold" } } });
    for _ in 0..3 {
        app.as_device("phone").post("/v1/identify", &ann).await.ok();
    }
    assert_eq!(agent.settled("conversation:updated").await.len(), 1);
    let grown = json!({ "user": { "id": "ann", "name": "Ann Other" } });
    app.as_device("phone").post("/v1/identify", &grown).await.ok();
    assert_eq!(agent.settled("conversation:updated").await.len(), 1);
}
