//! Conversations that somebody looks at and that are not known here: another device of the person's may have opened them, or they
//! are none.

use protocol::ConversationId;
use protocol::request::{JoinConversation, JoinedConversation};

use super::Engine;
use super::report::Request;
use crate::local::Error;
use crate::outbox::Failed;

impl Engine {
    /// Asks the server for what is looked at and not known, once it has told what there is.
    pub(super) fn seek_unknown(&mut self) -> Result<(), Error> {
        if !self.listing.is_done() {
            return Ok(());
        }
        for conversation in self.views.watched() {
            if self.sought.contains(&conversation) || self.store.conversation(&conversation)?.is_some() {
                continue;
            }
            let join = JoinConversation { conversation_id: conversation.to_string(), after: None };
            self.sought.insert(conversation.clone());
            self.emit(&join, Some(Request::Seek { conversation }));
        }
        Ok(())
    }

    pub(super) fn found(
        &mut self,
        conversation: &ConversationId,
        outcome: &Result<JoinedConversation, Failed>,
    ) -> Result<(), Error> {
        match outcome {
            Ok(_) => self.know(conversation),
            Err(Failed::Unauthorized) => {
                self.unauthorized();
                Ok(())
            }
            // Asked again with the next connection.
            Err(Failed::ForNow { .. }) => Ok(()),
            Err(Failed::ForGood { .. }) => {
                self.views.is_unknown(conversation);
                Ok(())
            }
        }
    }
}
