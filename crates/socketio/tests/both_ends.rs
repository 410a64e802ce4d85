//! This crate's client against this crate's server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use socketio::{
    AckError, Args, ClientConnection, ClientIncoming, CloseReason, Config, Connection, Frame, Incoming,
    Outgoing,
};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::within;
use crate::server::keys;

const LONG: Duration = Duration::from_secs(30);

type Client = ClientConnection<DuplexStream>;

/// How a server's connection ended: whether the client had left the namespace, and the reason.
type End = (bool, CloseReason);

/// Both ends over a stream that holds `capacity` bytes. The server admits who has the token, and then echoes; its
/// handle is for what it does by itself.
fn ends(capacity: usize, config: Config, token: &str) -> (Client, Outgoing, JoinHandle<End>) {
    let (client, server) = tokio::io::duplex(capacity);
    let config = Arc::new(config);
    let auth = RawValue::from_string(format!("{{\"token\":\"{token}\"}}")).unwrap();
    let client =
        ClientConnection::new(client, Bytes::new(), Arc::clone(&config), "/chat", Some(&auth), keys());
    let server = Connection::new(server, Bytes::new(), config, "engine");
    (client, server.outgoing(), tokio::spawn(serve(server)))
}

async fn serve(mut server: Connection<DuplexStream>) -> End {
    let outgoing = server.outgoing();
    let mut has_left = false;
    loop {
        match server.next().await {
            Incoming::Connect { namespace, auth } => {
                if auth.unwrap().get().contains("good") {
                    server.accept(&namespace, "socket");
                } else {
                    let data = RawValue::from_string("{\"code\":401}".to_owned()).unwrap();
                    server.refuse(&namespace, "who are you?", Some(&data));
                }
            }
            Incoming::Event { namespace, event } => {
                outgoing.send(Frame::event_with(&namespace, &event.name, &event.args).unwrap());
                if let Some(id) = event.ack {
                    outgoing.send(Frame::ack_with(&namespace, id, &event.args).unwrap());
                }
            }
            Incoming::Disconnect { .. } => has_left = true,
            Incoming::TooLarge { .. } => panic!("nothing is too large here"),
            Incoming::Closed(reason) => return (has_left, reason),
        }
    }
}

async fn joined(capacity: usize, config: Config) -> (Client, Outgoing, JoinHandle<End>) {
    let (mut client, outgoing, server) = ends(capacity, config, "good");
    match within(client.next()).await {
        ClientIncoming::Connected { sid } => assert_eq!(sid, "socket"),
        other => panic!("not connected: {other:?}"),
    }
    (client, outgoing, server)
}

/// Answers what asks, until the end.
async fn answer(mut client: Client) -> CloseReason {
    let outgoing = client.outgoing();
    loop {
        match client.next().await {
            ClientIncoming::Event(event) => {
                if let Some(id) = event.ack {
                    outgoing.send(Frame::ack_with("/chat", id, &event.args).unwrap());
                }
            }
            ClientIncoming::Closed(reason) => return reason,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everything_comes_back_in_order_however_small_the_stream() {
    for capacity in [1, 7, 300, 65_536] {
        let (mut client, _, server) = joined(capacity, Config::default()).await;
        let outgoing = client.outgoing();
        for first in (0..200).step_by(50) {
            for at in first..first + 50 {
                assert!(outgoing.send(Frame::event("/chat", "n", &(at, "x".repeat(at))).unwrap()));
            }
            for at in first..first + 50 {
                let ClientIncoming::Event(event) = client.next().await else { panic!("no event") };
                assert_eq!(event.args.parse::<(usize, String)>(0).unwrap(), (at, "x".repeat(at)));
            }
        }
        client.close(CloseReason::ClientClosed).await;
        assert_eq!(server.await.unwrap(), (true, CloseReason::Transport));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_lives_and_answers_afterwards() {
    let (client, of_server, server) = joined(4096, Config::default()).await;
    let of_client = client.outgoing();
    let client = tokio::spawn(answer(client));
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    let (asked, answered) = tokio::join!(
        of_client.emit_with_ack("/chat", "ask", &[1, 2], LONG),
        of_server.emit_with_ack("/chat", "ask", "you", LONG),
    );
    assert_eq!(asked.unwrap().get(0), Some("[1,2]"));
    assert_eq!(answered.unwrap().get(0), Some("\"you\""));
    of_client.close(CloseReason::ClientClosed);
    assert_eq!(client.await.unwrap(), CloseReason::ClientClosed);
    assert_eq!(server.await.unwrap(), (true, CloseReason::Transport));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_is_refused() {
    let (mut client, _, server) = ends(4096, Config::default(), "bad");
    let incoming = client.next().await;
    let ClientIncoming::Refused { message, data } = incoming else { panic!("{incoming:?}") };
    assert_eq!((&*message, data.unwrap().get()), ("who are you?", "{\"code\":401}"));
    client.close(CloseReason::ClientClosed).await;
    assert_eq!(server.await.unwrap(), (false, CloseReason::Transport));
}

#[tokio::test(start_paused = true)]
async fn who_is_put_out_is_told() {
    let (mut client, of_server, server) = joined(4096, Config::default()).await;
    of_server.send(Frame::disconnect("/chat"));
    assert!(matches!(client.next().await, ClientIncoming::Disconnected));
    client.close(CloseReason::ClientClosed).await;
    assert_eq!(server.await.unwrap(), (false, CloseReason::Transport));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_either_is_the_end_of_both() {
    let (mut client, of_server, server) = joined(4096, Config::default()).await;
    assert!(of_server.send(Frame::event("/chat", "last", &1).unwrap()));
    of_server.close(CloseReason::Shutdown);
    assert!(matches!(client.next().await, ClientIncoming::Event(event) if event.name == "last"));
    assert!(matches!(client.next().await, ClientIncoming::Closed(CloseReason::Transport)));
    let start = Instant::now();
    assert_eq!(server.await.unwrap(), (false, CloseReason::Shutdown));
    assert_eq!(start.elapsed(), Duration::ZERO);

    let (client, _, server) = joined(4096, Config::default()).await;
    drop(client);
    assert_eq!(server.await.unwrap(), (false, CloseReason::Transport));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_polled_is_dropped_and_sees_it() {
    let config = Config::default();
    let patience = config.ping_interval + config.ping_timeout;
    let (mut client, _, server) = joined(4096, config).await;
    let start = Instant::now();
    assert_eq!(server.await.unwrap(), (false, CloseReason::PingTimeout));
    assert_eq!(start.elapsed(), patience);
    assert!(matches!(client.next().await, ClientIncoming::Closed(CloseReason::Transport)));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_would_not_take_is_not_sent() {
    let config = Config { max_payload: 1000, ..Config::default() };
    let (client, _, server) = joined(4096, config).await;
    let outgoing = client.outgoing();
    let client = tokio::spawn(answer(client));
    let padding = |length: usize| "x".repeat(length - "420/chat,[\"n\",\"\"]".len());
    let asked = outgoing.emit_with_ack("/chat", "n", &padding(1001), LONG).await;
    assert!(matches!(asked, Err(AckError::TooLarge)));
    let largest = Args::new(&[padding(990)]).unwrap();
    assert!(outgoing.send(Frame::event_with("/chat", "n", &largest).unwrap()));
    let asked = outgoing.emit_with_ack("/chat", "n", &1, LONG).await;
    assert_eq!(asked.unwrap().get(0), Some("1"));
    outgoing.close(CloseReason::ClientClosed);
    assert_eq!(client.await.unwrap(), CloseReason::ClientClosed);
    assert_eq!(server.await.unwrap(), (true, CloseReason::Transport));
}
