//! The state machine by itself: no socket, no clock.

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;
use socketio::session::{Output, Protocol, Session};
use socketio::websocket::Message;
use socketio::{CloseReason, Config, Connection, Incoming};
use tokio::time::Instant;

fn text(text: &str) -> Message<'_> {
    Message::Text(Cow::Borrowed(text))
}

#[test]
fn time_passes_only_as_told() {
    let config = Config::default();
    let start = Instant::now();
    let mut session = Session::server(&config, start);
    assert_eq!(session.deadline(), start + config.connect_timeout);
    assert!(matches!(session.receive(text("40"), start), Output::Item(Incoming::Connect { .. })));
    assert!(session.accept("/", "sid").is_some());
    assert!(session.accept("/", "sid").is_none());
    let ping = start + config.ping_interval;
    assert_eq!(session.deadline(), ping);
    assert!(matches!(session.tick(ping - Duration::from_millis(1), true), Output::Nothing));
    assert!(matches!(session.tick(ping, true), Output::Send(_)));
    let pong = ping + config.ping_timeout;
    assert_eq!(session.deadline(), pong);
    assert!(matches!(session.tick(pong, false), Output::Nothing));
    assert_eq!(session.deadline(), pong + config.ping_timeout);
    assert!(matches!(session.receive(text("3"), pong), Output::Nothing));
    assert_eq!(session.deadline(), pong + config.ping_interval);
    session.tick(pong + config.ping_interval, true);
    let end = session.tick(pong + config.ping_interval + config.ping_timeout, true);
    assert!(matches!(end, Output::Close(CloseReason::PingTimeout)));
}

#[test]
fn a_connection_is_small() {
    let size = size_of::<Connection<tokio::net::TcpStream>>();
    assert!(size <= 512, "{size}");
    async fn serve(mut connection: Connection<tokio::net::TcpStream>) {
        loop {
            match connection.next().await {
                Incoming::Closed(_) => return,
                _ => connection.during(Box::pin(std::future::ready(()))).await,
            }
        }
    }
    let future = |connection| serve(connection);
    let size = size_of_output(&future);
    assert!(size <= 1536, "{size}");
}

fn size_of_output<A, F: Future>(_: &impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

proptest! {
    /// Whatever comes in whatever order, the session answers, and what it lets through is in order.
    #[test]
    fn any_messages(messages in prop::collection::vec(message(), 0..40)) {
        let config = Config::default();
        let now = Instant::now();
        let mut session = Session::server(&config, now);
        for message in &messages {
            let message = match message {
                Ok(message) => text(message),
                Err(bytes) => Message::Binary(Cow::Borrowed(bytes)),
            };
            match session.receive(message, now) {
                Output::Item(Incoming::Connect { namespace, .. }) => {
                    prop_assert!(session.accept(&namespace, "sid").is_some());
                }
                Output::Close(_) => break,
                _ => {}
            }
        }
    }
}

fn message() -> impl Strategy<Value = Result<String, Vec<u8>>> {
    prop_oneof![
        4 => "4[0-6](1-|2-)?(/a,|/b,)?[0-9]{0,2}(\\[\"e\",\\{\"_placeholder\":true,\"num\":0\\}\\])?".prop_map(Ok),
        2 => prop_oneof![Just("40"), Just("40/a,"), Just("42[\"e\"]"), Just("41"), Just("3")]
            .prop_map(|text| Ok(text.to_owned())),
        1 => ".{0,20}".prop_map(Ok),
        2 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Err),
    ]
}
