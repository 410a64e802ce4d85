//! What a team writes again and again, by a short name.

use serde::{Deserialize, Serialize};

use crate::{CannedReplyId, Timestamp};

/// A text that agents begin an answer with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CannedReply {
    /// Its id. `can_…`
    pub id: CannedReplyId,
    /// Its short name, unique in the app: 1 to 32 letters, digits, `-` and `_`, in lower case.
    pub shortcut: String,
    /// The text, 1 to 5,000 characters. `{{person.name}}`, `{{person.email}}` and `{{agent.name}}` stand for what they say;
    /// `{{person.name|there}}` for `there`, where the name is not known. Whoever inserts it fills them in.
    pub text: String,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
}
