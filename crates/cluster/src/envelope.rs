//! What travels on the bus: domain events, not socket frames, so that one envelope serves every transport.

use protocol::event::{AgentTyping, PresenceChange, SessionDisconnect, StatusChange, UserTyping};
use protocol::{AppId, ConnectionId, InboxConversation, Message, Session};
use serde::{Deserialize, Serialize};

/// Something that happened in an app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// The app: nobody outside of it hears of this.
    pub app_id: AppId,
    /// What happened.
    pub signal: Signal,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Signal {
    /// A message was committed; the conversation as it is with it.
    Message(Box<Message>, Box<InboxConversation>),
    /// A conversation is new or was changed otherwise; it carries its newest message.
    Conversation(Box<InboxConversation>),
    /// A receipt was committed.
    Status(StatusChange),
    /// An agent types.
    AgentTyping(AgentTyping),
    /// The person at a device types; the connection that said so needs no echo.
    UserTyping(UserTyping, ConnectionId),
    /// A device's connection was made.
    SessionConnect(Box<Session>),
    /// A device's connection is gone.
    SessionDisconnect(SessionDisconnect),
    /// A device came online or went offline.
    Presence(PresenceChange),
}
