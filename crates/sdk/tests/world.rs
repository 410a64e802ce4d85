//! A scripted server, in this process and on a clock that tests move: it speaks the real protocol over streams in memory,
//! keeps what it is sent as the real one does, and fails as it is told to. Also the platform that leads to it.

mod live;
mod rest;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::event::{
    AgentTyping, CLIENT_NAMESPACE, ConversationJoined, Named, ServerShutdown, StatusChange,
};
use protocol::{
    Code, Conversation, ConversationId, ConversationStatus, Failure, LocalId, Message, MessageId,
    MessageStatus, Sender, Side, Timestamp,
};
use sdk::{CommitMoment, Dialing, LogLevel, Platform, Stream};
use serde::Serialize;
use serde_json::Value;
use socketio::{CloseReason, Frame, Outgoing};
use tokio::time::Instant;

use self::live::frame;
use crate::wire::{self, Breaker};

const NAMESPACE: &str = "/client";

/// What the server does wrong with the next thing of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Stores the next message and does not answer.
    LoseAck,
    /// Stores the next message and cuts the connection.
    CutAfterCommit,
    /// Neither stores nor answers the next message.
    Ignore,
    /// Cuts the connection before it stores the next message.
    CutBeforeCommit,
    /// Does not store the next message, and answers with the first one of the conversation.
    AnswerWithAnother,
    /// Refuses the next message for now.
    Refuse(Code),
    /// Refuses the next message for good.
    RefuseForGood,
    /// Tells the next live message twice.
    Double,
    /// Does not tell the next live message.
    Skip,
    /// Tells the next live message after the one that follows it.
    Swap,
    /// Does nothing for so many seconds, from the next event on.
    Stall(u64),
    /// Answers the next page with holes.
    TornPage,
    /// Refuses the next person's data for good.
    RefusePerson,
    /// Refuses the next person's data, as the server does for who is blocked.
    BlockPerson,
    /// Answers the next REST request with this status, as a proxy would.
    Status(u16),
}

/// The body of a message that is of a later server's kind.
pub(crate) const FROM_THE_FUTURE: &str = "from the future";

/// A message as the server tells it.
fn as_told(message: &Message) -> Value {
    let mut told = serde_json::to_value(message).expect("it serialises");
    if message.body == FROM_THE_FUTURE {
        // It has no text, and words for sender and status that nobody knows.
        let fields = told.as_object_mut().expect("an object");
        fields.remove("body");
        fields.insert("kind".into(), "poll".into());
        fields.insert("sender".into(), "bot".into());
        fields.insert("status".into(), "translated".into());
        fields.insert("attachments".into(), serde_json::json!([{ "id": "att_1" }]));
    }
    told
}

/// A conversation as the server has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: ConversationId,
    pub(crate) device_id: String,
    pub(crate) messages: Vec<Message>,
    pub(crate) device_delivered: u64,
    pub(crate) device_read: u64,
    pub(crate) agent_delivered: u64,
    pub(crate) agent_read: u64,
    is_resolved: bool,
}

struct Peer {
    number: u64,
    device_id: String,
    outgoing: Outgoing,
    joined: HashSet<ConversationId>,
    /// A live message that is told after the next one.
    late: Option<Frame>,
}

#[derive(Default)]
struct Inner {
    conversations: Vec<Stored>,
    peers: Vec<Peer>,
    streams: Vec<Breaker>,
    faults: VecDeque<Fault>,
    is_down: bool,
    has_no_network: bool,
    swallows_dials: bool,
    /// For how long the device has slept, which only its clock for people knows.
    slept: Duration,
    refused_key: Option<String>,
    /// The secret of each device that has shown one.
    owners: HashMap<String, String>,
    peers_ever: u64,
    /// When connections were tried.
    dials: Vec<Instant>,
    /// Names of all events that came, with their payloads.
    events: Vec<(Instant, String, Value)>,
    /// What devices said of who is there, in order.
    identified: Vec<(String, Value)>,
    /// Whether tokens prove nothing.
    refuses_tokens: bool,
    /// Devices that have to say who is there before anything else.
    unbound: HashSet<String>,
    is_blocked: bool,
    /// With what connections are refused.
    connect_refusal: Option<String>,
    /// What devices were said to be.
    contexts: Vec<(String, Value)>,
    swallows_posts: bool,
    /// How often the conversations were listed.
    lists: usize,
    /// Messages that were refused for good at least once.
    refused: HashSet<LocalId>,
    forgotten: HashSet<LocalId>,
    chance: u64,
}

/// The server and the way to it.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    began: Instant,
    log: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// A server that works, and chance that begins at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let inner = Inner { chance: seed, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)), began: Instant::now(), log: Arc::default() }
    }

    /// The secret of a device that has shown one.
    pub(crate) fn secret_of(&self, device_id: &str) -> Option<String> {
        self.lock().owners.get(device_id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with the lock")
    }

    /// What the client logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no test panics with the lock").join("\n")
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// The server has a conversation from before.
    pub(crate) fn has(&self, id: ConversationId, device_id: String, messages: Vec<Message>) {
        let stored = Stored {
            id,
            device_id,
            messages,
            device_delivered: 0,
            device_read: 0,
            agent_delivered: 0,
            agent_read: 0,
            is_resolved: false,
        };
        self.lock().conversations.push(stored);
    }

    /// How many faults have not happened yet.
    pub(crate) fn faults(&self) -> usize {
        self.lock().faults.len()
    }

    /// The first conversation, as the server has it.
    pub(crate) fn conversation(&self) -> Option<Stored> {
        self.lock().conversations.first().cloned()
    }

    pub(crate) fn conversations(&self) -> Vec<Stored> {
        self.lock().conversations.clone()
    }

    /// Events of this name that came, with the time and the payload.
    pub(crate) fn events(&self, name: &str) -> Vec<(Instant, Value)> {
        let inner = self.lock();
        let named = inner.events.iter().filter(|(_, event, _)| event == name);
        named.map(|(at, _, payload)| (*at, payload.clone())).collect()
    }

    /// Who was identified by the app's word, in order.
    pub(crate) fn users(&self) -> Vec<Value> {
        let inner = self.lock();
        let users = inner.identified.iter().map(|(_, body)| body["user"].clone());
        users.filter(|user| !user.is_null()).collect()
    }

    /// What devices said of who is there, in order.
    pub(crate) fn identified(&self) -> Vec<(String, Value)> {
        self.lock().identified.clone()
    }

    /// From here on tokens prove nothing, or do again.
    pub(crate) fn refuse_tokens(&self, refuses: bool) {
        self.lock().refuses_tokens = refuses;
    }

    /// What proved who is at a device holds no longer.
    pub(crate) fn unbind(&self, device_id: &str) {
        let mut inner = self.lock();
        inner.unbound.insert(device_id.to_owned());
        let failure = Failure::new(Code::IdentityRequired, "identify again");
        for peer in inner.peers.iter().filter(|peer| peer.device_id == device_id) {
            peer.outgoing.send(frame(&failure));
            peer.outgoing.close(CloseReason::Server);
        }
    }

    /// Whether a device has to say who is there before anything else.
    pub(crate) fn is_unbound(&self, device_id: &str) -> bool {
        self.lock().unbound.contains(device_id)
    }

    /// The agents block everybody, or take it back.
    pub(crate) fn block(&self, is_blocked: bool) {
        let mut inner = self.lock();
        inner.is_blocked = is_blocked;
        if is_blocked {
            let failure = Failure::new(Code::Blocked, "blocked");
            for peer in inner.peers.drain(..) {
                peer.outgoing.send(frame(&failure));
                peer.outgoing.send(Frame::disconnect(CLIENT_NAMESPACE));
                peer.outgoing.close(CloseReason::Server);
            }
        }
    }

    /// From here on connections are refused with this code, or let in again.
    pub(crate) fn refuse_connections(&self, code: Option<&str>) {
        self.lock().connect_refusal = code.map(str::to_owned);
    }

    /// From here on a device's secret is another one than what it shows.
    pub(crate) fn disown(&self, device_id: &str) {
        self.lock().owners.insert(device_id.to_owned(), "another".into());
    }

    /// What devices were said to be, in order.
    pub(crate) fn contexts(&self) -> Vec<(String, Value)> {
        self.lock().contexts.clone()
    }

    /// How often the conversations were listed.
    pub(crate) fn lists(&self) -> usize {
        self.lock().lists
    }

    /// From here on a POST is never answered, as some firewalls do it, or is again.
    pub(crate) fn swallow_posts(&self, swallows: bool) {
        self.lock().swallows_posts = swallows;
    }

    /// Whether this message was refused for good at least once.
    pub(crate) fn was_refused(&self, local_id: &LocalId) -> bool {
        self.lock().refused.contains(local_id)
    }

    /// When connections were dialled.
    pub(crate) fn dials(&self) -> Vec<Instant> {
        self.lock().dials.clone()
    }

    /// The devices that are connected now.
    pub(crate) fn connected(&self) -> Vec<String> {
        let inner = self.lock();
        let open = inner.peers.iter().filter(|peer| !peer.outgoing.is_closed());
        open.map(|peer| peer.device_id.clone()).collect()
    }

    /// The key that is refused from here on.
    pub(crate) fn refuse_key(&self, key: Option<&str>) {
        self.lock().refused_key = key.map(str::to_owned);
    }

    /// The network is there, or gone: gone, all streams fall silent.
    pub(crate) fn network(&self, is_there: bool) {
        let mut inner = self.lock();
        inner.has_no_network = !is_there;
        if !is_there {
            for stream in &inner.streams {
                stream.fall_silent();
            }
        }
    }

    /// From here on nobody answers to a try to connect, not even with a refusal, or somebody does again.
    pub(crate) fn swallow_dials(&self, swallows: bool) {
        self.lock().swallows_dials = swallows;
    }

    /// Takes note of a try to connect; whether nobody will ever answer it.
    fn is_dial_swallowed(&self) -> bool {
        let mut inner = self.lock();
        inner.dials.push(Instant::now());
        inner.swallows_dials
    }

    /// The device sleeps for so long, and does not notice.
    pub(crate) fn sleep_device(&self, time: Duration) {
        self.lock().slept += time;
    }

    /// Cuts all streams.
    pub(crate) fn cut(&self) {
        for stream in self.lock().streams.drain(..) {
            stream.cut();
        }
    }

    /// Cuts all streams after so many bytes more from the server.
    pub(crate) fn cut_after(&self, bytes: usize) {
        for stream in &self.lock().streams {
            stream.cut_after(bytes);
        }
    }

    /// Lets all streams fall silent, without a word to anybody.
    pub(crate) fn half_open(&self) {
        for stream in &self.lock().streams {
            stream.fall_silent();
        }
    }

    /// The server dies, or is there again.
    pub(crate) fn power(&self, is_up: bool) {
        let mut inner = self.lock();
        inner.is_down = !is_up;
        if !is_up {
            for stream in inner.streams.drain(..) {
                stream.cut();
            }
            inner.peers.clear();
        }
    }

    /// The server leaves politely, and asks to come back after this time. It is there again at once.
    pub(crate) fn leave(&self, delay: Duration) {
        let mut inner = self.lock();
        let reconnect_delay_ms = u64::try_from(delay.as_millis()).expect("a short time");
        let leaving = ServerShutdown { message: "bye".into(), reconnect_delay_ms };
        for peer in inner.peers.drain(..) {
            peer.outgoing.send(frame(&leaving));
            peer.outgoing.close(CloseReason::Shutdown);
        }
    }

    /// The server has too many connections of this device.
    pub(crate) fn crowd_out(&self) {
        let failure = Failure::new(Code::TooManyConnections, "too many");
        for peer in self.lock().peers.drain(..) {
            peer.outgoing.send(frame(&failure));
            peer.outgoing.send(Frame::disconnect(CLIENT_NAMESPACE));
            peer.outgoing.close(CloseReason::Server);
        }
    }

    /// All faults that have not happened yet never will.
    pub(crate) fn heal(&self) {
        self.lock().faults.clear();
        self.network(true);
        self.power(true);
        self.lock().refused_key = None;
    }

    /// An agent writes into the conversation with this number; what they wrote.
    pub(crate) fn agent_says(&self, conversation: usize, body: &str) -> Option<Message> {
        let now = self.now();
        let mut inner = self.lock();
        let id = inner.conversations.get(conversation)?.id.clone();
        let local_id = LocalId::from(format!("a_{}", inner.random()));
        Some(inner.store(&id, local_id, body, Sender::Agent, now))
    }

    /// The agents have received or read all that the person wrote.
    pub(crate) fn agent_sees(&self, conversation: usize, is_read: bool) {
        let at = self.now();
        let mut inner = self.lock();
        let Some(stored) = inner.conversations.get_mut(conversation) else { return };
        let up_to_seq = stored.messages.len() as u64;
        stored.agent_delivered = up_to_seq;
        if is_read {
            stored.agent_read = up_to_seq;
        }
        let status = if is_read { MessageStatus::Read } else { MessageStatus::Delivered };
        let conversation_id = stored.id.clone();
        let change =
            StatusChange { conversation_id: conversation_id.clone(), up_to_seq, status, by: Side::Agent, at };
        inner.tell(&conversation_id, &change);
    }

    /// The agents are done with all conversations: the next message without one opens another.
    pub(crate) fn resolve(&self) {
        for stored in &mut self.lock().conversations {
            stored.is_resolved = true;
        }
    }

    /// The device that is connected has one conversation more, as if another of its programs had opened it.
    pub(crate) fn open_another(&self) -> ConversationId {
        let device_id = self.lock().peers.last().expect("a connected device").device_id.clone();
        self.open(&device_id).conversation.id
    }

    /// Sends an event as it is to whoever is connected.
    pub(crate) fn say(&self, name: &str, payload: &Value) {
        for peer in &self.lock().peers {
            peer.outgoing.send(Frame::event(NAMESPACE, name, payload).expect("it serialises"));
        }
    }

    /// An agent types.
    pub(crate) fn agent_types(&self, conversation: usize, is_typing: bool) {
        let mut inner = self.lock();
        let Some(id) = inner.conversations.get(conversation).map(|stored| stored.id.clone()) else { return };
        inner.tell(&id.clone(), &AgentTyping { conversation_id: id, is_typing });
    }

    /// The server forgets all after `seq`, as one does that is put back from a backup.
    pub(crate) fn restore_backup(&self, seq: usize) {
        let mut inner = self.lock();
        for stored in &mut inner.conversations {
            stored.messages.truncate(seq);
        }
    }

    /// The server's database goes back by so many messages of each conversation; whoever was given them is put out.
    pub(crate) fn forget(&self, count: usize) {
        let mut inner = self.lock();
        let mut forgotten = Vec::new();
        for stored in &mut inner.conversations {
            let left = stored.messages.len().saturating_sub(count);
            forgotten.extend(stored.messages[left..].iter().map(|message| message.local_id.clone()));
            stored.messages.truncate(left);
            for mark in [
                &mut stored.device_delivered,
                &mut stored.device_read,
                &mut stored.agent_delivered,
                &mut stored.agent_read,
            ] {
                *mark = (*mark).min(left as u64);
            }
        }
        inner.forgotten.extend(forgotten);
        for peer in inner.peers.drain(..) {
            peer.outgoing.close(CloseReason::Server);
        }
    }

    /// Whether the server had this message and has forgotten it.
    pub(crate) fn was_forgotten(&self, local_id: &LocalId) -> bool {
        self.lock().forgotten.contains(local_id)
    }

    /// The server forgets all conversations: they were opened after the backup.
    pub(crate) fn lose_conversations(&self) {
        self.lock().conversations.clear();
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_ms(1_800_000_000_000).plus(self.began.elapsed())
    }
}

impl Inner {
    fn random(&mut self) -> u64 {
        // SplitMix64: the same seed gives the same story.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next fault, if it is of this kind.
    fn fault_if(&mut self, is_due: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.faults.iter().position(is_due)?;
        self.faults.remove(at)
    }

    /// Whether this is the device's secret: the first one that is shown is, from then on.
    fn owns(&mut self, device_id: &str, secret: Option<&str>) -> bool {
        match (self.owners.get(device_id), secret) {
            (Some(known), shown) => Some(known.as_str()) == shown,
            (None, None) => true,
            (None, Some(first)) => {
                assert!((32..=128).contains(&first.len()), "{first}");
                self.owners.insert(device_id.to_owned(), first.to_owned());
                true
            }
        }
    }

    fn of(&self, id: &str, device_id: &str) -> Option<&Stored> {
        self.conversations.iter().find(|stored| stored.id.as_str() == id && stored.device_id == device_id)
    }

    fn store(
        &mut self,
        id: &ConversationId,
        local_id: LocalId,
        body: &str,
        sender: Sender,
        now: Timestamp,
    ) -> Message {
        let nonce = self.random();
        let stored = self.conversations.iter_mut().find(|stored| stored.id == *id).expect("a conversation");
        let seq = stored.messages.len() as u64 + 1;
        let message = Message {
            id: MessageId::new(id, seq, nonce),
            local_id,
            conversation_id: id.clone(),
            seq,
            body: body.to_owned(),
            sender,
            sender_name: None,
            sender_id: None,
            created_at: now,
            status: MessageStatus::Sent,
        };
        stored.messages.push(message.clone());
        let frame = frame(&message);
        let fault = self.fault_if(|fault| matches!(fault, Fault::Double | Fault::Skip | Fault::Swap));
        for peer in self.peers.iter_mut().filter(|peer| peer.joined.contains(id)) {
            match fault {
                Some(Fault::Skip) => continue,
                Some(Fault::Swap) => {
                    peer.late = Some(frame.clone());
                    continue;
                }
                Some(Fault::Double) => {
                    peer.outgoing.send(frame.clone());
                }
                _ => {}
            }
            peer.outgoing.send(frame.clone());
            if let Some(late) = peer.late.take() {
                peer.outgoing.send(late);
            }
        }
        message
    }

    fn tell<T: Serialize + Named>(&mut self, id: &ConversationId, payload: &T) {
        for peer in self.peers.iter().filter(|peer| peer.joined.contains(id)) {
            peer.outgoing.send(frame(payload));
        }
    }
}

impl Stored {
    fn shown(&self, now: Timestamp) -> Conversation {
        Conversation {
            id: self.id.clone(),
            app_id: "app_1".into(),
            device_id: self.device_id.as_str().into(),
            user_id: None,
            status: ConversationStatus::Open,
            last_message: None,
            last_seq: self.messages.len() as u64,
            created_at: now,
            updated_at: self.messages.last().map_or(now, |message| message.created_at),
            unread_count: Some(self.unread()),
        }
    }

    fn unread(&self) -> u64 {
        let is_unread = |message: &&Message| message.sender != Sender::User && message.seq > self.device_read;
        self.messages.iter().filter(is_unread).count() as u64
    }

    fn joined(&self) -> ConversationJoined {
        ConversationJoined {
            conversation_id: self.id.clone(),
            last_message_id: self.messages.last().map(|message| message.id.clone()),
            last_seq: self.messages.len() as u64,
        }
    }

    /// Messages with the status that the marks give them.
    pub(crate) fn statused(&self, start: usize, end: usize) -> Vec<Message> {
        let mut messages = self.messages[start..end].to_vec();
        for message in &mut messages {
            let (delivered, read) = match message.sender {
                Sender::User => (self.agent_delivered, self.agent_read),
                Sender::Agent | Sender::System => (self.device_delivered, self.device_read),
            };
            message.status = MessageStatus::of(message.seq, delivered, read);
        }
        messages
    }
}

impl Platform for World {
    fn log(&self, level: LogLevel, message: &str) {
        let line = format!("{:>9.3} {level:?} {message}", self.began.elapsed().as_secs_f64());
        self.log.lock().expect("no test panics with the lock").push(line);
    }

    fn now(&self) -> Timestamp {
        World::now(self).plus(self.lock().slept)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut inner = self.lock();
        for chunk in bytes.chunks_mut(8) {
            let random = inner.random().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Ok(())
    }

    fn dial(&self, _host: &str, _port: u16) -> Dialing {
        let world = self.clone();
        Box::pin(async move {
            if world.is_dial_swallowed() {
                return std::future::pending().await;
            }
            let mut inner = world.lock();
            if inner.has_no_network {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            if inner.is_down {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (client, server, breaker) = wire::stream();
            inner.streams.push(breaker);
            tokio::spawn(world.clone().serve(server));
            Ok(Box::new(client) as Box<dyn Stream>)
        })
    }

    fn committing(&self, _moment: CommitMoment) {}
}
