//! A peer that is silent or reads nothing is gone in time, whatever else goes on; one that is alive is kept.

use std::time::Duration;

use socketio::{CloseReason, Config, Frame, Incoming};
use tokio::time::Instant;

use crate::client::{Received, join, joined, memory_pair, within};

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_first_ping_comes_one_interval_after_the_handshake() {
    let start = Instant::now();
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    let server = tokio::spawn(async move { connection.next().await });
    assert_eq!(client.next().await, Received::Text("2".to_owned()));
    assert_eq!(start.elapsed(), INTERVAL);
    tokio::time::sleep(Duration::from_secs(59)).await;
    client.text("3").await;
    assert_eq!(client.next().await, Received::Text("2".to_owned()));
    assert_eq!(start.elapsed(), INTERVAL * 2 + Duration::from_secs(59));
    assert!(!server.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_missing_pong_ends_the_connection_on_time() {
    let start = Instant::now();
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    // Other packets are no answer.
    let chatter = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            client.text("42[\"e\"]").await;
        }
    };
    let ended = async {
        loop {
            if let Incoming::Closed(reason) = connection.next().await {
                return reason;
            }
        }
    };
    let reason = tokio::select! { reason = ended => reason, () = chatter => unreachable!() };
    assert_eq!(reason, CloseReason::PingTimeout);
    assert_eq!(start.elapsed(), INTERVAL + TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn an_unasked_pong_does_not_put_off_the_ping() {
    let start = Instant::now();
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    tokio::spawn(async move { connection.next().await });
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.text("3").await;
    assert_eq!(client.next().await, Received::Text("2".to_owned()));
    assert_eq!(start.elapsed(), INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn without_an_accepted_namespace_the_connection_ends() {
    let start = Instant::now();
    let (mut connection, mut client) = memory_pair(Config::default());
    client.text("40").await;
    assert!(matches!(connection.next().await, Incoming::Connect { .. }));
    connection.refuse("/", "no", None);
    client.text("40/slow,").await;
    assert!(matches!(connection.next().await, Incoming::Connect { .. }));
    let (ended, ()) = tokio::join!(connection.next(), async {
        assert!(client.expect_text().await.starts_with("0{"));
        assert_eq!(client.expect_text().await, "44{\"message\":\"no\"}");
        assert_eq!(client.expect_close().await, Some(1008));
        drop(client);
    });
    assert!(matches!(ended, Incoming::Closed(CloseReason::ConnectTimeout)));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_the_peer_ignores_ends_in_time() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    let start = Instant::now();
    connection.close(CloseReason::Server).await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_long_neither_delays_pings_nor_hides_a_death() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    let outgoing = connection.outgoing();
    let peer = tokio::spawn(async move {
        for _ in 0..3 {
            assert_eq!(client.next().await, Received::Text("2".to_owned()));
            client.text("3").await;
        }
        // Alive until here, silent from here on.
        client
    });
    let start = Instant::now();
    let died = connection
        .during(async {
            while !outgoing.is_closed() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let died = start.elapsed();
            tokio::time::sleep(Duration::from_secs(1000)).await;
            died
        })
        .await;
    let expected = INTERVAL * 4 + TIMEOUT;
    assert!(died >= expected && died <= expected + Duration::from_secs(1), "{died:?}");
    assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::PingTimeout)));
    drop(peer.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_not_blamed_for_what_a_busy_handler_did_not_read() {
    let (mut connection, mut client) = memory_pair(Config { max_pending_events: 4, ..Config::default() });
    join(&mut connection, &mut client, "/").await;
    for at in 0..20 {
        client.text(&format!("42[\"e\",{at}]")).await;
    }
    tokio::spawn(async move {
        loop {
            match client.next().await {
                Received::Text(text) if text == "2" => client.text("3").await,
                Received::Gone => return,
                other => panic!("{other:?}"),
            }
        }
    });
    for expected in 0..20 {
        let Incoming::Event { event, .. } = connection.next().await else { panic!("no event") };
        assert_eq!(event.args.parse::<u32>(0).unwrap(), expected);
        connection.during(tokio::time::sleep(Duration::from_secs(100))).await;
    }
    assert!(!connection.outgoing().is_closed());
}

/// Fills the socket, so that every write from here on would wait for ever.
fn fill(connection: &socketio::Connection<tokio::net::TcpStream>) {
    let outgoing = connection.outgoing();
    let padding = "x".repeat(64 * 1024);
    for _ in 0..12 {
        assert!(outgoing.send(Frame::event("/", "fill", &padding).unwrap()));
    }
}

fn short() -> Config {
    Config {
        ping_interval: Duration::from_millis(600),
        ping_timeout: Duration::from_millis(600),
        close_timeout: Duration::from_millis(150),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_dropped_on_time() {
    let (mut connection, client) = joined(short()).await;
    fill(&connection);
    let start = Instant::now();
    assert!(matches!(within(connection.next()).await, Incoming::Closed(CloseReason::PingTimeout)));
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(client);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_dropped_while_a_handler_runs() {
    let (mut connection, client) = joined(short()).await;
    fill(&connection);
    let outgoing = connection.outgoing();
    within(connection.during(async {
        while !outgoing.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }))
    .await;
    assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::PingTimeout)));
    drop(client);
}

#[tokio::test]
async fn a_flooding_peer_that_reads_nothing_is_dropped_while_a_handler_runs() {
    let (mut connection, mut client) = joined(short()).await;
    fill(&connection);
    for _ in 0..50 {
        client.text("42[\"e\"]").await;
    }
    let outgoing = connection.outgoing();
    within(connection.during(async {
        while !outgoing.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }))
    .await;
    drop(client);
}

#[tokio::test]
async fn a_close_does_not_wait_for_a_peer_that_reads_nothing() {
    let (mut connection, client) =
        joined(Config { close_timeout: Duration::from_millis(150), ..Config::default() }).await;
    fill(&connection);
    within(connection.close(CloseReason::Shutdown)).await;
    assert_eq!(connection.outgoing().queued_bytes(), 0);
    assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::Shutdown)));
    drop(client);
}

#[tokio::test]
async fn a_handle_outlives_its_connection_harmlessly() {
    let (connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    drop(connection);
    assert!(outgoing.is_closed());
    assert!(!outgoing.send(Frame::disconnect("/")));
    assert_eq!(within(client.next()).await, Received::Gone);
}
