//! What holds on Postgres alone: several nodes on one database, and a database that goes away and comes back.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use backing::{PgBouncer, PoolMode, Postgres};
use protocol::{AppId, ConversationId, MessageStatus, Sender, Side, Timestamp};
use store::{
    Act, App, Appended, ChangeCursor, CreateApp, Cursor, Error, FindConversation, IdentityPolicy,
    ListChanges, Location, Look, NewMessage, NewReceipt, OpenConversation, Purpose, ReadHistory, Scope,
    Store,
};
use tokio::sync::oneshot;
use tokio_postgres::{Client, NoTls};

#[path = "support/database.rs"]
mod database;

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A connection to the server, a fresh database's name on it, that database's URL, and the server.
async fn database() -> (Client, String, String, Arc<Postgres>) {
    let database = database::create().await;
    let admin = client(&database.server.url("postgres")).await;
    let (_, name) = database.url.rsplit_once('/').unwrap();
    (admin, name.to_owned(), database.url, database.server)
}

async fn open(url: &str, alone: bool) -> Result<Arc<Store>, Error> {
    let location = Location::Postgres(Box::new(url.parse().unwrap()));
    let (store, completions) = Store::open(&location, Purpose::Serve { alone }, Arc::new(|_| ())).await?;
    tokio::spawn(completions.run());
    Ok(Arc::new(store))
}

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000)
}

fn scope() -> Scope {
    Scope { app_id: AppId::new(now(), 1), device_id: None }
}

async fn create_app(store: &Store) {
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
}

fn opening(chance: u64) -> OpenConversation {
    OpenConversation {
        app_id: scope().app_id,
        device_id: "phone".into(),
        id: ConversationId::new(now(), chance),
        who: None,
        device_context: None,
        now: now(),
    }
}

async fn opened(store: &Store, opening: OpenConversation) -> ConversationId {
    let (tell, told) = oneshot::channel();
    store.submit(opening, |outcome| drop(tell.send(outcome)));
    told.await.unwrap().unwrap().done().expect("a conversation").conversation.conversation.id
}

async fn open_conversation(store: &Store, chance: u64) -> ConversationId {
    opened(store, opening(chance)).await
}

async fn append(store: &Store, conversation_id: &ConversationId, local_id: &str) -> Result<Appended, Error> {
    let new = NewMessage {
        scope: scope(),
        conversation_id: conversation_id.clone(),
        local_id: local_id.into(),
        body: "x".into(),
        sender: Sender::User,
        sender_name: None,
        sender_id: None,
        now: now(),
        chance: 3,
    };
    let (tell, told) = oneshot::channel();
    store.submit(new, |outcome| drop(tell.send(outcome)));
    told.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_open_one_database_at_once_and_leave_no_holes() {
    let (_admin, _, url, _server) = database().await;
    let opened = futures_util::future::join_all((0..5).map(|_| open(&url, false))).await;
    let stores: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    create_app(&stores[0]).await;
    let ids = futures_util::future::join_all((0..5).map(|n| open_conversation(&stores[n as usize], n))).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let (start, id) =
        (stores[0].read(ListChanges { since: None, limit: 10 }).await.unwrap().next, ids[0].clone());
    // Each message is sent through two nodes at once.
    let sends = (0..400).map(|n| {
        let (store, id) = (Arc::clone(&stores[n % 5]), id.clone());
        tokio::spawn(async move { append(&store, &id, &format!("{}", n / 2)).await.unwrap() })
    });
    let mut new: Vec<u64> = Vec::new();
    for outcome in futures_util::future::join_all(sends).await {
        match outcome.unwrap() {
            Appended::New(message, conversation, _) => {
                assert_eq!(
                    (message.seq, message.seq),
                    (conversation.conversation.last_seq, conversation.unread_count)
                );
                new.push(message.seq);
            }
            Appended::Duplicate(_) => {}
            other => panic!("{other:?}"),
        }
    }
    new.sort_unstable();
    assert_eq!(new, (1..=200).collect::<Vec<_>>());
    let changes = stores[1].read(ListChanges { since: Some(start), limit: 10 }).await.unwrap();
    assert_eq!(changes.conversations.len(), 1);
    assert_eq!(changes.conversations[0].conversation.conversation.last_seq, 200);
    append(&stores[2], &id, "last").await.unwrap();
    let again = stores[1].read(ListChanges { since: Some(changes.next), limit: 10 }).await.unwrap();
    assert_eq!(again.conversations[0].conversation.conversation.last_seq, 201);
    let newest = ReadHistory {
        scope: scope(),
        conversation_id: id,
        cursor: Some(Cursor::Before(None)),
        activity_after: None,
        limit: 1,
    };
    let Look::Found(page) = stores[3].read(newest).await.unwrap() else { panic!("no page") };
    assert_eq!(page.last_seq, 201);
}

#[tokio::test]
async fn a_second_node_that_is_alone_is_refused() {
    let (_admin, _, url, _server) = database().await;
    let first = open(&url, true).await.unwrap();
    let error = open(&url, true).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("--redis-url"), "{error}");
    drop(first);
    open(&url, true).await.unwrap();
}

#[tokio::test]
async fn ended_connections_and_a_read_only_time_are_survived() {
    let (admin, name, url, _server) = database().await;
    let store = open(&url, true).await.unwrap();
    create_app(&store).await;
    let id = open_conversation(&store, 1).await;
    append(&store, &id, "1").await.unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&end).await.unwrap();
    recovered(&store, &id, "2").await;
    admin
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .unwrap();
    admin.batch_execute(&end).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(append(&store, &id, "3").await.is_err());
    admin
        .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = off"))
        .await
        .unwrap();
    recovered(&store, &id, "3").await;
    assert!(
        matches!(append(&store, &id, "4").await.unwrap(), Appended::New(message, ..) if message.seq == 4)
    );
}

/// The backends of the database are stopped one and all, as a machine that hangs would.
#[tokio::test]
async fn a_database_that_hangs_is_an_error_and_then_recovers() {
    let (admin, name, url, _server) = database().await;
    let store = open(&url, true).await.unwrap();
    create_app(&store).await;
    let id = open_conversation(&store, 1).await;
    append(&store, &id, "1").await.unwrap();
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{name}'");
    let pids: Vec<i32> = admin.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    signal("STOP", &pids);
    let begun = Instant::now();
    let outcomes = futures_util::future::join(
        append(&store, &id, "2"),
        store.read(FindConversation { scope: scope(), id: id.clone() }),
    );
    let (sent, read) = outcomes.await;
    let took = begun.elapsed();
    signal("CONT", &pids);
    assert!(sent.is_err() || read.is_err(), "nothing hung");
    assert!(took < Duration::from_secs(7), "{took:?}");
    recovered(&store, &id, "3").await;
    recovered(&store, &id, "2").await;
    let Look::Found(page) = store
        .read(ReadHistory {
            scope: scope(),
            conversation_id: id,
            cursor: Some(Cursor::After(None)),
            activity_after: None,
            limit: 10,
        })
        .await
        .unwrap()
    else {
        panic!("no page")
    };
    let seqs: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

async fn refused(url: &str) -> String {
    open(url, true).await.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn a_database_that_can_not_hold_every_text_or_is_asked_to_confirm_what_it_has_not_stored_is_refused() {
    let (admin, name, url, server) = database().await;
    let latin = format!("{name}_latin");
    let create =
        format!("CREATE DATABASE {latin} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    admin.batch_execute(&create).await.unwrap();
    let error = refused(&server.url(&latin)).await;
    assert!(error.contains("LATIN1") && error.contains("UTF8"), "{error}");
    let error = refused(&format!("{url}?options=-c%20synchronous_commit%3Doff")).await;
    assert!(error.contains("synchronous_commit"), "{error}");
}

/// Whatever an operator or a managed service sets for the database or the role: it is ours for our connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_for_the_database_does_not_change_what_is_promised() {
    let (admin, name, url, _server) = database().await;
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "synchronous_commit = off",
        "idle_session_timeout = '300ms'",
        "idle_in_transaction_session_timeout = '1ms'",
    ] {
        admin.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).await.unwrap();
    }
    let stores = [open(&url, false).await.unwrap(), open(&url, false).await.unwrap()];
    create_app(&stores[0]).await;
    let ids = futures_util::future::join_all((0..4).map(|n| {
        let (mut opening, store) = (opening(n), Arc::clone(&stores[0]));
        opening.device_id = format!("phone-{n}").into();
        async move { opened(&store, opening).await }
    }))
    .await;
    let sends = (0..600).map(|n| {
        let (store, id) = (Arc::clone(&stores[n % 2]), ids[n % 4].clone());
        tokio::spawn(async move { append(&store, &id, &format!("{n}")).await })
    });
    for outcome in futures_util::future::join_all(sends).await {
        outcome.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_lock_of_a_node_that_is_alone_outlasts_what_ends_idle_sessions() {
    let (admin, name, url, _server) = database().await;
    admin.batch_execute(&format!("ALTER DATABASE {name} SET idle_session_timeout = '100ms'")).await.unwrap();
    let first = open(&url, true).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = refused(&url).await;
    assert!(error.contains("--redis-url"), "{error}");
    assert!(!first.is_disputed());
}

#[tokio::test]
async fn a_node_that_lost_its_lock_to_another_says_so_until_that_one_is_gone() {
    let (admin, name, url, _server) = database().await;
    let store = open(&url, true).await.unwrap();
    // Another node takes the lock in the moment in which the first one's connection is gone.
    let other = client(&url).await;
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let holder = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON oid = database \
         WHERE locktype = 'advisory' AND datname = '{name}' AND pid <> {pid}"
    );
    let lock = "SELECT pg_advisory_lock(((classid::bigint << 32) | objid::bigint)) FROM pg_locks JOIN pg_database \
        ON oid = database WHERE locktype = 'advisory' AND datname = current_database() AND granted";
    let taken = tokio::spawn(async move {
        other.query(lock, &[]).await.unwrap();
        other
    });
    let waits = format!("SELECT 1 FROM pg_locks WHERE pid = {pid} AND NOT granted");
    until(async || !admin.query(&waits, &[]).await.unwrap().is_empty()).await;
    admin.batch_execute(&holder).await.unwrap();
    let other = taken.await.unwrap();
    until(async || store.is_disputed()).await;
    drop(other);
    until(async || !store.is_disputed()).await;
}

#[tokio::test]
async fn a_pooler_may_be_between_if_it_pools_by_session() {
    let (_admin, name, _url, server) = database().await;
    let pooler = PgBouncer::before(&server, PoolMode::Session).await.unwrap();
    let store = open(&pooler.url(&name), true).await.unwrap();
    create_app(&store).await;
    let id = open_conversation(&store, 1).await;
    append(&store, &id, "1").await.unwrap();
    assert!(refused(&pooler.url(&name)).await.contains("--redis-url"));
    let pooler = PgBouncer::before(&server, PoolMode::Transaction).await.unwrap();
    for _ in 0..3 {
        let error = refused(&pooler.url(&name)).await;
        assert!(error.contains("pool_mode = session"), "{error}");
    }
}

/// Waits for it.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come to hold");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn signal(name: &str, pids: &[i32]) {
    let mut kill = std::process::Command::new("kill");
    kill.arg("-s").arg(name).args(pids.iter().map(ToString::to_string));
    assert!(kill.status().unwrap().success());
}

/// Sends until it is stored; that must not take long.
async fn recovered(store: &Store, id: &ConversationId, local_id: &str) {
    let begun = Instant::now();
    while append(store, id, local_id).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Walks through all that was changed since, as (which, is it news to an inbox).
async fn walked(store: &Store, cursor: &mut Option<ChangeCursor>, page: u32) -> Vec<(ConversationId, bool)> {
    let mut seen = Vec::new();
    loop {
        let changes = store.read(ListChanges { since: cursor.clone(), limit: page }).await.unwrap();
        seen.extend(
            changes
                .conversations
                .into_iter()
                .map(|changed| (changed.conversation.conversation.id, changed.is_inbox_news)),
        );
        *cursor = Some(changes.next);
        if !changes.has_more {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_seen_once_however_long_another_transaction_is_open() {
    let (_admin, _, url, _server) = database().await;
    let store = open(&url, true).await.unwrap();
    create_app(&store).await;
    let mut ids = Vec::new();
    for chance in 1..=5 {
        let opening = OpenConversation { device_id: format!("phone-{chance}").into(), ..opening(chance) };
        ids.push(opened(&store, opening).await);
    }
    // It writes, and goes on for as long as it likes.
    let other = client(&url).await;
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    let mut cursor = None;
    assert_eq!(walked(&store, &mut cursor, 2).await, []);
    for round in 0..3 {
        let written = &ids[..4];
        for id in written {
            append(&store, id, &format!("{round}")).await.unwrap();
        }
        let seen = walked(&store, &mut cursor, 3).await;
        let expected: Vec<_> = written.iter().map(|id| (id.clone(), true)).collect();
        assert_eq!(seen, expected, "what was changed since, and nothing again");
        assert_eq!(walked(&store, &mut cursor, 3).await, []);
    }
    other
        .execute("UPDATE conversations SET status = 'resolved' WHERE id = $1", &[&ids[4].as_str()])
        .await
        .unwrap();
    assert_eq!(walked(&store, &mut cursor, 3).await, [], "it may still be taken back");
    other.batch_execute("COMMIT").await.unwrap();
    append(&store, &ids[0], "last").await.unwrap();
    let seen = walked(&store, &mut cursor, 1).await;
    assert_eq!(
        seen,
        [(ids[4].clone(), true), (ids[0].clone(), true)],
        "what ended only now, and what is new"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_has_read_is_no_news_to_an_inbox() {
    let (_admin, _, url, _server) = database().await;
    let store = open(&url, true).await.unwrap();
    create_app(&store).await;
    let id = open_conversation(&store, 1).await;
    let Appended::New(message, ..) = append(&store, &id, "1").await.unwrap() else { panic!("not stored") };
    let mut cursor = None;
    walked(&store, &mut cursor, 10).await;
    let receipt = async |side| {
        let (tell, told) = oneshot::channel();
        let receipt = NewReceipt {
            scope: scope(),
            side,
            conversation_id: id.clone(),
            up_to: message.id.clone(),
            status: MessageStatus::Read,
            now: now(),
        };
        store.submit(receipt, |outcome| drop(tell.send(outcome)));
        told.await.unwrap().unwrap()
    };
    receipt(Side::User).await;
    assert_eq!(
        walked(&store, &mut cursor, 10).await,
        [(id.clone(), false)],
        "rooms hear of it, inboxes need not"
    );
    receipt(Side::Agent).await;
    assert_eq!(walked(&store, &mut cursor, 10).await, [(id.clone(), true)], "it is not unread any more");
}
