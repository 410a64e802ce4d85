//! What the search costs beside many messages: searches of several kinds, and appends with and without the index being made.
//!
//! `cargo run --release -p store --example search_bench [MESSAGES]`; with `BENCH_DATABASE_URL` on that Postgres. Fills the store
//! in bulk, by its own operations, and makes the index as a server does.

#![expect(clippy::print_stdout, reason = "what it measures is for whoever runs it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::rest::User;
use protocol::{Actor, AppId, ConversationId, ConversationStatus, Sender, Timestamp};
use store::{
    Act, AddNote, App, Appended, CreateApp, HoldIndexing, IdentityPolicy, Index, ListFresh, ListOld,
    LoadUnindexed, Mark, NewMessage, NowAt, OpenConversation, Purpose, Scope, Search, Seen, Sought, Store,
};

/// Writes that are submitted at once.
const AT_ONCE: u64 = 500;
/// Messages of one conversation.
const MESSAGES_EACH: u64 = 20;
/// Of so many conversations one has a note.
const NOTE_EVERY: u64 = 4;
/// Appends in flight while they are measured.
const IN_FLIGHT: u64 = 100;
/// How long each of them waits between its appends, where they are as many as people write: 500 a second.
const PAUSE: Duration = Duration::from_millis(200);
/// How long appends are measured at a time.
const SLICE: Duration = Duration::from_secs(5);
/// Slices of each kind, in turn.
const SLICES: usize = 4;
/// How often each search is asked.
const SEARCHES: u64 = 200;
/// Documents of one transaction, as in the server.
const STEP: u64 = 100;

/// The words that are looked for, by the number of the question.
type Question<'a> = Box<dyn Fn(u64) -> String + 'a>;

struct Bench {
    store: Store,
    app_id: AppId,
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_epoch_ms(1_700_000_000_000 + i64::try_from(ms).unwrap_or(0))
}

/// A number that looks like chance.
fn mixed(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

/// A message of twelve words: frequent ones more often than rare ones, as in a language.
fn body(number: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "re", "fun", "de", "li", "ver", "pa", "cel", "or", "der", "ac", "count", "pay", "ment", "sto", "re",
        "me",
    ];
    const CJK: [&str; 8] = ["我想", "退款", "订单", "没有", "收到", "谢谢", "配送", "地址"];
    let word = |n: u64| {
        let chance = mixed(number * 31 + n);
        // Of 2^k words, each k as likely as the others: the few first ones are in most messages.
        let rank = mixed(chance) % (1 << (4 + chance % 14));
        let syllable = |by: u64| SYLLABLES[usize::try_from(mixed(rank * 7 + by) % 16).unwrap_or(0)];
        format!(
            "{}{}{}{}",
            syllable(0),
            syllable(1),
            syllable(2),
            if rank > 500 { rank.to_string() } else { String::new() }
        )
    };
    let mut words: Vec<String> = (0..12).map(word).collect();
    if number.is_multiple_of(20) {
        let pick = |by| CJK[usize::try_from(mixed(number + by) % 8).unwrap_or(0)];
        words.push(format!("{}{}{}", pick(1), pick(2), pick(3)));
    }
    if number % 50_000 == 7 {
        words.push("zanzibar".into());
    }
    words.join(" ")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let messages: u64 =
        std::env::args().nth(1).map_or(1_000_000, |argument| argument.parse().expect("a number"));
    let folder = tempfile::Builder::new().tempdir_in(".").expect("a folder");
    let location = match std::env::var("BENCH_DATABASE_URL") {
        Ok(url) => store::Location::Postgres(Box::new(url.parse().expect("a URL"))),
        Err(_) => store::Location::Sqlite(folder.path().join("bench.db")),
    };
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.expect("a database");
    tokio::spawn(completions.run());
    let bench = Arc::new(Bench { store, app_id: AppId::new(at(0), 0) });
    let began = Instant::now();
    bench.fill(messages).await;
    println!("{messages} messages stored in {:.0?}", began.elapsed());
    let began = Instant::now();
    let seen = bench.index_old().await;
    let took = began.elapsed();
    println!("indexed in {took:.0?}, {:.0} a second", messages as f64 / took.as_secs_f64());
    if let store::Location::Sqlite(path) = &location {
        let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
        println!("the file has {} MB", bytes / 1_000_000);
    }
    bench.searches(messages).await;
    bench.appends(messages, seen).await;
}

impl Bench {
    async fn fill(&self, messages: u64) {
        let act = Act {
            app_id: self.app_id.clone(),
            at: at(0),
            actor: "bench".into(),
            action: "app.create",
            target: "bench".into(),
            details: None,
        };
        let app = App {
            id: self.app_id.clone(),
            name: "bench".into(),
            api_key_hash: "h".into(),
            old_key: None,
            created_at: at(0),
            allowed_origins: Vec::new(),
            identity: IdentityPolicy::Claimed,
            requires_device_secret: false,
        };
        self.store.write(CreateApp { app, act }).await.expect("an app");
        let conversations = messages / MESSAGES_EACH;
        for from in (0..conversations).step_by(usize::try_from(AT_ONCE).unwrap_or(500)) {
            let some = from..conversations.min(from + AT_ONCE);
            let ids = join_all(some.map(|number| self.open(number))).await;
            for n in 0..MESSAGES_EACH {
                join_all(ids.iter().map(|(number, id)| self.say(id, number * MESSAGES_EACH + n))).await;
            }
            let with_note = ids.iter().filter(|(number, _)| number.is_multiple_of(NOTE_EVERY));
            join_all(with_note.map(|(number, id)| self.note(id, *number))).await;
        }
    }

    async fn open(&self, number: u64) -> (u64, ConversationId) {
        let mail = format!(
            "{}.{}{number}@example{}.com",
            body(number * 13).split(' ').next().unwrap_or(""),
            "lee",
            number % 40
        );
        let name = body(number * 17).split(' ').take(2).collect::<Vec<_>>().join(" ");
        let user = User {
            id: format!("u{number}").as_str().into(),
            name: Some(name),
            email: Some(mail),
            attributes: None,
        };
        let opening = OpenConversation {
            app_id: self.app_id.clone(),
            device_id: format!("d{number}").into(),
            id: ConversationId::new(at(number * 1_000), mixed(number)),
            who: Some(NowAt::Claimed(user)),
            device_context: None,
            now: at(number * 1_000),
        };
        let opened = self.store.write(opening).await.expect("an outcome").done().expect("a conversation");
        (number, opened.conversation.conversation.id)
    }

    async fn say(&self, id: &ConversationId, number: u64) {
        let new = NewMessage {
            scope: Scope { app_id: self.app_id.clone(), device_id: None },
            conversation_id: id.clone(),
            local_id: number.to_string().into(),
            body: body(number),
            sender: if number.is_multiple_of(2) { Sender::User } else { Sender::Agent },
            sender_name: None,
            sender_id: None,
            now: at(number * 50),
            chance: number,
        };
        let said = self.store.write(new).await.expect("an outcome");
        assert!(matches!(said, Appended::New(..)));
    }

    async fn note(&self, id: &ConversationId, number: u64) {
        let note = AddNote {
            scope: Scope { app_id: self.app_id.clone(), device_id: None },
            conversation_id: id.clone(),
            local_id: "n".into(),
            body: format!("note{number} {}", body(number * 19)),
            by: Actor { id: "agt_1".into(), name: None },
            now: at(number * 1_000),
        };
        self.store.write(note).await.expect("an outcome");
    }

    async fn some(&self, conversations: Vec<ConversationId>, mark: Option<Mark>) -> u64 {
        let mut indexed = 0;
        loop {
            let load = LoadUnindexed { conversations: conversations.clone(), limit: STEP };
            let parts = self.store.read(load).await.expect("what is not indexed").parts;
            if parts.is_empty() {
                break;
            }
            let index = tokio::task::spawn_blocking(move || Index::new(parts, None)).await.expect("words");
            let began = Instant::now();
            indexed += self.store.write(index).await.expect("an outcome");
            tokio::time::sleep(began.elapsed()).await;
        }
        self.store.write(Index::new(Vec::new(), mark)).await.expect("an outcome");
        indexed
    }

    async fn index_old(&self) -> Option<Seen> {
        let holding = HoldIndexing { holder: "bench".into(), now: at(0), for_ms: 1_000 };
        let state = self.store.write(holding).await.expect("an answer").expect("the index");
        let mut seen = state.seen;
        loop {
            let fresh =
                self.store.read(ListFresh { seen: seen.clone(), limit: 500 }).await.expect("what is new");
            self.some(fresh.conversations, fresh.seen.clone().map(Mark::Seen)).await;
            seen = fresh.seen;
            if !fresh.has_more {
                break;
            }
        }
        let mut before = None;
        loop {
            let old = self.store.read(ListOld { before, limit: 50 }).await.expect("conversations");
            before = old.last().cloned();
            self.some(old, Some(Mark::Old(before.clone()))).await;
            if before.is_none() {
                return seen;
            }
        }
    }

    async fn searches(&self, messages: u64) {
        let word = |number: u64, place: usize| {
            body(mixed(number) % messages).split(' ').nth(place).unwrap_or("x").to_owned()
        };
        let begin = |word: String, chars: usize| word.chars().take(chars).collect::<String>();
        println!("{:<28} {:>8} {:>8} {:>8} {:>8}", "search, ms", "p50", "p95", "p99", "results");
        let kinds: [(&str, Question<'_>); 10] = [
            ("a rare word", Box::new(|_| "zanzibar".into())),
            ("any word of a message", Box::new(|n| word(n, 3))),
            ("the most frequent word", Box::new(|_| "re".into())),
            ("one letter", Box::new(|n| begin(word(n, 3), 1))),
            ("the first 4 letters", Box::new(|n| begin(word(n, 3), 4))),
            (
                "part of an address",
                Box::new(|n| format!("lee{}@example", mixed(n) % (messages / MESSAGES_EACH))),
            ),
            (
                "a note's number",
                Box::new(|n| {
                    format!("note{}", mixed(n) % (messages / MESSAGES_EACH) / NOTE_EVERY * NOTE_EVERY)
                }),
            ),
            ("a domain", Box::new(|n| format!("example{}.com", n % 40))),
            (
                "Chinese, two characters",
                Box::new(|n| ["退款", "我想", "订单", "址配"][usize::try_from(n % 4).unwrap_or(0)].into()),
            ),
            ("two words", Box::new(|n| format!("{} {}", word(n, 3), word(n, 5)))),
        ];
        for (name, question) in &kinds {
            self.search(name, None, question).await;
        }
        self.search("one letter and a rare word", None, &|n| format!("{} zanzibar", begin(word(n, 3), 1)))
            .await;
        self.search("a word, of what is resolved", Some(ConversationStatus::Resolved), &|n| word(n, 3)).await;
        self.search("nothing such", None, &|n| format!("qx{n}")).await;
    }

    async fn search(&self, name: &str, status: Option<ConversationStatus>, question: &dyn Fn(u64) -> String) {
        let (mut took, mut results) = (Vec::new(), 0);
        for number in 0..SEARCHES {
            let search = Search {
                scope: Scope { app_id: self.app_id.clone(), device_id: None },
                sought: Sought::of(&question(number)).expect("few words"),
                status,
                assignee_id: None,
                after: None,
                limit: 50,
            };
            let began = Instant::now();
            results += self.store.read(search).await.expect("an answer").hits.len();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let part = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let mean = results as f64 / SEARCHES as f64;
        println!("{name:<28} {:>8.1} {:>8.1} {:>8.1} {mean:>8.1}", part(50), part(95), part(99));
    }

    /// Appends as fast as they go, and at a pace, in slices with and without the index being made, in turn.
    async fn appends(self: &Arc<Self>, messages: u64, mut seen: Option<Seen>) {
        let lanes = (0..IN_FLIGHT).map(|number| self.open(messages / MESSAGES_EACH + number));
        let ids: Vec<ConversationId> = join_all(lanes).await.into_iter().map(|(_, id)| id).collect();
        let mut next = messages * 2;
        println!("{:<28} {:>10} {:>8} {:>8} {:>8}", "appends", "a second", "p50 ms", "p95", "p99");
        for (pace, pause) in [("at a pace", PAUSE), ("as fast as they go", Duration::ZERO)] {
            let mut sums = [(0.0, 0.0); 2];
            for turn in 0..SLICES * 2 {
                let is_indexed = turn % 2 == 1;
                let stop = Arc::new(AtomicBool::new(!is_indexed));
                let (bench, stopped, from) = (Arc::clone(self), Arc::clone(&stop), seen.clone());
                let indexing = tokio::spawn(async move {
                    if is_indexed { bench.index_fresh(from, &stopped).await } else { (from, 0) }
                });
                let mut took = self.slice(&ids, &mut next, pause).await;
                stop.store(true, Ordering::Relaxed);
                let (now_seen, indexed) = indexing.await.expect("the index");
                took.sort_unstable();
                let part = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
                let rate = took.len() as f64 / SLICE.as_secs_f64();
                let name =
                    if is_indexed { format!("{pace}, {indexed} indexed") } else { format!("{pace}, alone") };
                println!("{name:<28} {rate:>10.0} {:>8.2} {:>8.2} {:>8.2}", part(50), part(95), part(99));
                let sum = &mut sums[usize::from(is_indexed)];
                *sum = (sum.0 + rate, sum.1 + part(50));
                // What was not indexed meanwhile is not to weigh on the next slice.
                seen = self.index_fresh(now_seen, &AtomicBool::new(true)).await.0;
            }
            let [(alone, of_alone), (beside, of_beside)] = sums;
            println!(
                "{pace}, beside the index: {:.2} of the rate, {:.2} of the median",
                beside / alone,
                of_beside / of_alone
            );
        }
    }

    async fn slice(&self, ids: &[ConversationId], next: &mut u64, pause: Duration) -> Vec<Duration> {
        let until = Instant::now() + SLICE;
        let first = *next;
        *next += 10_000_000;
        let senders = ids.iter().enumerate().map(|(lane, id)| async move {
            let (mut took, mut number) = (Vec::new(), first + lane as u64);
            while Instant::now() < until {
                let began = Instant::now();
                self.say(id, number).await;
                took.push(began.elapsed());
                number += IN_FLIGHT;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            took
        });
        join_all(senders).await.into_iter().flatten().collect()
    }

    /// Indexes what is new until it is told to stop; then until there is none left, where it had not begun.
    async fn index_fresh(&self, mut seen: Option<Seen>, stop: &AtomicBool) -> (Option<Seen>, u64) {
        let (mut indexed, is_rest) = (0, stop.load(Ordering::Relaxed));
        loop {
            let fresh =
                self.store.read(ListFresh { seen: seen.clone(), limit: 500 }).await.expect("what is new");
            indexed += self.some(fresh.conversations, fresh.seen.clone().map(Mark::Seen)).await;
            seen = fresh.seen;
            if (is_rest && !fresh.has_more) || (!is_rest && stop.load(Ordering::Relaxed)) {
                return (seen, indexed);
            }
            if !fresh.has_more {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}
