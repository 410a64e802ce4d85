//! What is known of people, on both databases.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backing::Postgres;
use protocol::rest::User;
use protocol::{Actor, AppId, Timestamp};
use store::{
    Act, AddIdentityKey, App, Block, Blocked, CreateApp, Identify, IdentityKey, IdentityPolicy, Location,
    NowAt, Proof, Purpose, Store,
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

#[path = "support/database.rs"]
mod database;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + seconds * 1_000)
}

fn app_id() -> AppId {
    AppId::new(at(0), 1)
}

fn act() -> Act {
    Act {
        app_id: app_id(),
        at: at(0),
        actor: "cli".into(),
        action: "test",
        target: "all".into(),
        details: None,
    }
}

async fn opened(location: Location) -> Store {
    let (store, completions) = Store::open(&location, Purpose::Command, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    let app = App {
        id: app_id(),
        name: "Shop".into(),
        api_key_hash: "hash".into(),
        old_key: None,
        created_at: at(0),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    store.write(CreateApp { app, act: act() }).await.unwrap();
    let key = IdentityKey {
        id: "idk_1".into(),
        app_id: app_id(),
        algorithm: "HS256".into(),
        key: "secret".into(),
        created_at: at(0),
        retired_at: None,
    };
    store.write(AddIdentityKey { key, most: 2, act: act() }).await.unwrap();
    store
}

/// The columns of Ann's row that tell when it was written and what it says.
const ROW: &str = "SELECT updated_at, proven_at, name, email, attributes FROM people WHERE user_id = 'ann'";

#[derive(Debug, PartialEq)]
struct Written {
    updated_at: i64,
    proven_at: Option<i64>,
    name: Option<String>,
    email: Option<String>,
    attributes: Option<String>,
}

async fn a_token_that_says_nothing_new_writes_nothing(store: &Store, row: impl AsyncFn() -> Written) {
    let user = |name: Option<&str>, email: Option<&str>, attributes: Option<i64>| User {
        id: "ann".into(),
        name: name.map(Into::into),
        email: email.map(Into::into),
        attributes: attributes.map(|number| [("n".to_owned(), number.into())].into_iter().collect()),
    };
    let show = async |seconds: i64, user: User| {
        let proof = Proof { key_id: "idk_1".into(), until: at(1_000) };
        let who = NowAt::Proven(user, proof);
        let identify = Identify { app_id: app_id(), device_id: "phone".into(), who, now: at(seconds) };
        assert!(store.write(identify).await.unwrap().done().is_some());
        row().await
    };
    let first = show(1, user(Some("Ann"), None, Some(1))).await;
    assert_eq!((first.updated_at, first.proven_at), (at(1).epoch_ms(), Some(at(1).epoch_ms())));
    assert_eq!(show(2, user(Some("Ann"), None, Some(1))).await, first, "the same again");
    assert_eq!(show(3, user(None, None, None)).await, first, "what is left out stays");
    // And whatever is other is written.
    let mut seconds = 10;
    for news in [
        user(Some("Anna"), None, None),
        user(None, Some("ann@example.com"), None),
        user(None, None, Some(2)),
        user(Some("Ann"), Some("anna@example.com"), Some(3)),
    ] {
        seconds += 1;
        let written = show(seconds, news.clone()).await;
        assert_eq!(written.updated_at, at(seconds).epoch_ms(), "{news:?}");
        assert_eq!(show(seconds + 100, news).await, written);
    }
    let last = row().await;
    let said = (last.name.as_deref(), last.email.as_deref(), last.attributes.as_deref());
    assert_eq!(said, (Some("Ann"), Some("anna@example.com"), Some(r#"{"n":3}"#)));
}

/// Who was blocked by an id that nobody had proven has a row that says nothing.
async fn the_first_proof_is_noted_though_it_says_nothing_else(store: &Store, row: impl AsyncFn() -> Written) {
    let claimed = User { id: "ann".into(), name: None, email: None, attributes: None };
    let identify =
        |who, seconds| Identify { app_id: app_id(), device_id: "phone".into(), who, now: at(seconds) };
    store.write(identify(NowAt::Claimed(claimed.clone()), 1)).await.unwrap();
    let by = Actor { id: "agt_1".into(), name: None };
    let whom = Blocked::Person("ann".into());
    let block = Block { app_id: app_id(), whom, is_blocked: true, by, act: act() };
    assert!(store.write(block).await.unwrap().is_known);
    assert_eq!(row().await.proven_at, None);
    let proof = Proof { key_id: "idk_1".into(), until: at(1_000) };
    store.write(identify(NowAt::Proven(claimed, proof), 2)).await.unwrap();
    assert_eq!(row().await.proven_at, Some(at(2).epoch_ms()));
}

async fn on_sqlite() -> (Store, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.db");
    (opened(Location::Sqlite(path.clone())).await, path, folder)
}

fn row_of_sqlite(path: &Path) -> Written {
    let connection = rusqlite::Connection::open(path).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Written {
            updated_at: row.get(0)?,
            proven_at: row.get(1)?,
            name: row.get(2)?,
            email: row.get(3)?,
            attributes: row.get(4)?,
        })
    };
    connection.query_row(ROW, [], read).unwrap()
}

async fn on_postgres() -> (Store, Client, Arc<Postgres>) {
    let database::Database { url, server } = database::create().await;
    let store = opened(Location::Postgres(Box::new(url.parse().unwrap()))).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    (store, client, server)
}

async fn row_of_postgres(client: &Client) -> Written {
    let row = client.query_one(ROW, &[]).await.unwrap();
    Written {
        updated_at: row.get(0),
        proven_at: row.get(1),
        name: row.get(2),
        email: row.get(3),
        attributes: row.get(4),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_writes_of_a_person_what_is_new() {
    let (store, path, _folder) = on_sqlite().await;
    a_token_that_says_nothing_new_writes_nothing(&store, async || row_of_sqlite(&path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_writes_of_a_person_what_is_new() {
    let (store, client, _server) = on_postgres().await;
    a_token_that_says_nothing_new_writes_nothing(&store, async || row_of_postgres(&client).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_notes_a_first_proof() {
    let (store, path, _folder) = on_sqlite().await;
    the_first_proof_is_noted_though_it_says_nothing_else(&store, async || row_of_sqlite(&path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_notes_a_first_proof() {
    let (store, client, _server) = on_postgres().await;
    the_first_proof_is_noted_though_it_says_nothing_else(&store, async || row_of_postgres(&client).await)
        .await;
}
