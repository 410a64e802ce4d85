//! The client's state machine by itself: no socket, no clock.

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;
use socketio::session::{ClientSession, Output, Protocol};
use socketio::websocket::Message;
use socketio::{ClientIncoming, CloseReason, Config};
use tokio::time::Instant;

const OPEN: &str = "0{\"sid\":\"e\",\"pingInterval\":300,\"pingTimeout\":200,\"maxPayload\":100}";

fn text(text: &str) -> Message<'_> {
    Message::Text(Cow::Borrowed(text))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn time_passes_only_as_told() {
    let config = Config::default();
    let start = Instant::now();
    let mut session = ClientSession::new(&config, "/", None, start);
    assert_eq!(session.deadline(), start + config.connect_timeout);
    let opened = start + config.connect_timeout - millis(1);
    assert!(matches!(session.tick(opened, true), Output::Nothing));
    assert!(matches!(session.receive(text(OPEN), opened), Output::Send(_)));
    assert_eq!(session.deadline(), opened + millis(500));
    assert!(matches!(session.tick(opened + millis(499), true), Output::Nothing));
    let grant = session.receive(text("40{\"sid\":\"s\"}"), opened);
    assert!(matches!(grant, Output::Granted(ClientIncoming::Connected { sid }, 100) if sid == "s"));
    session.heard(opened + millis(400));
    assert_eq!(session.deadline(), opened + millis(900));
    assert!(matches!(session.tick(opened + millis(900), false), Output::Nothing));
    assert_eq!(session.deadline(), opened + millis(1400));
    let end = session.tick(opened + millis(1400), true);
    assert!(matches!(end, Output::Close(CloseReason::PingTimeout)));
}

#[test]
fn what_the_server_announces_is_bounded() {
    let open = |interval: &str, timeout: &str| {
        format!("0{{\"sid\":\"e\",\"pingInterval\":{interval},\"pingTimeout\":{timeout}}}")
    };
    let outcome = |open: &str| {
        let now = Instant::now();
        ClientSession::new(&Config::default(), "/", None, now).receive(text(open), now)
    };
    for (interval, timeout) in [("1", "1"), ("3600000", "3600000"), ("25000", "1")] {
        assert!(matches!(outcome(&open(interval, timeout)), Output::Send(_)), "{interval} {timeout}");
    }
    for wrong in ["0", "-1", "3600001", "18446744073709551615", "1e99", "1.5", "\"1\"", "null", "[]", ""] {
        for open in [open(wrong, "1"), open("1", wrong)] {
            assert!(matches!(outcome(&open), Output::Close(CloseReason::Protocol(_))), "{open}");
        }
    }
    let largest = |max: &str| {
        outcome(&format!("0{{\"sid\":\"e\",\"pingInterval\":1,\"pingTimeout\":1,\"maxPayload\":{max}}}"))
    };
    assert!(matches!(largest("null"), Output::Send(_)));
    assert!(matches!(largest("18446744073709551615"), Output::Send(_)));
    assert!(matches!(largest("2"), Output::Send(_)));
    // The CONNECT is of two bytes.
    assert!(matches!(largest("1"), Output::Close(CloseReason::TooLarge)));
    assert!(matches!(largest("-1"), Output::Close(CloseReason::Protocol(_))));
    assert!(matches!(largest("\"1\""), Output::Close(CloseReason::Protocol(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Binary(Vec<u8>),
    Heard,
    Left,
    Pass(u64, bool),
}

proptest! {
    /// Whatever comes in whatever order, and however long it takes: the session answers, time that has passed lies
    /// behind, and nothing happens in a namespace that is not granted.
    #[test]
    fn any_messages(is_open in any::<bool>(), steps in prop::collection::vec(step(), 0..40)) {
        let config = Config { max_payload: 50, ..Config::default() };
        let mut now = Instant::now();
        let mut session = ClientSession::new(&config, "/a", None, now);
        let mut is_in = false;
        if is_open {
            prop_assert!(matches!(session.receive(text(OPEN), now), Output::Send(_)));
        }
        for step in &steps {
            let output = match step {
                Step::Text(message) => session.receive(text(message), now),
                Step::Binary(bytes) => session.receive(Message::Binary(Cow::Borrowed(bytes)), now),
                Step::Heard => {
                    session.heard(now);
                    Output::Nothing
                }
                Step::Left => {
                    session.left("/a", now);
                    is_in = false;
                    Output::Nothing
                }
                Step::Pass(millis, listening) => {
                    now += Duration::from_millis(*millis);
                    let is_due = session.deadline() <= now;
                    let output = session.tick(now, *listening);
                    if !matches!(output, Output::Close(_)) {
                        prop_assert!(session.deadline() > now);
                    } else {
                        prop_assert!(is_due);
                    }
                    output
                }
            };
            match output {
                Output::Close(_) => break,
                Output::Granted(ClientIncoming::Connected { .. }, 100) => is_in = true,
                Output::Left(ClientIncoming::Refused { .. } | ClientIncoming::Disconnected, name) => {
                    prop_assert_eq!(&*name, "/a");
                    is_in = false;
                }
                Output::Item(ClientIncoming::Event(_)) | Output::Ack { .. } => prop_assert!(is_in),
                Output::Item(other) => prop_assert!(false, "{:?}", other),
                Output::Granted(..) | Output::Left(..) => prop_assert!(false),
                Output::Nothing | Output::Send(_) | Output::Pong(_) => {}
            }
            prop_assert_eq!(session.farewell(CloseReason::ClientClosed).is_some(), is_in);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => "4[0-6](1-|2-)?(/a,|/b,)?[0-9]{0,2}(\\[\"e\",\\{\"_placeholder\":true,\"num\":0\\}\\])?"
            .prop_map(Step::Text),
        4 => prop::sample::select(vec![
            OPEN, "40/a,{\"sid\":\"s\"}", "44/a,{\"message\":\"no\",\"data\":[1]}", "44/a,\"no\"", "42/a,[\"e\"]",
            "41/a,", "42/b,[\"e\"]", "2", "3", "6",
        ]).prop_map(|text| Step::Text(text.to_owned())),
        1 => ".{0,20}".prop_map(Step::Text),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::Binary),
        1 => Just(Step::Heard),
        1 => Just(Step::Left),
        2 => (0..700_u64, any::<bool>()).prop_map(|(millis, listening)| Step::Pass(millis, listening)),
    ]
}
