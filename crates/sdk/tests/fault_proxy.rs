//! The SDK on a real network that breaks: a proxy on the way to a real server holds bytes back, loses answers, refuses and
//! resets connections, at points that a seed chooses. `REPLYHQ_FAULT_SEED` chooses again what failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backing::{FaultProxy, Passage};
use fastrand::Rng;
use sdk::{ChatClient, ClientState, ConnectionState, LocalId};
use serde_json::{Value, json};
use testkit::{PATIENCE, TestApp, TestServer, eventually};

use crate::phone::Phone;

/// What each of the two writes.
const MESSAGES: u64 = 60;
/// How far each of the two writes ahead of what the phone has got rid of, or shows. So there is traffic to break until
/// the end, and who is held comes to a stop.
const AHEAD: u64 = 6;
const FAULTS: usize = 20;

/// A phone that is caught up and has something to send has sent it by then.
const SENDS_WITHIN: Duration = Duration::from_secs(2);

/// What happens to the network.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// All connections are reset.
    Cut,
    /// The same, and the next ones are as well.
    Refuse,
    /// Nothing passes until both sides have come to a stop. Then all of it does.
    Stall,
    /// What the phone asks for is done, and the connection ends before it hears of it.
    LoseAnswers,
    /// Each piece is late, until the next fault.
    Slow(Duration),
}

impl Fault {
    fn any(random: &mut Rng) -> Self {
        match random.u32(..8) {
            0..2 => Self::Cut,
            2 => Self::Refuse,
            3..5 => Self::Stall,
            5..7 => Self::LoseAnswers,
            _ => Self::Slow(Duration::from_millis(random.u64(1..4))),
        }
    }
}

/// What everybody has done so far.
struct Scene {
    phone: Phone,
    app: TestApp,
    /// The names of the person's messages, in the order in which they were written.
    written: Mutex<Vec<LocalId>>,
    /// How many messages of the agent's the server has acknowledged.
    answered: AtomicU64,
}

impl Scene {
    fn state(&self) -> Arc<ClientState> {
        self.phone.client.subscribe_state().current()
    }

    fn is_online(&self) -> bool {
        self.state().connection == ConnectionState::Online
    }

    fn accepted(&self) -> u64 {
        self.written.lock().expect("no writer panics").len() as u64
    }

    /// The person's messages of which the phone knows that the server has them. One more where the state does not show
    /// the last one as waiting yet.
    fn sent(&self) -> u64 {
        // First what is accepted: what is added in between then counts as not sent.
        self.accepted().saturating_sub(self.state().queued)
    }

    /// The agent's messages that the phone has.
    fn shown(&self) -> u64 {
        self.state().unread
    }

    /// Whether neither writes any more before the phone has more.
    fn is_at_a_stop(&self) -> bool {
        let is_person_waiting = self.accepted() >= MESSAGES.min(self.sent() + AHEAD);
        let is_agent_waiting = self.answered.load(Ordering::SeqCst) >= MESSAGES.min(self.shown() + AHEAD);
        // Without a conversation there is no agent.
        is_person_waiting && (is_agent_waiting || self.state().conversations.is_empty())
    }

    /// What the system does when it sees a network again: nobody waits for the next try.
    async fn is_there_a_network(&self) {
        if matches!(self.state().connection, ConnectionState::Waiting { .. }) {
            self.phone.client.set_network(true).await.expect("an open client");
        }
    }

    /// Waits for something on the phone, which never waits long for its next try meanwhile.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        eventually(what, || async {
            self.is_there_a_network().await;
            is_so().then_some(())
        })
        .await;
    }

    async fn person_writes(&self) {
        for number in 0..MESSAGES {
            eventually("room for the person", || async { (number < self.sent() + AHEAD).then_some(()) })
                .await;
            let body = format!("person {number}");
            let local_id = self.phone.client.send(None, &body).await.expect("a message that is accepted");
            self.written.lock().expect("no writer panics").push(local_id);
        }
    }

    /// The agent's way to the server is a good one.
    async fn agent_writes(&self) {
        let conversation =
            eventually("a conversation", || async { Some(self.state().conversations.first()?.id.clone()) })
                .await;
        let mut agent = self.app.agent_in(&conversation).await;
        for number in 0..MESSAGES {
            eventually("room for the agent", || async { (number < self.shown() + AHEAD).then_some(()) })
                .await;
            agent.say(&conversation, &format!("agent {number}"), &format!("agent {number}")).await;
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What the server has stored of the person's only conversation, as agents see it; nothing if it was not opened.
    async fn stored(&self) -> Option<Vec<Value>> {
        let agent = self.app.as_agent();
        let conversations = agent.get("/v1/admin/conversations").await.ok();
        let [conversation] = conversations["conversations"].as_array().expect("a list").as_slice() else {
            return None;
        };
        let id = conversation["id"].as_str().expect("an id");
        let page = agent.get(&format!("/v1/admin/conversations/{id}/messages?limit=200")).await.ok();
        assert_eq!(page["has_more"], false, "all of them are on one page");
        page["messages"].as_array().cloned()
    }

    /// Whether the server has done something for the phone of which the phone does not know.
    async fn is_ahead_of_phone(&self) -> bool {
        let (sent, is_opened) = (self.sent(), !self.state().conversations.is_empty());
        match self.stored().await {
            Some(stored) => {
                !is_opened
                    || stored.iter().filter(|message| message["sender"] == "user").count() as u64 > sent
            }
            None => false,
        }
    }

    fn is_all_sent(&self) -> bool {
        self.sent() == MESSAGES
    }

    async fn happens(&self, fault: Fault, proxy: &FaultProxy) {
        match fault {
            Fault::Cut => proxy.cut(),
            Fault::Refuse => {
                proxy.set(Passage::Refused);
                proxy.cut();
                eventually("the phone to notice", || async { (!self.is_online()).then_some(()) }).await;
                self.is_there_a_network().await;
                eventually("a try to fail", || async {
                    matches!(self.state().connection, ConnectionState::Waiting { .. }).then_some(())
                })
                .await;
                proxy.set(Passage::Free);
            }
            Fault::Stall => {
                proxy.set(Passage::Held);
                eventually("everybody to wait", || async { self.is_at_a_stop().then_some(()) }).await;
                proxy.set(Passage::Free);
            }
            Fault::LoseAnswers => {
                loop {
                    let before = self.sent();
                    let is_sending = || self.is_online() && (self.sent() > before || self.is_all_sent());
                    self.until("a connection that sends", is_sending).await;
                    proxy.set(Passage::AnswersHeld);
                    let is_ahead = eventually("something done that the phone does not know of", || async {
                        let is_done =
                            self.is_all_sent() || !self.is_online() || self.is_ahead_of_phone().await;
                        is_done.then_some(())
                    });
                    if tokio::time::timeout(SENDS_WITHIN, is_ahead).await.is_ok() {
                        break;
                    }
                    // Its first page was among the answers that were held, and nothing is sent before that.
                    proxy.set(Passage::Free);
                }
                proxy.cut();
                eventually("the phone to notice", || async { (!self.is_online()).then_some(()) }).await;
                proxy.set(Passage::Free);
            }
            Fault::Slow(delay) => proxy.set(Passage::Slow(delay)),
        }
    }
}

/// How often the phone was seen to come online, until it is closed. Short times between two looks are not seen.
async fn connections(client: ChatClient) -> u64 {
    let mut states = client.subscribe_state();
    // A handle would keep the client open.
    drop(client);
    let (mut count, mut was_online) = (0, false);
    while let Some(state) = states.next().await {
        let is_online = state.connection == ConnectionState::Online;
        count += u64::from(is_online && !was_online);
        was_online = is_online;
    }
    count
}

/// All that the phone shows, older messages included.
async fn timeline(client: &ChatClient) -> Vec<Value> {
    let mut timelines = client.subscribe_timeline(None);
    loop {
        let timeline = testkit::patiently("the timeline", timelines.next())
            .await
            .expect("a conversation")
            .expect("an open client");
        if !timeline.has_older {
            let shown = timeline.items.iter().map(|item| {
                json!({ "id": item.message_id.as_ref().map(|id| id.as_str()), "local_id": item.local_id.as_str(),
                    "seq": item.seq, "body": item.body, "sender": item.sender.as_str() })
            });
            return shown.collect();
        }
        client.load_older(None).await.expect("older messages");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_network_that_breaks_each_message_comes_once_and_in_order() {
    let seed = std::env::var("REPLYHQ_FAULT_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("REPLYHQ_FAULT_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut points: Vec<u64> = (1..FAULTS).map(|_| random.u64(..2 * MESSAGES)).collect();
    // The opening of the conversation has its fault as well.
    points.push(0);
    points.sort_unstable();

    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let proxy = FaultProxy::start(app.address).await.expect("a port");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}", proxy.address());
    let phone = Phone::open(&url, &app.app_id, &app.api_key, folder.path()).await;
    let scene = Arc::new(Scene { phone, app, written: Mutex::default(), answered: AtomicU64::new(0) });
    let connections = tokio::spawn(connections(scene.phone.client.clone()));
    let person = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.person_writes().await }
    });
    let agent = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.agent_writes().await }
    });
    for point in points {
        let fault = Fault::any(&mut random);
        scene.until("traffic", || scene.sent() + scene.shown() >= point).await;
        println!("at {point}: {fault:?}");
        scene.happens(fault, &proxy).await;
    }
    proxy.set(Passage::Free);
    scene.until("everything", || scene.is_all_sent() && scene.shown() == MESSAGES).await;
    person.await.expect("the person");
    agent.await.expect("the agent");
    assert_eq!(scene.phone.client.drain(PATIENCE).await, Ok(0));

    let stored = scene.stored().await.expect("one conversation");
    let names = |sender: &str| -> Vec<String> {
        let of_sender = stored.iter().filter(|message| message["sender"] == sender);
        of_sender.map(|message| message["local_id"].as_str().expect("a name").to_owned()).collect()
    };
    let written = scene.written.lock().expect("no writer panics").clone();
    let written: Vec<&str> = written.iter().map(|local_id| local_id.as_str()).collect();
    assert_eq!(names("user"), written);
    let answered: Vec<String> = (0..MESSAGES).map(|number| format!("agent {number}")).collect();
    assert_eq!(names("agent"), answered);
    let bodies = stored.iter().filter(|message| message["sender"] == "user").map(|message| &message["body"]);
    assert!(bodies.zip(0..).all(|(body, number)| *body == format!("person {number}")), "{stored:?}");
    let seqs: Vec<u64> = stored.iter().filter_map(|message| message["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=2 * MESSAGES).collect::<Vec<u64>>());

    let listed: Vec<Value> = stored
        .iter()
        .map(|message| {
            json!({ "id": message["id"], "local_id": message["local_id"], "seq": message["seq"],
                "body": message["body"], "sender": message["sender"] })
        })
        .collect();
    assert_eq!(timeline(&scene.phone.client).await, listed);
    scene.phone.client.close().await;
    let connections = connections.await.expect("the counting");
    println!("{connections} connections");
    assert!(connections >= 4, "it took only {connections} connections: hardly anything broke");
}
