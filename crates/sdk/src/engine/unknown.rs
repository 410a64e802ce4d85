//! Conversations that somebody looks at and that are not known here: another device of the person's may have opened them, or they
//! are none.

use protocol::request::{JoinConversation, JoinedConversation};
use protocol::{Code, ConversationId};

use super::Engine;
use super::report::Request;
use crate::local::Error;
use crate::outbox::Failed;

/// With what the server says that there is none of that name.
const NONE: [Code; 3] = [Code::ConversationNotFound, Code::ValidationError, Code::MissingParams];

impl Engine {
    /// Asks the server for what is looked at and not known, once it has told what there is.
    pub(super) fn seek_unknown(&mut self) -> Result<(), Error> {
        if !self.listing.is_done() {
            return Ok(());
        }
        for conversation in self.views.watched() {
            if self.syncs.contains_key(&conversation)
                || self.sought.contains(&conversation)
                || self.store.conversation(&conversation)?.is_some()
            {
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
            Err(Failed::Barred(bar)) => self.barred(*bar),
            Err(Failed::ForGood { code, .. }) if NONE.iter().any(|none| none.as_str() == code) => {
                self.views.is_unknown(conversation);
                Ok(())
            }
            // Whether there is one is not known: it is asked for again with the next connection.
            Err(Failed::ForNow { .. } | Failed::ForGood { .. }) => Ok(()),
        }
    }
}
