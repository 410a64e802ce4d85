//! No event is skipped, none overtakes another, in either direction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socketio::{CloseReason, Config, Frame, Incoming, Meter};

use crate::client::{Client, Received, join, joined, pair, within};

fn numbered(number: usize, padding: usize) -> Frame {
    Frame::event("/", "n", &(number, "x".repeat(padding))).unwrap()
}

fn number(text: &str) -> usize {
    let rest = text.strip_prefix("42[\"n\",[").expect(text);
    rest[..rest.find(',').unwrap()].parse().unwrap()
}

#[tokio::test]
async fn a_reader_that_stalls_too_long_is_dropped_without_a_gap() {
    let meter = Arc::new(Meter::default());
    let config = Config { max_queue_bytes: 128 * 1024, meter: Arc::clone(&meter), ..Config::default() };
    let (mut connection, mut client) = joined(config).await;
    let outgoing = connection.outgoing();
    let driver = tokio::spawn(async move { connection.next().await });
    let mut sent = 0;
    while outgoing.send(numbered(sent, 1000)) {
        sent += 1;
        assert!(sent < 12_000, "the bound is never reached");
        tokio::task::yield_now().await;
    }
    assert!(outgoing.is_closed());
    assert!(!outgoing.send(numbered(sent + 1, 0)), "nothing is taken after the gap");
    assert!(matches!(within(driver).await.unwrap(), Incoming::Closed(CloseReason::SlowReader)));
    // What the reader finds when it resumes is a beginning of what was sent, and then the end.
    let mut read = 0;
    while let Received::Text(text) = within(client.next()).await {
        assert_eq!(number(&text), read);
        read += 1;
    }
    assert!(read <= sent);
    assert_eq!(meter.queued_bytes.load(Ordering::Relaxed), 0);
    assert_eq!(outgoing.queued_bytes(), 0);
}

#[tokio::test]
async fn a_reader_that_stalls_and_resumes_gets_everything_in_order() {
    let meter = Arc::new(Meter::default());
    let config = Config { max_queue_bytes: 16 * 1024 * 1024, meter: Arc::clone(&meter), ..Config::default() };
    let (mut connection, mut client) = joined(config).await;
    let outgoing = connection.outgoing();
    let driver = tokio::spawn(async move { connection.next().await });
    // Small and large frames in turns, through every way of writing.
    let padding = |at: usize| [10, 300, 9_000, 40, 70_000, 1, 2, 8_150][at % 8];
    for at in 0..800 {
        assert!(outgoing.send(numbered(at, padding(at))));
        if at % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(outgoing.queued_bytes() > 1024 * 1024, "the reader does stall");
    assert!(meter.queued_bytes.load(Ordering::Relaxed) > 1024 * 1024);
    for at in 0..800 {
        let text = client.expect_text().await;
        assert_eq!(text, format!("42[\"n\",[{at},\"{}\"]]", "x".repeat(padding(at))));
    }
    assert_eq!(meter.queued_bytes.load(Ordering::Relaxed), 0);
    client.text("42[\"still\"]").await;
    assert!(matches!(within(driver).await.unwrap(), Incoming::Event { event, .. } if event.name == "still"));
}

#[tokio::test]
async fn a_frame_larger_than_the_queue_ends_the_connection() {
    let (mut connection, _client) = joined(Config { max_queue_bytes: 1000, ..Config::default() }).await;
    assert!(!connection.outgoing().send(numbered(0, 1000)));
    assert!(matches!(within(connection.next()).await, Incoming::Closed(CloseReason::SlowReader)));
}

#[tokio::test]
async fn pipelined_events_are_handled_in_the_order_sent() {
    const EVENTS: usize = 20_000;
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let server = tokio::spawn(async move {
        for expected in 0..EVENTS {
            let Incoming::Event { namespace, event } = connection.next().await else { panic!("no event") };
            assert_eq!(event.args.parse::<usize>(0).unwrap(), expected);
            let answer = Frame::ack(&namespace, event.ack.unwrap(), &expected).unwrap();
            // Handlers that wait must not let the next event pass.
            let wait = async {
                if expected % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                if expected % 1000 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            connection.during(wait).await;
            assert!(outgoing.send(answer));
        }
        connection.next().await
    });
    for first in (0..EVENTS).step_by(500) {
        let mut burst = Vec::new();
        for at in first..first + 500 {
            burst.extend(crate::client::masked(text_opcode(), format!("42{at}[\"e\",{at}]").as_bytes()));
        }
        client.bytes(&burst).await;
        for at in first..first + 500 {
            assert_eq!(client.expect_text().await, format!("43{at}[{at}]"));
        }
    }
    drop(client);
    assert!(matches!(within(server).await.unwrap(), Incoming::Closed(CloseReason::Transport)));
}

fn text_opcode() -> socketio::websocket::OpCode {
    socketio::websocket::OpCode::Data(socketio::websocket::Data::Text)
}

#[tokio::test]
async fn nothing_is_lost_right_after_connecting() {
    for _ in 0..100 {
        let (mut connection, mut client) = pair(Config::default()).await;
        let server = async {
            let Incoming::Connect { namespace, .. } = connection.next().await else { panic!("no CONNECT") };
            connection.accept(&namespace, "a");
            for at in 0..5 {
                assert!(connection.outgoing().send(numbered(at, 0)));
            }
            for expected in 0..5 {
                let Incoming::Event { event, .. } = connection.next().await else { panic!("no event") };
                assert_eq!(event.args.parse::<usize>(0).unwrap(), expected);
            }
        };
        let client = async {
            client.text("40").await;
            assert!(client.expect_text().await.starts_with('0'));
            assert_eq!(client.expect_text().await, "40{\"sid\":\"a\"}");
            for at in 0..5 {
                client.text(&format!("42[\"e\",{at}]")).await;
            }
            for at in 0..5 {
                assert_eq!(number(&client.expect_text().await), at);
            }
        };
        tokio::join!(server, client);
    }
}

#[tokio::test]
async fn events_sent_before_a_goodbye_are_handled() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let mut burst = Vec::new();
    for _ in 0..100 {
        burst.extend(crate::client::masked(text_opcode(), b"42[\"e\"]"));
    }
    client.bytes(&burst).await;
    client.text("41").await;
    client.text("1").await;
    drop(client);
    for _ in 0..100 {
        assert!(matches!(connection.next().await, Incoming::Event { .. }));
    }
    assert!(matches!(connection.next().await, Incoming::Disconnect { .. }));
    for _ in 0..3 {
        assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::ClientClosed)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_from_many_tasks_all_arrive_each_tasks_in_order() {
    let (mut connection, mut client) =
        joined(Config { max_queue_bytes: 64 * 1024 * 1024, ..Config::default() }).await;
    let outgoing = connection.outgoing();
    tokio::spawn(async move { connection.next().await });
    for task in 0..8 {
        let outgoing = outgoing.clone();
        tokio::spawn(async move {
            for at in 0..500 {
                assert!(outgoing.send(numbered(task * 1000 + at, at)));
                if at % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let mut next = [0; 8];
    for _ in 0..8 * 500 {
        let number = number(&client.expect_text().await);
        assert_eq!(number % 1000, next[number / 1000]);
        next[number / 1000] += 1;
    }
}

#[tokio::test]
async fn what_is_queued_is_flushed_before_the_close() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    for at in 0..300 {
        outgoing.send(numbered(at, 1000));
    }
    let server = tokio::spawn(async move {
        connection.close(CloseReason::Shutdown).await;
        connection.next().await
    });
    for at in 0..300 {
        assert_eq!(number(&client.expect_text().await), at);
    }
    assert_eq!(client.expect_close().await, Some(1001));
    drop(client);
    assert!(matches!(within(server).await.unwrap(), Incoming::Closed(CloseReason::Shutdown)));
}

#[tokio::test]
async fn a_handle_can_end_the_connection() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let server = tokio::spawn(async move { connection.next().await });
    outgoing.send(numbered(0, 0));
    outgoing.close(CloseReason::Server);
    outgoing.close(CloseReason::Shutdown);
    assert!(!outgoing.send(numbered(1, 0)));
    assert_eq!(number(&client.expect_text().await), 0);
    assert_eq!(client.expect_close().await, Some(1000));
    drop(client);
    assert!(matches!(within(server).await.unwrap(), Incoming::Closed(CloseReason::Server)));
}

#[tokio::test]
async fn bytes_read_with_the_upgrade_are_not_lost() {
    let (client, server) = tokio::io::duplex(4096);
    let already_read = crate::client::masked(text_opcode(), b"40").into();
    let mut connection = socketio::Connection::new(server, already_read, Arc::default(), "sid");
    let mut client = Client::new(client, Vec::new());
    assert!(matches!(connection.next().await, Incoming::Connect { .. }));
    connection.accept("/", "sid");
    let greeting =
        connection.during(async { [client.expect_text().await, client.expect_text().await] }).await;
    assert!(greeting[0].starts_with("0{"));
    assert_eq!(greeting[1], "40{\"sid\":\"sid\"}");
    join(&mut connection, &mut client, "/other").await;
}
