//! The search: the same documents are found in the same order on both databases, each once, whatever came between.

#![expect(clippy::unwrap_used, reason = "in a test, what goes wrong is to panic")]

use std::sync::Arc;

use protocol::rest::User;
use protocol::{Actor, AppId, ConversationId, ConversationStatus, Sender, Timestamp};
use store::{
    Act, AddNote, App, CreateApp, EndSearchRequest, ForgetIndex, HitWhat, HoldIndexing, Identify,
    IdentityPolicy, Index, ListFresh, ListOld, ListRequested, LoadUnindexed, Location, Mark, NewMessage,
    NextSearchRequest, NowAt, OpenConversation, Purpose, RebuildSearch, Requested, Scope, Search, SetStatus,
    Sought, Store,
};

#[path = "support/database.rs"]
mod database;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + ms)
}

fn app(chance: u64) -> AppId {
    AppId::new(at(0), chance)
}

fn act() -> Act {
    Act {
        app_id: app(1),
        at: at(0),
        actor: "cli".into(),
        action: "test",
        target: "all".into(),
        details: None,
    }
}

fn somebody() -> Actor {
    Actor { id: "agt_1".into(), name: Some("Refunda".into()) }
}

async fn opened(location: &Location) -> Store {
    let (store, completions) = Store::open(location, Purpose::Command, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    store
}

/// Both, each with two apps.
struct Both {
    stores: [Store; 2],
    locations: [Location; 2],
    url: String,
    _folder: tempfile::TempDir,
    _server: Arc<backing::Postgres>,
}

impl Both {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database::Database { url, server } = database::create().await;
        let locations = [
            Location::Sqlite(folder.path().join("replyhq.db")),
            Location::Postgres(Box::new(url.parse().unwrap())),
        ];
        let [sqlite, postgres] = [opened(&locations[0]).await, opened(&locations[1]).await];
        for store in [&sqlite, &postgres] {
            for chance in [1, 2] {
                let app = App {
                    id: app(chance),
                    name: "Shop".into(),
                    api_key_hash: "hash".into(),
                    old_key: None,
                    created_at: at(0),
                    allowed_origins: Vec::new(),
                    identity: IdentityPolicy::Claimed,
                    requires_device_secret: false,
                };
                store.write(CreateApp { app, act: act() }).await.unwrap();
            }
        }
        Self { stores: [sqlite, postgres], locations, url, _folder: folder, _server: server }
    }

    async fn index(&self) {
        for store in &self.stores {
            index(store).await;
        }
    }

    /// What both find, page by page.
    async fn find(&self, question: &str) -> Vec<String> {
        self.find_in(1, question, None).await
    }

    async fn find_in(&self, chance: u64, question: &str, status: Option<ConversationStatus>) -> Vec<String> {
        let mut answers = Vec::new();
        for store in &self.stores {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let search = Search {
                    scope: Scope { app_id: app(chance), device_id: None },
                    sought: Sought::of(question).unwrap(),
                    status,
                    assignee_id: None,
                    after,
                    limit: 2,
                };
                let page = store.read(search).await.unwrap();
                assert!(page.hits.len() <= 2);
                found.extend(page.hits.into_iter().map(|hit| {
                    assert_eq!(hit.conversation.conversation.app_id, app(chance));
                    match hit.what {
                        HitWhat::Message(message) => message.body,
                        HitWhat::Note(note) => format!("{}: {}", note.n, note.body.unwrap()),
                        HitWhat::Person(person) => format!("<{person}>"),
                    }
                }));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            answers.push(found);
        }
        assert_eq!(answers[0], answers[1], "{question:?}: SQLite and Postgres");
        answers.pop().unwrap()
    }

    async fn open_conversation(
        &self,
        chance: u64,
        n: u64,
        device: &str,
        user: Option<User>,
    ) -> ConversationId {
        let now = at(i64::try_from(n).unwrap() * 1_000);
        let id = ConversationId::new(now, n);
        for store in &self.stores {
            let opening = OpenConversation {
                app_id: app(chance),
                device_id: device.into(),
                id: id.clone(),
                who: user.clone().map(NowAt::Claimed),
                device_context: None,
                now,
            };
            assert!(store.write(opening).await.unwrap().done().unwrap().is_new);
        }
        id
    }

    async fn send(&self, chance: u64, id: &ConversationId, bodies: &[&str], now: Timestamp) {
        for store in &self.stores {
            for (n, body) in bodies.iter().enumerate() {
                let new = NewMessage {
                    scope: Scope { app_id: app(chance), device_id: None },
                    conversation_id: id.clone(),
                    local_id: format!("{}-{n}", now.epoch_ms()).into(),
                    body: (*body).into(),
                    sender: Sender::Agent,
                    sender_name: None,
                    sender_id: None,
                    now,
                    chance: 1,
                };
                store.write(new).await.unwrap();
            }
        }
    }

    async fn note(&self, chance: u64, id: &ConversationId, body: &str, now: Timestamp) {
        for store in &self.stores {
            let note = AddNote {
                scope: Scope { app_id: app(chance), device_id: None },
                conversation_id: id.clone(),
                local_id: now.epoch_ms().to_string().into(),
                body: body.into(),
                by: somebody(),
                now,
            };
            store.write(note).await.unwrap();
        }
    }
}

/// Indexes all there is to index, as a server does; answers how many documents that were.
async fn index(store: &Store) -> u64 {
    let mut indexed = 0;
    loop {
        let holding = HoldIndexing { holder: "test".into(), now: at(0), for_ms: 1_000 };
        let state = store.write(holding).await.unwrap().unwrap();
        if let Some(request) = store.read(NextSearchRequest).await.unwrap() {
            if let Requested::Rebuild(_) = request.what {
                while !store.write(ForgetIndex { request: request.clone(), limit: 3 }).await.unwrap() {}
            } else {
                let list = ListRequested { what: request.what.clone(), after: None, limit: 100 };
                indexed += some(store, store.read(list).await.unwrap(), None).await;
                store.write(EndSearchRequest { request }).await.unwrap();
            }
            continue;
        }
        let mut seen = state.seen;
        loop {
            let fresh = store.read(ListFresh { seen: seen.clone(), limit: 3 }).await.unwrap();
            indexed += some(store, fresh.conversations, fresh.seen.clone().map(Mark::Seen)).await;
            seen = fresh.seen;
            if !fresh.has_more {
                break;
            }
        }
        if state.is_complete {
            return indexed;
        }
        let old = store.read(ListOld { before: state.old_before, limit: 2 }).await.unwrap();
        let last = old.last().cloned();
        indexed += some(store, old, Some(Mark::Old(last))).await;
    }
}

async fn some(store: &Store, conversations: Vec<ConversationId>, mark: Option<Mark>) -> u64 {
    let mut indexed = 0;
    loop {
        let load = LoadUnindexed { conversations: conversations.clone(), limit: 2 };
        let parts = store.read(load).await.unwrap().parts;
        let is_done = parts.is_empty();
        let again = Index::new(parts.clone(), None);
        indexed += store.write(Index::new(parts, mark.clone().filter(|_| is_done))).await.unwrap();
        // Another node that does the same at the same time does nothing.
        assert_eq!(store.write(again).await.unwrap(), 0);
        if is_done {
            return indexed;
        }
    }
}

fn ann() -> User {
    User {
        id: "u-77".into(),
        name: Some("Ann Chrager".into()),
        email: Some("ann.chrager@example.com".into()),
        attributes: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_find_the_same_in_the_same_order() {
    let both = Both::open().await;
    let first = both.open_conversation(1, 1, "phone-1", Some(ann())).await;
    let second = both.open_conversation(1, 2, "tablet", None).await;
    let foreign = both.open_conversation(2, 3, "phone-1", Some(ann())).await;
    both.send(
        1,
        &first,
        &["Où est mon café ?", "A refund, please", "refund no. 3", "我想退款", "refund"],
        at(5_000),
    )
    .await;
    both.send(
        1,
        &second,
        &["The REFUNDED money", "\u{1F600} '\":*&|!()<->", "don't write bob@mail.example.com"],
        at(5_000),
    )
    .await;
    both.send(2, &foreign, &["refund of another shop"], at(5_000)).await;
    both.index().await;

    let person = "<Ann Chrager · ann.chrager@example.com · u-77 · phone-1>";
    for question in ["chrager", "example ann", "ann.chrager@example.com", "u-77", "PHONE", "chrager@ex"] {
        assert_eq!(both.find(question).await, [person], "{question}");
    }
    assert_eq!(both.find("example.com").await, ["don't write bob@mail.example.com", person]);
    assert_eq!(both.find("cafe").await, ["Où est mon café ?"]);
    for question in ["退款", "款", "想退款"] {
        assert_eq!(both.find(question).await, ["我想退款"], "{question}");
    }
    assert_eq!(both.find("don’t").await, both.find("write").await);
    assert_eq!(both.find("refund no").await, ["refund no. 3"]);
    let refunds = both.find("refund").await;
    let of_first: Vec<_> = refunds.iter().filter(|body| body.starts_with(['A', 'r'])).collect();
    assert_eq!(
        of_first,
        ["refund", "refund no. 3", "A refund, please"],
        "newest first, though of one millisecond"
    );
    assert_eq!(refunds.len(), 4);
    assert_eq!(both.find_in(2, "refund", None).await, ["refund of another shop"]);
    for nothing in [
        "",
        "*",
        "退谢",
        "refund zebra",
        "\" OR 1=1",
        "a:b",
        "NEAR(refund, money)",
        "\0",
        "^refund -x",
        "words",
    ] {
        assert_eq!(both.find(nothing).await, Vec::<String>::new(), "{nothing:?}");
    }

    // What is asked for a kind of conversation only is of those.
    for store in &both.stores {
        let scope = Scope { app_id: app(1), device_id: None };
        let by = somebody();
        let resolving =
            SetStatus { scope, id: second.clone(), status: ConversationStatus::Resolved, by, act: act() };
        store.write(resolving).await.unwrap();
    }
    assert_eq!(both.find_in(1, "refund", Some(ConversationStatus::Resolved)).await, ["The REFUNDED money"]);
    assert_eq!(both.find_in(1, "refund", Some(ConversationStatus::Open)).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_found_among_the_messages_by_their_number_and_nothing_else_that_agents_do() {
    let both = Both::open().await;
    let first = both.open_conversation(1, 1, "phone", None).await;
    let second = both.open_conversation(1, 2, "tablet", None).await;
    let foreign = both.open_conversation(2, 3, "phone", None).await;
    both.send(1, &first, &["a refund, please"], at(5_000)).await;
    both.note(1, &first, "No refund: SHE HAS A CAFÉ", at(6_000)).await;
    both.index().await;
    let (done, open) = (ConversationStatus::Resolved, ConversationStatus::Open);
    for (id, status) in [(&first, done), (&first, open), (&second, done)] {
        for store in &both.stores {
            let scope = Scope { app_id: app(1), device_id: None };
            let change = SetStatus { scope, id: id.clone(), status, by: somebody(), act: act() };
            store.write(change).await.unwrap();
            assert_eq!(index(store).await, 0, "what is done is no text");
        }
    }
    both.note(1, &first, "refund given after all", at(8_000)).await;
    both.send(1, &first, &["is the refund there?"], at(7_000)).await;
    both.note(1, &second, "not the one of the refund · 退款", at(7_500)).await;
    both.note(1, &second, "\u{1F44D}", at(7_600)).await;
    both.note(2, &foreign, "refund of another shop", at(7_500)).await;
    for store in &both.stores {
        assert_eq!(index(store).await, 5);
        assert_eq!(index(store).await, 0);
    }
    let refunds = [
        "4: refund given after all",
        "2: not the one of the refund · 退款",
        "is the refund there?",
        "1: No refund: SHE HAS A CAFÉ",
        "a refund, please",
    ];
    assert_eq!(both.find("refund").await, refunds);
    assert_eq!(both.find("cafe she").await, [refunds[3]]);
    assert_eq!(both.find("款").await, [refunds[1]]);
    assert_eq!(both.find_in(1, "refund", Some(done)).await, [refunds[1]]);
    assert_eq!(both.find_in(2, "refund", None).await, ["1: refund of another shop"]);
    assert_eq!(both.find("refunda").await, Vec::<String>::new(), "who wrote it is no part of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_notes_of_one_millisecond_are_found_in_the_order_of_their_numbers() {
    let both = Both::open().await;
    let id = both.open_conversation(1, 1, "phone", None).await;
    for n in 1..=100 {
        for store in &both.stores {
            let note = AddNote {
                scope: Scope { app_id: app(1), device_id: None },
                conversation_id: id.clone(),
                local_id: n.to_string().into(),
                body: "refund".into(),
                by: somebody(),
                now: at(5_000),
            };
            store.write(note).await.unwrap();
        }
        // What is found stays where it is, however the index was made.
        if n % 40 == 0 {
            index(&both.stores[0]).await;
        }
    }
    both.index().await;
    let newest_first: Vec<String> = (1..=100).rev().map(|n| format!("{n}: refund")).collect();
    assert_eq!(both.find("refund").await, newest_first);
}

/// As it was before notes were found: everything else is indexed, and the walk through what was there before is over.
const BEFORE_NOTES: &str = "DELETE FROM refinery_schema_history WHERE version > 32; \
    DELETE FROM search_documents WHERE kind = 'note'; \
    ALTER TABLE search_progress DROP COLUMN activity; \
    UPDATE search_state SET is_complete = 1, old_before = NULL; \
    ALTER TABLE conversations DROP COLUMN tags; ALTER TABLE conversations DROP COLUMN is_marked_unread; \
    DROP TABLE tags; DROP TABLE conversation_tags; DROP TABLE people_notes;";

/// What came after it, and has to be made again.
const LATER_SQLITE: &str = "DROP TRIGGER conversation_tags_follow";
const LATER_POSTGRES: &str =
    "DROP TRIGGER conversation_tags_follow ON conversations; DROP FUNCTION conversation_tags_follow";

/// What there is of it on SQLite alone.
const BEFORE_NOTES_SQLITE: &str = "DELETE FROM search_words WHERE rowid NOT IN (SELECT n FROM search_documents); \
    UPDATE search_state SET seen = (SELECT max(rowid) FROM messages) || ' ' || (SELECT max(rowid) FROM conversations);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_that_were_there_before_are_found_once_the_schema_knows_of_them() {
    let mut both = Both::open().await;
    for n in 1..6 {
        let id = both.open_conversation(1, n, &format!("phone-{n}"), None).await;
        both.send(1, &id, &["one refund"], at(5_000)).await;
        both.note(1, &id, "two refunds", at(6_000)).await;
    }
    both.index().await;
    let found = both.find("refund").await;
    assert_eq!(found.len(), 10);
    let Location::Sqlite(path) = &both.locations[0] else { panic!("the first is SQLite's") };
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(LATER_SQLITE).unwrap();
    file.execute_batch(BEFORE_NOTES).unwrap();
    file.execute_batch(BEFORE_NOTES_SQLITE).unwrap();
    drop(file);
    let (client, connection) = tokio_postgres::connect(&both.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(LATER_POSTGRES).await.unwrap();
    client.batch_execute(BEFORE_NOTES).await.unwrap();
    drop(client);
    let serve = async |location: &Location| {
        let purpose = Purpose::Serve { alone: true };
        let (store, completions) = Store::open(location, purpose, Arc::new(|_| ())).await.unwrap();
        tokio::spawn(completions.run());
        store
    };
    both.stores = [serve(&both.locations[0]).await, serve(&both.locations[1]).await];
    assert_eq!(both.find("refund").await.len(), 5);
    // One that comes while the others are still to be found.
    let id = both.open_conversation(1, 9, "phone-9", None).await;
    both.note(1, &id, "the newest refund", at(9_000)).await;
    for store in &both.stores {
        assert_eq!(index(store).await, 5 + 2, "nothing that was indexed is indexed again");
    }
    assert_eq!(both.find("refund").await, [vec!["1: the newest refund".to_owned()], found].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_found_by_the_name_and_address_that_they_have_now() {
    let both = Both::open().await;
    both.open_conversation(1, 1, "phone", Some(ann())).await;
    both.index().await;
    let married = User { name: Some("Ann Lee".into()), email: Some("lee@example.org".into()), ..ann() };
    for store in &both.stores {
        let who = NowAt::Claimed(married.clone());
        store
            .write(Identify { app_id: app(1), device_id: "phone".into(), who, now: at(9_000) })
            .await
            .unwrap();
        assert_eq!(index(store).await, 1);
        assert_eq!(index(store).await, 0);
    }
    assert_eq!(both.find("lee@example.org").await, ["<Ann Lee · lee@example.org · u-77 · phone>"]);
    assert_eq!(both.find("chrager").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_made_anew_is_the_same() {
    let both = Both::open().await;
    for n in 1..6 {
        let id = both.open_conversation(1 + n % 2, n, &format!("phone-{n}"), None).await;
        both.send(1 + n % 2, &id, &["one refund", "two refunds", "three"], at(5_000)).await;
        both.note(1 + n % 2, &id, "four refunds", at(5_000)).await;
    }
    both.index().await;
    let before = [both.find_in(1, "refund", None).await, both.find_in(2, "refund", None).await];
    for app_id in [Some(app(1)), None] {
        for store in &both.stores {
            assert!(store.write(RebuildSearch { app_id: app_id.clone() }).await.unwrap());
            let scope = Scope { app_id: app(2), device_id: None };
            let search = Search {
                scope,
                sought: Sought::of("refund").unwrap(),
                status: None,
                assignee_id: None,
                after: None,
                limit: 9,
            };
            assert!(!store.read(search).await.unwrap().is_complete);
            assert_eq!(index(store).await, if app_id.is_some() { 10 } else { 25 });
        }
        assert_eq!([both.find_in(1, "refund", None).await, both.find_in(2, "refund", None).await], before);
    }
    assert!(!both.stores[0].write(RebuildSearch { app_id: Some(app(9)) }).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_makes_the_index_until_it_is_dead_for_seconds() {
    let both = Both::open().await;
    let hold = |holder: &str, ms| HoldIndexing { holder: holder.into(), now: at(ms), for_ms: 5_000 };
    let postgres = &both.stores[1];
    assert!(postgres.write(hold("one", 0)).await.unwrap().is_some());
    assert!(postgres.write(hold("two", 4_000)).await.unwrap().is_none());
    assert!(postgres.write(hold("one", 4_000)).await.unwrap().is_some());
    assert!(postgres.write(hold("two", 8_000)).await.unwrap().is_none());
    assert!(postgres.write(hold("two", 9_001)).await.unwrap().is_some());
    assert!(postgres.write(hold("one", 9_002)).await.unwrap().is_none());
}
