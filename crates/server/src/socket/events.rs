//! The events that both namespaces take: read, asked of the peer, answered.

use std::sync::Arc;

use protocol::event::ConversationJoined;
use protocol::request::{
    JoinAsAgent, JoinedAsAgent, LeaveConversation, Nothing, PING, PONG, ReadMessages, Request as _,
    SendToConversation, StartTyping, StopTyping,
};
use protocol::{Code, Failure, limits};
use socketio::{AckId, Event, Frame};

use super::reply::{Reply, Success};
use super::{Handled, payload};
use crate::fanout::{self, Channel, Namespace, frame};
use crate::live::Peer;
use crate::shared::Shared;

pub(super) async fn handle(shared: &Arc<Shared>, peer: &mut Peer, event: Event) -> Handled {
    let reply = reply(peer, &event);
    match event.name.as_str() {
        LeaveConversation::NAME => {
            reply.give(payload::conversation(&event).and_then(|request| peer.leave_room(shared, request)));
        }
        SendToConversation::NAME => match payload::object::<SendToConversation>(&event) {
            Ok(request) => {
                if peer.send(shared, request, move |outcome| reply.give(outcome)).await {
                    return Handled::Taken;
                }
            }
            Err(failure) => reply.fail(&failure),
        },
        StartTyping::NAME => {
            let request = payload::conversation::<StartTyping>(&event);
            reply.give(request.and_then(|request| peer.typing(shared, request.conversation_id, true)));
        }
        StopTyping::NAME => {
            let request = payload::conversation::<StopTyping>(&event);
            reply.give(request.and_then(|request| peer.typing(shared, request.conversation_id, false)));
        }
        ReadMessages::NAME => {
            let outcome = match payload::object(&event) {
                Ok(request) => peer.read(shared, request).await,
                Err(failure) => Err(failure),
            };
            reply.give(outcome);
        }
        PING => pong(peer, &reply),
        unknown => {
            let name: String = unknown.chars().take(64).collect();
            reply.fail(&Failure::invalid(format!("there is no event {name}")));
        }
    }
    Handled::Counted
}

/// Where the answer to an event goes.
pub(super) fn reply(peer: &Peer, event: &Event) -> Reply {
    reply_to(peer, event.ack)
}

/// As [`reply`], where only the ack is known; without one a failure is an event.
pub(super) fn reply_to(peer: &Peer, ack: Option<AckId>) -> Reply {
    Reply::new(peer.subscriber.outgoing.clone(), peer.subscriber.namespace, ack)
}

/// What a join is told first: the event, and the ack where one is awaited. A device is answered what is for devices.
pub(super) fn welcome(
    channel: Channel,
    reply: &Reply,
) -> impl FnOnce(&ConversationJoined, JoinedAsAgent) -> Vec<Frame> + use<'_> {
    move |joined, answer| {
        let ack = match channel.namespace {
            Namespace::Client => reply.frame(&Success::with(answer.conversation)),
            Namespace::Admin => reply.frame(&Success::with(answer)),
        };
        [frame(channel, joined), ack].into_iter().flatten().collect()
    }
}

/// Joins a conversation, and answers.
pub(super) async fn join(
    shared: &Arc<Shared>,
    peer: &mut Peer,
    reply: &Reply,
    request: Result<JoinAsAgent, Failure>,
) -> Handled {
    let joined = match request {
        Ok(request) => peer.join(shared, request, welcome(peer.subscriber.channel(), reply)).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = joined {
        reply.fail(&failure);
    }
    Handled::Counted
}

/// Answers an event that had too many bytes to be read.
pub(super) fn too_large(peer: &Peer, ack: Option<AckId>) {
    let message = format!("an event may have {} bytes; this one has more", limits::FRAME_BYTES);
    reply_to(peer, ack).fail(&Failure::new(Code::MessageTooLong, message));
}

fn pong(peer: &Peer, reply: &Reply) {
    if reply.is_awaited() {
        return reply.answer(&PONG);
    }
    let fanout::Peer { namespace, outgoing, .. } = &peer.subscriber;
    let frame = outgoing.wire().and_then(|wire| wire.event(namespace.path(), PONG, &Nothing {}).ok());
    if let Some(frame) = frame {
        outgoing.send(frame);
    }
}
