//! Cumulative receipts: up to where a side has received or read. They only rise.

use protocol::{ConversationId, InboxConversation, MessageId, MessageStatus, Side, Timestamp};

use super::conversations::{self, Scope};
use super::messages::{self, Look};
use crate::error::Error;
use crate::session::{Param, Session, integer};

/// A receipt about to be recorded.
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

/// Raises the side's mark to the message, unless it is there already.
pub(crate) async fn advance(
    session: &mut Session<'_>,
    receipt: &NewReceipt,
) -> Result<Look<Receipted>, Error> {
    let id = &receipt.conversation_id;
    // The count of what is unread must see every message that was given its seq before.
    session.lock_conversation(id).await?;
    if conversations::find(session, &receipt.scope, id).await?.is_none() {
        return Ok(Look::NoConversation);
    }
    let Some(up_to_seq) = messages::seq_of(session, id, &receipt.up_to).await? else {
        return Ok(Look::NoMessage);
    };
    let sql = match (receipt.side, receipt.status) {
        (Side::User, MessageStatus::Read) => {
            "UPDATE conversations SET device_read_seq = $1, device_delivered_seq = \
             CASE WHEN device_delivered_seq < $1 THEN $1 ELSE device_delivered_seq END \
             WHERE id = $2 AND device_read_seq < $1"
        }
        (Side::User, _) => {
            "UPDATE conversations SET device_delivered_seq = $1 WHERE id = $2 AND device_delivered_seq < $1"
        }
        (Side::Agent, MessageStatus::Read) => {
            "UPDATE conversations SET agent_read_seq = $1, agent_delivered_seq = \
             CASE WHEN agent_delivered_seq < $1 THEN $1 ELSE agent_delivered_seq END, \
             unread_count = (SELECT COUNT(*) FROM messages m \
             WHERE m.conversation_id = $2 AND m.seq > $1 AND m.sender = 'user') \
             WHERE id = $2 AND agent_read_seq < $1"
        }
        (Side::Agent, _) => {
            "UPDATE conversations SET agent_delivered_seq = $1 WHERE id = $2 AND agent_delivered_seq < $1"
        }
    };
    let changed = session.execute(sql, &[Param::Integer(integer(up_to_seq)), Param::Text(id)]).await?;
    let advanced = if changed == 0 {
        None
    } else {
        let Some(mut stored) = conversations::find(session, &receipt.scope, id).await? else {
            return Ok(Look::NoConversation);
        };
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Some(Box::new(stored.into_inbox()))
    };
    Ok(Look::Found(Receipted { up_to_seq, advanced }))
}
