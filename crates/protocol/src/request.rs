//! What clients ask on a socket: one struct a request, with its event's name and what its answer holds. The server reads
//! what the SDK writes; names of events are written nowhere else.
//!
//! An answer travels in an ack as `{ success: true, … }`, and a failure as [`AckFailure`](crate::AckFailure).

use serde::{Deserialize, Serialize};

use crate::event::Receipts;
use crate::rest::{Identify, SessionPage};
use crate::{Activity, Message, MessageId};

/// A request, which always travels under the same event name.
pub trait Request {
    /// The event's name.
    const NAME: &'static str;
    /// What the ack holds beside `success`.
    type Answer;
}

macro_rules! requests {
    ($($request:ty => $name:literal -> $answer:ty),* $(,)?) => {
        $(impl Request for $request {
            const NAME: &'static str = $name;
            type Answer = $answer;
        })*
    };
}

requests! {
    JoinConversation => "conversation:join" -> JoinedConversation,
    JoinAsAgent => "conversation:join" -> JoinedAsAgent,
    LeaveConversation => "conversation:leave" -> Nothing,
    SendToConversation => "message:send" -> SentMessage,
    StartTyping => "typing:start" -> Nothing,
    StopTyping => "typing:stop" -> Nothing,
    ReportDelivery => "delivery:receipt" -> Nothing,
    ReadMessages => "message:read" -> Nothing,
    SubscribeToApp => "app:subscribe" -> Nothing,
    ListSessions => "sessions:list" -> SessionPage,
    ViewConversation => "conversation:viewing" -> Nothing,
    Identify => "identify" -> Nothing,
}

/// The name of the one event whose ack is no object but the text `"pong"`; without an ack it is answered by the event
/// [`PONG`].
pub const PING: &str = "ping";
/// The event that answers a [`PING`] without an ack.
pub const PONG: &str = "pong";

/// Nothing but success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nothing {}

/// What a device shows when it connects to `/client`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceAuth {
    /// The app.
    pub app_id: String,
    /// The device's own name, 1 to 128 characters.
    pub device_id: String,
    /// The app's key.
    pub api_key: String,
    /// The device's own secret, 32 to 128 characters: whoever shows one first owns the device's name from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_secret: Option<String>,
    /// Proof of who is at the device, as `identify` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_token: Option<String>,
}

/// What an agent shows when they connect to `/admin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentAuth {
    /// The app.
    pub app_id: String,
    /// A token of that app.
    pub admin_token: String,
}

/// Asks for a conversation's events from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinConversation {
    /// The conversation.
    pub conversation_id: String,
    /// The last message that the client has, or `""` for none: the answer then holds the first page of what followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Where a conversation stands that was joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinedConversation {
    /// Its newest message, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_id: Option<MessageId>,
    /// That message's `seq`; every later message comes as `message:new`.
    pub last_seq: u64,
    /// With `after`: what followed it, ascending by `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// With `after`: whether there are more messages behind the last one, up to `last_seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
    /// With `after`: how far each side has got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Receipts>,
}

/// As [`JoinConversation`], on `/admin`: what happened beside the messages comes too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinAsAgent {
    /// The conversation.
    pub conversation_id: String,
    /// The last message that the client has, or `""` for none: the answer then holds the first page of what followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The `n` of the last activity that the client has, or 0 for none: the answer then holds the first page of what followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_activity: Option<u64>,
}

/// As [`JoinedConversation`], on `/admin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinedAsAgent {
    /// How it stands with the messages.
    #[serde(flatten)]
    pub conversation: JoinedConversation,
    /// The newest activity's `n`; everything later comes as `activity:new`.
    pub last_activity: u64,
    /// With `after_activity`: what followed it, ascending by `n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Vec<Activity>>,
    /// With `after_activity`: whether there is more behind the last one, up to `last_activity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_more_activity: Option<bool>,
}

/// Asks for no more of a conversation's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaveConversation {
    /// The conversation.
    pub conversation_id: String,
}

/// Sends a message; a retry with the same `local_id` is answered with the stored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendToConversation {
    /// Where.
    pub conversation_id: String,
    /// The text, 1 to 5,000 characters.
    pub body: String,
    /// The sender's own name for the message, 1 to 64 characters, unique in the conversation.
    pub local_id: String,
}

/// The message as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentMessage {
    /// The message.
    pub message: Message,
}

/// Somebody types in a conversation that this connection has joined. To be repeated within 6 s as long as they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StartTyping {
    /// Where.
    pub conversation_id: String,
}

/// Somebody has stopped typing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StopTyping {
    /// Where.
    pub conversation_id: String,
}

/// The device has received up to a message: `message_id` alone, or `conversation_id` and `up_to_message_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportDelivery {
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The last message that was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_message_id: Option<String>,
}

/// This side has read the other side's messages up to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadMessages {
    /// The conversation.
    pub conversation_id: String,
    /// The last message that was read.
    pub up_to_message_id: String,
}

/// Says what the agent looks at, so that others who look at it too see that; one conversation at a time, which this connection has
/// joined. Ends with the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewConversation {
    /// The conversation; absent or empty is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
}

/// Asks for the feed of the agent's own app, which is also joined by connecting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubscribeToApp {
    /// The app.
    pub app_id: String,
}

/// Asks who is connected, on all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListSessions {
    /// The agent's own app.
    pub app_id: String,
    /// The last `connection_id` of the page before; empty is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many, at most 1,000, which is also what is given if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
