//! A peer that sends without end gives way to others; one that reads slowly is told less, not nothing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socketio::websocket::{Data, OpCode};
use socketio::{CloseReason, Config, Frame, Incoming, Stale};

use crate::client::{Client, Received, join, masked, memory_pair};

/// What can be taken from the connection in one go, before its task gives way.
async fn taken_in_one_turn(frames: &[u8]) -> usize {
    let (client, server) = tokio::io::duplex(1024 * 1024);
    let mut connection = socketio::Connection::new(server, bytes::Bytes::new(), Default::default(), "sid");
    let mut client = Client::new(client, Vec::new());
    join(&mut connection, &mut client, "/").await;
    client.bytes(frames).await;
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(incoming) = pin!(connection.next()).poll(&mut context) {
        assert!(matches!(incoming, Incoming::Event { .. }), "{incoming:?}");
        taken += 1;
    }
    taken
}

#[tokio::test]
async fn a_connection_gives_way_after_64_packets() {
    let events = masked(OpCode::Data(Data::Text), b"42[\"e\"]").repeat(1000);
    let taken = taken_in_one_turn(&events).await;
    assert!((32..=80).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_connection_gives_way_after_64_kib() {
    let event = format!("42[\"e\",\"{}\"]", "x".repeat(30_000));
    let taken = taken_in_one_turn(&masked(OpCode::Data(Data::Text), event.as_bytes()).repeat(20)).await;
    assert!((1..=5).contains(&taken), "{taken}");
}

#[tokio::test]
async fn what_asks_for_nothing_counts_as_well() {
    let noops = masked(OpCode::Data(Data::Text), b"6").repeat(1000);
    let event = masked(OpCode::Data(Data::Text), b"42[\"e\"]");
    assert_eq!(taken_in_one_turn(&[noops, event].concat()).await, 0);
}

#[tokio::test]
async fn who_gave_way_goes_on_by_itself() {
    let (client, server) = tokio::io::duplex(1024 * 1024);
    let mut connection = socketio::Connection::new(server, bytes::Bytes::new(), Default::default(), "sid");
    let mut client = Client::new(client, Vec::new());
    join(&mut connection, &mut client, "/").await;
    client.bytes(&masked(OpCode::Data(Data::Text), b"6").repeat(1000)).await;
    client.bytes(&masked(OpCode::Data(Data::Text), b"42[\"e\"]").repeat(1000)).await;
    for at in 0..1000 {
        let next = tokio::time::timeout(Duration::from_secs(20), connection.next()).await;
        assert!(matches!(next, Ok(Incoming::Event { .. })), "at {at}: {next:?}");
        if at % 100 == 0 {
            connection.during(tokio::task::yield_now()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_last_namespace_has_the_time_of_a_handshake_to_come_to_another() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    client.text("41").await;
    assert!(matches!(connection.next().await, Incoming::Disconnect { .. }));
    tokio::time::sleep(Duration::from_secs(9)).await;
    join(&mut connection, &mut client, "/").await;
    client.text("41").await;
    assert!(matches!(connection.next().await, Incoming::Disconnect { .. }));
    let start = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(connection.next(), async {
        assert_eq!(client.expect_close().await, Some(1008));
        drop(client);
    });
    assert!(matches!(ended, Incoming::Closed(CloseReason::ConnectTimeout)));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn who_is_put_out_of_the_last_namespace_is_gone_in_time() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    connection.outgoing().send(Frame::disconnect("/"));
    let (ended, ()) = tokio::join!(connection.next(), async {
        assert_eq!(client.expect_text().await, "41");
        assert_eq!(client.expect_close().await, Some(1008));
        drop(client);
    });
    assert!(matches!(ended, Incoming::Closed(CloseReason::ConnectTimeout)));
}

fn state(of: usize, number: usize) -> Frame {
    Frame::event("/", "s", &(of, number, "x".repeat(500))).unwrap()
}

fn told(text: &str) -> (usize, usize) {
    let rest = text.strip_prefix("42[\"s\",[").expect(text);
    let mut numbers = rest.split(',').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Sends 300 states of each of ten things to a peer that reads nothing meanwhile, and returns what it finds then.
async fn told_late(stale: Stale, max_queue_bytes: usize) -> Vec<(usize, usize)> {
    let (mut connection, mut client) = memory_pair(Config { max_queue_bytes, ..Config::default() });
    join(&mut connection, &mut client, "/").await;
    let outgoing = connection.outgoing();
    for number in 0..300 {
        for of in 0..10 {
            assert!(outgoing.send_newest(of as u64, stale, state(of, number)), "at {number}");
        }
        connection.during(tokio::task::yield_now()).await;
    }
    assert!(outgoing.queued_bytes() <= max_queue_bytes);
    assert!(outgoing.send(Frame::event("/", "end", "").unwrap()));
    let reading = async {
        let mut all = Vec::new();
        loop {
            match client.next().await {
                Received::Text(text) if text.starts_with("42[\"end\"") => return all,
                Received::Text(text) => all.push(told(&text)),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::select! { all = reading => all, incoming = connection.next() => panic!("{incoming:?}") }
}

#[tokio::test]
async fn a_slow_reader_is_told_the_newest_state_of_each_thing() {
    for stale in [Stale::State, Stale::Passing] {
        let all = told_late(stale, 64 * 1024).await;
        assert!(all.len() < 300, "{}", all.len());
        for of in 0..10 {
            let numbers: Vec<_> = all.iter().filter(|told| told.0 == of).map(|told| told.1).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
            assert_eq!(numbers.last(), Some(&299));
        }
    }
}

#[tokio::test]
async fn what_came_and_went_while_it_waited_was_never_there() {
    let (mut connection, mut client) =
        memory_pair(Config { max_queue_bytes: 64 * 1024, ..Config::default() });
    join(&mut connection, &mut client, "/").await;
    let outgoing = connection.outgoing();
    for number in 0..20 {
        assert!(outgoing.send(state(1_000, number)));
    }
    // Ten thousand come and go; of every hundredth it was known before that it was there.
    for of in 0..10_000 {
        if of % 100 == 0 {
            assert!(outgoing.send_newest(of, Stale::Edge(false), state(of as usize, 0)));
        }
        assert!(outgoing.send_newest(of, Stale::Edge(true), state(of as usize, 1)), "at {of}");
        if of % 100 != 0 {
            assert!(outgoing.send_newest(of, Stale::Edge(false), state(of as usize, 2)), "at {of}");
        }
    }
    // What stays is told, also twice.
    for _ in 0..2 {
        assert!(outgoing.send_newest(10_000, Stale::Edge(true), state(10_000, 3)));
    }
    assert!(outgoing.send(Frame::event("/", "end", "").unwrap()));
    let reading = async {
        let mut all = Vec::new();
        loop {
            match client.next().await {
                Received::Text(text) if text.starts_with("42[\"end\"") => return all,
                Received::Text(text) => all.push(told(&text)),
                other => panic!("{other:?}"),
            }
        }
    };
    let all = tokio::select! { all = reading => all, incoming = connection.next() => panic!("{incoming:?}") };
    let states: Vec<_> = all.iter().filter(|told| told.0 != 1_000).collect();
    assert_eq!(states, [&(10_000, 3)]);
    assert_eq!(all.len(), 21);
    assert_eq!(outgoing.queued_bytes(), 0);
}

#[tokio::test]
async fn what_passes_is_replaced_before_states_are() {
    let states = told_late(Stale::State, 5 * 1024 * 1024).await;
    assert_eq!(states.len(), 3000, "the queue is not half full");
    let passing = told_late(Stale::Passing, 5 * 1024 * 1024).await;
    assert!(passing.len() < 1000, "{}", passing.len());
}
