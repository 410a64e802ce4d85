//! What is done only when it is committed: answers, and what goes to the server.

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Engine;
use super::report::{Asked, Request};
use crate::connection::Action;
use crate::{ChatEvent, ClientError};

/// Something that others see.
pub(super) enum Effect {
    /// The answer to a command: `None` for the success that it holds.
    Reply(Box<dyn FnOnce(Option<ClientError>) + Send>),
    /// An event on the live connection; with the request that its answer belongs to, if one is wanted.
    Emit { name: &'static str, payload: Box<RawValue>, request: Option<Request> },
    /// A REST request.
    Ask(Asked),
    /// Something that happened, for those who listen.
    Tell(ChatEvent),
    /// A change of the connection.
    Connect(Action),
}

impl Engine {
    /// Answers a command once all that it did is committed.
    pub(super) fn reply<T: Send + 'static>(
        &mut self,
        reply: oneshot::Sender<Result<T, ClientError>>,
        value: T,
    ) {
        self.effects.push(Effect::Reply(Box::new(move |failure| {
            // Who does not wait does not need to know.
            let _ = reply.send(failure.map_or(Ok(value), Err));
        })));
    }

    /// Asks something once all that led to it is committed. `awaited` is set where the answer is wanted.
    pub(super) fn emit<R: protocol::request::Request + serde::Serialize>(
        &mut self,
        request: &R,
        awaited: Option<Request>,
    ) {
        // What is sent are ids and texts, which always serialise.
        if let Ok(payload) = serde_json::value::to_raw_value(request) {
            self.effects.push(Effect::Emit { name: R::NAME, payload, request: awaited });
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply) => reply(None),
            Effect::Emit { name, payload, request } => self.emit_now(name, payload, request),
            Effect::Ask(asked) => drop(self.ask_now(asked)),
            Effect::Tell(event) => self.tell_event(&event),
            Effect::Connect(Action::Open) => self.open_link(),
            Effect::Connect(Action::Close) => self.close_link(),
            Effect::Connect(Action::Reopen) => {
                self.close_link();
                self.open_link();
            }
        }
    }

    /// What led to the effect was not kept.
    pub(super) fn abandon(&mut self, effect: Effect, failure: &ClientError) {
        match effect {
            Effect::Reply(reply) => reply(Some(failure.clone())),
            Effect::Ask(Asked::Older { reply, .. }) => {
                // Who does not wait does not need to know.
                let _ = reply.send(Err(failure.clone()));
            }
            // The connection is given up as well, and everything about it is found in the file again.
            Effect::Emit { .. } | Effect::Ask(_) | Effect::Tell(_) | Effect::Connect(_) => {}
        }
    }
}
