//! The record of administrative acts.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One administrative act: who did what, on what, when. Never changed nor removed once written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Its number; rises by time.
    pub id: u64,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Who: `cli` for the command line, else the admin token's id.
    pub actor: String,
    /// What, as `noun.verb`: `app.create`, `token.revoke`, `conversation.resolve` …
    pub action: String,
    /// On what: the id of the thing.
    pub target: String,
    /// More about it, as a JSON object; never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub details: Option<serde_json::Value>,
}
