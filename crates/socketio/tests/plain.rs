//! A WebSocket without Engine.IO: the same driver, a heartbeat of WebSocket's own, an end that its owner words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socketio::websocket::Control;
use socketio::{CloseReason, Config, Frame, PlainConnection};
use tokio::io::DuplexStream;
use tokio::time::Instant;

use crate::client::{Client, Received, within};

const INTERVAL: Duration = Duration::from_secs(25);
const SILENCE: Duration = Duration::from_secs(85);

fn farewell(reason: CloseReason) -> (Option<Frame>, u16) {
    match reason {
        CloseReason::PingTimeout => (Some(Frame::plain("too quiet")), 4408),
        CloseReason::Shutdown => (None, 1001),
        _ => (None, 1000),
    }
}

fn pair(config: Config) -> (PlainConnection<DuplexStream>, Client<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1 << 17);
    let connection = PlainConnection::new(server, Bytes::new(), Arc::new(config), farewell);
    (connection, Client::new(client, Vec::new()))
}

#[tokio::test(start_paused = true)]
async fn text_goes_both_ways_as_it_stands() {
    let (mut connection, mut client) = pair(Config::default());
    assert_eq!(connection.outgoing().wire(), None);
    client.text("{\"type\":\"ping\"}").await;
    client.binary(b"\0").await;
    client.text("2").await;
    assert_eq!(within(connection.next()).await, Ok("{\"type\":\"ping\"}".into()));
    assert_eq!(within(connection.next()).await, Ok("2".into()), "what is binary is ignored");
    assert!(connection.outgoing().send(Frame::plain("said")));
    client.control(Control::Ping, b"there?").await;
    tokio::spawn(async move { connection.next().await });
    assert_eq!(client.next().await, Received::Text("said".into()));
    assert_eq!(client.next().await, Received::Pong(b"there?".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn who_answers_pings_stays_and_who_falls_silent_is_told_why_and_dropped() {
    let (start, (mut connection, mut client)) = (Instant::now(), pair(Config::default()));
    let server = tokio::spawn(async move { connection.next().await });
    for round in 1..=8 {
        assert_eq!(client.next().await, Received::Ping(Vec::new()));
        assert_eq!(start.elapsed(), INTERVAL * round);
        client.control(Control::Pong, b"").await;
    }
    let silent_since = Instant::now();
    loop {
        match client.next().await {
            Received::Ping(_) => {}
            told => break assert_eq!(told, Received::Text("too quiet".into())),
        }
    }
    assert_eq!(client.next().await, Received::Close(Some(4408)));
    assert_eq!(silent_since.elapsed(), SILENCE);
    assert_eq!(within(server).await.unwrap(), Err(CloseReason::PingTimeout));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_counts_as_much_as_an_answer_to_a_ping() {
    let (start, (mut connection, mut client)) = (Instant::now(), pair(Config::default()));
    let server = tokio::spawn(async move { while connection.next().await.is_ok() {} });
    while start.elapsed() < SILENCE * 3 {
        client.text("{}").await;
        tokio::time::sleep(Duration::from_secs(80)).await;
    }
    assert!(!server.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_is_written_before_the_end() {
    let (mut connection, mut client) = pair(Config::default());
    let outgoing = connection.outgoing();
    outgoing.send(Frame::plain("last words"));
    outgoing.close(CloseReason::Shutdown);
    let server = tokio::spawn(async move { connection.next().await });
    assert_eq!(client.next().await, Received::Text("last words".into()));
    assert_eq!(client.next().await, Received::Close(Some(1001)));
    drop(client);
    assert_eq!(within(server).await.unwrap(), Err(CloseReason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_too_large_ends_it() {
    let (mut connection, mut client) = pair(Config { max_skipped: 0, ..Config::default() });
    let server = tokio::spawn(async move { connection.next().await });
    client.text(&"x".repeat(65_537)).await;
    assert_eq!(client.next().await, Received::Close(Some(1000)));
    drop(client);
    assert_eq!(within(server).await.unwrap(), Err(CloseReason::TooLarge));
}
