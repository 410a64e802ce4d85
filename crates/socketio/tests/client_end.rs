//! The client's end against a server that does everything a server can, right or wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;
use socketio::websocket::{Control, Data, OpCode};
use socketio::{
    AckError, AckId, Args, ClientConnection, ClientIncoming, CloseReason, Config, Event, Frame, Meter,
};
use tokio::io::DuplexStream;
use tokio::time::Instant;

use crate::client::{Received, within};
use crate::server::{INTERVAL, Server, TIMEOUT, join, joined, keys, pair, unmasked};

const LONG: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(INTERVAL + TIMEOUT);

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

async fn event(connection: &mut ClientConnection<DuplexStream>) -> Event {
    match within(connection.next()).await {
        ClientIncoming::Event(event) => event,
        other => panic!("no event: {other:?}"),
    }
}

/// The reason of the end, whatever comes before it.
async fn ended(mut connection: ClientConnection<DuplexStream>) -> CloseReason {
    loop {
        if let ClientIncoming::Closed(reason) = connection.next().await {
            return reason;
        }
    }
}

fn attached(json: &str, attachments: &[&[u8]]) -> Frame {
    // Arguments with attachments come into being by being received.
    let config = Config { max_payload: 1024 * 1024, ..Config::default() };
    let mut session = socketio::session::Session::server(&config, Instant::now());
    let args = received_args(&mut session, json, attachments);
    Frame::event_with("/", "b", &args).unwrap()
}

fn received_args(session: &mut socketio::session::Session, json: &str, attachments: &[&[u8]]) -> Args {
    use socketio::session::{Output, Protocol};
    use socketio::websocket::Message;

    let now = Instant::now();
    session.receive(Message::Text("40".into()), now);
    session.accept("/", "sid").unwrap();
    session.receive(Message::Text(format!("45{}-[\"e\",{json}]", attachments.len()).into()), now);
    for attachment in attachments {
        if let Output::Item(socketio::Incoming::Event { event, .. }) =
            session.receive(Message::Binary((*attachment).into()), now)
        {
            return event.args;
        }
    }
    panic!("attachments are missing");
}

#[tokio::test]
async fn the_namespace_is_asked_for_with_what_was_given() {
    let auth = raw("{\"token\":\"t\"}");
    let cases = [
        ("/", None, "40", "40{\"sid\":\"x\"}"),
        ("/", Some(&*auth), "40{\"token\":\"t\"}", "40{\"sid\":\"x\",\"pid\":\"p\"}"),
        ("/ns", None, "40/ns,", "40/ns,{\"sid\":\"x\"}"),
        ("/ns", Some(&*auth), "40/ns,{\"token\":\"t\"}", "40/ns,{\"sid\":\"x\"}"),
    ];
    for (namespace, auth, asked, grant) in cases {
        let (mut connection, mut server) = pair(Config::default(), namespace, auth);
        let server = async {
            server.open(Some(1000)).await;
            assert_eq!(server.expect_text().await, asked);
            server.text(grant).await;
            server
        };
        let (incoming, _server) = tokio::join!(connection.next(), server);
        assert!(matches!(incoming, ClientIncoming::Connected { sid } if sid == "x"));
    }
}

#[tokio::test]
async fn bytes_read_with_the_upgrade_are_not_lost_and_any_stream_is_flushed() {
    let (client, server) = tokio::io::duplex(1);
    let open = b"0{\"sid\":\"e\",\"pingInterval\":25000,\"pingTimeout\":60000}";
    let already_read = unmasked(OpCode::Data(Data::Text), open).into();
    let io = tokio::io::BufStream::new(client);
    let mut connection = ClientConnection::new(io, already_read, Arc::default(), "/", None, keys());
    let mut server = Server::new(server);
    let outgoing = connection.outgoing();
    let script = async {
        assert_eq!(server.expect_text().await, "40");
        server.text("40{\"sid\":\"sid\"}").await;
        assert_eq!(server.expect_text().await, "42[\"hello\",\"\"]");
        server.text("42[\"you too\"]").await;
        server
    };
    let client = async {
        assert!(matches!(connection.next().await, ClientIncoming::Connected { .. }));
        assert!(outgoing.send(Frame::event("/", "hello", "").unwrap()));
        assert!(matches!(connection.next().await, ClientIncoming::Event(event) if event.name == "you too"));
    };
    let (_server, ()) = within(async { tokio::join!(script, client) }).await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_data() {
    let cases = [
        ("44{\"message\":\"bad token\",\"data\":{\"code\":7}}", "bad token", Some("{\"code\":7}")),
        ("44{\"message\":\"no\",\"data\":null}", "no", None),
        ("44{\"message\":\"no\"}", "no", None),
        ("44{}", "", None),
        ("44\"plain\"", "plain", None),
    ];
    for (refusal, expected, expected_data) in cases {
        let (mut connection, mut server) = pair(Config::default(), "/", None);
        server.open(None).await;
        server.text(refusal).await;
        let incoming = connection.next().await;
        let ClientIncoming::Refused { message, data } = incoming else { panic!("{incoming:?}") };
        assert_eq!((&*message, data.as_deref().map(RawValue::get)), (expected, expected_data));
        // Nothing is lost in silence: it is refused.
        let outgoing = connection.outgoing();
        assert!(!outgoing.send(Frame::event("/", "e", &1).unwrap()));
        assert!(!outgoing.is_closed());
        let asked = outgoing.emit_with_ack("/", "e", &1, LONG).await;
        assert!(matches!(asked, Err(AckError::Closed)));
        let script = async move {
            assert_eq!(server.expect_text().await, "40");
            assert_eq!(server.expect_close().await, Some(1000), "nothing to leave");
        };
        tokio::join!(connection.close(CloseReason::ClientClosed), script);
    }
}

#[tokio::test]
async fn nothing_can_be_sent_before_the_namespace_is_granted() {
    let (mut connection, mut server) = pair(Config::default(), "/", None);
    let outgoing = connection.outgoing();
    assert!(!outgoing.send(Frame::event("/", "early", &1).unwrap()));
    assert!(matches!(outgoing.emit_with_ack("/", "early", &1, LONG).await, Err(AckError::Closed)));
    assert!(!outgoing.is_closed());
    server.open(None).await;
    join(&mut connection, &mut server).await;
    assert!(outgoing.send(Frame::event("/", "then", &1).unwrap()));
    let (text, _) = tokio::select! {
        text = server.expect_text() => (text, ()),
        incoming = connection.next() => panic!("{incoming:?}"),
    };
    assert_eq!(text, "42[\"then\",1]");
}

#[tokio::test]
async fn events_and_answers_both_ways() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    server.text("42[\"a\",1,\"x\"]").await;
    server.text("427[\"ask\",{\"b\":2}]").await;
    let first = event(&mut connection).await;
    assert_eq!((&*first.name, first.ack), ("a", None));
    assert_eq!(first.args.iter().collect::<Vec<_>>(), ["1", "\"x\""]);
    let second = event(&mut connection).await;
    assert_eq!((&*second.name, second.ack), ("ask", Some(AckId(7))));
    assert!(outgoing.send(Frame::ack("/", AckId(7), &json!({"ok": true})).unwrap()));
    let ask = tokio::spawn(async move { outgoing.emit_with_ack("/", "sum", &[1, 2], LONG).await });
    let script = tokio::spawn(async move {
        assert_eq!(server.expect_text().await, "437[{\"ok\":true}]");
        assert_eq!(server.expect_text().await, "420[\"sum\",[1,2]]");
        server.text("4377[\"unknown\"]").await;
        server.text("42[\"between\"]").await;
        server.text("430[3]").await;
        server.text("42[\"last\"]").await;
        server
    });
    assert_eq!(event(&mut connection).await.name, "between");
    assert_eq!(event(&mut connection).await.name, "last");
    assert_eq!(within(ask).await.unwrap().unwrap().get(0), Some("3"));
    drop(within(script).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_told() {
    let (connection, server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let ending = tokio::spawn(ended(connection));
    let start = Instant::now();
    let timeout = Duration::from_secs(5);
    let answer = outgoing.emit_with_ack("/", "ask", &1, timeout).await;
    assert!(matches!(answer, Err(AckError::Timeout)));
    assert_eq!(start.elapsed(), timeout);
    // The connection's end is sooner than the answer's time.
    let (answer, ()) = tokio::join!(outgoing.emit_with_ack("/", "ask", &1, LONG), async {
        tokio::time::sleep(timeout).await;
        drop(server);
    });
    assert!(matches!(answer, Err(AckError::Closed)));
    assert_eq!(start.elapsed(), timeout * 2);
    assert_eq!(ending.await.unwrap(), CloseReason::Transport);
    assert!(!outgoing.send(Frame::event("/", "e", &1).unwrap()));
    assert!(matches!(outgoing.emit_with_ack("/", "ask", &1, LONG).await, Err(AckError::Closed)));
}

#[tokio::test]
async fn pings_are_answered() {
    let (mut connection, mut server) = joined(Config::default()).await;
    server.text("2").await;
    server.control(Control::Ping, b"websocket").await;
    server.text("42[\"e\"]").await;
    event(&mut connection).await;
    let script = async {
        assert_eq!(server.expect_text().await, "3");
        assert_eq!(within(server.next()).await, Received::Pong(b"websocket".to_vec()));
    };
    tokio::select! {
        () = script => {}
        incoming = connection.next() => panic!("{incoming:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_is_an_answer_to_the_question_or_a_later_one() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let driving =
        tokio::spawn(async move { while !matches!(connection.next().await, ClientIncoming::Closed(_)) {} });
    let ask = || {
        let outgoing = outgoing.clone();
        tokio::spawn(async move { outgoing.probe(LONG).await })
    };
    let asked = async |server: &mut Server| match server.next().await {
        Received::Ping(payload) => payload,
        other => panic!("no ping: {other:?}"),
    };
    let alive = ask();
    let first = asked(&mut server).await;
    // What was on its way before, and what answers nothing.
    server.text("42[\"e\"]").await;
    server.control(Control::Pong, b"").await;
    server.control(Control::Pong, &u64::MAX.to_be_bytes()[..7]).await;
    tokio::time::sleep(LONG - Duration::from_secs(1)).await;
    assert!(!alive.is_finished());
    server.control(Control::Pong, &first).await;
    assert!(alive.await.unwrap());

    let (one, other) = (ask(), ask());
    asked(&mut server).await;
    let newest = asked(&mut server).await;
    server.control(Control::Pong, &newest).await;
    assert!(one.await.unwrap() && other.await.unwrap(), "only the newest has to be answered");

    let dead = ask();
    let began = Instant::now();
    asked(&mut server).await;
    server.control(Control::Pong, &newest).await;
    assert!(!dead.await.unwrap());
    assert_eq!(began.elapsed(), LONG);

    let cut = ask();
    drop(server);
    assert!(!cut.await.unwrap());
    driving.await.unwrap();
    assert!(!outgoing.probe(LONG).await, "nobody is there");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_connection_on_time_and_not_before() {
    let (connection, mut server) = joined(Config::default()).await;
    let start = Instant::now();
    let ending = tokio::spawn(async move {
        let reason = ended(connection).await;
        (reason, start.elapsed())
    });
    tokio::time::sleep(PATIENCE - Duration::from_millis(1)).await;
    assert!(!ending.is_finished());
    assert_eq!(ending.await.unwrap(), (CloseReason::PingTimeout, PATIENCE));
    // The one attempt at a goodbye is masked as all else is.
    assert_eq!(server.next().await, Received::Close(Some(1000)));
    assert_eq!(server.next().await, Received::Gone);
}

#[tokio::test(start_paused = true)]
async fn any_sound_breaks_the_silence() {
    let event = unmasked(OpCode::Data(Data::Text), b"42[\"e\"]");
    let (half, rest) = event.split_at(3);
    let sounds = [
        event.clone(),
        unmasked(OpCode::Data(Data::Text), b"2"),
        unmasked(OpCode::Data(Data::Text), b"3"),
        unmasked(OpCode::Data(Data::Text), b"6"),
        unmasked(OpCode::Data(Data::Text), b"42/other,[\"e\"]"),
        unmasked(OpCode::Control(Control::Ping), b""),
        unmasked(OpCode::Control(Control::Pong), b""),
        // A fragment, and its end.
        vec![0x01, 0x00],
        [vec![0x80, 0x01], b"2".to_vec()].concat(),
        half.to_vec(),
        rest.to_vec(),
    ];
    let (connection, mut server) = joined(Config::default()).await;
    let start = Instant::now();
    let ending = tokio::spawn(async move {
        let reason = ended(connection).await;
        (reason, start.elapsed())
    });
    let nearly = PATIENCE - Duration::from_millis(1);
    for sound in &sounds {
        tokio::time::sleep(nearly).await;
        assert!(!ending.is_finished());
        server.bytes(sound).await;
    }
    let last = nearly * u32::try_from(sounds.len()).unwrap();
    assert_eq!(ending.await.unwrap(), (CloseReason::PingTimeout, last + PATIENCE));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_that_reads_nothing_is_not_waited_for() {
    let (connection, server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    for _ in 0..10 {
        assert!(outgoing.send(Frame::event("/", "fill", &"x".repeat(4096)).unwrap()));
    }
    let start = Instant::now();
    assert_eq!(ended(connection).await, CloseReason::PingTimeout);
    assert_eq!(start.elapsed(), PATIENCE);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_not_blamed_for_what_a_busy_owner_did_not_read() {
    let config = Config { max_pending_events: 4, ..Config::default() };
    let (mut connection, mut server) = joined(config).await;
    for at in 0..20 {
        server.text(&format!("42[\"e\",{at}]")).await;
    }
    let server = tokio::spawn(async move {
        // As a server does that hears a pong; here nobody listens to it.
        loop {
            tokio::time::sleep(Duration::from_secs(INTERVAL)).await;
            server.text("2").await;
        }
    });
    for expected in 0..20 {
        let event = event(&mut connection).await;
        assert_eq!(event.args.parse::<u32>(0).unwrap(), expected);
        tokio::time::sleep(PATIENCE * 2).await;
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    assert!(matches!(connection.next().await, ClientIncoming::Closed(CloseReason::Transport)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_to_begin_with_is_given_up() {
    let (connection, mut server) = pair(Config::default(), "/", None);
    let start = Instant::now();
    // A ping of WebSocket's is no beginning.
    server.control(Control::Ping, b"").await;
    let script = async {
        assert_eq!(server.next().await, Received::Pong(Vec::new()));
        assert_eq!(server.expect_close().await, Some(1008));
        drop(server);
    };
    let (reason, ()) = tokio::join!(ended(connection), script);
    assert_eq!(reason, CloseReason::ConnectTimeout);
    assert_eq!(start.elapsed(), Config::default().connect_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_the_connect_is_given_up() {
    let (connection, mut server) = pair(Config::default(), "/", None);
    let start = Instant::now();
    let script = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        server.open(None).await;
        assert_eq!(server.expect_text().await, "40");
        // Answers, but not to what was asked.
        server.text("40/other,{\"sid\":\"x\"}").await;
        server.text("44/other,{\"message\":\"no\"}").await;
        server.text("2").await;
        assert_eq!(server.expect_text().await, "3");
        assert_eq!(server.expect_close().await, Some(1008));
        drop(server);
    };
    let (reason, ()) = tokio::join!(ended(connection), script);
    assert_eq!(reason, CloseReason::ConnectTimeout);
    assert_eq!(start.elapsed(), Duration::from_secs(9) + Config::default().connect_timeout);
}

#[tokio::test]
async fn every_frame_is_masked_with_a_key_of_its_own() {
    let (connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let placeholders = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
    for _ in 0..2 {
        assert!(outgoing.send(Frame::event("/", "same", "text").unwrap()));
        assert!(outgoing.send(attached(placeholders, &[b"same", &[7; 70_000]])));
    }
    server.text("2").await;
    server.control(Control::Ping, b"p").await;
    let ending = tokio::spawn(async move {
        let closing = connection.outgoing();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            closing.close(CloseReason::ClientClosed);
        });
        ended(connection).await
    });
    let same = Received::Text("42[\"same\",\"text\"]".to_owned());
    let head = Received::Text(format!("452-[\"b\",{placeholders}]"));
    for _ in 0..2 {
        assert_eq!(within(server.next()).await, same);
        assert_eq!(within(server.next()).await, head);
        assert_eq!(within(server.next()).await, Received::Binary(b"same".to_vec()));
        assert_eq!(within(server.next()).await, Received::Binary(vec![7; 70_000]));
    }
    assert_eq!(server.expect_text().await, "3");
    assert_eq!(within(server.next()).await, Received::Pong(b"p".to_vec()));
    assert_eq!(server.expect_text().await, "41");
    assert_eq!(server.expect_close().await, Some(1000));
    let mut masks = server.masks.clone();
    assert_eq!(masks.len(), 1 + 2 * 4 + 4);
    let mut key = keys();
    assert!(masks.iter().all(|mask| *mask == key()), "the keys are used as given");
    masks.sort_unstable();
    masks.dedup();
    assert_eq!(masks.len(), 13);
    drop(server);
    assert_eq!(within(ending).await.unwrap(), CloseReason::ClientClosed);
}

#[tokio::test]
async fn what_is_queued_is_counted_by_what_it_costs() {
    let meter = Arc::new(Meter::default());
    let (mut connection, mut server) =
        joined(Config { meter: Arc::clone(&meter), ..Config::default() }).await;
    let outgoing = connection.outgoing();
    assert_eq!((outgoing.queued_bytes(), meter.queued_bytes.load(Ordering::Relaxed)), (0, 0));
    let small = Frame::event("/", "n", "x").unwrap();
    let large = attached("{\"_placeholder\":true,\"num\":0}", &[&[1; 60_000]]);
    let expected = small.cost() + 4 + large.cost() + 8;
    let small_overhead = small.cost() - small.len();
    assert!(outgoing.send(small) && outgoing.send(large));
    assert_eq!(outgoing.queued_bytes(), expected);
    assert_eq!(meter.queued_bytes.load(Ordering::Relaxed), i64::try_from(expected).unwrap());
    // The stream takes its 4,096 bytes; a part of the large frame is written.
    tokio::select! {
        biased;
        incoming = connection.next() => panic!("{incoming:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(outgoing.queued_bytes(), expected - 4096 - small_overhead);
    let script = async {
        for _ in 0..3 {
            server.next().await;
        }
        server.text("42[\"done\"]").await;
    };
    tokio::join!(script, event(&mut connection));
    assert_eq!((outgoing.queued_bytes(), meter.queued_bytes.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn the_queue_is_bounded_by_what_it_costs() {
    let frame = Frame::event("/", "n", "x").unwrap();
    for (room, fits) in [(frame.cost() + 4, true), (frame.cost() + 3, false)] {
        let (connection, _server) = joined(Config { max_queue_bytes: room, ..Config::default() }).await;
        assert_eq!(connection.outgoing().send(frame.clone()), fits);
    }
}

#[tokio::test]
async fn binary_events_and_answers() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let asking = outgoing.clone();
    let ask = tokio::spawn(async move { asking.emit_with_ack("/", "ask", &1, LONG).await });
    let script = tokio::spawn(async move {
        assert_eq!(server.expect_text().await, "420[\"ask\",1]");
        // Another namespace's attachments are that one's.
        server.text("451-/other,[\"e\",{\"_placeholder\":true,\"num\":0}]").await;
        server.binary(b"not ours").await;
        server.text("461-0[{\"_placeholder\":true,\"num\":0}]").await;
        server.binary(b"answer").await;
        server
            .text("452-3[\"e\",{\"a\":{\"_placeholder\":true,\"num\":1}},{\"_placeholder\":true,\"num\":0}]")
            .await;
        server.binary(&[1, 2]).await;
        // The heartbeat may come between a packet and its attachments.
        server.text("2").await;
        server.binary(&[]).await;
        assert_eq!(server.expect_text().await, "3");
        let echo =
            "462-3[{\"a\":{\"_placeholder\":true,\"num\":1}},{\"_placeholder\":true,\"num\":0}]".to_owned();
        assert_eq!(server.expect_text().await, echo);
        assert_eq!(within(server.next()).await, Received::Binary(vec![1, 2]));
        assert_eq!(within(server.next()).await, Received::Binary(vec![]));
        server.text("42[\"done\"]").await;
    });
    let binary = event(&mut connection).await;
    assert_eq!(binary.args.attachments(), [&[1, 2][..], &[]]);
    assert_eq!(&within(ask).await.unwrap().unwrap().attachments()[0][..], b"answer");
    assert!(outgoing.send(Frame::ack_with("/", binary.ack.unwrap(), &binary.args).unwrap()));
    assert_eq!(event(&mut connection).await.name, "done");
    within(script).await.unwrap();
}

#[tokio::test]
async fn being_put_out_is_told_and_what_comes_after_is_dropped() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let asking = outgoing.clone();
    let ask = tokio::spawn(async move { asking.emit_with_ack("/", "ask", &1, LONG).await });
    let script = tokio::spawn(async move {
        assert_eq!(server.expect_text().await, "420[\"ask\",1]");
        server.text("41/other,").await;
        server.text("42[\"before\"]").await;
        server.text("41").await;
        server.text("42[\"after\"]").await;
        server.text("430[\"after\"]").await;
        server.text("40{\"sid\":\"again\"}").await;
        assert_eq!(server.expect_close().await, Some(1000), "nothing to leave");
    });
    assert_eq!(event(&mut connection).await.name, "before");
    assert!(matches!(connection.next().await, ClientIncoming::Disconnected));
    assert!(matches!(within(ask).await.unwrap(), Err(AckError::Closed)));
    assert!(!outgoing.send(Frame::event("/", "e", &1).unwrap()));
    assert!(!outgoing.is_closed());
    within(connection.close(CloseReason::ClientClosed)).await;
    within(script).await.unwrap();
    assert!(matches!(connection.next().await, ClientIncoming::Closed(CloseReason::ClientClosed)));
}

#[tokio::test]
async fn leaving_takes_nothing_with_it_and_is_the_last_that_is_sent() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    assert!(outgoing.send(Frame::event("/", "before", &1).unwrap()));
    assert!(outgoing.send(Frame::disconnect("/")));
    assert!(!outgoing.send(Frame::event("/", "after", &1).unwrap()));
    server.text("42[\"under way\"]").await;
    let script = async {
        assert_eq!(server.expect_text().await, "42[\"before\",1]");
        assert_eq!(server.expect_text().await, "41");
        assert_eq!(server.expect_close().await, Some(1000), "left already");
        drop(server);
    };
    tokio::join!(script, connection.close(CloseReason::ClientClosed));
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_frame_is_the_end() {
    let frame = unmasked(OpCode::Data(Data::Text), b"42[\"e\",\"long enough\"]");
    for cut in 0..frame.len() {
        let (mut connection, mut server) = joined(Config::default()).await;
        server.text("42[\"whole\"]").await;
        server.bytes(&frame[..cut]).await;
        drop(server);
        assert_eq!(event(&mut connection).await.name, "whole");
        for _ in 0..3 {
            let next = within(connection.next()).await;
            assert!(matches!(next, ClientIncoming::Closed(CloseReason::Transport)), "{cut}: {next:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_floods_is_read_no_faster_than_it_is_handled() {
    const EVENTS: usize = 5000;
    let (mut connection, mut server) = joined(Config { max_pending_events: 4, ..Config::default() }).await;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let flood = tokio::spawn(async move {
        for at in 0..EVENTS {
            server.text(&format!("42[\"e\",{at}]")).await;
            counter.store(at + 1, Ordering::Relaxed);
        }
        server
    });
    // An event is of at least 10 bytes; the stream holds 4,096 of them, and a read takes no more.
    const AHEAD: usize = 2 * 4096 / 10 + 4;
    for expected in 0..EVENTS {
        let event = event(&mut connection).await;
        assert_eq!(event.args.parse::<usize>(0).unwrap(), expected);
        if expected % 500 == 0 {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            let ahead = sent.load(Ordering::Relaxed).saturating_sub(expected);
            assert!(ahead <= AHEAD, "{ahead}");
        }
    }
    drop(within(flood).await.unwrap());
    assert!(matches!(within(connection.next()).await, ClientIncoming::Closed(CloseReason::Transport)));
}

#[tokio::test]
async fn a_server_that_reads_too_slowly_is_given_up_without_a_gap() {
    let meter = Arc::new(Meter::default());
    let config = Config { max_queue_bytes: 64 * 1024, meter: Arc::clone(&meter), ..Config::default() };
    let (connection, mut server) = joined(config).await;
    let outgoing = connection.outgoing();
    let ending = tokio::spawn(ended(connection));
    let mut sent = 0;
    while outgoing.send(Frame::event("/", "n", &(sent, "x".repeat(1000))).unwrap()) {
        sent += 1;
        assert!(sent < 1000, "the bound is never reached");
        tokio::task::yield_now().await;
    }
    assert_eq!(within(ending).await.unwrap(), CloseReason::SlowReader);
    assert!(!outgoing.send(Frame::event("/", "n", &0).unwrap()), "nothing is taken after the gap");
    let mut read = 0;
    while let Received::Text(text) = within(server.next()).await {
        assert!(text.starts_with(&format!("42[\"n\",[{read},")), "{text}");
        read += 1;
    }
    assert!(read <= sent);
    assert_eq!((outgoing.queued_bytes(), meter.queued_bytes.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn no_more_is_sent_than_the_server_takes() {
    let (mut connection, mut server) = pair(Config::default(), "/", None);
    server.open(Some(100)).await;
    join(&mut connection, &mut server).await;
    let outgoing = connection.outgoing();
    let text = |length: usize| Frame::event("/", "n", &"x".repeat(length - "42[\"n\",\"\"]".len())).unwrap();
    assert!(!outgoing.send(text(101)));
    assert!(outgoing.send(text(100)));
    let asked = outgoing.emit_with_ack("/", "n", &"x".repeat(100), LONG).await;
    assert!(matches!(asked, Err(AckError::TooLarge)));
    let two = "{\"_placeholder\":true,\"num\":0}";
    assert!(outgoing.send(attached(two, &[&[1; 50], &[2; 50]])));
    assert!(!outgoing.send(attached(two, &[&[1; 50], &[2; 51]])));
    assert!(!outgoing.send(attached(two, &[&[1; 101]])));
    assert!(!outgoing.is_closed());
    let script = async {
        assert_eq!(server.expect_text().await.len(), 100);
        assert!(server.expect_text().await.starts_with("452-"));
        assert_eq!(within(server.next()).await, Received::Binary(vec![1; 50]));
        assert_eq!(within(server.next()).await, Received::Binary(vec![2; 50]));
        server.text("42[\"done\"]").await;
    };
    tokio::join!(script, event(&mut connection));
}

#[tokio::test]
async fn a_connect_larger_than_the_server_takes_is_not_sent() {
    let auth = raw(&format!("{{\"token\":\"{}\"}}", "x".repeat(100)));
    let (connection, mut server) = pair(Config::default(), "/", Some(&auth));
    server.open(Some(100)).await;
    let script = async {
        assert_eq!(server.expect_close().await, Some(1009));
        drop(server);
    };
    assert_eq!(tokio::join!(ended(connection), script).0, CloseReason::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_close_leaves_and_waits_no_longer_than_it_may() {
    for (namespace, asked, left) in [("/", "40", "41"), ("/ns", "40/ns,", "41/ns,")] {
        for hangs_up in [true, false] {
            let (mut connection, mut server) = pair(Config::default(), namespace, None);
            let outgoing = connection.outgoing();
            server.open(None).await;
            server.text(&format!("{asked}{{\"sid\":\"s\"}}")).await;
            assert!(matches!(connection.next().await, ClientIncoming::Connected { .. }));
            assert!(outgoing.send(Frame::event(namespace, "last", &1).unwrap()));
            let start = Instant::now();
            let script = async {
                assert_eq!(server.expect_text().await, asked);
                assert!(server.expect_text().await.ends_with("[\"last\",1]"));
                assert_eq!(server.expect_text().await, left);
                assert_eq!(server.expect_close().await, Some(1000));
                if hangs_up { None } else { Some(server) }
            };
            let (_server, ()) = tokio::join!(script, connection.close(CloseReason::ClientClosed));
            let expected = if hangs_up { Duration::ZERO } else { Config::default().close_timeout };
            assert_eq!(start.elapsed(), expected);
            let next = connection.next().await;
            assert!(matches!(next, ClientIncoming::Closed(CloseReason::ClientClosed)), "{next:?}");
            assert!(outgoing.is_closed());
        }
    }
}

#[tokio::test]
async fn the_servers_goodbyes() {
    let (connection, mut server) = joined(Config::default()).await;
    server.control(Control::Close, &1001_u16.to_be_bytes()).await;
    assert_eq!(within(ended(connection)).await, CloseReason::Transport);
    assert_eq!(server.expect_close().await, Some(1001));
    assert_eq!(within(server.next()).await, Received::Gone);

    let (connection, mut server) = joined(Config::default()).await;
    server.text("1").await;
    let script = async {
        assert_eq!(server.expect_text().await, "41");
        assert_eq!(server.expect_close().await, Some(1000));
        drop(server);
    };
    assert_eq!(tokio::join!(ended(connection), script).0, CloseReason::Server);
}

/// Sends the frames to a connection that is in `/`, or that only begins; returns the reason and the close code.
async fn outcome(is_joined: bool, frames: &[Vec<u8>]) -> (CloseReason, Option<u16>) {
    let (connection, mut server) =
        if is_joined { joined(Config::default()).await } else { pair(Config::default(), "/", None) };
    let ending = tokio::spawn(ended(connection));
    for frame in frames {
        server.bytes(frame).await;
    }
    let code = loop {
        match within(server.next()).await {
            Received::Text(text) if text == "40" => {}
            Received::Close(code) => break code,
            other => panic!("not a close: {other:?}"),
        }
    };
    drop(server);
    (within(ending).await.unwrap(), code)
}

fn text(text: &str) -> Vec<u8> {
    unmasked(OpCode::Data(Data::Text), text.as_bytes())
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let cases = [
        "",
        "x",
        "b4AA",
        "0",
        "0{}",
        "4",
        "4abc",
        "49",
        "42",
        "42{}",
        "42[]",
        "42[",
        "42[1",
        "42[\"e\"]x",
        "42[null]",
        "42[\"connect\"]",
        "429007199254740992[\"e\"]",
        "40",
        "40{}",
        "40[]",
        "40{\"sid\":\"twice\"}",
        "41{}",
        "43[]",
        "431{}",
        "44",
        "44{\"message\":\"no\"}",
        "44nope",
        "45[\"e\"]",
        "4511-[\"e\"]",
        "451-[\"e\",{\"_placeholder\":true,\"num\":1}]",
        "42/other,[",
        "40/other,[]",
    ];
    for case in cases {
        let (reason, code) = outcome(true, &[text(case)]).await;
        assert!(matches!(reason, CloseReason::Protocol(_)), "{case}: {reason}");
        assert_eq!(code, Some(1002), "{case}");
    }
    let open = "0{\"sid\":\"e\",\"pingInterval\":25000,\"pingTimeout\":60000}";
    let beginnings: [&[&str]; 21] = [
        &["1"],
        &["2"],
        &["3"],
        &["40{\"sid\":\"s\"}"],
        &["6"],
        &["0"],
        &["0{}"],
        &["0[]"],
        &["0{\"pingInterval\":0,\"pingTimeout\":1}"],
        &[open, open],
        &[open, "40"],
        &[open, "40{\"sid\":1}"],
        &[open, "40{\"sid\":null}"],
        &[open, "44"],
        &[open, "44[]"],
        &[open, "44null"],
        &[open, "44{\"message\":7}"],
        &[open, "42[\"too early\"]"],
        &[open, "451-[\"too early\",{\"_placeholder\":true,\"num\":0}]"],
        &[open, "x"],
        &[open, "44{\"message\":\"no\"}", "42[\"broken\""],
    ];
    for case in beginnings {
        let frames: Vec<_> = case.iter().map(|case| text(case)).collect();
        let (reason, code) = outcome(false, &frames).await;
        assert!(matches!(reason, CloseReason::Protocol(_)), "{case:?}: {reason}");
        assert_eq!(code, Some(1002), "{case:?}");
    }
}

#[tokio::test]
async fn what_breaks_the_framing_ends_the_connection() {
    let binary = |bytes: &[u8]| unmasked(OpCode::Data(Data::Binary), bytes);
    let cases: [&[Vec<u8>]; 10] = [
        &[crate::client::masked(OpCode::Data(Data::Text), b"2")],
        &[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
        &[vec![0xc1, 0x00]],
        &[vec![0x83, 0x00]],
        &[vec![0x80, 0x00]],
        &[vec![0x09, 0x00]],
        &[vec![0x88, 0x01, 3]],
        &[binary(b"attachment of nothing")],
        &[text("451-[\"e\"]"), text("42[\"e\"]")],
        &[text("451-[\"e\"]"), binary(b"1"), binary(b"2")],
    ];
    for (at, case) in cases.iter().enumerate() {
        for is_joined in [true, false] {
            let (reason, code) = outcome(is_joined, case).await;
            assert!(matches!(reason, CloseReason::Protocol(_)), "{at}: {reason}");
            assert_eq!(code, Some(1002), "{at}");
        }
    }
    assert_eq!(
        outcome(true, &[vec![0x81, 0x02, 0xc3, 0x28]]).await,
        (CloseReason::Protocol("invalid UTF-8"), Some(1007))
    );
    let too_large = vec![0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 1];
    assert_eq!(outcome(true, &[too_large]).await, (CloseReason::TooLarge, Some(1009)));
    let half = vec![0; 40_000];
    assert_eq!(
        outcome(true, &[text("452-[\"e\"]"), binary(&half), binary(&half)]).await,
        (CloseReason::TooLarge, Some(1009))
    );
}

#[tokio::test]
async fn what_stock_clients_ignore_is_ignored() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let ignored = [
        "3",
        "3probe",
        "5",
        "6",
        "40/other,{\"sid\":\"x\"}",
        "41/other,",
        "42/other,[\"e\"]",
        "43/other,0[]",
        "44/other,{\"message\":\"no\"}",
        "430[\"not asked\"]",
    ];
    for ignored in ignored {
        server.text(ignored).await;
    }
    server.control(Control::Pong, b"").await;
    server.text("42[\"on\"]").await;
    assert_eq!(event(&mut connection).await.name, "on");
}

#[tokio::test]
async fn a_future_given_up_loses_nothing() {
    let (mut connection, mut server) = joined(Config::default()).await;
    let script = tokio::spawn(async move {
        for at in 0..500 {
            server.text(&format!("42[\"e\",{at}]")).await;
            if at % 3 == 0 {
                tokio::task::yield_now().await;
            }
        }
        server
    });
    let mut expected = 0;
    while expected < 500 {
        tokio::select! {
            biased;
            incoming = connection.next() => {
                let ClientIncoming::Event(event) = incoming else { panic!("{incoming:?}") };
                assert_eq!(event.args.parse::<u32>(0).unwrap(), expected);
                expected += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    drop(within(script).await.unwrap());
}

#[tokio::test]
async fn a_handle_outlives_its_connection_harmlessly() {
    let (connection, mut server) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    drop(connection);
    assert!(outgoing.is_closed());
    assert!(!outgoing.send(Frame::event("/", "e", &1).unwrap()));
    assert!(matches!(outgoing.emit_with_ack("/", "e", &1, LONG).await, Err(AckError::Closed)));
    assert_eq!(within(server.next()).await, Received::Gone);
}

#[test]
fn a_connection_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (io, _peer) = tokio::io::duplex(1);
    let connection = ClientConnection::new(io, Bytes::new(), Arc::default(), "/", None, keys());
    is_send(&connection);
}
