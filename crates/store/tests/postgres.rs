//! What holds on Postgres alone: several nodes on one database, and a database that goes away and comes back.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use backing::Postgres;
use protocol::{AppId, ConversationId, Sender, Timestamp};
use store::{
    Act, App, Appended, Cursor, Error, Location, Look, NewMessage, OpenConversation, Purpose, Scope, Store,
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
        created_at: now(),
        allowed_origins: Vec::new(),
    };
    let act = Act {
        app_id: id.clone(),
        at: now(),
        actor: "cli".into(),
        action: "app.create",
        target: id.to_string(),
        details: None,
    };
    store.create_app(app, act).await.unwrap();
}

async fn open_conversation(store: &Store, chance: u64) -> ConversationId {
    let opening = OpenConversation {
        app_id: scope().app_id,
        device_id: "phone".into(),
        id: ConversationId::new(now(), chance),
        user: None,
        device_context: None,
        now: now(),
    };
    let (tell, told) = oneshot::channel();
    store.open_conversation(opening, |outcome| drop(tell.send(outcome)));
    told.await.unwrap().unwrap().conversation.conversation.id
}

async fn append(store: &Store, conversation_id: &ConversationId, local_id: &str) -> Result<Appended, Error> {
    let new = NewMessage {
        scope: scope(),
        conversation_id: conversation_id.clone(),
        local_id: local_id.into(),
        body: "x".into(),
        sender: Sender::User,
        sender_name: None,
        now: now(),
        chance: 3,
    };
    let (tell, told) = oneshot::channel();
    store.append(new, |outcome| drop(tell.send(outcome)));
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
    let (start, id) = (stores[0].changes(None, 10).await.unwrap().next, ids[0].clone());
    // Each message is sent through two nodes at once.
    let sends = (0..400).map(|n| {
        let (store, id) = (Arc::clone(&stores[n % 5]), id.clone());
        tokio::spawn(async move { append(&store, &id, &format!("{}", n / 2)).await.unwrap() })
    });
    let mut new: Vec<u64> = Vec::new();
    for outcome in futures_util::future::join_all(sends).await {
        match outcome.unwrap() {
            Appended::New(message, conversation) => {
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
    let changes = stores[1].changes(Some(start), 10).await.unwrap();
    assert_eq!(changes.conversations.len(), 1);
    assert_eq!(changes.conversations[0].conversation.conversation.last_seq, 200);
    append(&stores[2], &id, "last").await.unwrap();
    let again = stores[1].changes(Some(changes.next), 10).await.unwrap();
    assert_eq!(again.conversations[0].conversation.conversation.last_seq, 201);
    let Look::Found(page) = stores[3].history(scope(), id, Some(Cursor::Before(None)), 1).await.unwrap()
    else {
        panic!("no page")
    };
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
    assert!(matches!(append(&store, &id, "4").await.unwrap(), Appended::New(message, _) if message.seq == 4));
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
    let outcomes =
        futures_util::future::join(append(&store, &id, "2"), store.conversation(scope(), id.clone()));
    let (sent, read) = outcomes.await;
    let took = begun.elapsed();
    signal("CONT", &pids);
    assert!(sent.is_err() || read.is_err(), "nothing hung");
    assert!(took < Duration::from_secs(7), "{took:?}");
    recovered(&store, &id, "3").await;
    recovered(&store, &id, "2").await;
    let Look::Found(page) = store.history(scope(), id, Some(Cursor::After(None)), 10).await.unwrap() else {
        panic!("no page")
    };
    let seqs: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
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
