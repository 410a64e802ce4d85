//! Answers, both ways.

use std::time::Duration;

use serde_json::json;
use socketio::{AckError, AckId, Args, CloseReason, Config, Frame, Incoming};

use crate::client::{Received, join, joined, memory_pair, within};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_answer_reaches_a_handler_that_waits_for_it() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let peer = tokio::spawn(async move {
        assert_eq!(client.expect_text().await, "420[\"ask\",{\"n\":1}]");
        client.text("42[\"between\"]").await;
        client.text("430[\"yes\",2]").await;
        client
    });
    let args =
        within(connection.during(outgoing.emit_with_ack("/", "ask", &json!({"n": 1}), LONG))).await.unwrap();
    assert_eq!(args.iter().collect::<Vec<_>>(), ["\"yes\"", "2"]);
    assert_eq!(args.parse::<String>(0).unwrap(), "yes");
    assert!(matches!(connection.next().await, Incoming::Event { event, .. } if event.name == "between"));
    drop(peer.await.unwrap());
}

#[tokio::test]
async fn an_answer_with_attachments() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let peer = async {
        assert_eq!(client.expect_text().await, "420[\"ask\",null]");
        client.text("461-0[{\"_placeholder\":true,\"num\":0}]").await;
        client.binary(b"abc").await;
    };
    let ask = outgoing.emit_with_ack("/", "ask", &(), LONG);
    let (answer, ()) = within(connection.during(async { tokio::join!(ask, peer) })).await;
    assert_eq!(&answer.unwrap().attachments()[0][..], b"abc");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_and_an_unknown_one_are_ignored() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    join(&mut connection, &mut client, "/other").await;
    let outgoing = connection.outgoing();
    let timeout = Duration::from_secs(5);
    let answer = connection.during(outgoing.emit_with_ack("/", "ask", &1, timeout)).await;
    assert!(matches!(answer, Err(AckError::Timeout)));
    client.text("430[1]").await;
    client.text("43777[1]").await;
    client.text("42[\"alive\"]").await;
    assert!(matches!(connection.next().await, Incoming::Event { event, .. } if event.name == "alive"));
    // The right id in the wrong namespace is unknown too.
    let wrong = async {
        client.text("43/other,1[1]").await;
        client.text("431[2]").await;
    };
    let ask = outgoing.emit_with_ack("/", "ask", &1, timeout);
    let (answer, ()) = connection.during(async { tokio::join!(ask, wrong) }).await;
    assert_eq!(answer.unwrap().get(0), Some("2"));
}

#[tokio::test]
async fn the_end_of_the_connection_ends_the_wait() {
    let (mut connection, client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let ask = outgoing.emit_with_ack("/", "ask", &1, LONG);
    let hang_up = async {
        tokio::task::yield_now().await;
        drop(client);
    };
    let (answer, ()) = within(connection.during(async { tokio::join!(ask, hang_up) })).await;
    assert!(matches!(answer, Err(AckError::Closed)));
    assert!(matches!(outgoing.emit_with_ack("/", "ask", &1, LONG).await, Err(AckError::Closed)));
    assert!(matches!(connection.next().await, Incoming::Closed(CloseReason::Transport)));
}

#[tokio::test]
async fn leaving_the_namespace_ends_the_wait() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    let ask = outgoing.emit_with_ack("/", "ask", &1, LONG);
    let leave = async { client.text("41").await };
    let (answer, ()) = within(connection.during(async { tokio::join!(ask, leave) })).await;
    assert!(matches!(answer, Err(AckError::Closed)));
    assert!(matches!(connection.next().await, Incoming::Disconnect { .. }));
}

#[tokio::test(start_paused = true)]
async fn answers_awaited_are_bounded_and_a_wait_given_up_frees_its_place() {
    let (mut connection, mut client) = memory_pair(Config::default());
    join(&mut connection, &mut client, "/").await;
    let outgoing = connection.outgoing();
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..1024 {
        let outgoing = outgoing.clone();
        waits.spawn(async move { outgoing.emit_with_ack("/", "ask", &1, LONG).await.is_ok() });
    }
    let overhead = Frame::text("").cost() - Frame::text("").len();
    let all: usize = (0..1024).map(|id| 2 + format!("42{id}[\"ask\",1]").len() + overhead).sum();
    while outgoing.queued_bytes() < all {
        tokio::task::yield_now().await;
    }
    let refused = outgoing.emit_with_ack("/", "ask", &1, LONG).await;
    assert!(matches!(refused, Err(AckError::TooMany)));
    waits.shutdown().await;
    let short = Duration::from_millis(1);
    let taken = connection.during(outgoing.emit_with_ack("/", "ask", &1, short)).await;
    assert!(matches!(taken, Err(AckError::Timeout)));
}

#[tokio::test]
async fn the_server_answers_events() {
    let (mut connection, mut client) = joined(Config::default()).await;
    let outgoing = connection.outgoing();
    client.text("427[\"e\",[\"a\",{\"b\":1}],2]").await;
    let Incoming::Event { namespace, event } = connection.next().await else { panic!("no event") };
    assert_eq!(event.ack, Some(AckId(7)));
    outgoing.send(Frame::ack(&namespace, AckId(7), &json!({"ok": true})).unwrap());
    outgoing.send(Frame::ack_with(&namespace, AckId(8), &event.args).unwrap());
    outgoing.send(Frame::ack_with("/ns", AckId(9), &Args::default()).unwrap());
    outgoing.send(Frame::event_with("/ns", "two", &Args::new(&["x", "y"]).unwrap()).unwrap());
    let answers = connection
        .during(async {
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(client.expect_text().await);
            }
            answers
        })
        .await;
    assert_eq!(
        answers,
        ["437[{\"ok\":true}]", "438[[\"a\",{\"b\":1}],2]", "43/ns,9[]", "42/ns,[\"two\",\"x\",\"y\"]"]
    );
}

#[tokio::test]
async fn binary_events_are_echoed_as_they_came() {
    let (mut connection, mut client) = joined(Config::default()).await;
    client
        .text("452-3[\"e\",{\"a\":{\"_placeholder\":true,\"num\":1}},{\"_placeholder\":true,\"num\":0}]")
        .await;
    client.binary(&[1, 2]).await;
    // The heartbeat may come between a packet and its attachments.
    client.text("3").await;
    client.binary(&[]).await;
    let Incoming::Event { event, .. } = connection.next().await else { panic!("no event") };
    assert_eq!(event.args.attachments(), [&[1, 2][..], &[]]);
    connection.outgoing().send(Frame::event_with("/", "back", &event.args).unwrap());
    let received =
        connection.during(async { [client.next().await, client.next().await, client.next().await] }).await;
    let text = "452-[\"back\",{\"a\":{\"_placeholder\":true,\"num\":1}},{\"_placeholder\":true,\"num\":0}]"
        .to_owned();
    assert_eq!(received, [Received::Text(text), Received::Binary(vec![1, 2]), Received::Binary(vec![])]);
}
