//! What agents do and write down beside a conversation's messages. No device ever hears of any of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ConversationId, LocalId, SenderId, Timestamp};

/// One thing that happened in a conversation beside its messages: a note, or what somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activity {
    /// The conversation it belongs to.
    pub conversation_id: ConversationId,
    /// Its place among the conversation's activity: 1, 2, 3 … without holes, in commit order. It has nothing to do with `seq`.
    pub n: u64,
    /// What happened. There may be more kinds one day: show what is not known as nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = String, examples("note", "assigned", "released", "resolved", "reopened", "identified", "blocked", "unblocked", "tagged", "untagged", "described")))]
    pub kind: ActivityKind,
    /// When the server stored it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The agent or program that did it; absent where the person did, by writing or by saying who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// Whom it was done to: the agent that a conversation was given to, the person who was named or blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Actor>,
    /// A note's text; the tag that was put on or taken off; what was written about the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A note's name by its writer, unique among the conversation's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_id: Option<LocalId>,
}

/// Somebody who takes part in an activity, as they were called then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Actor {
    /// The agent, the program's token, or the person or device.
    pub id: SenderId,
    /// Their name then, if it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What happened in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ActivityKind {
    /// An agent wrote something down for the team.
    Note,
    /// It was given to an agent, who may have taken it.
    Assigned,
    /// It is with nobody any more.
    Released,
    /// An agent is done with it.
    Resolved,
    /// It goes on: an agent said so, or the person wrote.
    Reopened,
    /// It is known who writes.
    Identified,
    /// The agents take nothing more from the person or the device.
    Blocked,
    /// They do again.
    Unblocked,
    /// It has a tag.
    Tagged,
    /// It has a tag no longer.
    Untagged,
    /// The team has written something about the person.
    Described,
    /// What a later version knows: it keeps its place and its word.
    Other(String),
}

impl ActivityKind {
    /// As it is written on the wire and in the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Note => "note",
            Self::Assigned => "assigned",
            Self::Released => "released",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Identified => "identified",
            Self::Blocked => "blocked",
            Self::Unblocked => "unblocked",
            Self::Tagged => "tagged",
            Self::Untagged => "untagged",
            Self::Described => "described",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for ActivityKind {
    fn from(word: String) -> Self {
        const KNOWN: [ActivityKind; 11] = [
            ActivityKind::Note,
            ActivityKind::Assigned,
            ActivityKind::Released,
            ActivityKind::Resolved,
            ActivityKind::Reopened,
            ActivityKind::Identified,
            ActivityKind::Blocked,
            ActivityKind::Unblocked,
            ActivityKind::Tagged,
            ActivityKind::Untagged,
            ActivityKind::Described,
        ];
        KNOWN.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Other(word))
    }
}

impl From<ActivityKind> for String {
    fn from(kind: ActivityKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for ActivityKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_server_does_keeps_its_place_and_its_word() {
        let later = r#"{"conversation_id":"conv_1","n":4,"kind":"translated","at":"2027-01-01T00:00:00.000Z",
            "by":{"id":"agt_1","name":"Ada","shape":"square"},"language":"da"}"#;
        let activity: Activity = serde_json::from_str(later).unwrap();
        assert_eq!(activity.kind, ActivityKind::Other("translated".to_owned()));
        let told = serde_json::to_string(&activity).unwrap();
        assert_eq!(serde_json::from_str::<Activity>(&told).unwrap(), activity);
        assert_eq!(ActivityKind::from("reopened".to_owned()), ActivityKind::Reopened);
    }
}
