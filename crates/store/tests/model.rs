//! The rules of `seq`, of receipts, of activity and of what an inbox shows against a model: whatever is sent, noted, sent again,
//! resolved, tagged, marked and acknowledged in whatever order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use protocol::{
    Activity, ActivityKind, Actor, AppId, ConversationId, ConversationStatus, DeviceId, InboxConversation,
    LocalId, Message, MessageId, MessageStatus, Sender, Side, Timestamp,
};
use store::{
    Act, ActivityCursor, AddNote, App, Appended, ChangeTags, CountInbox, CreateApp, Cursor, FindConversation,
    IdentityPolicy, ListConversations, Location, Look, MarkUnread, NewMessage, NewReceipt, Noted,
    OpenConversation, Purpose, ReadActivity, ReadHistory, Scope, SetStatus, Store, Tagged, View,
};
use tokio::sync::oneshot;

#[path = "support/database.rs"]
mod database;

const CONVERSATIONS: usize = 2;
const TAGS: u8 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Few names and bodies, so that retries and conflicts are frequent.
    Send { conversation: usize, local_id: u8, body: bool, is_agent: bool },
    /// An agent's note, with as few names and bodies.
    Note { conversation: usize, local_id: u8, body: bool },
    /// Resolved by an agent, or opened again.
    Resolve { conversation: usize, is_resolved: bool },
    /// A tag is put on or taken off; few, so that most is there or not there already.
    Tag { conversation: usize, tag: u8, is_on: bool },
    /// Marked as unread, or no longer.
    Mark { conversation: usize, is_marked: bool },
    /// Up to the message with this place among those stored so far.
    Receipt { conversation: usize, at: prop::sample::Index, is_agent: bool, is_read: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let send = (0..CONVERSATIONS, 0..12u8, any::<bool>(), any::<bool>()).prop_map(
        |(conversation, local_id, body, is_agent)| Step::Send { conversation, local_id, body, is_agent },
    );
    let receipt = (0..CONVERSATIONS, any::<prop::sample::Index>(), any::<bool>(), any::<bool>()).prop_map(
        |(conversation, at, is_agent, is_read)| Step::Receipt { conversation, at, is_agent, is_read },
    );
    let note = (0..CONVERSATIONS, 0..6u8, any::<bool>())
        .prop_map(|(conversation, local_id, body)| Step::Note { conversation, local_id, body });
    let resolve = (0..CONVERSATIONS, any::<bool>())
        .prop_map(|(conversation, is_resolved)| Step::Resolve { conversation, is_resolved });
    let tag = (0..CONVERSATIONS, 0..TAGS, any::<bool>()).prop_map(|(conversation, tag, is_on)| Step::Tag {
        conversation,
        tag,
        is_on,
    });
    let mark = (0..CONVERSATIONS, any::<bool>())
        .prop_map(|(conversation, is_marked)| Step::Mark { conversation, is_marked });
    prop_oneof![3 => send, 2 => receipt, 1 => note, 1 => resolve, 1 => tag, 1 => mark]
}

/// What must be in one conversation.
#[derive(Default)]
struct Model {
    /// In order: name, body, whether an agent's, id.
    messages: Vec<(u8, bool, bool, MessageId)>,
    /// In order: what happened, and a note's name and body.
    activity: Vec<(ActivityKind, Option<(u8, bool)>)>,
    is_resolved: bool,
    tags: BTreeSet<String>,
    is_marked: bool,
    /// Up to where each side has received and read: (user, agent).
    delivered: (u64, u64),
    read: (u64, u64),
}

impl Model {
    fn status(&self, index: usize) -> MessageStatus {
        let seq = index as u64 + 1;
        // A user's message is received and read by agents, and the other way round.
        let is_agents = self.messages[index].2;
        let of = |marks: (u64, u64)| if is_agents { marks.0 } else { marks.1 };
        MessageStatus::of(seq, of(self.delivered), of(self.read))
    }

    fn happened(&mut self, kind: ActivityKind, note: Option<(u8, bool)>) -> u64 {
        self.activity.push((kind, note));
        self.activity.len() as u64
    }

    fn unread(&self) -> u64 {
        let unread = |index: &usize| !self.messages[*index].2 && *index as u64 + 1 > self.read.1;
        (0..self.messages.len()).filter(unread).count() as u64
    }
}

struct Bench {
    store: Store,
    scope: Scope,
    conversations: Vec<ConversationId>,
    _folder: tempfile::TempDir,
    _server: Option<Arc<backing::Postgres>>,
}

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000)
}

/// On SQLite or on Postgres.
async fn bench(on_postgres: bool) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = None;
    let location = if on_postgres {
        let database = database::create().await;
        server = Some(database.server);
        Location::Postgres(Box::new(database.url.parse().expect("a URL")))
    } else {
        Location::Sqlite(folder.path().join("replyhq.db"))
    };
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.expect("a database");
    tokio::spawn(completions.run());
    let app_id = AppId::new(now(), 1);
    let app = App {
        id: app_id.clone(),
        name: "Shop".into(),
        api_key_hash: "h".into(),
        old_key: None,
        created_at: now(),
        allowed_origins: Vec::new(),
        identity: IdentityPolicy::Claimed,
        requires_device_secret: false,
    };
    let act = Act {
        app_id: app_id.clone(),
        at: now(),
        actor: "cli".into(),
        action: "app.create",
        target: app_id.to_string(),
        details: None,
    };
    store.write(CreateApp { app, act }).await.expect("an app");
    let mut conversations = Vec::new();
    for number in 0..CONVERSATIONS {
        let (tell, told) = oneshot::channel();
        let opening = OpenConversation {
            app_id: app_id.clone(),
            device_id: DeviceId::from(format!("device-{number}")),
            id: ConversationId::new(now(), number as u64),
            who: None,
            device_context: None,
            now: now(),
        };
        store.submit(opening, |outcome| drop(tell.send(outcome)));
        conversations.push(
            told.await
                .expect("an answer")
                .expect("opened")
                .done()
                .expect("a conversation")
                .conversation
                .conversation
                .id,
        );
    }
    let scope = Scope { app_id, device_id: None };
    Bench { store, scope, conversations, _folder: folder, _server: server }
}

impl Bench {
    async fn send(&self, conversation: usize, local_id: u8, body: bool, is_agent: bool) -> Appended {
        let (tell, told) = oneshot::channel();
        let new = NewMessage {
            scope: self.scope.clone(),
            conversation_id: self.conversations[conversation].clone(),
            local_id: LocalId::from(format!("{local_id}")),
            body: format!("{body}"),
            sender: if is_agent { Sender::Agent } else { Sender::User },
            sender_name: None,
            sender_id: None,
            now: now(),
            chance: 0,
        };
        self.store.submit(new, |outcome| drop(tell.send(outcome)));
        told.await.expect("an answer").expect("a working database")
    }

    /// Whether the receipt said anything new.
    async fn receipt(
        &self,
        conversation: usize,
        up_to: MessageId,
        side: Side,
        status: MessageStatus,
    ) -> bool {
        let (tell, told) = oneshot::channel();
        let receipt = NewReceipt {
            scope: self.scope.clone(),
            side,
            conversation_id: self.conversations[conversation].clone(),
            up_to,
            status,
            now: now(),
        };
        self.store.submit(receipt, |outcome| drop(tell.send(outcome)));
        match told.await.expect("an answer").expect("a working database") {
            Look::Found(receipted) => receipted.advanced.is_some(),
            other => panic!("{other:?}"),
        }
    }

    async fn note(&self, conversation: usize, local_id: u8, body: bool) -> Noted {
        let note = AddNote {
            scope: self.scope.clone(),
            conversation_id: self.conversations[conversation].clone(),
            local_id: LocalId::from(format!("{local_id}")),
            body: format!("{body}"),
            by: ada(),
            now: now(),
        };
        self.store.write(note).await.expect("a working database")
    }

    /// What happened by it, if that was anything.
    async fn resolve(&self, conversation: usize, is_resolved: bool) -> Option<Activity> {
        let status = if is_resolved { ConversationStatus::Resolved } else { ConversationStatus::Open };
        let act = Act {
            app_id: self.scope.app_id.clone(),
            at: now(),
            actor: "agt_ada".into(),
            action: "conversation.resolve",
            target: "all".into(),
            details: None,
        };
        let id = self.conversations[conversation].clone();
        let set = SetStatus { scope: self.scope.clone(), id, status, by: ada(), act };
        let changed = self.store.write(set).await.expect("a working database").expect("a conversation");
        assert_eq!(changed.conversation.conversation.status, status);
        let mut activity = changed.activity;
        assert!(activity.len() <= 1, "{activity:?}");
        activity.pop()
    }

    /// What happened by it, if that was anything.
    async fn tag(&self, conversation: usize, tag: &str, is_on: bool) -> Option<Activity> {
        let (add, remove) =
            if is_on { (vec![tag.to_owned()], Vec::new()) } else { (Vec::new(), vec![tag.to_owned()]) };
        let change = ChangeTags {
            scope: self.scope.clone(),
            id: self.conversations[conversation].clone(),
            add,
            remove,
            most: 20,
            most_of_app: 500,
            by: ada(),
            act: Act {
                app_id: self.scope.app_id.clone(),
                at: now(),
                actor: "agt_ada".into(),
                action: "conversation.tag",
                target: "all".into(),
                details: None,
            },
        };
        match self.store.write(change).await.expect("a working database") {
            Tagged::Done(mut changed) => {
                assert!(changed.activity.len() <= 1, "{:?}", changed.activity);
                assert_eq!(changed.conversation.tags.iter().any(|other| other == tag), is_on);
                changed.activity.pop()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether that changed anything.
    async fn mark(&self, conversation: usize, is_marked: bool) -> bool {
        let id = self.conversations[conversation].clone();
        let mark = MarkUnread { scope: self.scope.clone(), id, is_marked };
        self.store.write(mark).await.expect("a working database").expect("a conversation").has_changed
    }

    /// The conversations that a view has.
    async fn view(&self, view: View) -> BTreeSet<ConversationId> {
        let list = ListConversations { scope: self.scope.clone(), view, after: None, limit: 10 };
        let rows = self.store.read(list).await.expect("a working database");
        rows.into_iter().map(|row| row.conversation.id).collect()
    }

    /// All of a conversation's activity, read forwards in pages of two, and the same backwards.
    async fn activity(&self, conversation: usize) -> Vec<Activity> {
        let page = async |cursor| {
            let conversation_id = self.conversations[conversation].clone();
            let read = ReadActivity { scope: self.scope.clone(), conversation_id, cursor, limit: 2 };
            match self.store.read(read).await.expect("a working database") {
                Look::Found(page) => page,
                other => panic!("{other:?}"),
            }
        };
        let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
        loop {
            let read = page(ActivityCursor::After(forwards.len() as u64)).await;
            forwards.extend(read.activity);
            if !read.has_more {
                assert_eq!(read.last, forwards.len() as u64);
                break;
            }
        }
        let mut before = None;
        loop {
            let read = page(ActivityCursor::Before(before)).await;
            before = read.activity.first().map(|first| first.n);
            backwards.splice(0..0, read.activity);
            if !read.has_more {
                break;
            }
        }
        assert_eq!(forwards, backwards);
        forwards
    }

    async fn stored(&self, conversation: usize) -> (Vec<Message>, InboxConversation) {
        let id = self.conversations[conversation].clone();
        let all = self
            .store
            .read(ReadHistory {
                scope: self.scope.clone(),
                conversation_id: id.clone(),
                cursor: Some(Cursor::After(None)),
                activity_after: None,
                limit: 200,
            })
            .await;
        let Look::Found(history) = all.expect("a working database") else { panic!("no conversation") };
        let row = self
            .store
            .read(FindConversation { scope: self.scope.clone(), id })
            .await
            .expect("a working database");
        (history.messages, row.expect("a conversation"))
    }
}

async fn follow(steps: Vec<Step>, on_postgres: bool) {
    let bench = bench(on_postgres).await;
    let mut models: Vec<Model> = (0..CONVERSATIONS).map(|_| Model::default()).collect();
    let mut names: HashMap<(usize, u8), usize> = HashMap::new();
    for step in steps {
        match step {
            Step::Send { conversation, local_id, body, is_agent } => {
                let model = &mut models[conversation];
                let outcome = bench.send(conversation, local_id, body, is_agent).await;
                match (names.get(&(conversation, local_id)), outcome) {
                    (None, Appended::New(message, inbox, activity)) => {
                        let is_reopened = !is_agent && std::mem::take(&mut model.is_resolved);
                        let n = is_reopened.then(|| model.happened(ActivityKind::Reopened, None));
                        assert_eq!(activity.map(|activity| activity.n), n);
                        assert_eq!(message.seq, model.messages.len() as u64 + 1);
                        assert_eq!(inbox.conversation.last_seq, message.seq);
                        names.insert((conversation, local_id), model.messages.len());
                        model.messages.push((local_id, body, is_agent, message.id));
                        model.is_marked &= !is_agent;
                        assert_eq!(inbox.is_marked_unread, model.is_marked);
                    }
                    (Some(&index), Appended::Duplicate(message)) => {
                        let (_, stored_body, stored_agent, id) = &model.messages[index];
                        assert_eq!((*stored_body, *stored_agent), (body, is_agent));
                        assert_eq!((&message.id, message.seq), (id, index as u64 + 1));
                        assert_eq!(message.status, model.status(index));
                    }
                    (Some(&index), Appended::Conflict) => {
                        let (_, stored_body, stored_agent, _) = model.messages[index];
                        assert_ne!((stored_body, stored_agent), (body, is_agent));
                    }
                    (known, outcome) => panic!("{known:?} {outcome:?}"),
                }
            }
            Step::Note { conversation, local_id, body } => {
                let model = &mut models[conversation];
                let named = |(_, note): &(_, Option<(u8, bool)>)| note.is_some_and(|note| note.0 == local_id);
                let earlier = model.activity.iter().position(named);
                match (earlier, bench.note(conversation, local_id, body).await) {
                    (None, Noted::New(activity)) => {
                        assert_eq!(activity.n, model.happened(ActivityKind::Note, Some((local_id, body))));
                    }
                    (Some(index), Noted::Duplicate(activity)) => {
                        assert_eq!(activity.n, index as u64 + 1);
                        assert_eq!(model.activity[index].1, Some((local_id, body)));
                    }
                    (Some(index), Noted::Conflict) => {
                        assert_ne!(model.activity[index].1, Some((local_id, body)));
                    }
                    (known, outcome) => panic!("{known:?} {outcome:?}"),
                }
            }
            Step::Resolve { conversation, is_resolved } => {
                let model = &mut models[conversation];
                let activity = bench.resolve(conversation, is_resolved).await;
                let kind = if is_resolved { ActivityKind::Resolved } else { ActivityKind::Reopened };
                let n = (model.is_resolved != is_resolved).then(|| model.happened(kind, None));
                assert_eq!(activity.map(|activity| activity.n), n);
                model.is_resolved = is_resolved;
            }
            Step::Tag { conversation, tag, is_on } => {
                let (model, tag) = (&mut models[conversation], format!("tag {tag}"));
                let activity = bench.tag(conversation, &tag, is_on).await;
                let has_changed =
                    if is_on { model.tags.insert(tag.clone()) } else { model.tags.remove(&tag) };
                let kind = if is_on { ActivityKind::Tagged } else { ActivityKind::Untagged };
                let n = has_changed.then(|| model.happened(kind, None));
                assert_eq!(activity.as_ref().map(|activity| activity.n), n);
                assert!(activity.is_none_or(|activity| activity.body == Some(tag)));
            }
            Step::Mark { conversation, is_marked } => {
                let was_marked = std::mem::replace(&mut models[conversation].is_marked, is_marked);
                assert_eq!(bench.mark(conversation, is_marked).await, was_marked != is_marked);
            }
            Step::Receipt { conversation, at, is_agent, is_read } => {
                let model = &mut models[conversation];
                if model.messages.is_empty() {
                    continue;
                }
                let index = at.index(model.messages.len());
                let seq = index as u64 + 1;
                let (side, status) = (
                    if is_agent { Side::Agent } else { Side::User },
                    if is_read { MessageStatus::Read } else { MessageStatus::Delivered },
                );
                let mark = |marks: &mut (u64, u64)| {
                    let mark = if is_agent { &mut marks.1 } else { &mut marks.0 };
                    let rises = *mark < seq;
                    *mark = seq.max(*mark);
                    rises
                };
                let rises = if is_read {
                    mark(&mut model.delivered);
                    mark(&mut model.read)
                } else {
                    mark(&mut model.delivered)
                };
                model.is_marked &= !(is_agent && is_read && rises);
                let up_to = model.messages[index].3.clone();
                assert_eq!(bench.receipt(conversation, up_to, side, status).await, rises);
            }
        }
    }
    for (conversation, model) in models.iter().enumerate() {
        let (messages, row) = bench.stored(conversation).await;
        assert_eq!(messages.len(), model.messages.len());
        for (index, message) in messages.iter().enumerate() {
            assert_eq!(message.seq, index as u64 + 1);
            assert_eq!(message.id, model.messages[index].3);
            assert_eq!(message.status, model.status(index));
        }
        assert_eq!((row.unread_count, row.is_marked_unread), (model.unread(), model.is_marked));
        assert_eq!(row.tags, model.tags.iter().cloned().collect::<Vec<_>>());
        let activity = bench.activity(conversation).await;
        assert_eq!(activity.len(), model.activity.len());
        for (index, activity) in activity.iter().enumerate() {
            let (kind, note) = &model.activity[index];
            assert_eq!((activity.n, &activity.kind), (index as u64 + 1, kind));
            let said = note.map(|(local_id, body)| (local_id.to_string(), body.to_string()));
            let kept = activity.local_id.as_ref().map(ToString::to_string).zip(activity.body.clone());
            assert_eq!(kept, said);
        }
    }
    let have = |has: &dyn Fn(&Model) -> bool| -> BTreeSet<ConversationId> {
        let having = models.iter().zip(&bench.conversations).filter(|(model, _)| has(model));
        having.map(|(_, id)| id.clone()).collect()
    };
    for tag in (0..TAGS).map(|tag| format!("tag {tag}")) {
        for is_resolved in [false, true] {
            let status = if is_resolved { ConversationStatus::Resolved } else { ConversationStatus::Open };
            let expected = have(&|model| model.is_resolved == is_resolved && model.tags.contains(&tag));
            assert_eq!(bench.view(View::Tagged(tag.clone(), status)).await, expected, "{tag} {status:?}");
        }
    }
    let counting = CountInbox { app_id: bench.scope.app_id.clone(), agents: Vec::new() };
    let counted = bench.store.read(counting).await.expect("a working database").shared;
    assert_eq!(counted.open, have(&|model| !model.is_resolved).len() as u64);
    let waiting = bench.view(View::Waiting(ConversationStatus::Open)).await;
    assert_eq!(counted.waiting, waiting.len() as u64);
}

fn ada() -> Actor {
    Actor { id: "agt_ada".into(), name: Some("Ada".into()) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(follow(steps, false));
    }
}

#[test]
fn the_store_on_postgres_does_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Held, so that all cases are run on one server.
    let _database = runtime.block_on(database::create());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let outcome = runner.run(&prop::collection::vec(step(), 0..80), |steps| {
        runtime.block_on(follow(steps, true));
        Ok(())
    });
    outcome.expect("the model's answers");
}
