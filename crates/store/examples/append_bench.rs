//! Durable appends a second, and what they cost: so many conversations in turn, so many appends in flight. Then receipts, of
//! agents who read those messages one after the other.
//!
//! `cargo run --release -p store --example append_bench [CONVERSATIONS] [IN_FLIGHT] [SECONDS]`; with `BENCH_DATABASE_URL` on
//! that Postgres, and with `BENCH_DELAY_MS` so many milliseconds away from it, each way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backing::{FaultProxy, Passage};
use protocol::{AppId, ConversationId, MessageStatus, Sender, Side, Timestamp};
use store::{
    Act, App, Appended, CreateApp, IdentityPolicy, Location, Look, NewMessage, NewReceipt, Observation,
    OpenConversation, Purpose, Scope, Store,
};
use tokio::sync::{Semaphore, oneshot};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let conversations: u64 = arguments.next().unwrap_or(100);
    let in_flight = usize::try_from(arguments.next().unwrap_or(100)).expect("a small number");
    let seconds = arguments.next().unwrap_or(5);

    let folder = tempfile::Builder::new().tempdir_in(".").expect("a folder");
    let batches = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&batches);
    let observer = Arc::new(move |observation| {
        if let Observation::Committed { .. } = observation {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    // A Postgres database can be named instead of a new file.
    let (location, _way) = match std::env::var("BENCH_DATABASE_URL") {
        Ok(url) => {
            let (url, way) = far_away(url).await;
            (Location::Postgres(Box::new(url.parse().expect("a URL"))), way)
        }
        Err(_) => (Location::Sqlite(folder.path().join("bench.db")), None),
    };
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, observer).await.expect("a database");
    tokio::spawn(completions.run());

    let now = Timestamp::from_epoch_ms(1_700_000_000_000);
    let app_id = AppId::new(now, 0);
    let act = Act {
        app_id: app_id.clone(),
        at: now,
        actor: "bench".into(),
        action: "app.create",
        target: app_id.to_string(),
        details: None,
    };
    let app = App {
        id: app_id.clone(),
        name: "bench".into(),
        api_key_hash: "h".into(),
        old_key: None,
        created_at: now,
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    store.write(CreateApp { app, act }).await.expect("an app");
    let mut ids = Vec::new();
    for number in 0..conversations {
        let (tell, told) = oneshot::channel();
        let opening = OpenConversation {
            app_id: app_id.clone(),
            device_id: format!("device-{number}").into(),
            id: ConversationId::new(now, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            who: None,
            device_context: None,
            now,
        };
        store.submit(opening, move |outcome| drop(tell.send(outcome.expect("opened"))));
        ids.push(told.await.expect("told").done().expect("a conversation").conversation.conversation.id);
    }

    let stored = Arc::new(Mutex::new(Vec::new()));
    let permits = Arc::new(Semaphore::new(in_flight));
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let batches_before = batches.load(Ordering::Relaxed);
    let mut number = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("an open semaphore");
        let new = NewMessage {
            scope: Scope { app_id: app_id.clone(), device_id: None },
            conversation_id: ids[usize::try_from(number % conversations).expect("small")].clone(),
            local_id: format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
            body: "x".repeat(100),
            sender: Sender::User,
            sender_name: None,
            sender_id: None,
            now: Timestamp::from_epoch_ms(1_700_000_000_000 + i64::try_from(number / 10).expect("small")),
            chance: number,
        };
        let stored = Arc::clone(&stored);
        store.submit(new, move |outcome| {
            let Ok(Appended::New(message, ..)) = outcome else { panic!("not stored") };
            stored.lock().expect("nobody panics").push((message.conversation_id, message.id));
            drop(permit);
        });
        number += 1;
    }
    let all = permits.acquire_many(u32::try_from(in_flight).expect("small")).await.expect("all are back");
    let took = started.elapsed().as_secs_f64();
    let commits = batches.load(Ordering::Relaxed) - batches_before;
    #[expect(clippy::print_stdout, reason = "a bench prints")]
    {
        println!(
            "{:.0} appends/s, {:.1} µs CPU each, {:.1} in a commit",
            number as f64 / took,
            (cpu_seconds() - cpu_before) * 1e6 / number as f64,
            number as f64 / commits as f64,
        );
    }
    drop(all);

    let stored = std::mem::take(&mut *stored.lock().expect("nobody panics"));
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let mut number = 0;
    for (conversation_id, up_to) in stored {
        if started.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        let permit = Arc::clone(&permits).acquire_owned().await.expect("an open semaphore");
        let receipt = NewReceipt {
            scope: Scope { app_id: app_id.clone(), device_id: None },
            side: Side::Agent,
            conversation_id,
            up_to,
            status: MessageStatus::Read,
            now,
        };
        store.submit(receipt, move |outcome| {
            assert!(matches!(outcome, Ok(Look::Found(_))));
            drop(permit);
        });
        number += 1;
    }
    let _all = permits.acquire_many(u32::try_from(in_flight).expect("small")).await.expect("all are back");
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::print_stdout, reason = "a bench prints")]
    {
        println!(
            "{:.0} receipts/s, {:.1} µs CPU each",
            f64::from(number) / took,
            (cpu_seconds() - cpu_before) * 1e6 / f64::from(number),
        );
    }
}

/// The database's URL by a way that takes as long as is wished.
async fn far_away(url: String) -> (String, Option<FaultProxy>) {
    let Ok(delay_ms) = std::env::var("BENCH_DELAY_MS") else { return (url, None) };
    let (before, rest) = url.split_once("127.0.0.1:").expect("a Postgres on 127.0.0.1");
    let (port, database) = rest.split_once('/').expect("a database");
    let way =
        FaultProxy::start(format!("127.0.0.1:{port}").parse().expect("an address")).await.expect("a way");
    way.set(Passage::Slow(Duration::from_secs_f64(delay_ms.parse::<f64>().expect("a number") / 1e3)));
    (format!("{before}{}/{database}", way.address()), Some(way))
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|&at| fields[at].parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}
