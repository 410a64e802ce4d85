//! One connection in one namespace: what is the same for devices and agents.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chat::{Agent, Credential, InFlight, Page, Principal, Receipt, Sending, cursor};
use cluster::Watching;
use protocol::event::{Connected, ConversationJoined, Receipts};
use protocol::limits::Action;
use protocol::request::{
    JoinConversation, JoinedConversation, LeaveConversation, Nothing, PONG, ReadMessages, SendToConversation,
    SentMessage, StartTyping,
};
use protocol::{Code, ConversationId, Failure, MessageStatus, Permission, limits};
use socketio::{AckId, Event};
use store::{Cursor, LatestConversation};

use super::Handled;
use super::payload;
use super::reply::{Reply, Success};
use crate::connections::Owner;
use crate::fanout::{self, Namespace, Standing, Watcher, frame};
use crate::shared::Shared;

/// A connection in a namespace.
pub(super) struct Peer {
    pub(super) principal: Principal,
    pub(super) subscriber: fanout::Peer,
    /// The conversations it has joined.
    rooms: HashSet<ConversationId>,
    /// Those of them in which it types: who leaves stops typing.
    typing: HashSet<ConversationId>,
    /// An agent's: what happens to the app's connections is read on this node.
    watching: Option<Watching>,
    /// Made with the first send, so that who only listens costs nothing.
    in_flight: Option<InFlight>,
}

/// A peer whose credential is good.
pub(super) struct ConnectedPeer {
    pub(super) peer: Peer,
    /// What let it in.
    pub(super) credential: Credential,
    /// The conversation to join it to.
    pub(super) latest: Option<LatestConversation>,
    /// The device may have more connections with this one than it may have.
    pub(super) is_crowded: bool,
}

impl Peer {
    pub(super) fn new(principal: Principal, subscriber: fanout::Peer) -> Self {
        Self {
            principal,
            subscriber,
            rooms: HashSet::new(),
            typing: HashSet::new(),
            watching: None,
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
            Principal::Device(device) => Owner::Device {
                app_id: device.app_id.clone(),
                device_id: device.device_id.clone(),
                connection_id: connection_id.clone(),
                credential,
            },
            Principal::Agent(agent) => {
                self.watch_app(shared, agent);
                Owner::Agent(credential)
            }
        };
        shared.connections.add(*key, outgoing.clone(), Some(*namespace), owner);
    }

    /// Joins the feed of the agent's app; a second time changes nothing.
    pub(super) fn watch_app(&self, shared: &Shared, agent: &Agent) {
        let watcher = Watcher { outgoing: self.subscriber.outgoing.clone(), permissions: agent.permissions };
        shared.fanout.feeds().watch(&agent.app_id, self.subscriber.key, watcher);
    }

    /// Has this node read what happens to the connections of the agent's app.
    pub(super) fn keep_watching(&mut self, watching: Watching) {
        self.watching = Some(watching);
    }

    pub(super) fn reply(&self, event: &Event) -> Reply {
        Reply::new(self.subscriber.outgoing.clone(), self.subscriber.namespace, event.ack)
    }

    /// Answers an event that had too many bytes to be read.
    pub(super) fn too_large(&self, ack: Option<AckId>) {
        let message = format!("an event may have {} bytes; this one has more", limits::FRAME_BYTES);
        let reply = Reply::new(self.subscriber.outgoing.clone(), self.subscriber.namespace, ack);
        reply.fail(&Failure::new(Code::MessageTooLong, message));
    }

    fn rooms_max(&self) -> usize {
        match self.subscriber.namespace {
            Namespace::Client => limits::ROOMS_PER_DEVICE_CONNECTION,
            Namespace::Admin => limits::ROOMS_PER_AGENT_CONNECTION,
        }
    }

    /// Joins the device's newest conversation, as on every connect.
    pub(super) async fn join_latest(&mut self, shared: &Arc<Shared>, latest: LatestConversation) {
        let reply = Reply::new(self.subscriber.outgoing.clone(), self.subscriber.namespace, None);
        if let Err(failure) = self.join_room(shared, latest.id, None, &reply).await {
            reply.fail(&failure);
        }
    }

    pub(super) async fn join(&mut self, shared: &Arc<Shared>, event: &Event) {
        let reply = self.reply(event);
        let joined = match payload::conversation::<JoinConversation>(event) {
            Ok(join) => {
                let after = join.after.map(|after| cursor(Some(&after), None)).transpose();
                match after {
                    Ok(after) => self.join_room(shared, join.conversation_id.into(), after, &reply).await,
                    Err(failure) => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = joined {
            reply.fail(&failure);
        }
    }

    /// Subscribes first and reads then, so that between what is read and what comes live there is nothing.
    async fn join_room(
        &mut self,
        shared: &Arc<Shared>,
        id: ConversationId,
        after: Option<Cursor>,
        reply: &Reply,
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
        let has_cursor = after.is_some();
        let history =
            match shared.chat.history(&self.principal, &id, after, Page::of(None)?, Action::Join).await {
                Ok(history) => history,
                Err(failure) => {
                    if is_member {
                        // It goes on hearing what it heard before.
                        shared.fanout.release(&id, key, Standing::default(), None, true, Vec::new());
                    } else {
                        shared.fanout.leave(&id, key);
                    }
                    return Err(failure);
                }
            };
        let standing = Standing { last_seq: history.last_seq, marks: history.marks };
        let marks = standing.marks;
        self.rooms.insert(id.clone());
        let joined = ConversationJoined {
            conversation_id: id.clone(),
            last_message_id: history.last_message_id.clone(),
            last_seq: history.last_seq,
        };
        let newest = history.last_message_id.clone();
        let answer = JoinedConversation {
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
        let first = [frame(self.subscriber.channel(), &joined), reply.frame(&Success::with(answer))];
        // Who is in already and asks for no messages is given none, so what came meanwhile still has to come live.
        let goes_on = is_member && !has_cursor;
        let first = first.into_iter().flatten().collect();
        shared.fanout.release(&id, key, standing, newest.as_ref(), goes_on, first);
        Ok(())
    }

    pub(super) fn leave_room(&mut self, shared: &Arc<Shared>, event: &Event) {
        let outcome = payload::conversation::<LeaveConversation>(event).and_then(|payload| {
            let id: ConversationId = payload.conversation_id.into();
            if id.is_empty() {
                return Err(Failure::missing("conversation_id"));
            }
            if !self.rooms.remove(&id) {
                return Err(not_joined());
            }
            self.stop_typing(shared, &id);
            shared.fanout.leave(&id, self.subscriber.key);
            Ok(())
        });
        self.reply(event).done(outcome);
    }

    pub(super) async fn send(&mut self, shared: &Arc<Shared>, event: &Event) -> Handled {
        let started = Instant::now();
        let reply = self.reply(event);
        let send = match payload::object::<SendToConversation>(event) {
            Ok(send) => send,
            Err(failure) => {
                reply.fail(&failure);
                return Handled::Counted;
            }
        };
        let in_flight = self.in_flight.get_or_insert_default();
        if in_flight.count() >= limits::SENDS_IN_FLIGHT {
            in_flight.below(limits::SENDS_IN_FLIGHT).await;
        }
        let entered = in_flight.enter();
        let metrics = Arc::clone(&shared.metrics);
        let sending =
            Sending { conversation_id: send.conversation_id, local_id: send.local_id, body: send.body };
        let is_taken = shared.chat.send(&self.principal, sending, move |outcome| {
            match outcome {
                Ok(sent) => reply.answer(&Success::with(SentMessage { message: sent.message })),
                Err(failure) => reply.fail(&failure),
            }
            metrics.answered("socket", started.elapsed());
            drop(entered);
        });
        if is_taken { Handled::Taken } else { Handled::Counted }
    }

    pub(super) fn typing(&mut self, shared: &Arc<Shared>, event: &Event, is_typing: bool) {
        let outcome = payload::conversation::<StartTyping>(event).and_then(|payload| {
            let id: ConversationId = payload.conversation_id.into();
            if id.is_empty() {
                return Err(Failure::missing("conversation_id"));
            }
            self.principal.require(Permission::SendMessages)?;
            if !self.rooms.contains(&id) {
                return Err(not_joined());
            }
            let was_typing = self.typing.contains(&id);
            if !is_typing && !was_typing {
                // Nobody was told that it began.
                return Ok(());
            }
            shared.chat.typing(&self.principal, &self.subscriber.connection_id, id.clone(), is_typing)?;
            if is_typing {
                self.typing.insert(id);
            } else {
                self.typing.remove(&id);
            }
            Ok(())
        });
        self.reply(event).done(outcome);
    }

    fn stop_typing(&mut self, shared: &Shared, id: &ConversationId) {
        if self.typing.remove(id) {
            let connection_id = &self.subscriber.connection_id;
            // The permission was there when the typing began; if it is gone, there is nobody to tell either.
            let _ = shared.chat.typing(&self.principal, connection_id, id.clone(), false);
        }
    }

    pub(super) async fn read(&self, shared: &Arc<Shared>, event: &Event) {
        let outcome = match payload::object::<ReadMessages>(event) {
            Ok(read) => {
                let receipt = Receipt {
                    up_to: read.up_to_message_id.into(),
                    conversation_id: Some(read.conversation_id.into()),
                    status: MessageStatus::Read,
                };
                shared.chat.acknowledge(&self.principal, receipt).await
            }
            Err(failure) => Err(failure),
        };
        self.reply(event).done(outcome);
    }

    pub(super) fn ping(&self, event: &Event) {
        let reply = self.reply(event);
        if reply.is_awaited() {
            return reply.answer(&PONG);
        }
        let fanout::Channel { namespace, wire } = self.subscriber.channel();
        let pong = wire.event(namespace.path(), PONG, &Nothing {});
        if let Ok(frame) = pong {
            self.subscriber.outgoing.send(frame);
        }
    }

    pub(super) fn unknown(&self, event: &Event) {
        let name: String = event.name.chars().take(64).collect();
        self.reply(event).fail(&Failure::invalid(format!("there is no event {name}")));
    }

    /// Takes it out of everything that it was in.
    pub(super) async fn leave(mut self, shared: &Arc<Shared>, reason: &str) {
        for id in std::mem::take(&mut self.typing) {
            self.typing.insert(id.clone());
            self.stop_typing(shared, &id);
        }
        let key = self.subscriber.key;
        for id in &self.rooms {
            shared.fanout.leave(id, key);
        }
        match &self.principal {
            Principal::Device(device) => {
                shared.chat.disconnect(&device.app_id, &self.subscriber.connection_id, reason).await;
            }
            Principal::Agent(agent) => shared.fanout.feeds().unwatch(&agent.app_id, key),
        }
        shared.connections.remove(key);
    }
}

fn not_joined() -> Failure {
    Failure::new(Code::ConversationNotFound, "this connection has not joined that conversation")
}
