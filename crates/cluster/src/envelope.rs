//! What travels on the bus: domain events, not socket frames, so that one envelope serves every transport.

use protocol::event::{AgentTyping, PresenceChange, SessionDisconnect, StatusChange, UserTyping};
use protocol::{AppId, ConnectionId, DeviceId, InboxConversation, Message, Session};
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
    /// Somebody else is at a device: its connections are to be closed.
    IdentityChanged(IdentityChange),
    /// One node has closed the connections of the change with this name.
    IdentityHeard(String),
}

/// Somebody else is at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityChange {
    /// The device.
    pub device_id: DeviceId,
    /// The change's own name, under which each node answers.
    pub name: String,
}

impl Envelope {
    /// As it travels: a line with the node it comes from, then JSON. A node knows its own by the line alone.
    pub(crate) fn encode(&self, node: &str) -> serde_json::Result<Vec<u8>> {
        let mut bytes = format!("E {node}\n").into_bytes();
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }

    /// `None` for what `node` has published itself, and for a proof of a subscription.
    pub(crate) fn decode(bytes: &[u8], node: &str) -> serde_json::Result<Option<Self>> {
        let Some(rest) = bytes.strip_prefix(b"E ") else { return Ok(None) };
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let (origin, json) = rest.split_at(end);
        if origin == node.as_bytes() { Ok(None) } else { serde_json::from_slice(json).map(Some) }
    }
}
