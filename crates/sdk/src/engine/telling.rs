//! What the server is told by and by: receipts and typing.

use protocol::ConversationId;
use protocol::request::{Nothing, ReadMessages, ReportDelivery, StartTyping, StopTyping};
use tokio::time::Instant;

use super::report::Request;
use super::{Engine, bounded};
use crate::LogLevel;
use crate::local::{Error, Marks};
use crate::outbox::Failed;

impl Engine {
    /// All up to `tail` is here: the agents are to be told of what they wrote.
    pub(super) fn received(&mut self, conversation: &ConversationId, tail: u64) -> Result<(), Error> {
        let Some(stored) = self.store.conversation(conversation)? else { return Ok(()) };
        let known = stored.marks.delivered;
        if let Some((seq, _)) = self.store.newest_of_agents(conversation, tail)?
            && seq > known
        {
            self.store.raise(conversation, Marks { delivered: seq, ..Marks::default() })?;
            self.receipts.note(conversation, seq - known, Instant::now());
        }
        Ok(())
    }

    /// The person has read all that is here.
    pub(super) fn read_all(&mut self, conversation: &ConversationId) -> Result<(), Error> {
        let Some(stored) = self.store.conversation(conversation)? else { return Ok(()) };
        if let Some((seq, _)) = self.store.newest_of_agents(conversation, stored.marks.tail)?
            && seq > stored.marks.read
        {
            self.store.raise(conversation, Marks { delivered: seq, read: seq, ..Marks::default() })?;
            self.store.forget_unread(conversation)?;
            self.receipts.note(conversation, seq - stored.marks.read, Instant::now());
            self.views.change(conversation);
        }
        Ok(())
    }

    /// Sends the receipts that are due: what is read first, since it is delivered, too.
    pub(super) fn send_receipts(&mut self, now: Instant) -> Result<(), Error> {
        for conversation in self.receipts.take_due(now) {
            self.send_receipt(&conversation)?;
        }
        Ok(())
    }

    fn send_receipt(&mut self, conversation: &ConversationId) -> Result<(), Error> {
        let marks = self.store.conversation(conversation)?.map_or(Marks::default(), |stored| stored.marks);
        let (seq, is_read) = if marks.read > marks.read_told {
            (marks.read, true)
        } else if marks.delivered > marks.delivered_told {
            (marks.delivered, false)
        } else {
            self.receipts.told(conversation);
            return Ok(());
        };
        let Some((_, up_to)) = self.store.newest_of_agents(conversation, seq)? else {
            // What it would name is not here any more.
            return self.receipt_is_told(conversation, seq, is_read);
        };
        let (conversation_id, up_to) = (conversation.to_string(), up_to.to_string());
        let conversation = conversation.clone();
        if is_read {
            let receipt = ReadMessages { conversation_id, up_to_message_id: up_to };
            self.emit(&receipt, Some(Request::Read { conversation, seq }));
        } else {
            let receipt = ReportDelivery {
                message_id: None,
                conversation_id: Some(conversation_id),
                up_to_message_id: Some(up_to),
            };
            self.emit(&receipt, Some(Request::Delivered { conversation, seq }));
        }
        Ok(())
    }

    /// The answer to a receipt.
    pub(super) fn told_receipt(
        &mut self,
        conversation: &ConversationId,
        seq: u64,
        is_read: bool,
        outcome: Result<Nothing, Failed>,
    ) -> Result<(), Error> {
        match outcome {
            Ok(Nothing {}) => self.receipt_is_told(conversation, seq, is_read),
            Err(Failed::ForNow { retry_after }) => {
                let chance = self.chance();
                self.receipts.failed(conversation, bounded(retry_after), Instant::now(), chance);
                Ok(())
            }
            Err(Failed::Barred(bar)) => self.barred(bar),
            Err(Failed::ForGood { code, .. }) => {
                self.log(LogLevel::Warn, &format!("a receipt was refused: {code}"));
                self.receipt_is_told(conversation, seq, is_read)
            }
        }
    }

    fn receipt_is_told(
        &mut self,
        conversation: &ConversationId,
        seq: u64,
        is_read: bool,
    ) -> Result<(), Error> {
        let read_told = if is_read { seq } else { 0 };
        self.store.raise(conversation, Marks { delivered_told: seq, read_told, ..Marks::default() })?;
        let marks = self.store.conversation(conversation)?.map_or(Marks::default(), |stored| stored.marks);
        if marks.delivered > marks.delivered_told || marks.read > marks.read_told {
            self.receipts.again(conversation, Instant::now());
        } else {
            self.receipts.told(conversation);
        }
        Ok(())
    }

    /// A key was pressed, or the field was left.
    pub(super) fn person_types(&mut self, conversation: &ConversationId, is_typing: bool) {
        // Told only where the server listens: a conversation that is not joined has nobody to tell.
        if self.outgoing.is_none() || !self.syncs.get(conversation).is_some_and(crate::sync::Sync::is_joined)
        {
            return;
        }
        let is_news = if is_typing {
            self.typing.key(conversation, Instant::now())
        } else {
            self.typing.stop(conversation)
        };
        if is_news {
            self.tell_typing(conversation, is_typing);
        }
    }

    /// Silences that are long enough are told, and agents who were not heard of are not shown any more.
    pub(super) fn tell_silence(&mut self, now: Instant) {
        for conversation in self.typing.fallen_silent(now) {
            self.tell_typing(&conversation, false);
        }
        for conversation in self.typing.expired(now) {
            self.views.change(&conversation);
        }
    }

    fn tell_typing(&mut self, conversation: &ConversationId, is_typing: bool) {
        let conversation_id = conversation.to_string();
        if is_typing {
            self.emit(&StartTyping { conversation_id }, None);
        } else {
            self.emit(&StopTyping { conversation_id }, None);
        }
    }
}
