//! The payloads of socket events, as both ends see them. The names of the events stand beside them.

use serde::{Deserialize, Serialize};

use crate::{
    Activity, AgentId, AppId, ConnectionId, ConversationId, DeviceId, InboxConversation, Message, MessageId,
    MessageStatus, Side, Timestamp, UserInfo,
};

/// The namespace of devices.
pub const CLIENT_NAMESPACE: &str = "/client";
/// The namespace of agents.
pub const ADMIN_NAMESPACE: &str = "/admin";

/// A payload that always travels under the same event name.
pub trait Named {
    /// The event's name.
    const NAME: &'static str;
}

macro_rules! named {
    ($($payload:ty => $name:literal),* $(,)?) => {
        $(impl Named for $payload { const NAME: &'static str = $name; })*
    };
}

named! {
    Connected => "connected",
    ConversationJoined => "conversation:joined",
    ConversationOpened => "conversation:opened",
    Message => "message:new",
    Activity => "activity:new",
    StatusChange => "message:status",
    AgentTyping => "agent:typing",
    AgentViewing => "agent:viewing",
    crate::rest::InboxCounts => "inbox:counts",
    UserTyping => "user:typing",
    ConversationUpdated<'_> => "conversation:updated",
    crate::Session => "session:connect",
    SessionDisconnect => "session:disconnect",
    PresenceChange => "presence:change",
    ServerShutdown => "server:shutdown",
    crate::Failure => "error",
}

/// First event of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Connected {
    /// The connection's id.
    pub connection_id: ConnectionId,
    /// The server's clock; for display only.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub server_time: Timestamp,
}

/// The connection gets this conversation's events from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationJoined {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Its newest message, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_id: Option<MessageId>,
    /// That message's `seq`; every later message comes as `message:new`.
    pub last_seq: u64,
}

/// The person who is proven at this device has a conversation that they did not have: opened at another of their devices, or
/// become theirs there. It is not joined by that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationOpened {
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// Messages up to `up_to_seq` that the other side than `by` wrote have this status now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusChange {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The last message that it is about.
    pub up_to_seq: u64,
    /// Delivered or read.
    pub status: MessageStatus,
    /// Who received or read them.
    pub by: Side,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// How far each side has got in a conversation: what a client that was away has missed of `message:status`. Part of the
/// answer to a join that asks for messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipts {
    /// Up to where the device has received the agents' messages.
    pub user_delivered_seq: u64,
    /// Up to where the person has read them.
    pub user_read_seq: u64,
    /// Up to where an agent's client has received the person's messages.
    pub agent_delivered_seq: u64,
    /// Up to where an agent has read them.
    pub agent_read_seq: u64,
}

/// An agent types, or stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentTyping {
    /// Where.
    pub conversation_id: ConversationId,
    /// Whether it goes on.
    pub is_typing: bool,
}

/// Which agents look at a conversation, whoever of them hears it among them. Comes to those who have joined it, whenever that changes,
/// and with the join if anybody looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentViewing {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// In the order of their ids; each once, on however many screens.
    pub agents: Vec<ViewingAgent>,
}

/// An agent who looks at a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewingAgent {
    /// The agent.
    pub id: AgentId,
    /// Their name.
    pub name: String,
    /// Whether they are writing there.
    pub is_typing: bool,
}

/// The person at a device types, or stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserTyping {
    /// Where.
    pub conversation_id: ConversationId,
    /// At which device.
    pub device_id: DeviceId,
    /// Whether it goes on.
    pub is_typing: bool,
}

/// A conversation of the app is new or has changed: what an inbox needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationUpdated<'a> {
    /// The conversation as it is now, without its newest message, which stands beside it.
    pub conversation: &'a InboxConversation,
    /// Its newest message; null while there is none.
    pub last_message: Option<&'a Message>,
}

/// A device's connection is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionDisconnect {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// Why, in Socket.IO's words.
    pub reason: String,
}

/// A device came online, or its last connection is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresenceChange {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// Whether it has a connection.
    pub is_online: bool,
    /// How many.
    pub active_connections: u32,
    /// Who was at the device when it connected, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_info: Option<UserInfo>,
}

/// The server is leaving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerShutdown {
    /// For people.
    pub message: String,
    /// How long to wait before connecting again; differs per connection.
    pub reconnect_delay_ms: u64,
}
