//! What the store promises of messages: once, in order, within their scope, and nothing that was not committed.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::sync::Arc;

use protocol::{
    AppId, ConversationId, DeviceId, LocalId, Message, MessageId, MessageStatus, Sender, Side, Timestamp,
};
use store::{
    Act, App, Appended, CreateApp, Cursor, IdentityPolicy, Location, Look, NewMessage, NewReceipt,
    OpenConversation, Purpose, ReadHistory, Scope, Store,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

#[path = "support/database.rs"]
mod database;

#[derive(Clone, Copy)]
enum Place {
    Sqlite,
    Postgres,
}

/// Each of these promises holds on both databases.
macro_rules! on_both {
    ($($promise:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $promise() { super::$promise(super::Place::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $promise() { super::$promise(super::Place::Postgres).await })*
        }
    };
}

on_both!(
    a_retry_returns_the_stored_message_and_takes_no_seq,
    nothing_outside_the_scope_is_written_or_told,
    racing_writers_get_seqs_without_holes_and_are_told_in_commit_order,
    pages_go_both_ways_and_refuse_foreign_cursors,
    a_page_ends_where_its_bodies_would_be_too_large_for_one_answer,
    receipts_only_rise_and_show_in_pages,
    one_bad_write_does_not_harm_those_beside_it,
    by_which_token_and_since_when_somebody_waits_is_kept,
);

struct Opened {
    store: Store,
    app_id: AppId,
    conversation_id: ConversationId,
    /// To look at it beside the store.
    beside: Beside,
    _folder: TempDir,
    _server: Option<Arc<backing::Postgres>>,
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + ms)
}

fn device() -> DeviceId {
    "phone".into()
}

/// Where the data is, for whoever looks at it beside the store.
enum Beside {
    File(std::path::PathBuf),
    Server(String),
}

/// On SQLite or on Postgres.
async fn open(place: Place) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let mut server = None;
    let (location, beside) = match place {
        Place::Sqlite => {
            let path = folder.path().join("db/replyhq.db");
            (Location::Sqlite(path.clone()), Beside::File(path))
        }
        Place::Postgres => {
            let database = database::create().await;
            let location = Location::Postgres(Box::new(database.url.parse().unwrap()));
            server = Some(database.server);
            (location, Beside::Server(database.url))
        }
    };
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    let app_id = AppId::new(time(0), 1);
    let app = App {
        id: app_id.clone(),
        name: "Shop".into(),
        api_key_hash: "h".into(),
        old_key: None,
        created_at: time(0),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    let act = Act {
        app_id: app_id.clone(),
        at: time(0),
        actor: "cli".into(),
        action: "app.create",
        target: app_id.to_string(),
        details: None,
    };
    store.write(CreateApp { app, act }).await.unwrap();
    let conversation_id = open_conversation(&store, &app_id, &device(), 7).await;
    Opened { store, app_id, conversation_id, beside, _folder: folder, _server: server }
}

async fn open_conversation(
    store: &Store,
    app_id: &AppId,
    device_id: &DeviceId,
    chance: u64,
) -> ConversationId {
    let (tell, told) = oneshot::channel();
    let opening = OpenConversation {
        app_id: app_id.clone(),
        device_id: device_id.clone(),
        id: ConversationId::new(time(1), chance),
        who: None,
        device_context: None,
        now: time(1),
    };
    store.submit(opening, |outcome| tell.send(outcome.unwrap()).unwrap());
    told.await.unwrap().done().expect("a conversation").conversation.conversation.id
}

impl Opened {
    fn scope(&self) -> Scope {
        Scope { app_id: self.app_id.clone(), device_id: Some(device()) }
    }

    fn message(&self, local_id: &str, body: &str) -> NewMessage {
        NewMessage {
            scope: self.scope(),
            conversation_id: self.conversation_id.clone(),
            local_id: LocalId::from(local_id),
            body: body.into(),
            sender: Sender::User,
            sender_name: None,
            sender_id: None,
            now: time(2),
            chance: 3,
        }
    }

    async fn append(&self, new: NewMessage) -> Appended {
        let (tell, told) = oneshot::channel();
        self.store.submit(new, |outcome| tell.send(outcome).unwrap());
        told.await.unwrap().unwrap()
    }

    async fn stored(&self, new: NewMessage) -> Message {
        match self.append(new).await {
            Appended::New(message, ..) => *message,
            other => panic!("not new: {other:?}"),
        }
    }

    async fn history(&self, cursor: Cursor, limit: u32) -> Look<store::History> {
        let conversation_id = self.conversation_id.clone();
        self.store
            .read(ReadHistory {
                scope: self.scope(),
                conversation_id,
                cursor: Some(cursor),
                activity_after: None,
                limit,
            })
            .await
            .unwrap()
    }

    async fn seqs(&self, cursor: Cursor, limit: u32) -> (Vec<u64>, bool) {
        match self.history(cursor, limit).await {
            Look::Found(page) => (page.messages.iter().map(|message| message.seq).collect(), page.has_more),
            other => panic!("not found: {other:?}"),
        }
    }
}

async fn a_retry_returns_the_stored_message_and_takes_no_seq(place: Place) {
    let opened = open(place).await;
    let first = opened.stored(opened.message("a", "hello")).await;
    assert_eq!(first.seq, 1);
    let retry = opened.append(opened.message("a", "hello")).await;
    assert!(matches!(retry, Appended::Duplicate(message) if *message == first));
    assert!(matches!(opened.append(opened.message("a", "other")).await, Appended::Conflict));
    let by_agent = NewMessage { sender: Sender::Agent, ..opened.message("a", "hello") };
    assert!(matches!(opened.append(by_agent).await, Appended::Conflict));
    assert_eq!(opened.stored(opened.message("b", "again")).await.seq, 2);
}

async fn nothing_outside_the_scope_is_written_or_told(place: Place) {
    let opened = open(place).await;
    opened.stored(opened.message("a", "hello")).await;
    let foreign_device = Scope { device_id: Some("tablet".into()), ..opened.scope() };
    let foreign_app = Scope { app_id: "app_other".into(), device_id: None };
    for scope in [foreign_device, foreign_app] {
        for local_id in ["a", "new"] {
            let message = NewMessage { scope: scope.clone(), ..opened.message(local_id, "hello") };
            assert!(matches!(opened.append(message).await, Appended::NotFound));
        }
        let conversation_id = opened.conversation_id.clone();
        let page = ReadHistory {
            scope,
            conversation_id,
            cursor: Some(Cursor::After(None)),
            activity_after: None,
            limit: 10,
        };
        let look = opened.store.read(page).await.unwrap();
        assert!(matches!(look, Look::NoConversation));
    }
    assert_eq!(opened.seqs(Cursor::After(None), 10).await, (vec![1], false));
}

async fn racing_writers_get_seqs_without_holes_and_are_told_in_commit_order(place: Place) {
    let opened = Arc::new(open(place).await);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for writer in 0..8 {
        let (opened, told) = (Arc::clone(&opened), told.clone());
        tokio::spawn(async move {
            for number in 0..50 {
                let told = told.clone();
                opened.store.submit(opened.message(&format!("{writer}-{number}"), "x"), move |outcome| {
                    let Ok(Appended::New(message, ..)) = outcome else { panic!("{outcome:?}") };
                    told.send(message.seq).unwrap();
                });
                tokio::task::yield_now().await;
            }
        });
    }
    drop(told);
    let mut seqs = Vec::new();
    while let Some(seq) = heard.recv().await {
        seqs.push(seq);
    }
    assert_eq!(seqs, (1..=400).collect::<Vec<_>>());
}

async fn pages_go_both_ways_and_refuse_foreign_cursors(place: Place) {
    let opened = open(place).await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(opened.stored(opened.message(&format!("{number}"), "x")).await.id);
    }
    assert_eq!(opened.seqs(Cursor::After(None), 2).await, (vec![1, 2], true));
    assert_eq!(opened.seqs(Cursor::After(Some(ids[1].clone())), 3).await, (vec![3, 4, 5], false));
    assert_eq!(opened.seqs(Cursor::After(Some(ids[4].clone())), 3).await, (vec![], false));
    assert_eq!(opened.seqs(Cursor::Before(None), 2).await, (vec![4, 5], true));
    assert_eq!(opened.seqs(Cursor::Before(Some(ids[1].clone())), 2).await, (vec![1], false));
    let other_place = MessageId::new(&ConversationId::new(time(5), 9), 1, 3);
    let never_stored = MessageId::new(&opened.conversation_id, 99, 3);
    let other_nonce = MessageId::new(&opened.conversation_id, 1, 4);
    for id in [other_place, never_stored, other_nonce, "nonsense".into()] {
        assert!(matches!(opened.history(Cursor::After(Some(id)), 3).await, Look::NoMessage));
    }
}

async fn a_page_ends_where_its_bodies_would_be_too_large_for_one_answer(place: Place) {
    let opened = open(place).await;
    let large = "x".repeat(protocol::limits::PAGE_BYTES / 2 - 1_000);
    for number in 1..=3 {
        opened.stored(opened.message(&format!("{number}"), &large)).await;
    }
    assert_eq!(opened.seqs(Cursor::After(None), 10).await, (vec![1, 2], true));
    assert_eq!(opened.seqs(Cursor::Before(None), 10).await, (vec![2, 3], true));
    opened.stored(opened.message("4", &large.repeat(3))).await;
    assert_eq!(opened.seqs(Cursor::Before(None), 10).await, (vec![4], true));
}

async fn receipts_only_rise_and_show_in_pages(place: Place) {
    let opened = open(place).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let message = NewMessage { sender: Sender::Agent, ..opened.message(&format!("{number}"), "x") };
        ids.push(opened.stored(message).await.id);
    }
    let receipt = |up_to: &MessageId, status| {
        let (tell, told) = oneshot::channel();
        let receipt = NewReceipt {
            scope: opened.scope(),
            side: Side::User,
            conversation_id: opened.conversation_id.clone(),
            up_to: up_to.clone(),
            status,
            now: time(9),
        };
        opened.store.submit(receipt, |outcome| tell.send(outcome.unwrap()).unwrap());
        async {
            match told.await.unwrap() {
                Look::Found(receipted) => receipted.advanced.is_some(),
                other => panic!("{other:?}"),
            }
        }
    };
    assert!(receipt(&ids[1], MessageStatus::Delivered).await);
    assert!(!receipt(&ids[0], MessageStatus::Delivered).await);
    assert!(receipt(&ids[0], MessageStatus::Read).await);
    let Look::Found(page) = opened.history(Cursor::After(None), 10).await else { panic!("no page") };
    let statuses: Vec<_> = page.messages.iter().map(|message| message.status).collect();
    assert_eq!(statuses, [MessageStatus::Read, MessageStatus::Delivered, MessageStatus::Sent]);
}

async fn one_bad_write_does_not_harm_those_beside_it(place: Place) {
    let opened = open(place).await;
    // An app that does not exist breaks a foreign key: a defect of that write alone.
    let (tell, bad) = oneshot::channel();
    let opening = OpenConversation {
        app_id: "app_none".into(),
        device_id: device(),
        id: ConversationId::new(time(3), 8),
        who: None,
        device_context: None,
        now: time(3),
    };
    let (tell_good, good) = oneshot::channel();
    opened.store.submit(opened.message("before", "x"), |outcome| tell_good.send(outcome).unwrap());
    opened.store.submit(opening, |outcome| tell.send(outcome.map(|_| ())).unwrap());
    let after = opened.append(opened.message("after", "x")).await;
    assert!(bad.await.unwrap().is_err());
    assert!(matches!(good.await.unwrap().unwrap(), Appended::New(message, ..) if message.seq == 1));
    assert!(matches!(after, Appended::New(message, ..) if message.seq == 2));
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused_and_a_command_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("replyhq.db"));
    let (first, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.unwrap();
    let error = Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ()))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("serves"), "{error}");
    assert!(Store::open(&location, Purpose::Command, Arc::new(|_| ())).await.is_ok());
    drop(first);
    // Its end says that the file is let go of.
    completions.run().await;
    assert!(Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.is_ok());
}

#[test]
fn the_bundled_sqlite_has_no_wal_reset_bug() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

/// What a query of text in one column says, beside the store.
async fn text(beside: &Beside, sql: &str) -> Vec<Option<String>> {
    match beside {
        Beside::File(path) => {
            let connection = rusqlite::Connection::open(path).unwrap();
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        }
        Beside::Server(url) => {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
        }
    }
}

async fn by_which_token_and_since_when_somebody_waits_is_kept(place: Place) {
    let opened = open(place).await;
    let from_agent = |local_id| NewMessage {
        sender: Sender::Agent,
        sender_name: Some("Ada".into()),
        sender_id: Some("tok_1".into()),
        scope: Scope { app_id: opened.app_id.clone(), device_id: None },
        ..opened.message(local_id, "x")
    };
    opened.stored(opened.message("1", "x")).await;
    const WAITING: &str = "SELECT CAST(waiting_since AS TEXT) FROM conversations";
    let now = Some(time(2).epoch_ms().to_string());
    assert_eq!(text(&opened.beside, WAITING).await, std::slice::from_ref(&now));
    opened.stored(from_agent("2")).await;
    assert_eq!(text(&opened.beside, WAITING).await, [None]);
    let replied = text(&opened.beside, "SELECT CAST(first_reply_at AS TEXT) FROM conversations").await;
    assert_eq!(replied, [now]);
    let senders = text(&opened.beside, "SELECT sender_id FROM messages ORDER BY seq").await;
    assert_eq!(senders, [None, Some("tok_1".into())]);
}
