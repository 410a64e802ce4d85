//! Which credentials are good no longer, on both databases: one question for all of them, whatever kind they are.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::collections::HashSet;
use std::sync::Arc;

use protocol::{AppId, Permissions, Timestamp, TokenId};
use store::{
    Act, App, CreateApp, CreateToken, Credential, EndOldKey, FindApp, FindVoid, IdentityPolicy, KeyId,
    Location, Purpose, RevokeToken, RotateKey, Rotated, Store, Token, TouchOldKey,
};

#[path = "support/database.rs"]
mod database;

/// SHA-256 as it is kept, of something with this number.
fn hash(number: u64) -> String {
    format!("{number:016x}{:048x}", 7)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + seconds * 1_000)
}

fn app_id(number: u64) -> AppId {
    AppId::new(at(0), number)
}

fn act(seconds: i64) -> Act {
    Act {
        app_id: app_id(1),
        at: at(seconds),
        actor: "cli".into(),
        action: "test",
        target: "all".into(),
        details: None,
    }
}

fn key(app: u64, number: u64) -> Credential {
    Credential::Key(app_id(app), KeyId::of(&hash(number)))
}

async fn create_app(store: &Store, number: u64) {
    let app = App {
        id: app_id(number),
        name: "Shop".into(),
        api_key_hash: hash(number),
        old_key: None,
        created_at: at(0),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    store.write(CreateApp { app, act: act(0) }).await.unwrap();
}

async fn create_token(store: &Store, number: u64, expires_at: Option<Timestamp>) -> TokenId {
    let token = Token {
        id: TokenId::new(at(0), number),
        app_id: app_id(1),
        name: "Ada".into(),
        permissions: Permissions::agent(),
        token_hash: hash(number),
        created_at: at(0),
        expires_at,
        last_used_at: None,
        revoked_at: None,
        agent_id: None,
        idle_ms: None,
        user_agent: None,
        agent: None,
    };
    let id = token.id.clone();
    store.write(CreateToken { token, act: act(0) }).await.unwrap();
    id
}

/// A store on this database, of which all that follows is asked.
async fn opened(location: Location) -> Store {
    let (store, completions) = Store::open(&location, Purpose::Command, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    store
}

async fn what_was_withdrawn_is_void(store: &Store) {
    for number in 1..=4 {
        create_app(store, number).await;
    }
    let good = create_token(store, 10, None).await;
    let ends = create_token(store, 11, Some(at(100))).await;
    let revoked = create_token(store, 12, None).await;
    store.write(RevokeToken { id: revoked.clone(), act: act(5) }).await.unwrap();
    let rotate = async |app, new, keep: Option<i64>| {
        store
            .write(RotateKey {
                id: app_id(app),
                api_key_hash: hash(new),
                keep_until: keep.map(at),
                act: act(10),
            })
            .await
            .unwrap()
    };
    assert_eq!(rotate(2, 22, None).await, Rotated::Done);
    assert_eq!(rotate(3, 33, Some(100)).await, Rotated::Done);
    assert_eq!(rotate(3, 34, Some(200)).await, Rotated::OlderIsGood(at(100)), "only two live at once");
    assert_eq!(rotate(9, 99, None).await, Rotated::NoApp);
    let never = Credential::Token(TokenId::new(at(0), 13), 0);
    let shown = vec![
        Credential::Token(good.clone(), 0),
        Credential::Token(ends.clone(), 0),
        Credential::Token(revoked.clone(), 0),
        never.clone(),
        key(1, 1),
        key(1, 2),
        key(2, 2),
        key(2, 22),
        key(3, 3),
        key(3, 33),
        key(4, 4),
        key(9, 9),
    ];
    let void = async |seconds| {
        let void = store.read(FindVoid { shown: shown.clone(), now: at(seconds) }).await.unwrap();
        let count = void.len();
        let void: HashSet<_> = void.into_iter().map(|(credential, _)| credential).collect();
        assert_eq!(void.len(), count);
        void
    };
    let at_once: HashSet<_> = [Credential::Token(revoked, 0), never, key(1, 2), key(2, 2), key(9, 9)].into();
    assert_eq!(void(99).await, at_once);
    let later: HashSet<_> = at_once.iter().cloned().chain([Credential::Token(ends, 0), key(3, 3)]).collect();
    assert_eq!(void(100).await, later);
    // The older one has ended: there is room for another.
    assert!(!store.write(EndOldKey { id: app_id(3), act: act(150) }).await.unwrap());
    let rotated = store
        .write(RotateKey { id: app_id(3), api_key_hash: hash(34), keep_until: Some(at(300)), act: act(150) })
        .await
        .unwrap();
    assert_eq!(rotated, Rotated::Done);
    store.write(TouchOldKey { id: app_id(3), now: at(160) }).await.unwrap();
    let old = store.read(FindApp { id: app_id(3) }).await.unwrap().unwrap().old_key.unwrap();
    assert_eq!((old.hash, old.until, old.last_used_at), (hash(33), at(300), Some(at(160))));
    assert!(store.write(EndOldKey { id: app_id(3), act: act(170) }).await.unwrap());
    assert!(void(171).await.contains(&key(3, 33)));
    assert_eq!(store.read(FindVoid { shown: Vec::new(), now: at(0) }).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_withdrawn_is_void_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(Location::Sqlite(folder.path().join("replyhq.db"))).await;
    what_was_withdrawn_is_void(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_withdrawn_is_void_on_postgres() {
    let database::Database { url, server: _server } = database::create().await;
    let store = opened(Location::Postgres(Box::new(url.parse().unwrap()))).await;
    what_was_withdrawn_is_void(&store).await;
}
