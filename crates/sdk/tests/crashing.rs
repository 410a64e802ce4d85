//! The process dies at every commit of the local file, just before it and just after, and is started again: what was
//! accepted is on the server once and in order.
//!
//! The test runs itself as a child with a script in the environment. The server is a real one, in the parent.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::Code;
use sdk::{ChatClient, CommitMoment, Config, ConnectionState, Delivery, LogLevel, Platform, Timeline};
use testkit::{TestApp, TestServer, eventually};
use tokio::runtime::Builder;

use crate::phone::Phone;
use crate::world::{Fault, World};

/// Set for the child: where the server is, its app and key, the folder, and after how many moments it dies.
const SCRIPT: &str = "REPLYHQ_SDK_CRASH";
/// Messages that the child writes.
const MESSAGES: usize = 5;

/// Ends the process, as the system does, at one moment of one commit.
struct Doomed {
    moments: AtomicU64,
    dies_at: u64,
}

impl Platform for Doomed {
    fn log(&self, _level: LogLevel, _message: &str) {}

    fn committing(&self, _moment: CommitMoment) {
        if self.moments.fetch_add(1, Ordering::Relaxed) + 1 == self.dies_at {
            // Whoever was answered too early says so meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            // Neither destructors nor buffers: SIGKILL leaves no time for them either.
            std::process::abort();
        }
    }
}

/// The child's life: it writes, reads, and says on standard output what was accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let [url, app_id, api_key, folder, dies_at] = script.split(' ').collect::<Vec<_>>()[..] else {
        panic!("a wrong script: {script}")
    };
    let platform =
        Arc::new(Doomed { moments: AtomicU64::new(0), dies_at: dies_at.parse().expect("a number") });
    let config = Config::new(url, app_id, api_key, folder);
    let client =
        ChatClient::open(config, Arc::clone(&platform) as Arc<dyn Platform>).await.expect("a client");
    for number in 0..MESSAGES {
        let local_id = client.send(None, &format!("{number}")).await.expect("room");
        println!("accepted {local_id} {number}");
    }
    client.drain(Duration::from_secs(20)).await.expect("open");
    client.mark_read(None).await.expect("open");
    let mut states = client.subscribe_state();
    while let Some(state) = states.next().await {
        if state.unread == 0 && state.queued == 0 {
            break;
        }
    }
    client.close().await;
    println!("ended after {} moments", platform.moments.load(Ordering::Relaxed));
}

/// Runs the child until it ends or dies; what it says.
fn run_child(app: &TestApp, folder: &Path, dies_at: u64) -> Vec<String> {
    let script =
        format!("http://{} {} {} {} {dies_at}", app.address, app.app_id, app.api_key, folder.display());
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "crashing::child", "--nocapture", "--test-threads=1"])
        .env(SCRIPT, script)
        .stderr(Stdio::null())
        .output()
        .expect("a child");
    let said = String::from_utf8(output.stdout).expect("text");
    // The test runner's own words may stand before the first line's.
    said.lines()
        .filter_map(|line| line.find("accepted ").or(line.find("ended ")).map(|at| line[at..].to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_commit_loses_nothing_and_sends_nothing_twice() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let mut dies_at = 0;
    let mut ended = false;
    while !ended {
        dies_at += 1;
        let folder = tempfile::tempdir().expect("a folder");
        let said = {
            let (app, path) = (app.clone(), folder.path().to_owned());
            tokio::task::spawn_blocking(move || run_child(&app, &path, dies_at)).await.expect("a child")
        };
        ended = said.iter().any(|line| line.starts_with("ended "));
        check_what_is_left(&app, folder.path(), &said, dies_at).await;
    }
    // The schema, five messages, their attempts and answers, each with a moment before and one after.
    assert!(dies_at > 20, "only {dies_at} moments");
}

/// The app is started again: all that was accepted reaches the server once, in order.
async fn check_what_is_left(app: &TestApp, folder: &Path, said: &[String], dies_at: u64) {
    let accepted: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("accepted ")).collect();
    let phone = Phone::open(&format!("http://{}", app.address), &app.app_id, &app.api_key, folder).await;
    phone
        .state("everything sent", |state| {
            state.connection == ConnectionState::Online && state.queued == 0 && state.wedged == 0
        })
        .await;
    let shown = phone.timeline("the messages", |timeline| {
        timeline.items.len() >= accepted.len()
            && timeline.items.iter().all(|item| item.delivery == Delivery::Sent)
    });
    let shown = shown.await;
    let Some(conversation) = &shown.conversation_id else {
        assert!(accepted.is_empty(), "nothing reached the server, dying at {dies_at}");
        return;
    };
    let path = format!("/v1/admin/conversations/{conversation}/messages");
    let stored = eventually("the list", || async { Some(app.as_agent().get(&path).await.ok()) }).await;
    let stored: Vec<_> = stored["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| {
            format!(
                "{} {}",
                message["local_id"].as_str().expect("text"),
                message["body"].as_str().expect("text")
            )
        })
        .collect();
    // One more may be on the disk than could be said.
    assert!(stored.len() - accepted.len() <= 1, "dying at {dies_at}: {stored:?} {accepted:?}");
    assert_eq!(stored[..accepted.len()], accepted[..], "dying at {dies_at}");
    let bodies: Vec<_> = (0..stored.len()).map(|number| number.to_string()).collect();
    assert!(
        stored.iter().zip(&bodies).all(|(stored, body)| stored.ends_with(&format!(" {body}"))),
        "{stored:?}"
    );
    phone.client.close().await;
}

/// One life of an app whose process ends while its message is under way: its runtime is dropped, and nothing of the client
/// runs any more.
fn live_and_die(world: &World, folder: &Path) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let phone = Phone::in_world(world, folder).await;
        phone.item("under way", |item| item.delivery == Delivery::Sending).await;
    });
}

fn queue_a_message(world: &World, folder: &Path) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let phone = Phone::in_world(world, folder).await;
        phone.client.send(None, "first").await.expect("room");
        phone.shows(&["first"]).await;
        phone.client.set_network(false).await.expect("open");
        phone.client.send(None, "poison").await.expect("room");
        phone.client.send(None, "behind it").await.expect("room");
        phone.client.close().await;
    });
}

#[test]
fn a_message_that_was_under_way_five_times_when_the_app_died_is_set_aside_and_the_next_goes_on() {
    let world = World::new(3);
    let folder = tempfile::tempdir().expect("a folder");
    queue_a_message(&world, folder.path());
    for _ in 0..5 {
        world.fault(Fault::Ignore);
        live_and_die(&world, folder.path());
        world.heal();
    }
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let phone = Phone::in_world(&world, folder.path()).await;
        let item = phone.item("set aside", |item| matches!(item.delivery, Delivery::Wedged { .. })).await;
        assert_eq!(item.body, "poison");
        assert!(matches!(&item.delivery, Delivery::Wedged { code, .. } if code == "CRASHED"));
        phone.item("the next one", |item| item.body == "behind it" && item.delivery == Delivery::Sent).await;
        phone.client.retry(&item.local_id).await.expect("wedged");
        phone.shows(&["first", "behind it", "poison"]).await;
    });
}

#[test]
fn a_message_that_survives_an_attempt_begins_to_count_anew() {
    let world = World::new(3);
    let folder = tempfile::tempdir().expect("a folder");
    queue_a_message(&world, folder.path());
    for _ in 0..3 {
        for _ in 0..4 {
            world.fault(Fault::Ignore);
            live_and_die(&world, folder.path());
            world.heal();
        }
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            world.fault(Fault::Refuse(Code::ServerError));
            world.fault(Fault::Refuse(Code::ServerError));
            let phone = Phone::in_world(&world, folder.path()).await;
            let is_refused = |timeline: &Timeline| {
                world.faults() == 0 && timeline.items.iter().all(|item| item.delivery != Delivery::Sending)
            };
            phone.timeline("the refusal", is_refused).await;
            phone.client.set_network(false).await.expect("open");
            phone.client.close().await;
        });
    }
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let phone = Phone::in_world(&world, folder.path()).await;
        phone.shows(&["first", "poison", "behind it"]).await;
    });
}
