//! What travels on the bus: domain events, not socket frames, so that one envelope serves every transport.

use std::collections::BTreeMap;

use protocol::event::{
    AgentTyping, PresenceChange, SessionDisconnect, StatusChange, UserTyping, ViewingAgent,
};
use protocol::{
    Activity, AppId, ConnectionId, ConversationId, DeviceId, InboxConversation, Message, Session, UserId,
};
use serde::de::IgnoredAny;
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
    /// Something happened in a conversation beside its messages. A node of an older version can't read it: what not all may
    /// see is never a field of what all do.
    Activity(Box<Activity>),
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
    /// A proven person has a conversation that they did not have: their devices are told.
    Opened(OpenedFor),
    /// Somebody is proven at a device, and nobody has left it for that.
    Proven(ProvenAt),
    /// Devices have been revoked: the database says which.
    Revoked {},
    /// One node has closed the connections of the change with this name.
    IdentityHeard(String),
    /// A device has more connections than it may have: each node counts its own.
    Crowded(Crowd),
    /// What one node has of the crowd with this name.
    CrowdCounted(String, Vec<SilentConnection>),
    /// These connections of a device are one too many each: they are to be closed.
    CrowdedOut(DeviceId, Vec<ConnectionId>),
    /// Which agents look at a conversation on one node. Said again every few seconds, so that a node that dies falls silent.
    Viewing(Viewing),
}

/// Which agents look at a conversation on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewing {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The node, by a name that no other has.
    pub node: String,
    /// Each agent once.
    pub agents: Vec<ViewingAgent>,
}

/// A device has more connections than it may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// The device.
    pub device_id: DeviceId,
    /// The question's own name, under which each node answers.
    pub name: String,
}

/// For how long nothing was heard on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilentConnection {
    /// Which.
    pub connection_id: ConnectionId,
    /// By the clock of its own node, so that nodes need not agree what time it is.
    pub silent_ms: u64,
}

/// A proven person has a conversation that they did not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedFor {
    /// Who.
    pub user_id: UserId,
    /// Which.
    pub conversation_id: ConversationId,
}

/// Somebody is proven at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenAt {
    /// The device.
    pub device_id: DeviceId,
    /// Who.
    pub user_id: UserId,
    /// The device's version then: with another one, somebody else has come since.
    pub version: u64,
}

/// Somebody else is at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityChange {
    /// The device.
    pub device_id: DeviceId,
    /// The change's own name, under which each node answers.
    pub name: String,
    /// The connection that brought it, which stays: it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<ConnectionId>,
}

impl Envelope {
    /// As it travels: a line with the node it comes from, then JSON. A node knows its own by the line alone.
    pub(crate) fn encode(&self, node: &str) -> serde_json::Result<Vec<u8>> {
        let mut bytes = format!("E {node}\n").into_bytes();
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }

    /// `None` for what `node` has published itself, and for a proof of a subscription.
    ///
    /// # Errors
    /// If this version can't read it: another node may be newer, and say what this one has no word for.
    pub(crate) fn decode(bytes: &[u8], node: &str) -> Result<Option<Self>, Unreadable> {
        let Some(rest) = bytes.strip_prefix(b"E ") else { return Ok(None) };
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let (origin, json) = rest.split_at(end);
        if origin == node.as_bytes() {
            return Ok(None);
        }
        serde_json::from_slice(json).map(Some).map_err(|error| Unreadable::new(json, error))
    }
}

/// An envelope that this version can't read.
#[derive(Debug, thiserror::Error)]
#[error("{signal}: {error}")]
pub(crate) struct Unreadable {
    /// What it tells of, in the other node's words; empty if it does not say so.
    pub(crate) signal: String,
    error: serde_json::Error,
}

impl Unreadable {
    fn new(json: &[u8], error: serde_json::Error) -> Self {
        /// Whatever the signal: its name, before all that it carries.
        #[derive(Deserialize)]
        struct Outline {
            signal: BTreeMap<String, IgnoredAny>,
        }
        let outline: Option<Outline> = serde_json::from_slice(json).ok();
        let signal = outline.and_then(|outline| outline.signal.into_keys().next()).unwrap_or_default();
        Self { signal, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_says_is_named_and_never_taken_for_something_else() {
        for (json, signal) in [
            (r#"{"app_id":"app_1","signal":{"ReactionAdded":{"emoji":"x"}}}"#, "ReactionAdded"),
            (r#"{"app_id":"app_1","signal":{"Status":{"as":"never before"}}}"#, "Status"),
            (r#"{"app_id":"app_1","signal":"Restarted"}"#, ""),
            ("nonsense", ""),
        ] {
            let bytes = format!(
                "E other
{json}"
            );
            assert_eq!(Envelope::decode(bytes.as_bytes(), "this").unwrap_err().signal, signal);
            assert!(
                Envelope::decode(bytes.as_bytes(), "other").unwrap().is_none(),
                "a node's own is not even read"
            );
        }
    }

    /// The file has each signal as the last release writes it. A node of the next one must read that during a rolling
    /// upgrade, so that lines are added for what is new, and never changed.
    #[test]
    fn what_nodes_of_the_last_release_say_is_understood() {
        let mut names = Vec::new();
        for line in include_str!("../tests/envelopes.jsonl").lines() {
            let read = Envelope::decode(format!("E other\n{line}").as_bytes(), "this").unwrap().unwrap();
            let known: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), known, "nothing of it is lost");
            names.push(name(&read.signal));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SIGNALS, "each signal has a line");
    }

    const SIGNALS: usize = 18;

    /// Whoever adds a signal adds its line to the file.
    fn name(signal: &Signal) -> &'static str {
        match signal {
            Signal::Message(..) => "Message",
            Signal::Activity(_) => "Activity",
            Signal::Conversation(_) => "Conversation",
            Signal::Status(_) => "Status",
            Signal::AgentTyping(_) => "AgentTyping",
            Signal::UserTyping(..) => "UserTyping",
            Signal::SessionConnect(_) => "SessionConnect",
            Signal::SessionDisconnect(_) => "SessionDisconnect",
            Signal::Presence(_) => "Presence",
            Signal::IdentityChanged(_) => "IdentityChanged",
            Signal::Opened(_) => "Opened",
            Signal::Proven(_) => "Proven",
            Signal::Revoked {} => "Revoked",
            Signal::IdentityHeard(_) => "IdentityHeard",
            Signal::Crowded(_) => "Crowded",
            Signal::CrowdCounted(..) => "CrowdCounted",
            Signal::CrowdedOut(..) => "CrowdedOut",
            Signal::Viewing(_) => "Viewing",
        }
    }
}
