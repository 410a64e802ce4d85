//! Networks that die without a word, and what an app says of them: on a clock that the test moves.

use std::time::Duration;

use sdk::{ConnectionState, WaitReason};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::connecting::start;
use crate::phone::Phone;
use crate::world::{Fault, World};

const SECOND: Duration = Duration::from_secs(1);

/// A phone whose connection has died without a word a minute after it was made. The network is as good as ever.
async fn silent() -> (World, Phone, tempfile::TempDir) {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    sleep(SECOND * 60).await;
    world.half_open();
    (world, phone, folder)
}

/// How long it takes until what an agent writes now is shown.
async fn until_the_next_message(world: &World, phone: &Phone) -> Duration {
    let began = Instant::now();
    world.agent_says(0, "an answer");
    phone.shows(&["one", "an answer"]).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_said_to_be_there_again_is_not_believed_to_be_the_old_one() {
    let (world, phone, _folder) = silent().await;
    phone.client.set_network(true).await.expect("open");
    let took = until_the_next_message(&world, &phone).await;
    assert!(took < SECOND * 6, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_comes_to_the_front_does_not_trust_its_connection() {
    let (world, phone, _folder) = silent().await;
    phone.client.set_foreground(true).await.expect("open");
    let took = until_the_next_message(&world, &phone).await;
    assert!(took < SECOND * 6, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn another_network_is_used_at_once() {
    let (world, phone, _folder) = silent().await;
    phone.client.network_changed().await.expect("open");
    let took = until_the_next_message(&world, &phone).await;
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_has_slept_does_not_trust_its_connection() {
    let (world, phone, _folder) = silent().await;
    world.sleep_device(SECOND * 20);
    let took = until_the_next_message(&world, &phone).await;
    assert!(took < SECOND * 12, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_answered_does_not_wait_on_a_dead_connection() {
    let (world, phone, _folder) = silent().await;
    let began = Instant::now();
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert!(began.elapsed() < SECOND * 10, "{:?}", began.elapsed());
    let stored = world.conversation().expect("a conversation").messages;
    assert_eq!(stored.len(), 2, "once");
}

/// The server's pings come every 25 s; the last one may have come just before.
#[tokio::test(start_paused = true)]
async fn silence_is_noticed_though_nobody_says_anything() {
    let (world, phone, _folder) = silent().await;
    let took = until_the_next_message(&world, &phone).await;
    assert!(took < SECOND * 36, "{took:?}");
    let dials = world.dials().len();
    sleep(SECOND * 3_600).await;
    assert_eq!(world.dials().len(), dials, "one that lives is kept");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lives_is_kept_whatever_is_said() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    let dials = world.dials().len();
    for _ in 0..20 {
        phone.client.set_network(true).await.expect("open");
        phone.client.set_foreground(true).await.expect("open");
        world.sleep_device(SECOND * 600);
        sleep(SECOND).await;
    }
    sleep(SECOND * 20).await;
    assert_eq!(world.dials().len(), dials);
}

/// A server that is busy, with its database say, is not left for that: it would only be busier.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_to_answer_and_lives_is_kept() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let dials = world.dials().len();
    world.fault(Fault::Stall(14));
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(world.dials().len(), dials);
}

/// Wi-Fi that has gone swallows what is sent, and the system says that there is another network before it says that the first
/// one is lost, or never says that.
#[tokio::test(start_paused = true)]
async fn a_try_on_a_dead_network_is_given_up_for_a_better_one() {
    for is_explicit in [true, false] {
        let (world, phone, _folder) = start().await;
        phone.online().await;
        world.swallow_dials(true);
        world.cut();
        phone.state("a try", |state| state.connection == ConnectionState::Connecting).await;
        sleep(SECOND * 5).await;
        world.swallow_dials(false);
        let better = Instant::now();
        if is_explicit {
            phone.client.network_changed().await.expect("open");
        } else {
            phone.client.set_network(true).await.expect("open");
        }
        phone.online().await;
        assert!(better.elapsed() < SECOND, "{:?}", better.elapsed());
    }
}

/// Some systems say it many times while a network comes up: each time anew, nothing would ever be connected.
#[tokio::test(start_paused = true)]
async fn a_try_that_has_just_begun_is_left_alone() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.swallow_dials(true);
    phone.client.network_changed().await.expect("open");
    let dials = world.dials().len();
    for _ in 0..10 {
        phone.client.set_network(true).await.expect("open");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.dials().len(), dials);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_swallows_posts_and_lets_sockets_through_holds_nothing_up() {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    phone.client.close().await;
    world.swallow_posts(true);
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.set_network(false).await.expect("open");
    phone.client.identify(crate::people::person("ada")).await.expect("a person");
    phone.client.set_network(true).await.expect("open");
    phone.client.send(None, "two").await.expect("room");
    let began = Instant::now();
    phone.shows(&["one", "two"]).await;
    assert!(began.elapsed() < SECOND * 5, "{:?}", began.elapsed());
    sleep(SECOND * 600).await;
    phone.client.send(None, "three").await.expect("room");
    phone.shows(&["one", "two", "three"]).await;
    assert_eq!(world.users().len(), 0);
    world.swallow_posts(false);
    sleep(SECOND * 120).await;
    assert_eq!(world.users().len(), 1, "told when it gets through");
}

/// The reason that is shown once there is one.
async fn reason(phone: &Phone) -> WaitReason {
    let is_waiting = |state: &sdk::ClientState| matches!(state.connection, ConnectionState::Waiting { .. });
    match phone.state("waiting", is_waiting).await.connection {
        ConnectionState::Waiting { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_says_why_there_is_no_connection() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.power(false);
    assert_eq!(reason(&phone).await, WaitReason::Lost);
    phone
        .state("nobody listens", |state| {
            matches!(state.connection, ConnectionState::Waiting { reason: WaitReason::Refused, .. })
        })
        .await;
    world.power(true);
    phone.online().await;
    world.leave(SECOND * 30);
    assert_eq!(reason(&phone).await, WaitReason::ServerLeft);
    phone.online().await;
    world.swallow_dials(true);
    world.cut();
    phone
        .state("nobody answers", |state| {
            matches!(state.connection, ConnectionState::Waiting { reason: WaitReason::TimedOut, .. })
        })
        .await;
    world.swallow_dials(false);
    world.network(false);
    phone
        .state("no way", |state| {
            matches!(state.connection, ConnectionState::Waiting { reason: WaitReason::Unreachable, .. })
        })
        .await;
}

/// Something that answers every request in the same way, as what stands between does.
async fn somebody_else(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                // Whoever asks may go whenever they like.
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn who_is_not_the_server_is_said_to_be_none() {
    for (answer, wanted) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", WaitReason::NotTheServer),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", WaitReason::NotTheServer),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\n\r\n",
            WaitReason::NotTheServer,
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", WaitReason::NotTheServer),
        ("", WaitReason::Lost),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = Phone::open(&somebody_else(answer).await, "app_1", "rhq_key_1", folder.path()).await;
        assert_eq!(reason(&phone).await, wanted, "{answer:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Of the names that are never given to anybody (RFC 6761).
    let phone = Phone::open("http://chat.invalid", "app_1", "rhq_key_1", folder.path()).await;
    assert_eq!(reason(&phone).await, WaitReason::Dns);
}
