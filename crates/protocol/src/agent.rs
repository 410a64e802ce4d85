//! Agents: people who answer.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Role, Timestamp};

/// A person who answers, in one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// Their id. `agt_…`
    pub id: AgentId,
    /// Their name, which people see.
    pub name: String,
    /// Their e-mail address: what they sign in with.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they are here.
    pub status: AgentStatus,
    /// Whether they take part just now.
    pub availability: Availability,
    /// When they were invited.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When they last did anything, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_seen_at: Option<Timestamp>,
}

/// An agent as the others of their app see them: enough to know whom a conversation is with, and to give it to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Colleague {
    /// Their id. `agt_…`
    pub id: AgentId,
    /// Their name, which people see.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they are here.
    pub status: AgentStatus,
    /// Whether they take part just now.
    pub availability: Availability,
    /// Their e-mail address: what they sign in with. Only for who has `manage`, as all below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When they were invited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub created_at: Option<Timestamp>,
    /// When they last did anything, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_seen_at: Option<Timestamp>,
}

/// Whether an agent is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Has not come yet.
    Invited,
    /// Has a password, and signs in with it.
    Active,
    /// May do nothing any more. What they did stays theirs.
    Disabled,
}

/// Whether an agent takes part just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Yes.
    #[default]
    Online,
    /// No.
    Away,
}
