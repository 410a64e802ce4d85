//! On SQLite: a reader of another process that takes its time, a backup for one, holds up no write.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{AppId, ConversationId, Sender, Timestamp};
use rusqlite::Connection;
use store::{
    Act, App, Appended, CreateApp, Error, IdentityPolicy, Location, NewMessage, OpenConversation, Purpose,
    Scope, Store,
};
use tokio::sync::oneshot;

/// Above what the WAL is cut to.
const WAL_BYTES: u64 = 36 * 1024 * 1024;
/// What is left of it.
const WAL_BYTES_KEPT: u64 = 32 * 1024 * 1024;
/// How far it may grow from when the reader is gone until it is begun anew: some pauses of the checkpointer, with room
/// for a slow disk.
const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Below the time that SQLite waits for a lock; a write takes milliseconds.
const STALLED: Duration = Duration::from_secs(3);
/// Writes in flight.
const WINDOW: usize = 128;

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000)
}

fn scope() -> Scope {
    Scope { app_id: AppId::new(now(), 1), device_id: None }
}

async fn prepare(store: &Store) -> ConversationId {
    let id = scope().app_id;
    let app = App {
        id: id.clone(),
        name: "Shop".into(),
        api_key_hash: "h".into(),
        old_key: None,
        created_at: now(),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    let act = Act {
        app_id: id.clone(),
        at: now(),
        actor: "cli".into(),
        action: "app.create",
        target: id.to_string(),
        details: None,
    };
    store.write(CreateApp { app, act }).await.unwrap();
    let opening = OpenConversation {
        app_id: id,
        device_id: "phone".into(),
        id: ConversationId::new(now(), 2),
        who: None,
        device_context: None,
        now: now(),
    };
    let (tell, told) = oneshot::channel();
    store.submit(opening, |outcome| drop(tell.send(outcome)));
    told.await.unwrap().unwrap().done().expect("a conversation").conversation.conversation.id
}

fn append(
    store: &Store,
    conversation_id: &ConversationId,
    number: u64,
) -> oneshot::Receiver<Result<Appended, Error>> {
    let new = NewMessage {
        scope: scope(),
        conversation_id: conversation_id.clone(),
        local_id: number.to_string().as_str().into(),
        body: "x".repeat(5_000),
        sender: Sender::User,
        sender_name: None,
        sender_id: None,
        now: now(),
        chance: 3,
    };
    let (tell, told) = oneshot::channel();
    store.submit(new, |outcome| drop(tell.send(outcome)));
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reader_holds_up_no_write_and_leaves_no_large_wal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replyhq.db");
    let location = Location::Sqlite(path.clone());
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    let conversation = prepare(&store).await;
    let wal_bytes = || std::fs::metadata(folder.path().join("replyhq.db-wal")).unwrap().len();

    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let (mut number, mut slowest) = (0, Duration::ZERO);
    while wal_bytes() < WAL_BYTES {
        let started = Instant::now();
        let sends: Vec<_> =
            (0..WINDOW as u64).map(|next| append(&store, &conversation, number + next)).collect();
        for send in sends {
            assert!(matches!(send.await.unwrap().unwrap(), Appended::New(..)));
        }
        number += WINDOW as u64;
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < STALLED, "{slowest:?}");
    reader.execute_batch("COMMIT").unwrap();
    while wal_bytes() > WAL_BYTES_KEPT {
        assert!(wal_bytes() < WAL_BYTES_MAX, "nobody begins the WAL anew: it has {} bytes", wal_bytes());
        append(&store, &conversation, number).await.unwrap().unwrap();
        number += 1;
    }
}
