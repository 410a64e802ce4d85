//! How the databases go about the statements whose tables grow for ever: by an index, whatever is asked for.

use std::fmt::Write as _;

use backing::Postgres;
use protocol::rest::User;
use protocol::{
    Actor, AppId, Availability, CannedReply, ConversationId, ConversationStatus, DeviceId, IdentityKeyId,
    MessageStatus, Permissions, Role, Sender, Side, Timestamp, TokenId,
};
use tokio_postgres::NoTls;

use super::conversations::{
    LATEST, LATEST_OPEN, LATEST_OWN, OF_AGENT, OF_APP, OF_DEVICE, OF_NOBODY, OF_STATUS, TAGGED, WAITING,
};
use crate::postgres::OF_LANES;
use crate::session::asked;
use crate::{
    Act, ActivityAfter, ActivityCursor, AddCannedReply, AddIdentityKey, AddNote, AddTag, AgentChange,
    AgentChanged, App, AppChange, Appended, Assign, BeginFirstRun, Block, Blocked, ChangeAgent, ChangeApp,
    ChangeCannedReply, ChangeTags, CheckWritable, ClaimDevice, CodeKind, Compare, CountInbox, CountUnread,
    CreateApp, CreateToken, Credential, Cursor, DescribePerson, EndBindings, EndBindingsOfKey, EndFirstRun,
    EndIndexing, EndOldKey, EndSearchRequest, EndSignIns, FindAccounts, FindAgent, FindApp, FindCode,
    FindConversation, FindDevice, FindDeviceLogin, FindIdentityKey, FindLatest, FindPerson, FindToken,
    FindTokenByHash, FindVoid, ForgetIndex, GiveCode, Given, HasEndedBindings, HoldIndexing, Identify,
    IdentityKey, IdentityPolicy, Index, InviteAgent, Invited, KeepSecret, KeyAdded, ListActs, ListAgents,
    ListApps, ListCannedReplies, ListChanges, ListConversations, ListFresh, ListIdentityKeys, ListOld,
    ListRequested, ListRevocations, ListSignIns, ListTags, ListTokens, LoadUnindexed, Location, Mark,
    MarkUnread, MessagesAfter, NameDevices, NewCode, NewMessage, NewReceipt, NextSearchRequest, NowAt,
    OpenConversation, Proof, Purpose, ReadActivity, ReadHistory, RebuildSearch, RemoveCannedReply, RemoveTag,
    ResetDevice, RetireIdentityKey, RevokeToken, RotateKey, Scope, Search, SetStatus, SignIn, Sought, Store,
    StoredAgent, Tagged, TellContext, Token, TouchDevice, TouchOldKey, TouchToken, Unbind, UseCode, View,
    Void,
};

/// The statements, with values in place of their parameters.
fn statements() -> Vec<String> {
    let filled = |sql: &str, values: &[&str]| {
        let mut filled = sql.to_owned();
        for (number, value) in values.iter().enumerate().rev() {
            filled = filled.replace(&format!("${}", number + 1), value);
        }
        filled
    };
    let mut statements = Vec::new();
    for place in [["9223372036854775807", "''"], ["500000", "'c5000'"]] {
        let [updated_at, id] = place;
        statements.push(filled(OF_APP, &["'app-0'", updated_at, id, "50"]));
        for status in ["'open'", "'resolved'"] {
            statements.push(filled(OF_STATUS, &["'app-0'", updated_at, id, status, "50"]));
            statements.push(filled(OF_AGENT, &["'app-0'", updated_at, id, "'a7'", status, "50"]));
            statements.push(filled(OF_NOBODY, &["'app-0'", updated_at, id, status, "50"]));
            statements.push(filled(TAGGED, &["'app-0'", updated_at, id, "'vip'", status, "50"]));
            statements.push(filled(WAITING, &["'app-0'", updated_at, id, status, "50"]));
        }
        for status in ["NULL", "'open'"] {
            statements.push(filled(OF_DEVICE, &["'app-0'", updated_at, id, "'d77'", status, "50"]));
        }
    }
    statements.extend([LATEST, LATEST_OPEN, LATEST_OWN].map(|sql| filled(sql, &["'app-0'", "'d77'"])));
    statements
}

async fn opened(location: &Location) {
    let (store, _completions) =
        Store::open(location, Purpose::Command, std::sync::Arc::new(|_| ())).await.expect("a database");
    drop(store);
}

#[tokio::test]
async fn sqlite_walks_no_table_and_sorts_no_app() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replyhq.db");
    opened(&Location::Sqlite(path.clone())).await;
    let connection = rusqlite::Connection::open(path).expect("the file");
    for sql in statements() {
        let mut plan = String::new();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let mut rows = explain.query([]).expect("a plan");
        while let Some(row) = rows.next().expect("a row") {
            writeln!(plan, "{}", row.get::<_, String>(3).expect("text")).expect("memory");
        }
        // What is scanned may only be a page that has been made before.
        let walks = plan.lines().any(|line| {
            line.starts_with("SCAN")
                && !["page", "open", "resolved", "own", "proven", "tagged", "(subquery"]
                    .iter()
                    .any(|made| line[5..].starts_with(made))
        });
        assert!(!walks, "{sql}\n{plan}");
        let finds = [
            "conversations_by_status",
            "conversations_by_device",
            "conversations_by_assignee",
            "conversations_by_wait",
            "conversation_tags_in_order",
        ]
        .iter()
        .any(|index| plan.contains(index));
        assert!(finds, "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn postgres_reads_a_page_of_rows_for_a_page() {
    const FILL: &str = "\
        INSERT INTO apps (id, name, api_key_hash, created_at) \
            SELECT 'app-' || n, 'x', 'x', 0 FROM generate_series(0, 9) n; \
        INSERT INTO conversations (id, app_id, device_id, status, last_seq, unread_count, device_delivered_seq, \
            device_read_seq, agent_delivered_seq, agent_read_seq, created_at, updated_at, assignee_id, waiting_since) \
            SELECT 'c' || n, 'app-' || n % 10 / 9, 'd' || n / 3, CASE WHEN n % 500 = 0 THEN 'open' ELSE 'resolved' END, \
            2, 0, 0, 0, 0, 0, n, n * 10, CASE WHEN n % 3 = 0 THEN 'a' || n % 20 END, CASE WHEN n % 7 = 0 THEN n * 10 END \
            FROM generate_series(1, 60000) n; \
        INSERT INTO conversation_tags (conversation_id, tag, app_id, status, updated_at) \
            SELECT id, 'vip', app_id, status, updated_at FROM conversations; \
        INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, created_at) \
            SELECT 'c' || n, s, 'm' || n || '-' || s, s, 'x', 'user', n FROM generate_series(1, 60000) n, generate_series(1, 2) s; \
        INSERT INTO devices (app_id, device_id, updated_at) SELECT 'app-0', 'd' || n, 0 FROM generate_series(1, 20000) n; \
        ANALYZE";
    let postgres = Postgres::start().await.expect("a private Postgres");
    let url = postgres.url("postgres");
    opened(&Location::Postgres(Box::new(url.parse().expect("a URL")))).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute(FILL).await.expect("rows");
    for sql in statements() {
        let explained = client.query(&format!("EXPLAIN (ANALYZE, TIMING OFF, BUFFERS) {sql}"), &[]).await;
        let plan: Vec<String> = explained.expect("a plan").iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        // Pages of the database: some for each of the fifty conversations and their messages.
        let read = plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared hit="));
        let read = read.and_then(|rest| rest.split(' ').next()).and_then(|hit| hit.parse::<u32>().ok());
        assert!(read.is_some_and(|read| read < 1_000), "{sql}\n{plan}");
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + seconds * 1_000)
}

/// Whom an operation is about: the app and the device of the rows that the databases are filled with.
fn scope(device: Option<&str>) -> Scope {
    Scope { app_id: "app-0".into(), device_id: device.map(Into::into) }
}

fn act() -> Act {
    Act {
        app_id: "app-0".into(),
        at: at(0),
        actor: "cli".into(),
        action: "test",
        target: "all".into(),
        details: None,
    }
}

fn somebody() -> Actor {
    Actor { id: "agt_1".into(), name: Some("Ada".into()) }
}

/// Does all that a store can do at least once, in each way that asks something else.
async fn do_all(store: &Store) {
    let user = |id: &str| User { id: id.into(), name: Some("Ann".into()), email: None, attributes: None };
    let id = || AppId::from("app-new");
    let app = App {
        id: "app-new".into(),
        name: "Shop".into(),
        api_key_hash: "h".into(),
        old_key: None,
        created_at: at(0),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    store.write(CreateApp { app, act: act() }).await.expect("an app");
    store.read(ListApps).await.expect("apps");
    store.read(FindApp { id: id() }).await.expect("an app");
    let rotating = RotateKey { id: id(), api_key_hash: "new".into(), keep_until: Some(at(9)), act: act() };
    store.write(rotating).await.expect("a key");
    store.write(TouchOldKey { id: id(), now: at(1) }).await.expect("a note");
    store.write(EndOldKey { id: id(), act: act() }).await.expect("an end");
    let change = AppChange { name: Some("Shop".into()), ..AppChange::default() };
    store.write(ChangeApp { id: id(), change, act: act() }).await.expect("a change");
    store.write(KeepSecret { name: "test", new: "secret".into() }).await.expect("a secret");
    let token_id = || TokenId::from("tok_new");
    let token = Token {
        id: token_id(),
        app_id: "app-0".into(),
        name: "Ada".into(),
        permissions: Permissions::agent(),
        token_hash: "hash".into(),
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        agent_id: None,
        idle_ms: None,
        user_agent: None,
        agent: None,
    };
    store.write(CreateToken { token, act: act() }).await.expect("a token");
    store.read(ListTokens { app_id: "app-0".into() }).await.expect("tokens");
    store.read(FindToken { id: token_id() }).await.expect("a token");
    store.read(FindTokenByHash { hash: "hash".into() }).await.expect("a token");
    store.write(TouchToken { id: token_id(), now: at(1) }).await.expect("a note");
    store
        .read(FindVoid { shown: vec![Credential::Token(token_id(), 0)], now: at(1) })
        .await
        .expect("an answer");
    store.write(RevokeToken { id: token_id(), act: act() }).await.expect("an end");
    for app_id in [None, Some("app-0".into())] {
        for before in [None, Some(5)] {
            store.read(ListActs { app_id: app_id.clone(), before, limit: 10 }).await.expect("a record");
        }
    }
    store.write(CheckWritable { now: at(1) }).await.expect("writable");
    agents(store).await;

    let (key_id, app_0) = (|| IdentityKeyId::from("idk_1"), || AppId::from("app-0"));
    let key = IdentityKey {
        id: key_id(),
        app_id: app_0(),
        algorithm: "HS256".into(),
        key: "secret".into(),
        created_at: at(0),
        retired_at: None,
    };
    let added = store.write(AddIdentityKey { key, most: 2, act: act() }).await.expect("a key");
    assert_eq!(added, KeyAdded::Done);
    store.read(ListIdentityKeys { app_id: app_0() }).await.expect("keys");
    store.read(FindIdentityKey { id: key_id() }).await.expect("a key");
    let proof = || Proof { key_id: key_id(), until: at(2) };
    let people = [
        NowAt::Nobody,
        NowAt::Claimed(user("ann")),
        NowAt::Claimed(user("bob")),
        NowAt::Nobody,
        NowAt::Proven(user("ann"), proof()),
        NowAt::Proven(user("bob"), proof()),
    ];
    for (person, chance) in people.into_iter().zip(1..) {
        let (app_id, device_id) = ("app-0".into(), "phone".into());
        let identify = Identify { app_id, device_id, who: person.clone(), now: at(1) };
        assert!(store.write(identify).await.expect("an outcome").done().is_some());
        let opening = OpenConversation {
            app_id: "app-0".into(),
            device_id: "phone".into(),
            id: ConversationId::new(at(1), chance),
            who: Some(person),
            device_context: Some("{}".into()),
            now: at(1),
        };
        store.write(opening).await.expect("a conversation");
    }
    let telling = TellContext {
        app_id: "app-0".into(),
        device_id: "phone".into(),
        device_context: r#"{"locale":"de"}"#.into(),
        now: at(1),
    };
    store.write(telling).await.expect("a note");
    store.read(FindDeviceLogin { app_id: "app-0".into(), device_id: "phone".into() }).await.expect("a login");
    let opening = OpenConversation {
        app_id: "app-0".into(),
        device_id: "tablet".into(),
        id: ConversationId::new(at(2), 7),
        who: None,
        device_context: None,
        now: at(2),
    };
    let opened = store.write(opening).await.expect("a conversation");
    let id = opened.done().expect("a conversation").conversation.conversation.id;
    devices_and_people(store, &id, &proof()).await;
    let mut message = None;
    for (device, sender, local_id) in
        [(Some("tablet"), Sender::User, "1"), (None, Sender::Agent, "2"), (None, Sender::Agent, "2")]
    {
        let new = NewMessage {
            scope: scope(device),
            conversation_id: id.clone(),
            local_id: local_id.into(),
            body: "x".into(),
            sender,
            sender_name: None,
            sender_id: None,
            now: at(3),
            chance: 1,
        };
        if let Appended::New(stored, ..) = store.write(new).await.expect("an outcome") {
            message = Some(stored.id);
        }
    }
    let message = message.expect("a message");
    for side in [Side::User, Side::Agent] {
        let receipt = NewReceipt {
            scope: scope(None),
            side,
            conversation_id: id.clone(),
            up_to: message.clone(),
            status: MessageStatus::Read,
            now: at(4),
        };
        store.write(receipt).await.expect("an outcome");
    }
    for device in [None, Some("tablet")] {
        for cursor in [
            None,
            Some(Cursor::After(None)),
            Some(Cursor::After(Some(message.clone()))),
            Some(Cursor::Before(None)),
            Some(Cursor::Before(Some(message.clone()))),
        ] {
            let page = ReadHistory {
                scope: scope(device),
                conversation_id: id.clone(),
                cursor,
                activity_after: None,
                limit: 10,
            };
            store.read(page).await.expect("a page");
        }
        store.read(FindConversation { scope: scope(device), id: id.clone() }).await.expect("a conversation");
        let tablet = CountUnread { app_id: "app-0".into(), device_id: "tablet".into() };
        store.read(tablet).await.expect("a count");
        for status in [None, Some(ConversationStatus::Open)] {
            let query =
                ListConversations { scope: scope(device), view: View::All(status), after: None, limit: 10 };
            store.read(query).await.expect("a page");
        }
    }
    let after = MessagesAfter { conversation_id: id.clone(), seq: 0, limit: 10 };
    store.read(after).await.expect("messages");
    let status = ConversationStatus::Resolved;
    let change = SetStatus { scope: scope(None), id: id.clone(), status, by: somebody(), act: act() };
    store.write(change).await.expect("an outcome");
    for _ in 0..2 {
        let note = AddNote {
            scope: scope(None),
            conversation_id: id.clone(),
            local_id: "n1".into(),
            body: "x".into(),
            by: somebody(),
            now: at(9),
        };
        store.write(note).await.expect("an outcome");
    }
    let reply = CannedReply {
        id: "can_1".into(),
        shortcut: "hi".into(),
        text: "Hi".into(),
        created_at: at(0),
        updated_at: at(0),
    };
    let app_id: AppId = "app-0".into();
    let add = AddCannedReply { app_id: app_id.clone(), reply, most: 9, act: act() };
    store.write(add).await.expect("an outcome");
    let (shortcut, text) = (Some("ho".into()), None);
    let change = ChangeCannedReply { app_id: app_id.clone(), id: "can_1".into(), shortcut, text, act: act() };
    store.write(change).await.expect("an outcome");
    let list = ListCannedReplies { app_id: app_id.clone(), after: String::new(), limit: 10 };
    assert_eq!(store.read(list).await.expect("a list").len(), 1);
    let remove = RemoveCannedReply { app_id, id: "can_1".into(), act: act() };
    assert!(store.write(remove).await.expect("an outcome"));
    for cursor in [ActivityCursor::After(0), ActivityCursor::Before(None)] {
        let page = ReadActivity { scope: scope(None), conversation_id: id.clone(), cursor, limit: 10 };
        store.read(page).await.expect("a page");
    }
    store.read(ActivityAfter { conversation_id: id.clone(), n: 0, limit: 10 }).await.expect("activity");
    let again = NewMessage {
        scope: scope(Some("tablet")),
        conversation_id: id.clone(),
        local_id: "again".into(),
        body: "x".into(),
        sender: Sender::User,
        sender_name: None,
        sender_id: None,
        now: at(10),
        chance: 3,
    };
    assert!(matches!(store.write(again).await.expect("an outcome"), Appended::New(_, _, Some(_))));
    for view in [
        View::Assigned(Some("agt_1".into()), ConversationStatus::Open),
        View::Assigned(None, ConversationStatus::Open),
        View::Waiting(ConversationStatus::Open),
    ] {
        let query = ListConversations { scope: scope(None), view, after: None, limit: 10 };
        store.read(query).await.expect("a page");
    }
    team(store, &id).await;
    for to in [Some("agt_1".into()), None] {
        let (scope, by) = (scope(None), somebody());
        let assign = Assign { scope, id: id.clone(), to, expected: Some(None), by, act: act() };
        store.write(assign).await.expect("an outcome");
    }
    let start = store.read(ListChanges { since: None, limit: 10 }).await.expect("a beginning").next;
    store.read(ListChanges { since: Some(start), limit: 10 }).await.expect("changes");
    let given = Given { conversation_id: id, message: Some((2, message)), activity: Some((1, at(0))) };
    store.read(Compare { given: vec![given] }).await.expect("an answer");
    search(store).await;
}

/// The part of [`do_all`] that is about what a team says of a conversation.
async fn team(store: &Store, id: &ConversationId) {
    let app_id = || AppId::from("app-0");
    for (add, remove) in [(vec!["vip".to_owned()], Vec::new()), (Vec::new(), vec!["vip".to_owned()])] {
        let (scope, id, by) = (scope(None), id.clone(), somebody());
        let change = ChangeTags { scope, id, add, remove, most: 9, most_of_app: 9, by, act: act() };
        assert!(matches!(store.write(change).await.expect("an outcome"), Tagged::Done(_)));
    }
    let query = ListConversations {
        scope: scope(None),
        view: View::Tagged("vip".into(), ConversationStatus::Open),
        after: None,
        limit: 10,
    };
    store.read(query).await.expect("a page");
    assert_eq!(store.read(ListTags { app_id: app_id() }).await.expect("tags").len(), 1);
    let add = AddTag { app_id: app_id(), tag: "new".into(), most: 9, act: act() };
    assert!(store.write(add).await.expect("an outcome"));
    let remove = RemoveTag { app_id: app_id(), tag: "new".into(), act: act() };
    assert!(store.write(remove).await.expect("an outcome"));
    let counting = CountInbox { app_id: app_id(), agents: vec!["agt_1".into()] };
    store.read(counting).await.expect("counts");
    let marking = MarkUnread { scope: scope(None), id: id.clone(), is_marked: true };
    store.write(marking).await.expect("an outcome").expect("a conversation");
    for about in ["Pays late", ""] {
        let (scope, id, by) = (scope(None), id.clone(), somebody());
        let describe = DescribePerson { scope, id, about: about.to_owned(), by, act: act() };
        store.write(describe).await.expect("an outcome").expect("a conversation");
    }
}

/// The part of [`do_all`] that is about the search.
async fn search(store: &Store) {
    let holder = || "node".to_owned();
    let holding = HoldIndexing { holder: holder(), now: at(0), for_ms: 5_000 };
    let state = store.write(holding).await.expect("an answer").expect("the index");
    let fresh = store.read(ListFresh { seen: state.seen, limit: 10 }).await.expect("what is new");
    for mark in [fresh.seen.map(Mark::Seen), Some(Mark::Old(Some("c5".into()))), Some(Mark::Old(None))] {
        let before = store.read(ListOld { before: None, limit: 9 }).await.expect("conversations");
        let mut conversations =
            store.read(ListOld { before: before.last().cloned(), limit: 9 }).await.expect("more");
        conversations.extend(before);
        for limit in [3, 100] {
            let load = LoadUnindexed { conversations: conversations.clone(), limit };
            let unindexed = store.read(load).await.expect("what is not indexed");
            store.write(Index::new(unindexed.parts, mark.clone())).await.expect("an outcome");
        }
    }
    let found = |words: &str, status: Option<ConversationStatus>| Search {
        scope: scope(None),
        sought: Sought::of(words).expect("few words"),
        status,
        assignee_id: None,
        after: None,
        limit: 3,
    };
    for (words, status) in
        [("x", None), ("x", Some(ConversationStatus::Open)), ("ann bob", None), ("d99", None)]
    {
        store.read(found(words, status)).await.expect("an answer");
    }
    for app_id in [Some(AppId::from("app-0")), None] {
        let what = RebuildSearch { app_id };
        assert!(store.write(what).await.expect("an outcome"));
    }
    let mut requests = 0;
    while let Some(request) = store.read(NextSearchRequest).await.expect("an answer") {
        let what = ListRequested { what: request.what.clone(), after: None, limit: 10 };
        store.read(what).await.expect("conversations");
        while !store.write(ForgetIndex { request: request.clone(), limit: 10 }).await.expect("an outcome") {}
        store.write(EndSearchRequest { request }).await.expect("an end");
        requests += 1;
    }
    assert!(requests > 3, "{requests}");
    store.write(EndIndexing { holder: holder() }).await.expect("an end");
}

/// The part of [`do_all`] that is about agents.
async fn agents(store: &Store) {
    let agent = |id: &str, email: &str| StoredAgent {
        id: id.into(),
        app_id: "app-0".into(),
        name: "Ada".into(),
        email: email.into(),
        role: Role::Admin,
        is_disabled: false,
        availability: Availability::Online,
        password_hash: None,
        created_at: at(0),
        last_seen_at: None,
        version: 0,
    };
    let session = |id: &str| Token {
        id: id.into(),
        app_id: "app-0".into(),
        name: "Ada".into(),
        permissions: Permissions::default(),
        token_hash: id.into(),
        created_at: at(1),
        expires_at: Some(at(99)),
        last_used_at: None,
        revoked_at: None,
        agent_id: Some("agt_1".into()),
        idle_ms: Some(1_000),
        user_agent: None,
        agent: None,
    };
    let code = |hash: &str, kind| NewCode { hash: hash.into(), kind, created_at: at(0), expires_at: at(99) };
    let first = BeginFirstRun { code: code("first", CodeKind::FirstRun) };
    assert!(!store.write(first).await.expect("an outcome"), "there is an app");
    let ending = EndFirstRun {
        hash: "first".into(),
        app: store.read(FindApp { id: "app-0".into() }).await.expect("an answer").expect("an app"),
        agent: agent("agt_0", "first@example.com"),
        session: session("tok_first"),
        acts: vec![act()],
    };
    assert!(!store.write(ending).await.expect("an outcome"));
    for _ in 0..2 {
        let invited = InviteAgent {
            agent: agent("agt_1", "ada@example.com"),
            code: code("invited", CodeKind::Account),
            act: act(),
        };
        assert!(matches!(store.write(invited).await.expect("an outcome"), Invited::Done(_)));
    }
    let found = store.read(FindCode { hash: "invited".into(), now: at(1) }).await.expect("an answer");
    assert!(found.is_some_and(|found| found.agent.is_some()));
    let using = UseCode {
        hash: "invited".into(),
        password_hash: Some("hash".into()),
        name: None,
        session: session("tok_1"),
        act: act(),
    };
    let ada = store.write(using).await.expect("an outcome").expect("an agent");
    let signing = SignIn { agent: ada.clone(), session: session("tok_2"), act: act() };
    assert!(store.write(signing).await.expect("an outcome"));
    store.write(TouchToken { id: "tok_2".into(), now: at(2) }).await.expect("a note");
    assert_eq!(
        store.read(ListSignIns { agent_id: ada.id.clone(), now: at(1) }).await.expect("sessions").len(),
        2
    );
    store.read(ListAgents { app_id: "app-0".into() }).await.expect("agents");
    store.read(FindAgent { id: ada.id.clone() }).await.expect("an agent");
    for app_id in [None, Some("app-0".into())] {
        let find = FindAccounts { email: ada.email.clone(), app_id };
        assert_eq!(store.read(find).await.expect("accounts").len(), 1);
    }
    let code = code("reset", CodeKind::Account);
    let giving = GiveCode { app_id: "app-0".into(), id: ada.id.clone(), code, act: act() };
    assert!(store.write(giving).await.expect("an outcome").is_some());
    let ending = EndSignIns { agent_id: ada.id.clone(), except: Some("tok_2".into()), act: act() };
    store.write(ending).await.expect("an end");
    let change = AgentChange { is_disabled: Some(true), ..AgentChange::default() };
    let (app_id, id) = (AppId::from("app-0"), ada.id.clone());
    let changing = ChangeAgent { app_id, id, change, except: None, act: Some(act()), now: at(3) };
    assert_eq!(store.write(changing).await.expect("an outcome"), AgentChanged::LastAdmin);
    let shown = Credential::Token("tok_2".into(), ada.version + 1);
    let void = store.read(FindVoid { shown: vec![shown.clone()], now: at(1) }).await.expect("an answer");
    assert_eq!(void, [(shown, Void::Changed)]);
}

/// The part of [`do_all`] that is about devices and people. Ends as it begins: nobody is at the tablet.
async fn devices_and_people(store: &Store, conversation: &ConversationId, proof: &Proof) {
    let (app_id, device_id) = (|| AppId::from("app-0"), || DeviceId::from("phone"));
    store.read(FindDevice { app_id: app_id(), device_id: device_id() }).await.expect("a device");
    store.read(FindLatest { app_id: app_id(), device_id: device_id() }).await.expect("an answer");
    let proven = CountUnread { app_id: app_id(), device_id: device_id() };
    store.read(proven).await.expect("a count");
    let here = NameDevices { app_id: app_id(), devices: vec![device_id(), "unknown".into()] };
    assert_eq!(store.read(here).await.expect("an answer").len(), 1);
    store.read(HasEndedBindings { now: at(1) }).await.expect("an answer");
    store.write(TouchDevice { app_id: app_id(), device_id: device_id(), now: at(2) }).await.expect("a note");
    let of_bob = ConversationId::new(at(1), 6);
    for id in [conversation, &of_bob] {
        let find = FindPerson { scope: scope(None), conversation_id: id.clone(), limit: 10 };
        store.read(find).await.expect("a person");
        let seen = FindConversation { scope: scope(Some("phone")), id: id.clone() };
        store.read(seen).await.expect("a conversation or none");
    }
    for whom in [Blocked::Device(device_id()), Blocked::Person("bob".into())] {
        for is_blocked in [true, false] {
            let (by, act) = (somebody(), act());
            let block = Block { app_id: app_id(), whom: whom.clone(), is_blocked, by, act };
            assert!(store.write(block).await.expect("an outcome").is_known);
        }
    }
    let new = NewMessage {
        scope: scope(Some("phone")),
        conversation_id: of_bob.clone(),
        local_id: "1".into(),
        body: "x".into(),
        sender: Sender::User,
        sender_name: None,
        sender_id: None,
        now: at(3),
        chance: 1,
    };
    assert!(matches!(store.write(new).await.expect("an outcome"), Appended::New(..)));
    store.write(Unbind { app_id: app_id(), device_id: device_id(), act: act() }).await.expect("an outcome");
    let user = User { id: "bob".into(), name: None, email: None, attributes: None };
    let who = NowAt::Proven(user, proof.clone());
    let again = Identify { app_id: app_id(), device_id: device_id(), who: who.clone(), now: at(1) };
    assert!(store.write(again.clone()).await.expect("an outcome").done().is_some());
    assert_eq!(store.write(EndBindings { now: at(9), limit: 10 }).await.expect("a number"), 1);
    store.write(again).await.expect("an outcome");
    let retiring = RetireIdentityKey { id: proof.key_id.clone(), app_id: app_id(), act: act() };
    assert!(store.write(retiring).await.expect("an outcome"));
    let ending = EndBindingsOfKey { id: proof.key_id.clone(), limit: 10, now: at(1) };
    assert_eq!(store.write(ending).await.expect("a number"), 1);
    let secret_hash = "hash".to_owned();
    let claim = ClaimDevice { app_id: app_id(), device_id: device_id(), secret_hash, now: at(1) };
    store.write(claim).await.expect("a device");
    let reset = ResetDevice { app_id: app_id(), device_id: device_id(), act: act() };
    assert!(store.write(reset).await.expect("an outcome"));
    let seen = store.read(ListRevocations { since: Some(1), limit: 10 }).await.expect("revocations");
    assert!(!seen.revocations.is_empty() && !seen.is_incomplete);
}

/// Statements that may walk a table as a whole, each with the reason.
const WALKED: [&str; 5] = [
    // The list of all apps, which an operator asks for.
    "FROM apps ORDER BY id",
    // Whether there is any app, which the first row says.
    "SELECT 1 FROM apps LIMIT 1",
    // An index that is made anew begins with an empty one.
    "DELETE FROM search_documents",
    // The first page of it, in its own order, by its key.
    "SELECT id FROM conversations ORDER BY id DESC LIMIT $1",
    "DELETE FROM search_progress",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_sqlite_walks_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replyhq.db");
    let location = Location::Sqlite(path.clone());
    opened(&location).await;
    let connection = rusqlite::Connection::open(path).expect("the file");
    connection.execute_batch(FILLING).expect("rows");
    let (store, completions) =
        Store::open(&location, Purpose::Command, std::sync::Arc::new(|_| ())).await.expect("a database");
    tokio::spawn(completions.run());
    do_all(&store).await;
    let asked = asked::SQLITE.lock().expect("nobody panics with it").clone();
    assert!(asked.len() > 40, "{} statements", asked.len());
    for sql in asked {
        let mut plan = String::new();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().expect("a row") {
            writeln!(plan, "{}", row.get::<_, String>(3).expect("text")).expect("memory");
        }
        let walks = plan.lines().any(|line| {
            let walked = line.trim().strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            walked.is_some_and(|walked| {
                let is_called = |table: &str| {
                    sql.contains(&format!("{table} {walked} "))
                        || sql.contains(&format!("{table} AS {walked} "))
                };
                TABLES.iter().any(|table| *table == walked || is_called(table))
            })
        });
        assert!(!walks || WALKED.iter().any(|known| sql.contains(known)), "{sql}\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_postgres_walks_a_table() {
    let postgres = Postgres::start().await.expect("a private Postgres");
    let url = postgres.url("postgres");
    let location = Location::Postgres(Box::new(url.parse().expect("a URL")));
    let (store, completions) =
        Store::open(&location, Purpose::Command, std::sync::Arc::new(|_| ())).await.expect("a database");
    tokio::spawn(completions.run());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute(FILLING).await.expect("rows");
    // Of tables that fit on a page or two a walk is the better plan: here it is taken only where there is no other.
    client
        .batch_execute("ANALYZE; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .await
        .expect("settings");
    do_all(&store).await;
    let mut asked = asked::POSTGRES.lock().expect("nobody panics with it").clone();
    asked.extend(OF_LANES);
    assert!(asked.len() > 40, "{} statements", asked.len());
    for (number, sql) in asked.into_iter().enumerate() {
        let params = (1..=20).take_while(|number| sql.contains(&format!("${number}"))).count();
        let nulls = vec!["NULL"; params].join(", ");
        let values = if params == 0 { String::new() } else { format!("({nulls})") };
        client.batch_execute(&format!("PREPARE s{number} AS {sql}")).await.expect("a statement");
        let explained =
            client.query(&format!("EXPLAIN EXECUTE s{number}{values}"), &[]).await.expect("a plan");
        let plan: Vec<String> = explained.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        let walks = plan.contains("Seq Scan on");
        assert!(!walks || WALKED.iter().any(|known| sql.contains(known)), "{sql}\n{plan}");
    }
}

const TABLES: [&str; 13] = [
    "activities",
    "admin_tokens",
    "apps",
    "audit_log",
    "conversation_tags",
    "conversations",
    "devices",
    "messages",
    "people_notes",
    "search_documents",
    "search_progress",
    "secrets",
    "tags",
];

/// Rows in each table that grows, in words of both databases.
const FILLING: &str = "INSERT INTO apps (id, name, api_key_hash, created_at) VALUES ('app-0', 'x', 'x', 0); \
    INSERT INTO conversations (id, app_id, device_id, status, last_seq, unread_count, device_delivered_seq, \
    device_read_seq, agent_delivered_seq, agent_read_seq, created_at, updated_at) \
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000) \
    SELECT 'c' || n, 'app-0', 'd' || n / 3, CASE WHEN n % 50 = 0 THEN 'open' ELSE 'resolved' END, \
    1, 0, 0, 0, 0, 0, n, n FROM n; \
    INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, created_at) \
    SELECT id, 1, 'm' || id, '1', 'x', 'user', 0 FROM conversations; \
    INSERT INTO conversation_tags (conversation_id, tag, app_id, status, updated_at) \
    SELECT id, 'old', app_id, status, updated_at FROM conversations; \
    INSERT INTO activities (conversation_id, n, kind, at, body, local_id) \
    SELECT id, 1, 'note', 0, 'x', '1' FROM conversations; \
    UPDATE conversations SET last_activity = 1";
