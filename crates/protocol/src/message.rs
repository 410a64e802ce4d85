//! A message and what became of it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::PREVIEW_CHARS;
use crate::{ConversationId, LocalId, MessageId, SenderId, Timestamp};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// The server's name for it.
    pub id: MessageId,
    /// The sender's name for it, unique in the conversation.
    pub local_id: LocalId,
    /// The conversation it belongs to.
    pub conversation_id: ConversationId,
    /// Its place in the conversation: 1, 2, 3 … without holes, in commit order.
    pub seq: u64,
    /// The text. Never empty as it is stored: empty is what a later server has sent in its place.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub body: String,
    /// Who wrote it; of somebody who is not known yet, `system`.
    #[serde(deserialize_with = "sender_or_system")]
    pub sender: Sender,
    /// The agent's name, or the person's if the app told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<String>,
    /// Which agent wrote it, or by which token; a person at a device has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<SenderId>,
    /// When the server stored it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// How far it got on the other side; by a word that is not known yet, no further than the server.
    #[serde(deserialize_with = "status_or_sent")]
    pub status: MessageStatus,
}

/// A later server may know more senders. A client that failed on one could never read that page, nor go beyond it.
fn sender_or_system<'de, D: Deserializer<'de>>(word: D) -> Result<Sender, D::Error> {
    Ok(match &*Cow::<str>::deserialize(word)? {
        "user" => Sender::User,
        "agent" => Sender::Agent,
        _ => Sender::System,
    })
}

/// As [`sender_or_system`], for how far a message got.
fn status_or_sent<'de, D: Deserializer<'de>>(word: D) -> Result<MessageStatus, D::Error> {
    Ok(match &*Cow::<str>::deserialize(word)? {
        "delivered" => MessageStatus::Delivered,
        "read" => MessageStatus::Read,
        _ => MessageStatus::Sent,
    })
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The person at the device.
    User,
    /// An agent.
    Agent,
    /// ReplyHQ itself.
    System,
}

impl Sender {
    /// As it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }
}

/// The two sides of a conversation. A receipt of one side speaks of the other side's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The device and the person at it.
    User,
    /// The agents together.
    Agent,
}

impl Message {
    /// The message with no more of its body than an inbox shows.
    pub fn preview(&self) -> Cow<'_, Self> {
        match self.body.char_indices().nth(PREVIEW_CHARS) {
            Some((end, _)) => Cow::Owned(Self { body: self.body[..end].to_owned(), ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// How far a message got; it only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// Stored.
    Sent,
    /// Received by the other side's program.
    Delivered,
    /// Read by the other side's person.
    Read,
}

impl MessageStatus {
    /// The status of the message with `seq`, of which the other side has received all up to `delivered_seq` and read
    /// all up to `read_seq`.
    pub fn of(seq: u64, delivered_seq: u64, read_seq: u64) -> Self {
        if seq <= read_seq {
            Self::Read
        } else if seq <= delivered_seq {
            Self::Delivered
        } else {
            Self::Sent
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_later_server_says_in_words_that_are_not_known_is_read_all_the_same() {
        let later = r#"{"id":"msg_1","local_id":"l","conversation_id":"conv_1","seq":4,"kind":"poll","sender":"bot",
            "created_at":"2027-01-01T00:00:00.000Z","status":"translated","attachments":[{"id":"att_1"}]}"#;
        let message: Message = serde_json::from_str(later).unwrap();
        assert_eq!((message.sender, message.status), (Sender::System, MessageStatus::Sent));
        assert_eq!((message.body.as_str(), message.seq), ("", 4));
        let told = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&told).unwrap(), message);
    }

    proptest! {
        #[test]
        fn a_status_never_falls_while_receipts_rise(seq in 1..100u64, receipts in prop::collection::vec((0..100u64, any::<bool>()), 0..40)) {
            let (mut delivered, mut read) = (0, 0);
            let mut before = MessageStatus::Sent;
            for (up_to, is_read) in receipts {
                let mark = if is_read { &mut read } else { &mut delivered };
                *mark = up_to.max(*mark);
                let now = MessageStatus::of(seq, delivered, read);
                prop_assert!(now >= before);
                before = now;
            }
        }
    }
}
