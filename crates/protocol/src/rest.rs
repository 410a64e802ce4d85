//! The bodies of REST requests and answers.

use serde::{Deserialize, Serialize};

use crate::{AuditEntry, Conversation, DeviceId, InboxConversation, Message, Session, UserId};

/// Who uses a device, as the app tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The app's own id for the person.
    pub id: UserId,
    /// Shown to agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Shown to agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Anything else, at most 8 KiB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `POST /v1/conversations`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenConversation {
    /// Who uses the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What the app wants agents to know of the device, at most 8 KiB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub device_context: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `POST /v1/identify`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Identify {
    /// Who uses the device; `null` is nobody.
    // Named so that it has to be there: who leaves it out has forgotten it.
    #[serde(deserialize_with = "Option::deserialize")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub user: Option<User>,
}

/// `POST /v1/device-context`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TellContext {
    /// What the app wants agents to know of the device, at most 8 KiB of JSON; takes the place of what was told before.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub device_context: serde_json::Map<String, serde_json::Value>,
}

/// A message to send. `Idempotency-Key` serves where `local_id` is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendMessage {
    /// The sender's name for the message, 1 to 64 characters; a retry with the same one stores nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_id: Option<String>,
    /// The text, 1 to 5,000 characters.
    pub body: String,
}

/// A cumulative receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The last message that it is about.
    pub up_to_message_id: String,
}

/// `PATCH /v1/admin/conversations/{id}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeConversation {
    /// `open` or `resolved`.
    pub status: crate::ConversationStatus,
}

/// The answer that carries one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageAnswer {
    /// The stored message.
    pub message: Message,
}

/// The answer that carries one conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationAnswer {
    /// The conversation.
    pub conversation: Conversation,
}

/// The answer that carries one conversation, for agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxConversationAnswer {
    /// The conversation.
    pub conversation: InboxConversation,
}

/// A page of a device's conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationPage {
    /// Newest activity first.
    pub conversations: Vec<Conversation>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// What a badge shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// Agents' messages that the person has not read, in all conversations that the device shows; of each, the newest 1,000
    /// messages are looked at.
    pub unread_count: u64,
}

/// A page of an agent's inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxPage {
    /// Newest activity first.
    pub conversations: Vec<InboxConversation>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
    /// What to give as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessagePage {
    /// Ascending by `seq`.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction asked for.
    pub has_more: bool,
}

/// The answer to a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Done {
    /// Always true; a failure has the shape of an error.
    pub success: bool,
}

/// Live connections of the app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionPage {
    /// Ordered by `connection_id`, which rises by time of connecting.
    pub sessions: Vec<Session>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// Whether a device is online.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    /// The device.
    pub device_id: DeviceId,
    /// Whether it has at least one connection.
    pub is_online: bool,
    /// How many.
    pub active_connections: u32,
}

/// How many are connected, on all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Live connections of the app's devices.
    pub connections: u64,
    /// Devices of the app with at least one.
    pub devices_online: u64,
    /// Servers that share the work.
    pub nodes: u64,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Whether there are older ones; give the last one's `id` as `before`.
    pub has_more: bool,
}
