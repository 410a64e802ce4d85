//! One connection in one namespace: what is the same for devices and agents, and for every transport. Typed requests in, typed
//! answers out; how they travel is the transport's.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chat::{
    Agent, Credential, InFlight, Page, Principal, Receipt, Sending, Wanted, blocked, cursor as cursor_of,
};
use cluster::Watching;
use protocol::event::{Connected, ConversationJoined, Receipts};
use protocol::request::{
    JoinAsAgent, JoinedAsAgent, JoinedConversation, LeaveConversation, ListSessions, Nothing, ReadMessages,
    ReportDelivery, SendToConversation, SentMessage, SubscribeToApp, ViewConversation,
};
use protocol::rest::{Identify, Identity, SessionPage};
use protocol::{Code, ConversationId, Failure, MessageStatus, Permission, limits};
use socketio::Frame;
use store::{Cursor, LatestConversation};

use crate::connections::{OfDevice, Owner};
use crate::fanout::{self, Both, Namespace, Standing, Watcher, frame};
use crate::shared::Shared;

/// A connection in a namespace.
pub(crate) struct Peer {
    pub(crate) principal: Principal,
    pub(crate) subscriber: fanout::Peer,
    /// The conversations it has joined.
    rooms: HashSet<ConversationId>,
    /// Those of them in which it types: who leaves stops typing.
    typing: HashSet<ConversationId>,
    /// An agent's: what happens to the app's connections is read on this node.
    watching: Option<Watching>,
    /// When an agent's session was last noted to be used, in milliseconds since some moment.
    used_at_ms: u64,
    /// Made with the first send, so that who only listens costs nothing.
    in_flight: Option<InFlight>,
}

/// Writes what a connection is told first that has joined: that it has, and the answer to its request, of which a device gets the
/// part that is for devices.
pub(crate) trait Welcome: FnOnce(&ConversationJoined, JoinedAsAgent) -> Vec<Frame> {}
impl<F: FnOnce(&ConversationJoined, JoinedAsAgent) -> Vec<Frame>> Welcome for F {}

impl Peer {
    pub(crate) fn new(principal: Principal, subscriber: fanout::Peer) -> Self {
        Self {
            principal,
            subscriber,
            rooms: HashSet::new(),
            typing: HashSet::new(),
            watching: None,
            used_at_ms: 0,
            in_flight: None,
        }
    }

    /// Its first event; from here on it is told what concerns all.
    pub(super) fn greet(&self, shared: &Shared, credential: Credential) {
        let fanout::Peer { key, namespace, outgoing, connection_id } = &self.subscriber;
        shared.metrics.connected(namespace.path());
        let connected =
            Connected { connection_id: connection_id.clone(), server_time: shared.chat.ambient().now() };
        if let Some(frame) = frame(self.subscriber.channel(), &connected) {
            outgoing.send(frame);
        }
        let owner = match &self.principal {
            Principal::Device(device) => {
                if let Err(failure) = device.require(Permission::ViewConversations)
                    && let Some(frame) = frame(self.subscriber.channel(), &failure)
                {
                    outgoing.send(frame);
                }
                Owner::Device(OfDevice {
                    app_id: device.app_id.clone(),
                    device_id: device.device_id.clone(),
                    connection_id: connection_id.clone(),
                    credential,
                    person: device.person.clone(),
                    version: device.restrictions.version,
                    identifying: None,
                })
            }
            Principal::Agent(agent) => {
                self.watch_app(shared, agent);
                Owner::Agent(credential)
            }
        };
        shared.connections.add(*key, outgoing.clone(), Some(*namespace), owner);
    }

    /// Joins the feed of the agent's app; a second time changes nothing.
    pub(crate) fn watch_app(&self, shared: &Shared, agent: &Agent) {
        let watcher = Watcher {
            outgoing: self.subscriber.outgoing.clone(),
            permissions: agent.permissions,
            agent_id: agent.agent_id.clone(),
        };
        shared.fanout.feeds().watch(&agent.app_id, self.subscriber.key, watcher);
    }

    /// Has this node read what happens to the connections of the agent's app.
    pub(crate) fn keep_watching(&mut self, watching: Watching) {
        self.watching = Some(watching);
    }

    fn rooms_max(&self) -> usize {
        match self.subscriber.namespace {
            Namespace::Client => limits::ROOMS_PER_DEVICE_CONNECTION,
            Namespace::Admin => limits::ROOMS_PER_AGENT_CONNECTION,
        }
    }

    /// Joins a conversation. What it is told first is written by `welcome`, and comes before all that happens from here on.
    ///
    /// # Errors
    /// As for any request; nothing was told then.
    pub(crate) async fn join(
        &mut self,
        shared: &Arc<Shared>,
        request: JoinAsAgent,
        welcome: impl Welcome,
    ) -> Result<(), Failure> {
        let JoinAsAgent { conversation_id, after, after_activity } = request;
        let cursor = after.map(|after| cursor_of(Some(&after), None)).transpose()?;
        let wanted = Wanted { cursor, activity_after: after_activity, page: Page::of(None)? };
        self.join_room(shared, conversation_id.into(), wanted, welcome).await
    }

    /// Joins the device's newest conversation, as on every connect.
    ///
    /// # Errors
    /// As for any request; nothing was told then.
    pub(crate) async fn join_latest(
        &mut self,
        shared: &Arc<Shared>,
        latest: LatestConversation,
        welcome: impl Welcome,
    ) -> Result<(), Failure> {
        let wanted = Wanted { cursor: None, activity_after: None, page: Page::of(None)? };
        self.join_room(shared, latest.id, wanted, welcome).await
    }

    /// Joins a conversation and gets its newest messages, whatever it has.
    ///
    /// # Errors
    /// As for any request; nothing was told then.
    pub(crate) async fn join_anew(
        &mut self,
        shared: &Arc<Shared>,
        id: ConversationId,
        welcome: impl Welcome,
    ) -> Result<(), Failure> {
        let page = Page::of(Some(limits::PAGE_MAX))?;
        let newest = Wanted { cursor: Some(Cursor::Before(None)), activity_after: None, page };
        self.join_room(shared, id, newest, welcome).await
    }

    /// Subscribes first and reads then, so that between what is read and what comes live there is nothing.
    async fn join_room(
        &mut self,
        shared: &Arc<Shared>,
        id: ConversationId,
        wanted: Wanted,
        welcome: impl Welcome,
    ) -> Result<(), Failure> {
        if id.is_empty() {
            return Err(Failure::missing("conversation_id"));
        }
        self.principal.require(Permission::ViewConversations)?;
        let is_member = self.rooms.contains(&id);
        if !is_member && self.rooms.len() >= self.rooms_max() {
            let most = self.rooms_max();
            return Err(Failure::invalid(format!("this connection has joined {most} conversations already")));
        }
        let key = self.subscriber.key;
        shared.fanout.hold(&id, &self.subscriber);
        let (has_cursor, has_activity_cursor) = (wanted.cursor.is_some(), wanted.activity_after.is_some());
        let history = match shared.chat.join(&self.principal, &id, wanted).await {
            Ok(history) => history,
            Err(failure) => {
                if is_member {
                    shared.fanout.go_on(&id, key);
                } else {
                    shared.fanout.leave(&id, key);
                }
                return Err(failure);
            }
        };
        let last = Both { messages: history.last_seq, activity: history.last_activity };
        let standing = Standing { last, marks: history.marks };
        let marks = standing.marks;
        self.rooms.insert(id.clone());
        let joined = ConversationJoined {
            conversation_id: id.clone(),
            last_message_id: history.last_message_id.clone(),
            last_seq: history.last_seq,
        };
        let newest = history.last_message_id.clone();
        let (activity, has_more_activity) =
            history.activity.map(|page| (page.activity, page.has_more)).unzip();
        let conversation = JoinedConversation {
            last_message_id: history.last_message_id,
            last_seq: history.last_seq,
            messages: has_cursor.then_some(history.messages),
            has_more: has_cursor.then_some(history.has_more),
            receipts: has_cursor.then_some(Receipts {
                user_delivered_seq: marks.device_delivered,
                user_read_seq: marks.device_read,
                agent_delivered_seq: marks.agent_delivered,
                agent_read_seq: marks.agent_read,
            }),
        };
        let answer =
            JoinedAsAgent { conversation, last_activity: history.last_activity, activity, has_more_activity };
        // Who is in already and asks for nothing of a stream is given nothing, so what came meanwhile still has to come live.
        let goes_on =
            Both { messages: is_member && !has_cursor, activity: is_member && !has_activity_cursor };
        shared.fanout.release(&id, key, standing, newest.as_ref(), goes_on, welcome(&joined, answer));
        if let Principal::Agent(_) = self.principal {
            shared.fanout.greet_viewer(&id, &self.subscriber);
        }
        Ok(())
    }

    /// Says who is at the device. Whoever was there before sees nothing more: the rooms are left. Answers with the newest
    /// conversation of the one who is there now, to be joined as on connecting.
    ///
    /// # Errors
    /// As for any request. If the agents have blocked who is there now, the connection is put out.
    pub(crate) async fn identify(
        &mut self,
        shared: &Arc<Shared>,
        request: Identify,
    ) -> Result<Option<LatestConversation>, Failure> {
        let Principal::Device(device) = &mut self.principal else {
            return Err(Failure::new(Code::Forbidden, "this is for devices"));
        };
        let identity = Identity::try_from(request)?;
        let key = self.subscriber.key;
        shared.connections.begin_identifying(key);
        let said = shared.chat.identify(device, identity, Some(&self.subscriber.connection_id)).await;
        let version = device.restrictions.version;
        if let Ok(standing) = &said {
            *device = device.clone().standing(standing);
        }
        let device = device.clone();
        let has_left = device.restrictions.version != version;
        if has_left {
            for id in std::mem::take(&mut self.rooms) {
                self.stop_typing(shared, &id);
                shared.fanout.leave(&id, key);
            }
        }
        shared.connections.end_identifying(key, device.restrictions.version, device.person.clone());
        said?;
        if device.restrictions.is_blocked {
            shared.connections.put_out(key, &blocked());
            return Err(blocked());
        }
        let latest = shared.chat.latest_of(&device).await?;
        Ok(latest.filter(|latest| !self.rooms.contains(&latest.id)))
    }

    pub(crate) fn leave_room(
        &mut self,
        shared: &Arc<Shared>,
        request: LeaveConversation,
    ) -> Result<Nothing, Failure> {
        let id = named(request.conversation_id)?;
        if !self.rooms.remove(&id) {
            return Err(not_joined());
        }
        self.stop_typing(shared, &id);
        shared.viewing.look_away(&shared.chat, self.subscriber.key, Some(&id));
        shared.fanout.leave(&id, self.subscriber.key);
        Ok(Nothing {})
    }

    /// Sends a message; waits only as long as too many of this connection's are under way. `done` is called once it is stored,
    /// or refused. True if it was taken: it counts by itself then, and not as an event.
    pub(crate) async fn send(
        &mut self,
        shared: &Arc<Shared>,
        request: SendToConversation,
        done: impl FnOnce(Result<SentMessage, Failure>) + Send + 'static,
    ) -> bool {
        let started = Instant::now();
        let in_flight = self.in_flight.get_or_insert_default();
        if in_flight.count() >= limits::SENDS_IN_FLIGHT {
            in_flight.below(limits::SENDS_IN_FLIGHT).await;
        }
        let entered = in_flight.enter();
        let metrics = Arc::clone(&shared.metrics);
        let SendToConversation { conversation_id, local_id, body } = request;
        let sending = Sending { conversation_id, local_id, body };
        shared.chat.send(&self.principal, sending, move |outcome| {
            done(outcome.map(|sent| SentMessage { message: sent.message }));
            metrics.answered("socket", started.elapsed());
            drop(entered);
        })
    }

    pub(crate) fn typing(
        &mut self,
        shared: &Arc<Shared>,
        conversation_id: String,
        is_typing: bool,
    ) -> Result<Nothing, Failure> {
        let id = named(conversation_id)?;
        self.principal.require(Permission::SendMessages)?;
        if !self.rooms.contains(&id) {
            return Err(not_joined());
        }
        if !is_typing && !self.typing.contains(&id) {
            // Nobody was told that it began.
            return Ok(Nothing {});
        }
        shared.chat.typing(&self.principal, &self.subscriber.connection_id, id.clone(), is_typing)?;
        shared.viewing.typing(&shared.chat, self.subscriber.key, &id, is_typing);
        if is_typing {
            self.typing.insert(id);
        } else {
            self.typing.remove(&id);
        }
        Ok(Nothing {})
    }

    fn stop_typing(&mut self, shared: &Shared, id: &ConversationId) {
        if self.typing.remove(id) {
            let connection_id = &self.subscriber.connection_id;
            // The permission was there when the typing began; if it is gone, there is nobody to tell either.
            let _ = shared.chat.typing(&self.principal, connection_id, id.clone(), false);
            shared.viewing.typing(&shared.chat, self.subscriber.key, id, false);
        }
    }

    pub(crate) async fn read(&self, shared: &Arc<Shared>, request: ReadMessages) -> Result<Nothing, Failure> {
        let receipt = Receipt {
            up_to: request.up_to_message_id.into(),
            conversation_id: Some(request.conversation_id.into()),
            status: MessageStatus::Read,
        };
        shared.chat.acknowledge(&self.principal, receipt).await.map(|()| Nothing {})
    }

    pub(crate) async fn delivered(
        &self,
        shared: &Arc<Shared>,
        request: ReportDelivery,
    ) -> Result<Nothing, Failure> {
        let status = MessageStatus::Delivered;
        let ReportDelivery { message_id, conversation_id, up_to_message_id } = request;
        let (up_to, conversation_id) = match (message_id, conversation_id, up_to_message_id) {
            (Some(message_id), conversation_id, _) => (message_id, conversation_id),
            (None, Some(conversation_id), Some(up_to)) => (up_to, Some(conversation_id)),
            (None, Some(_), None) => return Err(Failure::missing("up_to_message_id")),
            (None, None, _) => return Err(Failure::missing("message_id")),
        };
        let receipt =
            Receipt { up_to: up_to.into(), conversation_id: conversation_id.map(Into::into), status };
        shared.chat.acknowledge(&self.principal, receipt).await.map(|()| Nothing {})
    }

    /// Joins the feed of the agent's app, which it is in already.
    pub(crate) fn subscribe(&self, shared: &Shared, request: &SubscribeToApp) -> Result<Nothing, Failure> {
        let agent = self.agent()?;
        agent.require_app(&request.app_id)?;
        self.watch_app(shared, agent);
        Ok(Nothing {})
    }

    /// The agent looks at a conversation that this connection has joined, or at none.
    ///
    /// # Errors
    /// As for any request, and `FORBIDDEN` for a program that nobody answers for.
    pub(crate) fn view(&self, shared: &Shared, request: ViewConversation) -> Result<Nothing, Failure> {
        let agent = self.agent()?;
        shared.chat.may_view(agent)?;
        let key = self.subscriber.key;
        match request.conversation_id.filter(|id| !id.is_empty()) {
            None => shared.viewing.look_away(&shared.chat, key, None),
            Some(id) => {
                let id = ConversationId::from(id);
                if !self.rooms.contains(&id) {
                    return Err(not_joined());
                }
                // Others are shown people.
                let who = (agent.require_person()?.clone(), agent.name.clone());
                shared.viewing.look(&shared.chat, key, who, (agent.app_id.clone(), id));
            }
        }
        Ok(Nothing {})
    }

    pub(crate) async fn sessions(
        &self,
        shared: &Arc<Shared>,
        request: ListSessions,
    ) -> Result<SessionPage, Failure> {
        let agent = self.agent()?;
        agent.require_app(&request.app_id)?;
        let page = Page::of_sessions(request.limit)?;
        shared.chat.sessions(agent, request.after.as_deref(), page).await
    }

    /// The agent does something: their session lasts from here on.
    pub(crate) fn note_use(&mut self, shared: &Shared) {
        /// So often, at most, that a busy agent costs no write for each event.
        const EVERY_MS: u64 = 60_000;
        let Principal::Agent(agent) = &self.principal else { return };
        let now_ms = u64::try_from(shared.chat.ambient().elapsed().as_millis()).unwrap_or(u64::MAX);
        if agent.is_session && now_ms >= self.used_at_ms.saturating_add(EVERY_MS) {
            self.used_at_ms = now_ms;
            shared.chat.note_use(agent);
        }
    }

    fn agent(&self) -> Result<&Agent, Failure> {
        match &self.principal {
            Principal::Agent(agent) => Ok(agent),
            Principal::Device(_) => Err(Failure::new(Code::Forbidden, "this is for agents")),
        }
    }

    /// Takes it out of everything that it was in.
    pub(crate) async fn leave(mut self, shared: &Arc<Shared>, reason: &str) {
        for id in std::mem::take(&mut self.typing) {
            self.typing.insert(id.clone());
            self.stop_typing(shared, &id);
        }
        shared.metrics.disconnected(self.subscriber.namespace.path());
        let key = self.subscriber.key;
        for id in &self.rooms {
            shared.fanout.leave(id, key);
        }
        match &self.principal {
            Principal::Device(device) => {
                shared.chat.disconnect(device, &self.subscriber.connection_id, reason).await;
            }
            Principal::Agent(agent) => {
                shared.fanout.feeds().unwatch(&agent.app_id, key);
                shared.viewing.look_away(&shared.chat, key, None);
            }
        }
        shared.connections.remove(key);
    }
}

fn named(conversation_id: String) -> Result<ConversationId, Failure> {
    if conversation_id.is_empty() {
        return Err(Failure::missing("conversation_id"));
    }
    Ok(conversation_id.into())
}

fn not_joined() -> Failure {
    Failure::new(Code::ConversationNotFound, "this connection has not joined that conversation")
}
