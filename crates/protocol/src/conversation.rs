//! A conversation between one device and the agents of its app.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{AgentId, AppId, ConversationId, DeviceId, Message, Timestamp, UserId};

/// A conversation, as its device sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The app it belongs to.
    pub app_id: AppId,
    /// The device that opened it.
    pub device_id: DeviceId,
    /// The person at the device, if the app told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Open, or done with.
    #[serde(deserialize_with = "status_or_open")]
    pub status: ConversationStatus,
    /// The newest message, where the answer carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// The newest message's `seq`; 0 while there is none.
    pub last_seq: u64,
    /// When it was opened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When its last message came or its status changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// Agents' messages that the person has not read, among the newest 1,000. Only in answers to the device by REST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_count: Option<u64>,
}

/// A conversation, as an agent's inbox shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxConversation {
    /// What the device sees too.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// The user's messages that no agent has read.
    pub unread_count: u64,
    /// The person's name, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// Whether the person was proven to be who they say they are when it became theirs. Left out where they were not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_verified: bool,
    /// The agent whom it is with; absent while it is with nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee_id: Option<AgentId>,
    /// When the first message of the user was stored that no agent has answered; absent while nobody waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub waiting_since: Option<Timestamp>,
    /// When an agent first answered the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub first_reply_at: Option<Timestamp>,
    /// What the team sorts it by, in alphabetical order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether an agent has said that it is to be looked at again. Left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_marked_unread: bool,
    /// Whether the device is connected now. Absent in events, which tell it by `presence:change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_online: Option<bool>,
}

impl InboxConversation {
    /// All that an inbox shows of it but its newest message, in a number: who has heard of one with the same number
    /// has missed nothing. Nodes of different versions may number differently; then one of them tells twice.
    pub fn fingerprint(&self) -> u64 {
        // Whoever adds a field decides here whether an inbox misses something without its change.
        let Self {
            conversation,
            unread_count,
            user_name,
            is_verified,
            assignee_id,
            tags,
            is_marked_unread,
            // Change only with a message.
            waiting_since: _,
            first_reply_at: _,
            is_online: _,
        } = self;
        let Conversation {
            status,
            last_seq,
            updated_at,
            user_id,
            // Never change, or only with `last_seq`.
            id: _,
            app_id: _,
            device_id: _,
            created_at: _,
            last_message: _,
            // Not shown to agents.
            unread_count: _,
        } = conversation;
        let mut hasher = DefaultHasher::new();
        (status, last_seq, updated_at.epoch_ms(), user_id, user_name, is_verified, unread_count, assignee_id)
            .hash(&mut hasher);
        (tags, is_marked_unread).hash(&mut hasher);
        hasher.finish()
    }
}

/// A later server may know more of them; one that is not done with goes on.
fn status_or_open<'de, D: Deserializer<'de>>(word: D) -> Result<ConversationStatus, D::Error> {
    let word = Cow::<str>::deserialize(word)?;
    Ok(ConversationStatus::parse(&word).unwrap_or(ConversationStatus::Open))
}

/// Whether a conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ConversationStatus {
    /// Goes on.
    Open,
    /// Done with; a new message from the device opens it again.
    Resolved,
}

impl ConversationStatus {
    /// As it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }

    /// The status that is written so, if any is.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "resolved" => Some(Self::Resolved),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_of_a_later_server_goes_on() {
        let later = r#"{"id":"conv_1","app_id":"app_1","device_id":"phone","status":"snoozed","last_seq":0,
            "created_at":"2027-01-01T00:00:00.000Z","updated_at":"2027-01-01T00:00:00.000Z","priority":"high"}"#;
        let conversation: Conversation = serde_json::from_str(later).unwrap();
        assert_eq!(conversation.status, ConversationStatus::Open);
    }
}
