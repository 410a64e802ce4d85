//! What a peer can make one connection hold, counted by the allocator and not by the connection's own gauge.

use allocation_counter::{AllocationInfo, measure};
use socketio::websocket::{Control, Data, OpCode};
use socketio::{Config, Frame, Incoming, Outgoing, Stale};
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};

use crate::client::{Client, Received, join, masked, memory_pair};

const KIB: u64 = 1024;
/// What a stranger's connection may take.
const STRANGER: u64 = 256 * KIB;

type Connection = socketio::Connection<DuplexStream>;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What is allocated while `story` runs. The thread's own buffers, which all its connections share, are there before.
fn held<F: Future<Output = ()>>(story: impl Fn() -> F) -> AllocationInfo {
    let runtime = runtime();
    runtime.block_on(async {
        let (mut connection, mut client) = memory_pair(Config::default());
        join(&mut connection, &mut client, "/").await;
    });
    measure(|| runtime.block_on(story()))
}

/// Sends `bytes` again and again, reads nothing, and lets the server do what it does, until nothing moves any more or
/// all is sent. Returns how many bytes went out.
async fn flood(
    connection: &mut Connection,
    client: &mut Client<DuplexStream>,
    bytes: &[u8],
    times: usize,
) -> usize {
    let mut sent = 0;
    let flooding = async {
        for _ in 0..times {
            client.bytes(bytes).await;
            sent += bytes.len();
        }
        // The server still takes in what is on its way.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    tokio::select! {
        () = flooding => {}
        () = serve(connection) => {}
        // Time is paused: it goes on when nobody has anything to do.
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
    }
    sent
}

/// Answers each event that asks for it, as a server does, until the connection is over.
async fn serve(connection: &mut Connection) {
    let outgoing = connection.outgoing();
    loop {
        match connection.next().await {
            Incoming::Connect { namespace, .. } => connection.refuse(&namespace, "Invalid namespace", None),
            Incoming::Event { namespace, event } => {
                if let Some(id) = event.ack {
                    outgoing.send(Frame::ack(&namespace, id, "pong").unwrap());
                }
            }
            Incoming::Disconnect { .. } | Incoming::TooLarge { .. } => {}
            Incoming::Closed(_) => return,
        }
    }
}

fn pings() -> Vec<u8> {
    masked(OpCode::Control(Control::Ping), b"").repeat(1000)
}

#[test]
fn a_stranger_that_reads_nothing_is_not_read_from() {
    let auth = format!("40/nowhere,{{\"a\":\"{}\"}}", "x".repeat(60_000));
    let connect = |number: usize| masked(OpCode::Data(Data::Text), format!("40/nowhere{number},").as_bytes());
    let connects: Vec<u8> = (0..100).flat_map(connect).collect();
    let large = masked(OpCode::Data(Data::Text), auth.as_bytes());
    let begun = &masked(OpCode::Data(Data::Text), &[b'x'; 65_000])[..64_000];
    for bytes in [&pings()[..], &connects, &large, begun] {
        let info = held(|| async {
            let (mut connection, mut client) = memory_pair(Config::default());
            let sent = flood(&mut connection, &mut client, bytes, 2_000_000 / bytes.len()).await;
            assert!(sent < 1_500_000 || bytes.len() > 50_000, "{sent} bytes were read for nothing");
        });
        assert!(info.bytes_max < STRANGER, "{} bytes held", info.bytes_max);
    }
}

#[test]
fn fragments_take_no_more_than_the_message_may_have() {
    let fragment = {
        let mut frame = masked(OpCode::Data(Data::Continue), &[b'x'; 100]);
        // Not the last one.
        frame[0] &= 0x7f;
        frame
    };
    let mut first = masked(OpCode::Data(Data::Text), b"x");
    first[0] &= 0x7f;
    let info = held(|| async {
        let (mut connection, mut client) = memory_pair(Config::default());
        client.bytes(&first).await;
        flood(&mut connection, &mut client, &fragment, 650).await;
    });
    assert!(info.bytes_max < STRANGER, "{} bytes held", info.bytes_max);
}

#[test]
fn one_pong_waits_however_many_pings_came() {
    let info = held(|| async {
        let (mut connection, mut client) = memory_pair(Config::default());
        join(&mut connection, &mut client, "/").await;
        let sent = flood(&mut connection, &mut client, &pings(), 300).await;
        assert_eq!(sent, 300 * pings().len(), "a peer that is known is read from");
        let last = masked(OpCode::Control(Control::Ping), b"last");
        flood(&mut connection, &mut client, &last, 1).await;
        // Some went out before the stream was full; the newest is answered, and the rest never were.
        let mut pongs = 0;
        let reading = async {
            loop {
                match client.next().await {
                    Received::Pong(payload) if payload == b"last" => return,
                    Received::Pong(_) => pongs += 1,
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::select! { () = reading => {}, () = serve(&mut connection) => unreachable!() }
        assert!(pongs < 4096, "{pongs}");
    });
    assert!(info.bytes_max < 128 * KIB, "{} bytes held", info.bytes_max);
}

/// Sends to a peer that reads nothing for as long as the queue takes it.
async fn fill(send: impl Fn(&Outgoing, usize) -> bool) {
    let (mut connection, mut client) =
        memory_pair(Config { max_queue_bytes: 256 * 1024, ..Config::default() });
    join(&mut connection, &mut client, "/").await;
    let outgoing = connection.outgoing();
    for at in 0..100_000 {
        if !send(&outgoing, at) {
            return;
        }
        if at % 50 == 0 {
            tokio::select! {
                biased;
                incoming = connection.next() => panic!("{incoming:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    panic!("the queue has no end");
}

#[test]
fn what_waits_takes_no_more_memory_than_it_is_charged_with() {
    for body in [0, 1, 30, 200, 2_000, 20_000] {
        let text = "x".repeat(body);
        let info =
            held(|| fill(|outgoing, _| outgoing.send(Frame::ack("/", socketio::AckId(7), &text).unwrap())));
        assert!(info.bytes_max < 384 * KIB, "{} bytes held for frames of {body}", info.bytes_max);
        let info = held(|| {
            fill(|outgoing, at| {
                let frame = Frame::event("/", "n", &text).unwrap();
                outgoing.send_newest(at as u64, Stale::State, frame)
            })
        });
        assert!(info.bytes_max < 384 * KIB, "{} bytes held for states of {body}", info.bytes_max);
    }
}

#[test]
fn events_that_were_read_ahead_are_bounded_in_bytes() {
    let event = masked(OpCode::Data(Data::Text), format!("42[\"e\",\"{}\"]", "x".repeat(60_000)).as_bytes());
    let info = held(|| async {
        let (mut connection, mut client) = memory_pair(Config::default());
        join(&mut connection, &mut client, "/").await;
        let sending = async {
            for _ in 0..30 {
                client.bytes(&event).await;
            }
        };
        let busy = connection.during(tokio::time::sleep(std::time::Duration::from_secs(5)));
        tokio::select! { () = busy => {}, () = sending => unreachable!("30 events were read ahead") }
    });
    assert!(info.bytes_max < 320 * KIB, "{} bytes held", info.bytes_max);
}

#[test]
fn everything_is_given_back_at_the_end() {
    let info = held(|| async {
        let (mut connection, mut client) = memory_pair(Config::default());
        join(&mut connection, &mut client, "/").await;
        flood(&mut connection, &mut client, &pings(), 20).await;
        drop(client);
        serve(&mut connection).await;
    });
    assert!(info.bytes_current < 4 * i64::try_from(KIB).unwrap(), "{info:?}");
}
