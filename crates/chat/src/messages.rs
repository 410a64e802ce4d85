//! Sending and reading messages.

use std::sync::Arc;

use cluster::{Envelope, Signal};
use protocol::limits::Action;
use protocol::{Code, ConversationId, Failure, Message, MessageId, Permission, Sender};
use store::{Appended, Cursor, History, Look, NewMessage, ReadHistory};

use crate::activity::no_activity;
use crate::observer::SendResult;
use crate::{Chat, Entered, Page, Principal, input};

/// What someone wants to send.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Where.
    pub conversation_id: String,
    /// The sender's name for it.
    pub local_id: String,
    /// The text.
    pub body: String,
}

/// What somebody who joins a conversation wants of its past.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// A page of its messages, from here.
    pub cursor: Option<Cursor>,
    /// What happened after this number. Agents only.
    pub activity_after: Option<u64>,
    /// How much of each.
    pub page: Page,
}

/// A message that is stored.
#[derive(Debug, Clone)]
pub struct Sent {
    /// It.
    pub message: Message,
    /// Whether this call stored it; false for a retry.
    pub is_new: bool,
}

impl Chat {
    /// Stores a message and publishes it, once. `done` is called when it is committed and delivered to the sockets of
    /// this node, or was refused; in commit order, on a thread that must not be blocked. False if it was refused at once.
    pub fn send(
        self: &Arc<Self>,
        principal: &Principal,
        sending: Sending,
        done: impl FnOnce(Result<Sent, Failure>) + Send + 'static,
    ) -> bool {
        let (entered, new) = match self.admit(principal, sending) {
            Ok(admitted) => admitted,
            Err(failure) => {
                self.observer.send(SendResult::Refused(failure.code));
                done(Err(failure));
                return false;
            }
        };
        let chat = Arc::clone(self);
        let request = tracing::Span::current();
        let scope = new.scope.clone();
        self.store.submit(new, move |outcome| match request.in_scope(|| chat.settle(outcome)) {
            Err(failure) if failure.code == Code::ConversationNotFound => {
                chat.runtime.clone().spawn(async move {
                    done(Err(chat.not_seen(scope, failure).await));
                    drop(entered);
                });
            }
            settled => {
                done(settled);
                drop(entered);
            }
        });
        true
    }

    /// What [`send`](Self::send) checks before anything is stored, the cheapest first.
    fn admit(&self, principal: &Principal, sending: Sending) -> Result<(Entered, NewMessage), Failure> {
        let entered = self.accepting()?;
        principal.require(Permission::SendMessages)?;
        if sending.conversation_id.is_empty() {
            return Err(Failure::missing("conversation_id"));
        }
        let local_id = input::local_id(&sending.local_id)?;
        input::body(&sending.body)?;
        self.limit(Action::Send, principal)?;
        let (sender, sender_name, sender_id) = match principal {
            Principal::Device(_) => (Sender::User, None, None),
            Principal::Agent(agent) => (Sender::Agent, Some(agent.name.clone()), Some(agent.actor().into())),
        };
        let new = NewMessage {
            scope: principal.scope(),
            conversation_id: sending.conversation_id.into(),
            local_id,
            body: sending.body,
            sender,
            sender_name,
            sender_id,
            now: self.ambient.now(),
            chance: self.ambient.chance(),
        };
        Ok((entered, new))
    }

    fn settle(&self, outcome: Result<Appended, store::Error>) -> Result<Sent, Failure> {
        let settled = match outcome {
            Ok(Appended::New(message, conversation, activity)) => {
                let app_id = conversation.conversation.app_id.clone();
                let envelope = Envelope { app_id, signal: Signal::Message(message, conversation) };
                self.cluster.bus.publish(&envelope);
                if let Some(activity) = activity {
                    self.publish(envelope.app_id.clone(), Signal::Activity(activity));
                }
                let Signal::Message(message, _) = envelope.signal else { unreachable!("made just above") };
                Ok(Sent { message: *message, is_new: true })
            }
            Ok(Appended::Duplicate(message)) => Ok(Sent { message: *message, is_new: false }),
            Ok(Appended::Conflict) => Err(Failure::new(
                Code::LocalIdConflict,
                "this local_id names another message of this conversation",
            )),
            Ok(Appended::NotFound) => Err(no_conversation()),
            Err(error) => Err(self.store_failed(&error)),
        };
        self.observer.send(match &settled {
            Ok(Sent { is_new: true, .. }) => SendResult::New,
            Ok(_) => SendResult::Duplicate,
            Err(failure) => SendResult::Refused(failure.code),
        });
        settled
    }

    /// A page of a conversation's messages.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `CONVERSATION_NOT_FOUND`, `MESSAGE_NOT_FOUND` for a cursor that is no message of it,
    /// or `SERVER_ERROR`.
    pub async fn history(
        &self,
        principal: &Principal,
        conversation_id: &ConversationId,
        cursor: Cursor,
        page: Page,
    ) -> Result<History, Failure> {
        principal.require(Permission::ViewConversations)?;
        self.limit(Action::Read, principal)?;
        self.read_history(principal, conversation_id, Some(cursor), None, page).await
    }

    /// How a conversation stands that is being joined, and what of it is wanted.
    ///
    /// # Errors
    /// As for [`history`](Self::history); `ACTIVITY_NOT_FOUND` for more than has happened, and `FORBIDDEN` for a device that
    /// asks what happened.
    pub async fn join(
        &self,
        principal: &Principal,
        conversation_id: &ConversationId,
        wanted: Wanted,
    ) -> Result<History, Failure> {
        principal.require(Permission::ViewConversations)?;
        let Wanted { cursor, activity_after, page } = wanted;
        if let (Principal::Device(_), Some(_)) = (principal, activity_after) {
            return Err(Failure::new(Code::Forbidden, "after_activity is for agents"));
        }
        self.limit(Action::Join, principal)?;
        self.read_history(principal, conversation_id, cursor, activity_after, page).await
    }

    async fn read_history(
        &self,
        principal: &Principal,
        conversation_id: &ConversationId,
        cursor: Option<Cursor>,
        activity_after: Option<u64>,
        page: Page,
    ) -> Result<History, Failure> {
        let (scope, conversation_id) = (principal.scope(), conversation_id.clone());
        let read = ReadHistory { scope, conversation_id, cursor, activity_after, limit: page.rows() };
        match found(self.read(read).await?) {
            Err(failure) => Err(self.not_seen(principal.scope(), failure).await),
            history => history,
        }
    }
}

/// A cursor as a client gives it: empty is none.
pub(crate) fn message_id(text: &str) -> Option<MessageId> {
    (!text.is_empty()).then(|| text.into())
}

pub(crate) fn found<T>(look: Look<T>) -> Result<T, Failure> {
    match look {
        Look::Found(found) => Ok(found),
        Look::NoConversation => Err(no_conversation()),
        Look::NoActivity => Err(no_activity()),
        Look::NoMessage => {
            Err(Failure::new(Code::MessageNotFound, "there is no such message in this conversation"))
        }
    }
}

pub(crate) fn no_conversation() -> Failure {
    Failure::new(Code::ConversationNotFound, "there is no such conversation")
}

/// The cursor that `after` and `before` mean together.
///
/// # Errors
/// `VALIDATION_ERROR` if both are given.
pub fn cursor(after: Option<&str>, before: Option<&str>) -> Result<Cursor, Failure> {
    match (after, before) {
        (Some(_), Some(_)) => Err(Failure::invalid("give after or before, not both")),
        (None, Some(before)) => Ok(Cursor::Before(message_id(before))),
        (after, None) => Ok(Cursor::After(message_id(after.unwrap_or_default()))),
    }
}
