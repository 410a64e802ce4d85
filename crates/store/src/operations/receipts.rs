//! Cumulative receipts: up to where a side has received or read. They only rise.

use protocol::{ConversationId, InboxConversation, MessageId, MessageStatus, Side, Timestamp};

use super::conversations::{self, Marks, Scope};
use super::messages::{self, Look};
use crate::error::Error;
use crate::operation::{Operation, Write};
use crate::postgres::Postgres;
use crate::session::{Param, Session, integer};

/// Raises a side's mark to a message, unless it is there already.
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// How far the caller sees.
    pub scope: Scope,
    /// Which side received or read.
    pub side: Side,
    /// Where.
    pub conversation_id: ConversationId,
    /// The last message that it is about.
    pub up_to: MessageId,
    /// `Delivered` or `Read`; what is read is delivered too.
    pub status: MessageStatus,
    /// When.
    pub now: Timestamp,
}

/// A receipt that was recorded.
#[derive(Debug, Clone)]
pub struct Receipted {
    /// The last message that it is about.
    pub up_to_seq: u64,
    /// The conversation as it is with it; `None` if the receipt said nothing new.
    pub advanced: Option<Box<InboxConversation>>,
}

/// The rule, whichever database keeps it: raises what the receipt says; true if it says anything new.
pub(crate) fn raise(marks: &mut Marks, side: Side, status: MessageStatus, up_to_seq: u64) -> bool {
    let (delivered, read) = match side {
        Side::User => (&mut marks.device_delivered, &mut marks.device_read),
        Side::Agent => (&mut marks.agent_delivered, &mut marks.agent_read),
    };
    let mark = if status == MessageStatus::Read { read } else { &mut *delivered };
    if *mark >= up_to_seq {
        return false;
    }
    *mark = up_to_seq;
    // What is read is delivered too.
    *delivered = up_to_seq.max(*delivered);
    true
}

impl Operation for NewReceipt {
    type Out = Look<Receipted>;

    /// SQLite's; Postgres does many at a time.
    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let id = &self.conversation_id;
        let Some(mut stored) = conversations::find(session, &self.scope, id).await? else {
            return Ok(Look::NoConversation);
        };
        let Some(up_to_seq) = messages::seq_of(session, id, &self.up_to).await? else {
            return Ok(Look::NoMessage);
        };
        if !raise(&mut stored.marks, self.side, self.status, up_to_seq) {
            return Ok(Look::Found(Receipted { up_to_seq, advanced: None }));
        }
        const RAISE: &str = "UPDATE conversations SET device_delivered_seq = $1, device_read_seq = $2, \
             agent_delivered_seq = $3, agent_read_seq = $4, \
             is_marked_unread = CASE WHEN agent_read_seq = $4 THEN is_marked_unread ELSE 0 END, unread_count = CASE WHEN agent_read_seq = $4 THEN unread_count \
             ELSE (SELECT COUNT(*) FROM messages m WHERE m.conversation_id = $5 AND m.seq > $4 AND m.sender = 'user') END \
             WHERE id = $5 RETURNING unread_count, is_marked_unread";
        let Marks { device_delivered, device_read, agent_delivered, agent_read } = stored.marks;
        let params = [
            Param::Integer(integer(device_delivered)),
            Param::Integer(integer(device_read)),
            Param::Integer(integer(agent_delivered)),
            Param::Integer(integer(agent_read)),
            Param::Text(id),
        ];
        let raised = session.query_one(RAISE, &params, |row| Ok((row.count()?, row.integer()? != 0))).await?;
        (stored.unread_count, stored.is_marked_unread) = raised.unwrap_or_default();
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Ok(Look::Found(Receipted { up_to_seq, advanced: Some(Box::new(stored.into_inbox())) }))
    }
}

impl Write for NewReceipt {
    fn key(&self) -> &str {
        &self.conversation_id
    }

    fn queue(self, postgres: &Postgres, done: impl FnOnce(Result<Self::Out, Error>) + Send + 'static) {
        postgres.receipts.submit(self, Box::new(done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_only_rise_and_what_is_read_is_delivered() {
        let mut marks = Marks::default();
        assert!(raise(&mut marks, Side::User, MessageStatus::Delivered, 5));
        assert!(!raise(&mut marks, Side::User, MessageStatus::Delivered, 5));
        assert!(raise(&mut marks, Side::User, MessageStatus::Read, 3));
        assert!(raise(&mut marks, Side::Agent, MessageStatus::Read, 7));
        assert!(!raise(&mut marks, Side::Agent, MessageStatus::Delivered, 6));
        let expected = Marks { device_delivered: 5, device_read: 3, agent_delivered: 7, agent_read: 7 };
        assert_eq!(marks, expected);
    }
}
