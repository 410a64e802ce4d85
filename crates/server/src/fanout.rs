//! From the bus to the sockets of this node: who hears what, in which order, each once.
//!
//! The only notion of a room. Per conversation with subscribers here it holds the last `seq` that was delivered: the
//! next one goes out, an old one is dropped, a gap is read from the database first. Nothing here waits: frames are
//! put into the connections' own queues.

mod counts;
mod feed;
mod look;
mod rewind;
mod room;
#[cfg(test)]
mod tests;
mod typing;
mod viewing;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chat::Handles;
use cluster::Signal;
use protocol::event::{
    ADMIN_NAMESPACE, AgentTyping, CLIENT_NAMESPACE, ConversationUpdated, Named, PresenceChange,
    SessionDisconnect, StatusChange, UserTyping,
};
use protocol::{
    Activity, AppId, Code, ConnectionId, Conversation, ConversationId, ConversationStatus, DeviceId, Failure,
    InboxConversation, Message, MessageId, Permission, Sender, Session, limits,
};
use serde::Serialize;
use socketio::{Frame, Outgoing, Stale};
use store::{ActivityAfter, MessagesAfter, Store};
use tokio::time::Instant;

use self::counts::Stales;
pub(crate) use self::counts::tell_counts;
use self::feed::Feeds;
pub(crate) use self::feed::Watcher;
use self::look::News;
pub(crate) use self::look::look_for_missed;
use self::rewind::Heard;
pub(crate) use self::room::{Both, Standing};
use self::room::{Numbered, Repaired, Room, Step, Stream};
use self::typing::Typist;
use self::viewing::Views;
pub(crate) use self::viewing::forget_silent;
use crate::legacy;
use crate::metrics::Metrics;

/// Locks over the rooms; more than there are cores, so that two rarely meet.
const SHARDS: usize = 32;

/// From one attempt to read what a room misses to the next, while the database is away or has not got it.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of messages, roughly, that are sent at once to those who missed them.
const REPAIR_BYTES: usize = limits::PAGE_BYTES / 2;

/// How long those who missed something are waited for to read what they have got of it. Who takes longer has the limit
/// of every slow reader.
const READERS_PATIENCE: Duration = Duration::from_secs(1);
const READERS_PAUSE: Duration = Duration::from_millis(10);

/// A connection in one namespace, as rooms and feeds know it.
pub(crate) type SubscriberKey = u64;

/// Which namespace a subscriber is in: what it hears, and how frames to it are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    Client,
    Admin,
}

impl Namespace {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Client => CLIENT_NAMESPACE,
            Self::Admin => ADMIN_NAMESPACE,
        }
    }
}

/// How what is told is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As packets of Socket.IO.
    SocketIo(socketio::Wire),
    /// For clients of the protocol before it.
    Legacy,
}

impl Wire {
    const COUNT: usize = 1 + socketio::Wire::COUNT;

    /// How what this connection is sent has to be written, which must be known.
    pub(crate) fn of(outgoing: &Outgoing) -> Self {
        outgoing.wire().map_or(Self::Legacy, Self::SocketIo)
    }

    fn index(self) -> usize {
        match self {
            Self::Legacy => 0,
            Self::SocketIo(wire) => 1 + wire as usize,
        }
    }
}

/// Who hears something, and how it is written for them. What is told to many is encoded once for each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) namespace: Namespace,
    pub(crate) wire: Wire,
}

impl Channel {
    const COUNT: usize = 2 * Wire::COUNT;

    /// The channel of a peer that hears this namespace's events. Its wire must be known.
    pub(crate) fn of(namespace: Namespace, outgoing: &Outgoing) -> Self {
        Self { namespace, wire: Wire::of(outgoing) }
    }

    fn index(self) -> usize {
        self.namespace as usize * Wire::COUNT + self.wire.index()
    }
}

/// A connection in one namespace: where its frames go.
pub(crate) struct Peer {
    pub(crate) key: SubscriberKey,
    pub(crate) connection_id: ConnectionId,
    pub(crate) namespace: Namespace,
    pub(crate) outgoing: Outgoing,
}

impl Peer {
    pub(crate) fn channel(&self) -> Channel {
        Channel::of(self.namespace, &self.outgoing)
    }
}

/// An event as connections of that channel get it. `None` where their protocol has no such event; and, with a line in the
/// log, if it can't be encoded, which no value of ours does.
pub(crate) fn frame<T: Serialize + Named>(channel: Channel, payload: &T) -> Option<Frame> {
    let encoded = match channel.wire {
        Wire::SocketIo(wire) => wire.event(channel.namespace.path(), T::NAME, payload).map(Some),
        Wire::Legacy => legacy::frame(payload),
    };
    encoded
        .inspect_err(|error| tracing::error!(%error, event = T::NAME, "an event could not be encoded"))
        .ok()
        .flatten()
}

/// What a device is told to whom somebody else has come.
pub(crate) fn left(channel: Channel) -> Option<Frame> {
    frame(channel, &Failure::new(Code::IdentityChanged, "somebody else is at this device now"))
}

/// One event, encoded at most once for each channel that has a subscriber.
struct Encoded<'a, T> {
    payload: &'a T,
    frames: [OnceLock<Option<Frame>>; Channel::COUNT],
}

impl<'a, T: Serialize + Named> Encoded<'a, T> {
    fn new(payload: &'a T) -> Self {
        Self { payload, frames: [const { OnceLock::new() }; Channel::COUNT] }
    }

    fn frame(&self, channel: Channel) -> Option<Frame> {
        self.frames[channel.index()].get_or_init(|| frame(channel, self.payload)).clone()
    }
}

type Rooms = HashMap<ConversationId, Room<Outgoing>>;

/// The rooms and feeds of this node.
pub(crate) struct Fanout {
    shards: [Mutex<Rooms>; SHARDS],
    hasher: RandomState,
    feeds: Feeds,
    /// Only where the look is taken, which also forgets: made with its first.
    news: OnceLock<Mutex<News>>,
    heard: Mutex<Heard>,
    stales: Stales,
    views: Views,
    next_key: AtomicU64,
    metrics: Arc<Metrics>,
    /// Where gaps are read from.
    store: Arc<Store>,
    handles: Arc<Handles>,
}

impl Fanout {
    pub(crate) fn new(store: Arc<Store>, handles: Arc<Handles>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            feeds: Feeds::default(),
            news: OnceLock::new(),
            heard: Mutex::default(),
            stales: Stales::default(),
            views: Views::default(),
            next_key: AtomicU64::new(1),
            metrics,
            store,
            handles,
        })
    }

    /// A key that no other subscriber of this node has.
    pub(crate) fn new_key(&self) -> SubscriberKey {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    fn news(&self) -> Option<MutexGuard<'_, News>> {
        Some(self.news.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard(&self, conversation: &ConversationId) -> MutexGuard<'_, Rooms> {
        let shard = self.hasher.hash_one(conversation) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the conversation's events are kept for this subscriber, until [`release`](Self::release) says
    /// from which `seq` on it wants them.
    pub(crate) fn hold(&self, conversation: &ConversationId, peer: &Peer) {
        let Peer { key, connection_id, namespace: _, outgoing } = peer;
        let mut shard = self.shard(conversation);
        let room = shard.entry(conversation.clone()).or_default();
        room.hold(*key, connection_id, peer.channel(), outgoing.clone());
    }

    /// Sends `first`, then all that was kept and is newer than `standing`, then everything as it comes. `standing` was
    /// read from the database after [`hold`](Self::hold), and `newest` is the last message there. Of a stream that `goes_on`,
    /// what was kept up to there is sent too, before `first`.
    pub(crate) fn release(
        self: &Arc<Self>,
        conversation: &ConversationId,
        key: SubscriberKey,
        standing: Standing,
        newest: Option<&MessageId>,
        goes_on: Both<bool>,
        first: Vec<Frame>,
    ) {
        let mut shard = self.shard(conversation);
        let Some(room) = shard.get_mut(conversation) else { return };
        let steps = room.release(key, standing, newest, goes_on, first);
        let doubt = room.take_doubt();
        drop(shard);
        self.follow(conversation, steps);
        self.look_into(conversation, doubt);
    }

    /// The subscriber goes on hearing what it heard before [`hold`](Self::hold), and misses nothing.
    pub(crate) fn go_on(self: &Arc<Self>, conversation: &ConversationId, key: SubscriberKey) {
        let mut shard = self.shard(conversation);
        let Some(room) = shard.get_mut(conversation) else { return };
        let steps = room.go_on(key);
        drop(shard);
        self.follow(conversation, steps);
    }

    /// The subscriber hears nothing more of the conversation.
    pub(crate) fn leave(&self, conversation: &ConversationId, key: SubscriberKey) {
        let mut shard = self.shard(conversation);
        if let Some(room) = shard.get_mut(conversation)
            && room.remove(key)
        {
            shard.remove(conversation);
        }
    }

    /// Hands what happened in the app to those of this node's connections that it is for.
    pub(crate) fn deliver(self: &Arc<Self>, app_id: &AppId, signal: &Signal) {
        match signal {
            Signal::Message(message, conversation) => {
                let started = Instant::now();
                self.note_heard(message);
                self.deliver_message(message);
                self.hear_of(app_id, &conversation.conversation.id, || conversation.fingerprint());
                self.conversation_updated(conversation, Some(message));
                self.metrics.fanned_out(started.elapsed());
            }
            Signal::Activity(activity) => self.deliver_numbered(&activity.conversation_id, &**activity),
            Signal::Conversation(conversation) => {
                if conversation.conversation.status == ConversationStatus::Resolved {
                    self.end_typing(&conversation.conversation.id, |_| true);
                }
                self.hear_of(app_id, &conversation.conversation.id, || conversation.fingerprint());
                let mut conversation = conversation.clone();
                let last_message = conversation.conversation.last_message.take();
                self.conversation_updated(&conversation, last_message.as_ref());
            }
            // It says nothing of what an inbox shows: who hears of it may have missed the message before.
            Signal::Status(change) => {
                let encoded = Encoded::new(change);
                self.in_room(&change.conversation_id, |room| {
                    room.tell_receipt(change, self.about_receipt(change), |channel| encoded.frame(channel));
                });
            }
            Signal::AgentTyping(typing) => {
                let AgentTyping { conversation_id, is_typing } = typing;
                self.typing(conversation_id, Typist::Agent, None, *is_typing);
            }
            Signal::UserTyping(typing, from) => {
                let UserTyping { conversation_id, device_id, is_typing } = typing;
                self.typing(
                    conversation_id,
                    Typist::Device(device_id.clone()),
                    Some(from.clone()),
                    *is_typing,
                );
            }
            Signal::SessionConnect(session) => {
                let about = (self.about(("session", &session.connection_id)), Stale::Edge(true));
                self.feeds.tell(app_id, Permission::ViewSessions, about, |channel, by_id| {
                    let device_id = self.known_as(app_id, &session.device_id, by_id);
                    frame(channel, &Session { device_id, ..(**session).clone() })
                });
            }
            Signal::SessionDisconnect(gone) => {
                let about = (self.about(("session", &gone.connection_id)), Stale::Edge(false));
                self.feeds.tell(app_id, Permission::ViewSessions, about, |channel, by_id| {
                    let device_id = self.known_as(app_id, &gone.device_id, by_id);
                    frame(channel, &SessionDisconnect { device_id, ..gone.clone() })
                });
            }
            Signal::Presence(change) => {
                self.metrics.presence_changed(change.is_online);
                let about = (self.about(("presence", &change.device_id)), Stale::Edge(change.is_online));
                self.feeds.tell(app_id, Permission::ViewPresence, about, |channel, by_id| {
                    let device_id = self.known_as(app_id, &change.device_id, by_id);
                    frame(channel, &PresenceChange { device_id, ..change.clone() })
                });
            }
            Signal::Viewing(viewing) => self.note_viewing(viewing),
            // About connections, and not about what they hear: done where connections are kept.
            Signal::IdentityChanged(_)
            | Signal::Revoked {}
            | Signal::Opened(_)
            | Signal::Proven(_)
            | Signal::IdentityHeard(_)
            | Signal::Crowded(_)
            | Signal::CrowdCounted(..)
            | Signal::CrowdedOut(..) => {}
        }
    }

    fn about_receipt(&self, change: &StatusChange) -> u64 {
        self.about(("status", &change.conversation_id, change.by, change.status))
    }

    fn in_room(&self, conversation: &ConversationId, act: impl FnOnce(&mut Room<Outgoing>)) {
        if let Some(room) = self.shard(conversation).get_mut(conversation) {
            act(room);
        }
    }

    /// Somebody begins to type, goes on, or has stopped.
    fn typing(
        self: &Arc<Self>,
        conversation: &ConversationId,
        typist: Typist,
        from: Option<ConnectionId>,
        is_typing: bool,
    ) {
        let mut shard = self.shard(conversation);
        let Some(room) = shard.get_mut(conversation) else { return };
        self.tell_typing(room, conversation, &typist, from.as_ref(), is_typing);
        if !is_typing {
            room.typing.end(|shown| *shown == typist);
            return;
        }
        let has_to_look = room.typing.begin(typist, from, Instant::now());
        drop(shard);
        if has_to_look {
            let (fanout, conversation) = (Arc::clone(self), conversation.clone());
            tokio::spawn(async move { fanout.expire_typing(&conversation).await });
        }
    }

    /// Tells the end of typing that is not repeated, as long as somebody is shown.
    async fn expire_typing(&self, conversation: &ConversationId) {
        loop {
            let next = {
                let mut shard = self.shard(conversation);
                let Some(room) = shard.get_mut(conversation) else { return };
                for gone in room.typing.expire(Instant::now()) {
                    self.tell_typing(room, conversation, &gone.typist, gone.from.as_ref(), false);
                }
                room.typing.next_look()
            };
            let Some(next) = next else { return };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Those have stopped typing, whether they say so or not.
    fn end_typing(&self, conversation: &ConversationId, is_meant: impl Fn(&Typist) -> bool) {
        self.in_room(conversation, |room| self.end_typing_in(room, conversation, is_meant));
    }

    fn end_typing_in(
        &self,
        room: &mut Room<Outgoing>,
        conversation: &ConversationId,
        is_meant: impl Fn(&Typist) -> bool,
    ) {
        for gone in room.typing.end(is_meant) {
            self.tell_typing(room, conversation, &gone.typist, gone.from.as_ref(), false);
        }
    }

    fn tell_typing(
        &self,
        room: &mut Room<Outgoing>,
        conversation: &ConversationId,
        typist: &Typist,
        from: Option<&ConnectionId>,
        is_typing: bool,
    ) {
        let conversation_id = conversation.clone();
        match typist {
            Typist::Agent => {
                let about = (self.about(("agent typing", conversation)), Stale::Passing);
                let typing = AgentTyping { conversation_id, is_typing };
                let encoded = Encoded::new(&typing);
                room.broadcast(from, about, |channel| match channel.namespace {
                    Namespace::Client => encoded.frame(channel),
                    Namespace::Admin => None,
                });
            }
            Typist::Device(device_id) => {
                let about = (self.about(("user typing", conversation, device_id)), Stale::Passing);
                let typing = UserTyping { conversation_id, device_id: device_id.clone(), is_typing };
                let encoded = Encoded::new(&typing);
                room.broadcast(from, about, |channel| encoded.frame(channel));
            }
        }
    }

    fn deliver_message(self: &Arc<Self>, message: &Message) {
        let mut shard = self.shard(&message.conversation_id);
        let Some(room) = shard.get_mut(&message.conversation_id) else { return };
        if room.is_news(message) {
            // Who sends has stopped typing.
            let is_agent = message.sender == Sender::Agent;
            let is_meant = |typist: &Typist| is_agent == (*typist == Typist::Agent);
            self.end_typing_in(room, &message.conversation_id, is_meant);
        }
        drop(shard);
        self.deliver_numbered(&message.conversation_id, message);
    }

    /// Hands out what is committed of a stream.
    fn deliver_numbered(self: &Arc<Self>, conversation: &ConversationId, item: &impl Numbered) {
        let mut shard = self.shard(conversation);
        let Some(room) = shard.get_mut(conversation) else { return };
        let step = room.deliver(item);
        let doubt = room.take_doubt();
        drop(shard);
        self.follow(conversation, [step]);
        self.look_into(conversation, doubt);
    }

    /// Remembers how the conversation stands for the inboxes that are open here, if there are any and it is looked at.
    fn hear_of(&self, app_id: &AppId, id: &ConversationId, fingerprint: impl FnOnce() -> u64) {
        if self.news.get().is_some() && self.feeds.has_watcher(app_id, Permission::ViewConversations) {
            self.note_news(id, fingerprint());
        }
    }

    fn conversation_updated(&self, conversation: &InboxConversation, last_message: Option<&Message>) {
        let Conversation { app_id, id, .. } = &conversation.conversation;
        let about = (self.about(("conversation", id)), Stale::State);
        let is_watched = self.feeds.tell(app_id, Permission::ViewConversations, about, |channel, _| {
            let preview = last_message.map(Message::preview);
            frame(channel, &ConversationUpdated { conversation, last_message: preview.as_deref() })
        });
        if is_watched {
            self.stales.add(app_id);
        }
    }

    /// What a frame is about, as a number that strangers can't foresee.
    fn about(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    /// The device as those know it who may know devices by their ids, or as all others do.
    fn known_as(&self, app_id: &AppId, device_id: &DeviceId, by_id: bool) -> DeviceId {
        if by_id { device_id.clone() } else { self.handles.of(app_id, device_id) }
    }

    /// Reads from the database; `None`, and a line in the log, if it failed.
    async fn read<O: store::Read>(&self, operation: O) -> Option<O::Out> {
        let read = self.store.read(operation).await;
        read.inspect_err(|error| {
            self.metrics.database_failed(error.kind());
            tracing::error!(%error, "the database failed");
        })
        .ok()
    }

    /// Does what a room asks for: reads what it misses.
    fn follow(self: &Arc<Self>, conversation: &ConversationId, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            let Step::ReadAfter(stream, number) = step else { continue };
            let (fanout, conversation) = (Arc::clone(self), conversation.clone());
            tokio::spawn(async move { fanout.repair(&conversation, stream, number).await });
        }
    }

    async fn repair(self: &Arc<Self>, conversation: &ConversationId, stream: Stream, mut number: u64) {
        loop {
            let repaired = match stream {
                Stream::Messages => self.repair_messages(conversation, number).await,
                Stream::Activity => self.repair_activity(conversation, number).await,
            };
            number = match repaired {
                // They have left.
                None => return,
                Some(Repaired::Done) => return,
                Some(Repaired::Next(number)) => number,
                Some(Repaired::Stuck(number)) => {
                    self.metrics.repair_failed();
                    tokio::time::sleep(REPAIR_PAUSE).await;
                    number
                }
            };
        }
    }

    async fn repair_messages(self: &Arc<Self>, conversation: &ConversationId, seq: u64) -> Option<Repaired> {
        let missed = MessagesAfter { conversation_id: conversation.clone(), seq, limit: limits::PAGE_MAX };
        match self.read(missed).await {
            Some(messages) => {
                self.make_good(conversation, seq, &messages, |message| message.body.len()).await
            }
            // The database may be back soon, and nobody else closes this gap.
            None => Some(Repaired::Stuck(seq)),
        }
    }

    async fn repair_activity(self: &Arc<Self>, conversation: &ConversationId, n: u64) -> Option<Repaired> {
        let missed = ActivityAfter { conversation_id: conversation.clone(), n, limit: limits::PAGE_MAX };
        let bytes = |activity: &Activity| activity.body.as_ref().map_or(0, String::len);
        match self.read(missed).await {
            Some(activity) => self.make_good(conversation, n, &activity, bytes).await,
            None => Some(Repaired::Stuck(n)),
        }
    }

    /// Sends what was read to those who miss it, as fast as they read. `None` if they have left.
    async fn make_good<T: Numbered>(
        self: &Arc<Self>,
        conversation: &ConversationId,
        from: u64,
        items: &[T],
        bytes_of: impl Fn(&T) -> usize,
    ) -> Option<Repaired> {
        let mut rest = items;
        loop {
            let mut bytes = 0;
            let count = rest.iter().take_while(|item| {
                let fits = bytes < REPAIR_BYTES;
                bytes += bytes_of(item);
                fits
            });
            let (now, later) = rest.split_at(count.count());
            let (repaired, doubt) = {
                let mut shard = self.shard(conversation);
                let room = shard.get_mut(conversation)?;
                (room.repaired(from, now), room.take_doubt())
            };
            self.look_into(conversation, doubt);
            if later.is_empty() || repaired == Repaired::Done {
                return Some(repaired);
            }
            rest = later;
            let waiting = async {
                while self.shard(conversation).get(conversation).is_some_and(|room| !room.has_room()) {
                    tokio::time::sleep(READERS_PAUSE).await;
                }
            };
            // Who took too long is no longer waited for.
            let _ = tokio::time::timeout(READERS_PATIENCE, waiting).await;
        }
    }
}
