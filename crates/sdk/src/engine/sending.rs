//! The outbox at work: the first message of each conversation goes out, and what its answer means.

use protocol::request::{SendToConversation, SentMessage};
use protocol::rest::ConversationAnswer;
use protocol::{ConversationId, ConversationStatus, LocalId};
use tokio::time::Instant;

use super::Engine;
use super::effect::Effect;
use super::report::{Asked, Request};
use crate::LogLevel;
use crate::local::{Error, UNOPENED};
use crate::outbox::Failed;
use crate::sync::Sync;

impl Engine {
    /// Sends the first message of each conversation that may send.
    pub(super) fn send_heads(&mut self, now: Instant) -> Result<(), Error> {
        for head in self.store.heads()? {
            if !self.outbox.is_free(&head.conversation_id, now)
                || self.waits_for_page(&head.conversation_id)?
                || head.conversation_id.as_str() == UNOPENED && self.waits_for_identity_until().is_some()
            {
                continue;
            }
            self.outbox.begin(head.conversation_id.clone(), head.local_id.clone());
            if head.conversation_id.as_str() == UNOPENED {
                let context = self.untold_context()?;
                self.effects.push(Effect::Ask(Asked::Open { local_id: head.local_id, context }));
                continue;
            }
            self.store.begin_attempt(&head.local_id)?;
            self.views.change(&head.conversation_id);
            let send = SendToConversation {
                conversation_id: head.conversation_id.to_string(),
                local_id: head.local_id.to_string(),
                body: head.body,
            };
            let request = Request::Send { conversation: head.conversation_id, local_id: head.local_id };
            self.emit(&send, Some(request));
        }
        Ok(())
    }

    /// Whether the server may turn out to lack messages of this conversation, which would have to go first. Where there are
    /// none nothing waits.
    fn waits_for_page(&self, conversation: &ConversationId) -> Result<bool, Error> {
        let is_open = self.syncs.get(conversation).is_some_and(Sync::is_open_question);
        Ok(is_open && self.store.newest_up_to(conversation, u64::MAX)?.is_some())
    }

    /// The answer to a message that was sent.
    pub(super) fn sent(
        &mut self,
        conversation: &ConversationId,
        local_id: &LocalId,
        outcome: Result<SentMessage, Failed>,
    ) -> Result<(), Error> {
        if !self.outbox.end(conversation, local_id) {
            return Ok(());
        }
        self.views.change(conversation);
        match outcome {
            Ok(SentMessage { message })
                if message.local_id == *local_id && message.conversation_id == *conversation =>
            {
                self.outbox.succeeded();
                self.store.put_message(&message)?;
                // A message from the device opens a resolved conversation again.
                self.store.set_status(conversation, ConversationStatus::Open)?;
                self.settle(conversation)
            }
            Ok(_) => {
                self.log(LogLevel::Warn, "the server answered for another message");
                self.not_sent(conversation.clone(), local_id, Failed::TRANSPORT)
            }
            Err(failed) => self.not_sent(conversation.clone(), local_id, failed),
        }
    }

    /// The server has opened a conversation for the person's first message.
    pub(super) fn opened(
        &mut self,
        local_id: &LocalId,
        context: Option<String>,
        outcome: Result<ConversationAnswer, Failed>,
    ) -> Result<(), Error> {
        let unopened = ConversationId::from(UNOPENED);
        self.outbox.end(&unopened, local_id);
        match outcome {
            Ok(ConversationAnswer { conversation }) if conversation.id.as_str() != UNOPENED => {
                self.outbox.forget(&unopened);
                if let Some(context) = context {
                    self.store.context_was_told(&context)?;
                }
                self.store.put_conversation(&conversation)?;
                self.know(&conversation.id)
            }
            Ok(_) => self.not_sent(unopened, local_id, Failed::TRANSPORT),
            Err(failed) => self.not_sent(unopened, local_id, failed),
        }
    }

    /// A message was not sent: it waits for its next try, for what stands between to go, or is set aside.
    fn not_sent(
        &mut self,
        conversation: ConversationId,
        local_id: &LocalId,
        failed: Failed,
    ) -> Result<(), Error> {
        self.views.change(&conversation);
        match failed {
            Failed::ForNow { retry_after } => {
                let chance = self.chance();
                self.outbox.failed(conversation, retry_after, Instant::now(), chance);
                self.store.end_attempt(local_id)
            }
            Failed::Barred(bar) => {
                self.store.end_attempt(local_id)?;
                self.barred(bar)
            }
            Failed::ForGood { code, message } => {
                self.log(LogLevel::Warn, &format!("a message was refused: {code}"));
                self.outbox.forget(&conversation);
                self.store.wedge(local_id, &code, &message)
            }
        }
    }
}
