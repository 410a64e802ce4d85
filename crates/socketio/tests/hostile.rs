//! What breaks the protocol or a bound ends its own connection, with a code that says why.

use socketio::websocket::{Control, Data, OpCode};
use socketio::{CloseReason, Config, Frame, Incoming};

use crate::client::{Client, Received, join, joined, masked, pair, within};

const PROTOCOL: u16 = 1002;
const SIZE: u16 = 1009;

/// Sends the frames to a connection that is in `/`; returns the reason and the close code.
async fn outcome(frames: &[Vec<u8>]) -> (CloseReason, Option<u16>) {
    let (mut connection, mut client) = joined(Config::default()).await;
    let server = tokio::spawn(async move {
        loop {
            if let Incoming::Closed(reason) = connection.next().await {
                return reason;
            }
        }
    });
    for frame in frames {
        client.bytes(frame).await;
    }
    let code = client.expect_close().await;
    drop(client);
    (within(server).await.unwrap(), code)
}

fn text(text: &str) -> Vec<u8> {
    masked(OpCode::Data(Data::Text), text.as_bytes())
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    masked(OpCode::Data(Data::Binary), bytes)
}

/// A masked frame from its first two bytes, its length beyond those, and its payload unmasked by a zero mask.
fn raw(head: &[u8], payload: &[u8]) -> Vec<u8> {
    [head, &[0; 4], payload].concat()
}

#[tokio::test]
async fn broken_packets_are_a_protocol_error() {
    let deep = format!("451-[\"e\",{}{}]", "[".repeat(2000), "]".repeat(2000));
    let cases = [
        "",
        "x",
        "b4AA",
        "2",
        "2probe",
        "0{}",
        "5",
        "4",
        "4abc",
        "49",
        "42",
        "42{}",
        "42[]",
        "42[",
        "42[1",
        "42[\"e\"]x",
        "42[\"e\",nope]",
        "42[null]",
        "42[{}]",
        "42[\"connect\"]",
        "42[\"disconnect\"]",
        "42[\"newListener\"]",
        "42abc[\"e\"]",
        "42/",
        "42/never,[\"e\"]",
        "43/never,1[]",
        "41/never",
        "42/\u{0},[\"e\"]",
        "40",
        "40{}",
        "40[]",
        "40/x,[]",
        "40/x,nul",
        "41{}",
        "43[]",
        "431{}",
        "44{}",
        "429007199254740992[\"e\"]",
        "4299999999999999999999999999[\"e\"]",
        "45[\"e\"]",
        "450-[\"e\"]",
        "4511-[\"e\"]",
        "45-1-[\"e\"]",
        "451000000000000000000-[\"e\"]",
        "45+1-[\"e\"]",
        "461-[]",
        "451-[\"e\",{\"_placeholder\":true,\"num\":1}]",
        "451-[\"e\",{\"_placeholder\":true,\"num\":-1}]",
        "451-[\"e\",{\"_placeholder\":true}]",
        "451-[\"e\",[[{\"num\":\"0\",\"_placeholder\":true}]]]",
        &deep,
        &format!("40/{},", "n".repeat(300)),
        &format!("42[\"e\"{}]", ",1".repeat(300)),
    ];
    for case in cases {
        let (reason, code) = outcome(&[text(case)]).await;
        assert!(matches!(reason, CloseReason::Protocol(_)), "{case}: {reason}");
        assert_eq!(reason.as_str(), "parse error");
        assert_eq!(code, Some(PROTOCOL), "{case}");
    }
}

#[tokio::test]
async fn broken_sequences_are_a_protocol_error() {
    let cases: [&[Vec<u8>]; 5] = [
        &[binary(b"attachment of nothing")],
        &[text("451-[\"e\"]"), text("42[\"e\"]")],
        &[text("452-[\"e\"]"), binary(b"1"), text("42[\"e\"]")],
        &[text("451-[\"e\"]"), binary(b"1"), binary(b"2")],
        &[text("40/x,"), text("42/x,[\"too early\"]")],
    ];
    for case in cases {
        let (reason, code) = outcome(case).await;
        assert!(matches!(reason, CloseReason::Protocol(_)), "{reason}");
        assert_eq!(code, Some(PROTOCOL));
    }
}

#[tokio::test]
async fn broken_frames_are_a_protocol_error() {
    let unmasked = vec![0x81, 0x01, b'2'];
    let cases: [&[Vec<u8>]; 11] = [
        &[unmasked],
        &[b"GET / HTTP/1.1\r\n\r\n".to_vec()],
        &[raw(&[0xc1, 0x80], &[])],
        &[raw(&[0x83, 0x80], &[])],
        &[raw(&[0x8b, 0x80], &[])],
        &[raw(&[0x80, 0x80], &[])],
        &[raw(&[0x01, 0x80], &[]), raw(&[0x81, 0x80], &[])],
        &[raw(&[0x09, 0x80], &[])],
        &[raw(&[0x89, 0xfe, 0x00, 0x7e], &[])],
        &[raw(&[0x88, 0x81], &[3])],
        &[raw(&[0x88, 0x82], &1005_u16.to_be_bytes())],
    ];
    for (at, case) in cases.iter().enumerate() {
        let (reason, code) = outcome(case).await;
        assert!(matches!(reason, CloseReason::Protocol(_)), "{at}: {reason}");
        assert_eq!(code, Some(PROTOCOL), "{at}");
    }
    let not_text = [raw(&[0x81, 0x82], &[0xc3, 0x28])];
    assert_eq!(outcome(&not_text).await, (CloseReason::Protocol("invalid UTF-8"), Some(1007)));
    let empty_fragments = vec![raw(&[0x01, 0x80], &[]), raw(&[0x00, 0x80], &[]).repeat(2000)];
    assert!(matches!(outcome(&empty_fragments).await.0, CloseReason::Protocol("too many fragments")));
}

#[tokio::test]
async fn what_is_too_large_is_known_from_its_head() {
    let large = [0x40; 40_000];
    let cases: [&[Vec<u8>]; 5] = [
        &[raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1], &[])],
        &[raw(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[])],
        &[raw(&[0x01, 0xfe, 0x9c, 0x40], &large), raw(&[0x80, 0xfe, 0x9c, 0x40], &[])],
        &[text("452-[\"e\"]"), binary(&large), binary(&large)],
        &[text(&format!("43[\"{}\"]", "x".repeat(65_536)))],
    ];
    for (at, case) in cases.iter().enumerate() {
        assert_eq!(outcome(case).await, (CloseReason::TooLarge, Some(SIZE)), "{at}");
    }
}

#[tokio::test]
async fn the_largest_message_passes_whole_or_in_fragments() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let message = format!("42[\"{}\"]", "x".repeat(65_536 - 6));
    let sending = tokio::spawn(async move {
        client.text(&message).await;
        for (at, chunk) in message.as_bytes().chunks(100).enumerate() {
            let is_last = (at + 1) * 100 >= message.len();
            let first = if at == 0 { 0x01 } else { 0x00 } | if is_last { 0x80 } else { 0x00 };
            client.bytes(&raw(&[first, 0x80 | u8::try_from(chunk.len()).unwrap()], chunk)).await;
            if at == 5 {
                client.control(Control::Ping, b"between fragments").await;
            }
        }
        client
    });
    for _ in 0..2 {
        let Incoming::Event { event, .. } = within(connection.next()).await else { panic!("no event") };
        assert_eq!(event.name.len(), 65_536 - 6);
    }
    let mut client = sending.await.unwrap();
    let pong = connection.during(client.next()).await;
    assert_eq!(pong, Received::Pong(b"between fragments".to_vec()));
}

#[tokio::test]
async fn an_event_that_is_too_large_is_told_with_who_waits_and_the_connection_goes_on() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let sending = tokio::spawn(async move {
        for head in ["4217[", "42[", "42/elsewhere,3["] {
            client.text(&format!("{head}\"e\",\"{}\"]", "\u{e9}".repeat(500_000))).await;
            client.text("42[\"after\"]").await;
        }
        client
    });
    for expected in [Some(17), None] {
        let next = within(connection.next()).await;
        let Incoming::TooLarge { namespace, ack } = next else { panic!("{next:?}") };
        assert_eq!((&*namespace, ack.map(|id| id.0)), ("/", expected));
        let next = within(connection.next()).await;
        assert!(matches!(&next, Incoming::Event { event, .. } if event.name == "after"), "{next:?}");
    }
    let next = within(connection.next()).await;
    assert!(matches!(next, Incoming::Closed(CloseReason::Protocol(_))), "{next:?}");
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn deep_nesting_in_text_is_harmless() {
    let (mut connection, mut client) = joined(Config::default()).await;
    client.text(&format!("42[\"e\",{}{}]", "[".repeat(30_000), "]".repeat(30_000))).await;
    let Incoming::Event { event, .. } = connection.next().await else { panic!("no event") };
    assert_eq!(event.args.get(0).unwrap().len(), 60_000);
    assert!(event.args.parse::<serde_json::Value>(0).is_err());
}

#[tokio::test]
async fn namespaces_are_bounded() {
    let (mut connection, mut client) = joined(Config::default()).await;
    for namespace in ["/b", "/c", "/d"] {
        join(&mut connection, &mut client, namespace).await;
    }
    client.text("40/e,").await;
    client.text("41/b,").await;
    assert!(matches!(connection.next().await, Incoming::Disconnect { namespace } if &*namespace == "/b"));
    let refusal = connection.during(client.next()).await;
    assert_eq!(refusal, Received::Text("44/e,{\"message\":\"Too many namespaces\"}".to_owned()));
    join(&mut connection, &mut client, "/e").await;
}

#[tokio::test]
async fn a_namespace_taken_away_drops_what_was_under_way() {
    let (mut connection, mut client) = joined(Config::default()).await;
    join(&mut connection, &mut client, "/b").await;
    connection.outgoing().send(Frame::disconnect("/b"));
    assert_eq!(connection.during(client.next()).await, Received::Text("41/b,".to_owned()));
    client.text("42/b,[\"under way\"]").await;
    client.text("451-[\"binary\",{\"_placeholder\":true,\"num\":0}]").await;
    client.binary(b"x").await;
    let next = connection.next().await;
    assert!(matches!(next, Incoming::Event { event, .. } if event.name == "binary"));
    join(&mut connection, &mut client, "/b").await;
    client.text("42/b,[\"back\"]").await;
    assert!(matches!(connection.next().await, Incoming::Event { event, .. } if event.name == "back"));
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let (mut connection, mut client) = joined(Config::default()).await;
    client.control(Control::Close, &1001_u16.to_be_bytes()).await;
    assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::Transport)));
    assert_eq!(client.expect_close().await, Some(1001));
    assert_eq!(within(client.next()).await, Received::Gone);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_others_alone() {
    let (mut good, mut good_client) = joined(Config::default()).await;
    let (mut bad, mut bad_client) = pair(Config::default()).await;
    bad_client.bytes(&[0xff; 1000]).await;
    let expect: fn(Incoming) -> bool =
        |incoming| matches!(incoming, Incoming::Closed(CloseReason::Protocol(_)));
    let (ended, ()) = tokio::join!(bad.next(), hang_up_when_told(bad_client));
    assert!(expect(ended));
    good_client.text("42[\"e\"]").await;
    assert!(matches!(good.next().await, Incoming::Event { .. }));
}

async fn hang_up_when_told(mut client: Client) {
    assert!(client.expect_text().await.starts_with('0'));
    assert_eq!(client.expect_close().await, Some(PROTOCOL));
}

#[tokio::test]
async fn whoever_begins_with_messagepack_keeps_to_it() {
    let connect = b"\x82\xa4type\x00\xa3nsp\xa1/";
    let event = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1e";
    for (frames, expected) in [
        (vec![binary(connect), text("40")], "text among MessagePack"),
        (vec![binary(connect), binary(b"\xc1")], "invalid MessagePack"),
        (vec![binary(connect), binary(&[event.as_slice(), b"\xc0"].concat())], "bytes after a packet"),
        (vec![binary(event)], "packet for a namespace not connected"),
        (vec![text("40"), binary(event)], "attachment without a packet"),
    ] {
        let (mut connection, mut client) = pair(Config::default()).await;
        let server = tokio::spawn(async move {
            loop {
                match connection.next().await {
                    Incoming::Connect { namespace, .. } => connection.accept(&namespace, "sid"),
                    Incoming::Closed(reason) => return reason,
                    _ => {}
                }
            }
        });
        for frame in &frames {
            client.bytes(frame).await;
        }
        let code = loop {
            if let Received::Close(code) = within(client.next()).await {
                break code;
            }
        };
        assert_eq!(code, Some(PROTOCOL), "{expected}");
        drop(client);
        assert_eq!(within(server).await.unwrap(), CloseReason::Protocol(expected));
    }
}
