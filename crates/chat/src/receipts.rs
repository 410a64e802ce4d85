//! Receipts: what a side has received and read.

use std::sync::Arc;

use cluster::Signal;
use protocol::event::StatusChange;
use protocol::limits::Action;
use protocol::{Code, ConversationId, Failure, MessageId, MessageStatus, Permission, Side};
use store::{Look, NewReceipt, Receipted};

use crate::messages::found;
use crate::{Chat, Principal};

/// What someone says they have received or read.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The last message that it is about.
    pub up_to: MessageId,
    /// Where; `None` where the message alone says it.
    pub conversation_id: Option<ConversationId>,
    /// `Delivered` or `Read`.
    pub status: MessageStatus,
}

impl Chat {
    /// Records a receipt and publishes it, unless it says nothing new.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`, `CONVERSATION_NOT_FOUND`, `MESSAGE_NOT_FOUND`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn acknowledge(
        self: &Arc<Self>,
        principal: &Principal,
        receipt: Receipt,
    ) -> Result<(), Failure> {
        let _entered = self.accepting()?;
        principal.require(Permission::ViewConversations)?;
        if receipt.up_to.is_empty() {
            return Err(Failure::missing("up_to_message_id"));
        }
        if receipt.conversation_id.as_ref().is_some_and(|id| id.is_empty()) {
            return Err(Failure::missing("conversation_id"));
        }
        self.limit(Action::Receipt, principal)?;
        let (conversation_id, by_message) = match receipt.conversation_id {
            Some(id) => (id, false),
            None => match receipt.up_to.place() {
                Some((id, _)) => (id, true),
                None => return Err(no_message()),
            },
        };
        let new = NewReceipt {
            scope: principal.scope(),
            side: principal.side(),
            conversation_id: conversation_id.clone(),
            up_to: receipt.up_to,
            status: receipt.status,
            now: self.ambient.now(),
        };
        let (side, status, at) = (new.side, new.status, new.now);
        let answer = self
            .written(new, move |chat, look| {
                let change = StatusChange { conversation_id, up_to_seq: 0, status, by: side, at };
                chat.settle_receipt(look, change)
            })
            .await;
        let Err(failure) = answer else { return answer };
        match self.not_seen(principal.scope(), failure).await {
            // The caller named no conversation, so that is not what they got wrong.
            failure if by_message && failure.code == Code::ConversationNotFound => Err(no_message()),
            failure => Err(failure),
        }
    }

    fn settle_receipt(&self, look: Look<Receipted>, change: StatusChange) -> Result<(), Failure> {
        let receipted = found(look)?;
        let Some(conversation) = receipted.advanced else { return Ok(()) };
        let app_id = conversation.conversation.app_id.clone();
        let side = change.by;
        let change = StatusChange { up_to_seq: receipted.up_to_seq, ..change };
        self.publish(app_id.clone(), Signal::Status(change));
        if side == Side::Agent {
            // What the agents have read changes what an inbox shows as unread.
            self.publish(app_id, Signal::Conversation(conversation));
        }
        Ok(())
    }
}

fn no_message() -> Failure {
    Failure::new(Code::MessageNotFound, "there is no such message")
}
