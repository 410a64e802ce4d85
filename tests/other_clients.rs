//! Clients of other languages, without those languages: what their sources write on the wire, byte for byte, and what
//! has to come back. Each row names its client, its version and where the form stands; the way a platform writes JSON
//! belongs to the form. What each of them does with a refusal or a close is in `docs/socket.md`, under the same names.

use std::collections::VecDeque;

use serde_json::{Value, json};
use testkit::{TestApp, TestServer, eventually, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The forms of one client.
struct Form {
    /// The client and its version, as in `docs/socket.md`.
    client: &'static str,
    /// The request's target where the app names the path `/v1/socket.io`.
    target: &'static str,
    /// The request's headers, in the client's spelling and order.
    headers: &'static [(&'static str, &'static str)],
    /// Its CONNECT.
    connect: &'static str,
    /// What it says in the namespace, and what the packet that answers begins with.
    asks: &'static [(&'static str, &'static str)],
    /// Frames by which its platform keeps a connection alive.
    keep_alive: &'static [Word],
    /// How it goes, when the app disconnects it.
    leave: &'static [Word],
}

/// A frame that is no packet of Socket.IO's own, or is the last one.
enum Word {
    Text(&'static str),
    Ping,
    Pong,
    Close(&'static [u8]),
}

/// What every row sends as a message: where platforms write JSON differently.
const BODY: &str = "</b> \"é\" 😀 & +1'2";

/// The key and its answer are the ones in RFC 6455.
const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The code 1000.
const NORMAL: &[u8] = &1000_u16.to_be_bytes();

const FORMS: [Form; 11] = [
    // The query is a HashMap, whose order for these two names is always this one (engine.io-client-java,
    // `Socket.createTransport`, `transports/WebSocket.uri`). `IOParser.encodeAsString`, `Socket.onopen`; org.json
    // writes a slash with a backslash after `<`, and Android's everywhere.
    Form {
        client: "socket.io-client-java 2.1",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            KEY,
            ("Sec-WebSocket-Version", "13"),
            ("Host", "{authority}"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", "okhttp/3.12.12"),
        ],
        connect: r#"40/client,{"device_id":"{device}","api_key":"{key}","app_id":"{app}"}"#,
        asks: &[
            (
                r#"42/client,0["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,0[{"success":true,"#,
            ),
            (
                r#"42/client,1["message:send",{"conversation_id":"{conversation}","local_id":"1","body":"<\/b> \"é\" 😀 & +1'2"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[],
        leave: &[Word::Text("41/client,"), Word::Close(NORMAL)],
    },
    // As above, where the app brings OkHttp 4 along: it offers compression, and may ping by itself (`pingInterval`).
    Form {
        client: "socket.io-client-java 2.1",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            KEY,
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Host", "{authority}"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", "okhttp/4.12.0"),
        ],
        connect: r#"40/client,{"device_id":"{device}","api_key":"{key}","app_id":"{app}"}"#,
        asks: &[
            (r#"42/client,0["conversation:join","{conversation}"]"#, r#"43/client,0[{"success":true,"#),
            (
                r#"42/client,1["message:send",{"body":"<\/b> \"é\" 😀 & +1'2","local_id":"1","conversation_id":"{conversation}"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping",{}]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[Word::Ping],
        leave: &[Word::Text("41/client,"), Word::Close(NORMAL)],
    },
    // `SocketEngine.createURLs` puts the transport first; `SocketManager.connectSocket`, `SocketPacket`; Starscream's
    // `HTTPWSHeader.createUpgrade`, with an Origin in the scheme of the URL. JSONSerialization writes every slash with
    // a backslash. `disconnect` leaves the namespace, ends Engine.IO and then the WebSocket.
    Form {
        client: "socket.io-client-swift 16.1",
        target: "/v1/socket.io/?transport=websocket&EIO=4",
        headers: &[
            ("Host", "{authority}"),
            ("Origin", "ws://{authority}"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
        ],
        connect: r#"40/client,{"api_key":"{key}","app_id":"{app}","device_id":"{device}"}"#,
        asks: &[
            (
                r#"42/client,0["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,0[{"success":true,"#,
            ),
            (
                r#"42/client,1["message:send",{"body":"<\/b> \"é\" 😀 & +1'2","conversation_id":"{conversation}","local_id":"1"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[],
        leave: &[Word::Text("41/client,"), Word::Text("1"), Word::Close(NORMAL)],
    },
    // As above, with `.compress` and `.connectParams`, and with the manager's `defaultSocket` in use beside the namespace's:
    // the root namespace that this asks for, with its slash and a comma, is refused without harm to the other.
    Form {
        client: "socket.io-client-swift 16.1",
        target: "/v1/socket.io/?transport=websocket&locale=de%2DDE&EIO=4",
        headers: &[
            ("Host", "{authority}"),
            ("Origin", "ws://{authority}"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
            ),
        ],
        connect: r#"40/client,{"api_key":"{key}","app_id":"{app}","device_id":"{device}"}"#,
        asks: &[
            ("40/,", r#"44{"message":"Invalid namespace"#),
            (
                r#"42/client,0["message:send",{"body":"<\/b> \"é\" 😀 & +1'2","conversation_id":"{conversation}","local_id":"1"}]"#,
                r#"43/client,0[{"success":true,"message":{"#,
            ),
        ],
        keep_alive: &[],
        leave: &[Word::Text("41/client,"), Word::Text("1"), Word::Close(NORMAL)],
    },
    // `engine/socket.dart` and `parseqs.dart`; `Socket.sendConnectPacket`. dart:io writes header names in small letters,
    // and its `close()` names no code.
    Form {
        client: "socket_io_client (Dart) 3.x",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("user-agent", "Dart/3.5 (dart:io)"),
            ("connection", "Upgrade"),
            ("cache-control", "no-cache"),
            ("accept-encoding", "gzip"),
            ("content-length", "0"),
            ("sec-websocket-version", "13"),
            ("host", "{authority}"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
            ("sec-websocket-key", KEY.1),
            ("upgrade", "websocket"),
        ],
        connect: r#"40/client,{"app_id":"{app}","device_id":"{device}","api_key":"{key}"}"#,
        asks: &[
            (
                r#"42/client,0["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,0[{"success":true,"#,
            ),
            (
                r#"42/client,1["message:send",{"conversation_id":"{conversation}","local_id":"1","body":"</b> \"é\" 😀 & +1'2"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[Word::Ping],
        leave: &[Word::Text("41/client,"), Word::Close(&[])],
    },
    // `url.Values.Encode` sorts the query, net/http the headers, encoding/json the keys (zishang520/socket.io,
    // `clients/engine/websocket.go`, `clients/socket/socket.go`, over gorilla/websocket). It ends the connection without
    // a frame.
    Form {
        client: "zishang520/socket.io (Go) v3",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Host", "{authority}"),
            ("User-Agent", "Go-http-client/1.1"),
            ("Connection", "Upgrade"),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
            KEY,
            ("Sec-WebSocket-Version", "13"),
            ("Upgrade", "websocket"),
        ],
        connect: r#"40/client,{"api_key":"{key}","app_id":"{app}","device_id":"{device}"}"#,
        asks: &[
            (
                r#"42/client,0["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,0[{"success":true,"#,
            ),
            (
                r#"42/client,1["message:send",{"body":"\u003c/b\u003e \"é\" 😀 \u0026 +1'2","conversation_id":"{conversation}","local_id":"1"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[],
        leave: &[Word::Text("41/client,")],
    },
    // A `sid` without a value, and the whole URL as the Origin (`engine.io/v4/client/transport/websocket/transport.go`,
    // `websocket/native/ws.go`, over golang.org/x/net/websocket). Ack ids begin with 1 (`socket.io/v5/client/emitters.go`).
    Form {
        client: "maldikhan/go.socket.io (Go) v1",
        target: "/v1/socket.io/?EIO=4&sid=&transport=websocket",
        headers: &[
            ("Host", "{authority}"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            KEY,
            ("Origin", "http://{authority}/v1/socket.io/"),
            ("Sec-WebSocket-Version", "13"),
        ],
        connect: r#"40/client,{"api_key":"{key}","app_id":"{app}","device_id":"{device}"}"#,
        asks: &[
            (
                r#"42/client,1["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,1[{"success":true,"#,
            ),
            (
                r#"42/client,2["message:send",{"body":"\u003c/b\u003e \"é\" 😀 \u0026 +1'2","conversation_id":"{conversation}","local_id":"1"}]"#,
                r#"43/client,2[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[],
        leave: &[Word::Close(NORMAL)],
    },
    // `UriConverter.GetServerUri`, `SystemTextJsonSerializer`; System.Text.Json writes ASCII only. .NET's WebSocket sends a
    // pong that nobody asked for every 30 s (`KeepAliveInterval`), and `DisconnectAsync` closes it without a packet.
    Form {
        client: "SocketIOClient (.NET) 3.1",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Host", "{authority}"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
        ],
        connect: r#"40/client,{"app_id":"{app}","device_id":"{device}","api_key":"{key}"}"#,
        asks: &[
            (
                r#"42/client,0["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,0[{"success":true,"#,
            ),
            (
                r#"42/client,1["message:send",{"conversation_id":"{conversation}","local_id":"1","body":"\u003C/b\u003E \u0022\u00E9\u0022 \uD83D\uDE00 \u0026 \u002B1\u00272"}]"#,
                r#"43/client,1[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[Word::Pong],
        leave: &[Word::Close(NORMAL)],
    },
    // The path as the app wrote it, here without a slash at its end (`Session/SessionBase.cs`, `GetUriBuilder`), and
    // nothing but a packet when it goes (`Session/WebSocket/WebSocketSession.cs`).
    Form {
        client: "SocketIOClient (.NET) 4.0",
        target: "/v1/socket.io?EIO=4&transport=websocket",
        headers: &[
            ("Host", "{authority}"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
        ],
        connect: r#"40/client,{"app_id":"{app}","device_id":"{device}","api_key":"{key}"}"#,
        asks: &[
            (
                r#"42/client,1["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,1[{"success":true,"#,
            ),
            (
                r#"42/client,2["message:send",{"conversation_id":"{conversation}","local_id":"1","body":"\u003C/b\u003E \u0022\u00E9\u0022 \uD83D\uDE00 \u0026 \u002B1\u00272"}]"#,
                r#"43/client,2[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping"]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[Word::Pong],
        leave: &[Word::Text("41/client,")],
    },
    // `client/builder.rs` and rust_engineio's `async_transports/websocket.rs`, over tungstenite. Ack ids are any number
    // under 999 (`client/raw_client.rs`).
    Form {
        client: "rust_socketio 0.6",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Host", "{authority}"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            KEY,
        ],
        connect: r#"40/client,{"api_key":"{key}","app_id":"{app}","device_id":"{device}"}"#,
        asks: &[
            (
                r#"42/client,873["conversation:join",{"conversation_id":"{conversation}"}]"#,
                r#"43/client,873[{"success":true,"#,
            ),
            (
                r#"42/client,12["message:send",{"body":"</b> \"é\" 😀 & +1'2","conversation_id":"{conversation}","local_id":"1"}]"#,
                r#"43/client,12[{"success":true,"message":{"#,
            ),
            (r#"42/client,["ping",""]"#, r#"42/client,["pong""#),
        ],
        keep_alive: &[],
        leave: &[Word::Text("41/client,"), Word::Text("1")],
    },
    // One that has no more to say than the protocol asks for: `wscat` and the like, by hand.
    Form {
        client: "by hand",
        target: "/v1/socket.io/?EIO=4&transport=websocket",
        headers: &[
            ("Sec-WebSocket-Version", "13"),
            KEY,
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Host", "{authority}"),
        ],
        connect: r#"40/client,{ "app_id": "{app}", "device_id": "{device}", "api_key": "{key}" }"#,
        asks: &[(
            r#"42/client,7[ "message:send", { "conversation_id": "{conversation}", "local_id": "1", "body": "</b> \"é\" 😀 & +1'2" } ]"#,
            r#"43/client,7[{"success":true,"message":{"#,
        )],
        keep_alive: &[Word::Ping, Word::Pong],
        leave: &[Word::Text("41/client,"), Word::Close(NORMAL)],
    },
];

/// What stands for a placeholder of a form.
struct Names<'a> {
    app: &'a TestApp,
    device: String,
    conversation: String,
}

impl Names<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("{authority}", &self.app.address.to_string())
            .replace("{app}", &self.app.app_id)
            .replace("{key}", &self.app.api_key)
            .replace("{device}", &self.device)
            .replace("{conversation}", &self.conversation)
    }
}

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The bit of a frame that ends its message.
const LAST: u8 = 0x80;

/// A connection of which every byte is written here.
struct Wire {
    stream: TcpStream,
    /// How often the server asked whether the client is there. Each time but the first it had been told that it is.
    beats: usize,
    /// Frames that came while another was awaited.
    skipped: VecDeque<String>,
}

impl Wire {
    /// Sends a form's request, and takes the upgrade and the open packet.
    async fn open(form: &Form, names: &Names<'_>) -> Self {
        let mut stream = patiently("a connection", TcpStream::connect(names.app.address)).await.unwrap();
        stream.write_all(request(form.target, form.headers, names).as_bytes()).await.unwrap();
        let head = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{}: {head}", form.client);
        let headers = head.to_ascii_lowercase();
        assert!(head.contains(ACCEPT), "{}: {head}", form.client);
        // None of them takes an answer that turns on what it did not offer, and an offer may be declined.
        assert!(!headers.contains("sec-websocket-extensions"), "{}: {head}", form.client);
        assert!(!headers.contains("sec-websocket-protocol"), "{}: {head}", form.client);
        let mut wire = Self { stream, beats: 0, skipped: VecDeque::new() };
        let open = wire.text().await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        // What one or another of them does not go on without.
        assert!(
            open["sid"].is_string() && open["pingInterval"].is_u64() && open["pingTimeout"].is_u64(),
            "{open}"
        );
        assert_eq!(open["upgrades"], json!([]));
        wire
    }

    /// Sends a CONNECT, and takes the answer and the first event.
    async fn enter(&mut self, connect: &str) {
        self.say(connect).await;
        let accepted = self.text().await;
        assert!(accepted.starts_with("40/client,{\"sid\":\""), "{accepted}");
        let connected = self.text().await;
        assert!(connected.starts_with("42/client,[\"connected\",{\"connection_id\":\"conn_"), "{connected}");
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(LAST | u8::try_from(short).unwrap()),
            long => {
                bytes.push(LAST | 126);
                bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        self.frame(LAST | TEXT, text.as_bytes()).await;
    }

    async fn speak(&mut self, word: &Word) {
        match word {
            Word::Text(text) => self.say(text).await,
            Word::Ping => self.frame(LAST | PING, &[]).await,
            Word::Pong => self.frame(LAST | PONG, &[]).await,
            Word::Close(payload) => self.frame(LAST | CLOSE, payload).await,
        }
    }

    /// The next frame; `None` at the connection's end.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        patiently("a frame", self.stream.read_exact(&mut head)).await.ok()?;
        assert_eq!(head[0] & 0xf0, LAST, "whole, and without an extension");
        let length = match head[1] {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        patiently("a payload", self.stream.read_exact(&mut payload)).await.unwrap();
        Some((head[0] & 0xf, payload))
    }

    /// The next text that is no ping; pings get what all of these clients answer.
    async fn text(&mut self) -> String {
        loop {
            let (kind, payload) = self.next().await.unwrap();
            assert_eq!(kind, TEXT, "{payload:?}");
            let text = String::from_utf8(payload).unwrap();
            if text != "2" {
                return text;
            }
            self.beat().await;
        }
    }

    /// The answer to a WebSocket ping without a payload.
    async fn pong(&mut self) {
        loop {
            match self.next().await.unwrap() {
                (PONG, payload) => return assert_eq!(payload, [] as [u8; 0]),
                (TEXT, payload) if payload == b"2" => self.beat().await,
                (TEXT, _) => {}
                (other, payload) => panic!("{other}: {payload:?}"),
            }
        }
    }

    async fn beat(&mut self) {
        self.beats += 1;
        self.say("3").await;
    }

    /// The first packet of the kind, namespace and number that `expected` begins with; it must go on as `expected` does.
    async fn answer(&mut self, expected: &str) -> String {
        let mut head = expected.split_inclusive(['[', '{']).next().unwrap().len();
        if expected.starts_with("42") {
            head = expected.len();
        }
        loop {
            let text = self.text().await;
            if text.starts_with(&expected[..head]) {
                assert!(text.starts_with(expected), "{text}");
                return text;
            }
            assert!(text.starts_with("42"), "in the place of {expected}: {text}");
            self.skipped.push_back(text);
        }
    }

    /// What is left until the connection's end: texts, and the code of the close frame.
    async fn rest(&mut self) -> (Vec<String>, Option<u16>) {
        let mut texts: Vec<_> = self.skipped.drain(..).collect();
        let mut code = None;
        while let Some((kind, payload)) = self.next().await {
            match kind {
                TEXT if payload == b"2" => {}
                TEXT => texts.push(String::from_utf8(payload).unwrap()),
                CLOSE => {
                    assert_eq!(code, None, "one close frame");
                    code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    // As WebSocket wants it, and as all of them do. Where the server is gone already, all the better.
                    let mut echo = vec![LAST | CLOSE, LAST | 2, 0, 0, 0, 0];
                    echo.extend(&payload[..2]);
                    let _ = self.stream.write_all(&echo).await;
                }
                other => panic!("{other}: {payload:?}"),
            }
        }
        (texts, code)
    }
}

fn request(target: &str, headers: &[(&str, &str)], names: &Names<'_>) -> String {
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {}\r\n", names.fill(value)));
    }
    request.push_str("\r\n");
    request
}

/// The head of an answer, byte by byte: what follows it belongs to somebody else.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(patiently("an answer", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn is_gone(app: &TestApp, device: &str) {
    eventually("the client's leave", async || {
        let presence = app.as_agent().get(&format!("/v1/admin/devices/{device}/presence")).await.ok();
        (presence["active_connections"] == 0).then_some(())
    })
    .await;
}

async fn stored(app: &TestApp, names: &Names<'_>) -> Vec<String> {
    let path = format!("/v1/conversations/{}/messages?before=", names.conversation);
    let page = app.as_device(&names.device).get(&path).await.ok();
    let messages = page["messages"].as_array().unwrap().iter();
    messages.map(|message| message["body"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_each_client_s_sources_send_is_answered() {
    let server = TestServer::with(&["--ping-interval=200ms", "--ping-timeout=10s"]).await;
    let app = server.app().await;
    for (number, form) in FORMS.iter().enumerate() {
        let device = format!("phone-{number}");
        let conversation = app.conversation(&device).await;
        let names = Names { app: &app, device, conversation };
        let mut wire = Wire::open(form, &names).await;
        wire.enter(&names.fill(form.connect)).await;
        for (ask, answer) in form.asks {
            wire.say(&names.fill(ask)).await;
            wire.answer(answer).await;
        }
        assert_eq!(stored(&app, &names).await, [BODY], "{}", form.client);
        for word in form.keep_alive {
            wire.speak(word).await;
            if matches!(word, Word::Ping) {
                wire.pong().await;
            }
        }
        // The next ping comes only when the one before was answered.
        let heard = wire.beats;
        while wire.beats < heard + 2 {
            let (kind, payload) = wire.next().await.unwrap();
            assert_eq!(kind, TEXT, "{}: {payload:?}", form.client);
            if payload == b"2" {
                wire.beat().await;
            }
        }
        for word in form.leave {
            wire.speak(word).await;
        }
        is_gone(&app, &names.device).await;
        if let Some(Word::Close(_) | Word::Text("1")) = form.leave.last() {
            assert_eq!(wire.rest().await.1, Some(1000), "{}", form.client);
        }
    }
}

#[tokio::test]
async fn text_that_is_cut_within_a_character_is_put_together() {
    // .NET cuts every text into pieces of 8 KiB, wherever that is (`WebSocketTransport.SendAsync`), and its platform's pongs
    // come in between. With a relaxed encoder it writes characters as they are.
    const PIECE: usize = 8 * 1024;
    let server = TestServer::start().await;
    let app = server.app().await;
    let form = FORMS.iter().find(|form| form.client.contains(".NET")).unwrap();
    let conversation = app.conversation("phone").await;
    let names = Names { app: &app, device: "phone".into(), conversation };
    let mut wire = Wire::open(form, &names).await;
    wire.enter(&names.fill(form.connect)).await;
    let body = "😀".repeat(5_000);
    let text = names.fill(&format!(
        "42/client,0[\"message:send\",{{\"local_id\":\"cut\",\"conversation_id\":\"{{conversation}}\",\"body\":\"{body}\"}}]"
    ));
    let pieces: Vec<_> = text.as_bytes().chunks(PIECE).collect();
    assert!(pieces.iter().any(|piece| str::from_utf8(piece).is_err()), "no character is cut");
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { TEXT } else { 0 };
        let last = if number + 1 == pieces.len() { LAST } else { 0 };
        wire.frame(last | kind, piece).await;
        wire.speak(&Word::Pong).await;
    }
    wire.answer(r#"43/client,0[{"success":true,"message":{"#).await;
    assert_eq!(stored(&app, &names).await, [body]);
}

#[tokio::test]
async fn whoever_is_refused_may_ask_again_on_the_same_socket() {
    // Swift's manager and Rust's client leave the WebSocket open when a namespace is refused, and so did Java's before 2.1
    // and Dart's in its first version for Engine.IO 4: the app asks again, or the client does when the socket ends.
    let server = TestServer::with(&["--handshake-timeout=1s"]).await;
    let app = server.app().await;
    for (number, form) in FORMS.iter().enumerate() {
        let names = Names { app: &app, device: format!("phone-{number}"), conversation: String::new() };
        let mut wire = Wire::open(form, &names).await;
        let connect = names.fill(form.connect);
        wire.say(&connect.replace(&app.api_key, "another's key")).await;
        let refusal = wire.text().await;
        assert!(
            refusal.starts_with(r#"44/client,{"message":"INVALID_CREDENTIALS""#),
            "{}: {refusal}",
            form.client
        );
        // Without auth: what comes of an app that forgot it.
        wire.say("40/client,").await;
        let refusal = wire.text().await;
        assert!(
            refusal.starts_with(r#"44/client,{"message":"MISSING_PARAMS""#),
            "{}: {refusal}",
            form.client
        );
        wire.enter(&connect).await;
    }
    // One that does not ask again is closed as soon as it may not stay longer.
    let form = &FORMS[0];
    let names = Names { app: &app, device: "phone".into(), conversation: String::new() };
    let mut wire = Wire::open(form, &names).await;
    wire.say("40/client,{}").await;
    let (told, code) = wire.rest().await;
    assert_eq!((told.len(), code), (1, Some(1008)), "{told:?}");
}

#[tokio::test]
async fn a_version_before_engine_io_4_is_refused_at_the_upgrade_by_its_number() {
    // Java 1.x, Swift 15 and `.version(.two)`, Dart 1.x, .NET with `EIO = V3`.
    let server = TestServer::start().await;
    let app = server.app().await;
    let names = Names { app: &app, device: "phone".into(), conversation: String::new() };
    for form in &FORMS {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        let target = form.target.replace("EIO=4", "EIO=3");
        assert_ne!(target, form.target);
        stream.write_all(request(&target, form.headers, &names).as_bytes()).await.unwrap();
        let head = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{}: {head}", form.client);
        let mut body = [0; 51];
        patiently("a body", stream.read_exact(&mut body)).await.unwrap();
        assert_eq!(
            &body,
            br#"{"code":5,"message":"Unsupported protocol version"}"#.as_slice(),
            "{}",
            form.client
        );
    }
}

/// A connection that is in the namespace, under a form of which nothing else matters.
async fn entered(names: &Names<'_>) -> Wire {
    let mut wire = Wire::open(&FORMS[0], names).await;
    wire.enter(&names.fill(FORMS[0].connect)).await;
    wire
}

#[tokio::test]
async fn each_way_in_which_the_server_ends_it_has_the_packets_and_the_code_that_are_written_down() {
    let mut server = TestServer::with(&["--max-connections-per-device=1"]).await;
    let app = server.app().await;
    let names = Names { app: &app, device: "phone".into(), conversation: String::new() };
    let identify = async |person: &str| {
        let user = json!({ "user": { "id": person } });
        let answer = app.as_device("phone").post("/v1/identify", &user).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    identify("one").await;
    // One too many: the namespace is left by a packet, and the transport ends.
    let mut elder = entered(&names).await;
    let mut younger = entered(&names).await;
    let (told, code) = elder.rest().await;
    let [error, left] = told.as_slice() else { panic!("{told:?}") };
    assert!(error.starts_with(r#"42/client,["error",{"code":"TOO_MANY_CONNECTIONS""#), "{error}");
    assert_eq!((left.as_str(), code), ("41/client,", Some(1000)));
    // Somebody else is at the device: the transport ends, and the namespace is not left by a packet.
    identify("another").await;
    let (told, code) = younger.rest().await;
    let [error] = told.as_slice() else { panic!("{told:?}") };
    assert!(error.starts_with(r#"42/client,["error",{"code":"IDENTITY_CHANGED""#), "{error}");
    assert_eq!(code, Some(1000));
    // The node leaves.
    let mut last = entered(&names).await;
    let (rest, ()) = tokio::join!(last.rest(), server.shut_down());
    let (told, code) = rest;
    let [shutdown] = told.as_slice() else { panic!("{told:?}") };
    assert!(shutdown.starts_with(r#"42/client,["server:shutdown""#), "{shutdown}");
    assert_eq!(code, Some(1001));
}

#[test]
fn what_each_client_does_with_a_refusal_and_a_close_is_written_down_under_its_name() {
    let written = include_str!("../docs/socket.md");
    for form in FORMS.iter().filter(|form| form.client != "by hand") {
        assert!(written.contains(&format!("`{}`", form.client)), "{}", form.client);
    }
}
