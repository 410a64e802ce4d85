//! What it costs that a person has many conversations and devices, in an app with many people: the logins, lists, counts and
//! appends of such a person beside those of one with a single conversation.
//!
//! `cargo run --release -p store --example people_bench [PEOPLE] [CONVERSATIONS] [DEVICES]`; with `BENCH_DATABASE_URL` on that
//! Postgres.

#![expect(clippy::print_stdout, reason = "what it measures is for whoever runs it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::rest::User;
use protocol::{Actor, AppId, ConversationId, ConversationStatus, IdentityKeyId, Sender, Timestamp};
use store::{
    Act, AddIdentityKey, App, Appended, CountUnread, CreateApp, FindDeviceLogin, FindPerson, Identify,
    IdentityKey, IdentityPolicy, ListConversations, Location, NewMessage, NowAt, OpenConversation, Proof,
    Purpose, ReadHistory, Scope, SetStatus, Store, View,
};

/// Writes that are submitted at once.
const AT_ONCE: usize = 500;
/// How often each thing is measured, in turn for both.
const ROUNDS: u64 = 400;

struct Bench {
    store: Store,
    app_id: AppId,
    key_id: IdentityKeyId,
}

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let people: u64 = arguments.next().unwrap_or(100_000);
    let conversations: u64 = arguments.next().unwrap_or(2_000);
    let devices: u64 = arguments.next().unwrap_or(50);
    let folder = tempfile::Builder::new().tempdir_in(".").expect("a folder");
    let location = match std::env::var("BENCH_DATABASE_URL") {
        Ok(url) => Location::Postgres(Box::new(url.parse().expect("a URL"))),
        Err(_) => Location::Sqlite(folder.path().join("bench.db")),
    };
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.expect("a database");
    tokio::spawn(completions.run());
    let bench = Bench { store, app_id: AppId::new(now(), 0), key_id: "idk_bench".into() };
    bench.prepare().await;
    let began = Instant::now();
    // Each with a device and a conversation.
    for from in (0..people).step_by(AT_ONCE) {
        let some = from..people.min(from + AT_ONCE as u64);
        join_all(some.clone().map(|number| bench.prove(format!("d{number}"), format!("p{number}")))).await;
        join_all(some.map(|number| bench.open(format!("d{number}"), number))).await;
    }
    for number in 0..devices {
        bench.prove(format!("ann-{number}"), "ann".into()).await;
    }
    for number in 0..conversations {
        let device = format!("ann-{}", number % devices);
        let id = bench.open(device.clone(), people + number).await;
        bench.say(&device, &id, number).await;
        bench.resolve(&id).await;
    }
    println!(
        "{people} people, and one with {conversations} conversations and {devices} devices: {:.0?}",
        began.elapsed()
    );
    let (few, many) = ("d7".to_owned(), "ann-7".to_owned());
    let of_few = bench.open(few.clone(), 1 << 40).await;
    let of_many = bench.open(many.clone(), 1 << 41).await;
    println!("{:<24} {:>10} {:>10} {:>7}", "", "one", "many", "ratio");
    bench.compare("login", || bench.login(&few), || bench.login(&many)).await;
    bench.compare("list of 50", || bench.list(&few), || bench.list(&many)).await;
    bench.compare("join", || bench.history(&few, &of_few), || bench.history(&many, &of_many)).await;
    bench.compare("unread", || bench.unread(&few), || bench.unread(&many)).await;
    bench.compare("open again", || bench.open(few.clone(), 1), || bench.open(many.clone(), 1)).await;
    let numbers = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let next = |cell: &std::cell::Cell<u64>| {
        cell.set(cell.get() + 1);
        cell.get() + (1 << 20)
    };
    bench
        .compare(
            "append",
            || bench.say(&few, &of_few, next(&numbers.0)),
            || bench.say(&many, &of_many, next(&numbers.1)),
        )
        .await;
    bench.compare("who writes", || bench.person(&of_few), || bench.person(&of_many)).await;
}

impl Bench {
    fn act(&self, action: &'static str) -> Act {
        Act {
            app_id: self.app_id.clone(),
            at: now(),
            actor: "bench".into(),
            action,
            target: "bench".into(),
            details: None,
        }
    }

    async fn prepare(&self) {
        let app = App {
            id: self.app_id.clone(),
            name: "bench".into(),
            api_key_hash: "h".into(),
            old_key: None,
            created_at: now(),
            allowed_origins: Vec::new(),
            identity: IdentityPolicy::Claimed,
            requires_device_secret: false,
        };
        self.store.write(CreateApp { app, act: self.act("app.create") }).await.expect("an app");
        let key = IdentityKey {
            id: self.key_id.clone(),
            app_id: self.app_id.clone(),
            algorithm: "HS256".into(),
            key: "secret".into(),
            created_at: now(),
            retired_at: None,
        };
        let adding = AddIdentityKey { key, most: 2, act: self.act("identity_key.add") };
        self.store.write(adding).await.expect("a key");
    }

    async fn prove(&self, device: String, person: String) {
        let user = User { id: person.into(), name: Some("Ann".into()), email: None, attributes: None };
        let proof = Proof { key_id: self.key_id.clone(), until: now().plus(Duration::from_secs(3_600)) };
        let (app_id, device_id) = (self.app_id.clone(), device.into());
        let who = NowAt::Proven(user, proof);
        let proven = self.store.write(Identify { app_id, device_id, who, now: now() }).await;
        assert!(proven.expect("an outcome").done().is_some());
    }

    async fn open(&self, device: String, number: u64) -> ConversationId {
        let opening = OpenConversation {
            app_id: self.app_id.clone(),
            device_id: device.into(),
            id: ConversationId::new(now(), number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            who: None,
            device_context: None,
            now: now(),
        };
        let opened = self.store.write(opening).await.expect("an outcome").done().expect("a conversation");
        opened.conversation.conversation.id
    }

    fn scope(&self, device: &str) -> Scope {
        Scope { app_id: self.app_id.clone(), device_id: Some(device.into()) }
    }

    async fn say(&self, device: &str, id: &ConversationId, number: u64) {
        let new = NewMessage {
            scope: self.scope(device),
            conversation_id: id.clone(),
            local_id: number.to_string().into(),
            body: "Where is my parcel?".into(),
            sender: Sender::User,
            sender_name: None,
            sender_id: None,
            now: now(),
            chance: number,
        };
        let said = self.store.write(new).await.expect("an outcome");
        assert!(matches!(said, Appended::New(..)));
    }

    async fn resolve(&self, id: &ConversationId) {
        let scope = Scope { app_id: self.app_id.clone(), device_id: None };
        let (id, status) = (id.clone(), ConversationStatus::Resolved);
        let act = self.act("conversation.resolve");
        let by = Actor { id: "agt_1".into(), name: None };
        self.store.write(SetStatus { scope, id, status, by, act }).await.expect("an outcome");
    }

    async fn login(&self, device: &str) {
        let find = FindDeviceLogin { app_id: self.app_id.clone(), device_id: device.into() };
        self.store.read(find).await.expect("an answer").expect("an app");
    }

    async fn list(&self, device: &str) {
        let list =
            ListConversations { scope: self.scope(device), view: View::All(None), after: None, limit: 50 };
        self.store.read(list).await.expect("a page");
    }

    async fn history(&self, device: &str, id: &ConversationId) {
        let page = ReadHistory {
            scope: self.scope(device),
            conversation_id: id.clone(),
            cursor: None,
            activity_after: None,
            limit: 50,
        };
        self.store.read(page).await.expect("a page");
    }

    async fn unread(&self, device: &str) {
        let count = CountUnread { app_id: self.app_id.clone(), device_id: device.into() };
        self.store.read(count).await.expect("a count");
    }

    async fn person(&self, id: &ConversationId) {
        let scope = Scope { app_id: self.app_id.clone(), device_id: None };
        let find = FindPerson { scope, conversation_id: id.clone(), limit: 20 };
        self.store.read(find).await.expect("an answer").expect("a conversation");
    }

    /// Both in turn, so that what disturbs the machine disturbs both.
    async fn compare<A: Future, B: Future>(&self, what: &str, few: impl Fn() -> A, many: impl Fn() -> B) {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let began = Instant::now();
            few().await;
            times[0].push(began.elapsed());
            let began = Instant::now();
            many().await;
            times[1].push(began.elapsed());
        }
        let [few, many] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{what:<24} {few:>10.0?} {many:>10.0?} {ratio:>7.2}");
    }
}
