//! What a client is told when something can't be done.

use serde::{Deserialize, Serialize};

/// Why something was refused. One list for REST, socket events and acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// Something that is needed was not given.
    MissingParams,
    /// The credential is wrong, expired or revoked.
    InvalidCredentials,
    /// The credential could not be checked just now: try again.
    AuthError,
    /// The credential is good but lacks the permission.
    Forbidden,
    /// There is no such conversation, or it is someone else's.
    ConversationNotFound,
    /// There is no such message, or it is someone else's.
    MessageNotFound,
    /// Not so much has happened in the conversation: read its activity anew.
    ActivityNotFound,
    /// Something was given that is not of its form.
    ValidationError,
    /// The body has more characters than are allowed.
    MessageTooLong,
    /// The `local_id` names another message of this conversation already.
    LocalIdConflict,
    /// Too many, too fast; the answer says when to try again.
    RateLimited,
    /// There is no such thing, or it is another app's.
    NotFound,
    /// Somebody else is at the device now: connect again, as whom it is.
    IdentityChanged,
    /// What proved who is at the device holds no longer: identify again, with a fresh token or as nobody.
    IdentityRequired,
    /// This app takes nobody's word for who they are: identify with a token.
    VerificationRequired,
    /// The agents have blocked the device, or the person at it.
    Blocked,
    /// The conversation is with another agent than the request supposes; the text says with whom.
    AssigneeChanged,
    /// The newest messages that were given out are no longer there: connect again, and find the last one that is.
    HistoryChanged,
    /// The device has as many connections as it may.
    TooManyConnections,
    /// The server is leaving: connect again, to another node or to the next process.
    ShuttingDown,
    /// The server could not do it: try again.
    ServerError,
}

impl Code {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingParams => "MISSING_PARAMS",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::AuthError => "AUTH_ERROR",
            Self::Forbidden => "FORBIDDEN",
            Self::ConversationNotFound => "CONVERSATION_NOT_FOUND",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::ActivityNotFound => "ACTIVITY_NOT_FOUND",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::MessageTooLong => "MESSAGE_TOO_LONG",
            Self::LocalIdConflict => "LOCAL_ID_CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::NotFound => "NOT_FOUND",
            Self::IdentityChanged => "IDENTITY_CHANGED",
            Self::IdentityRequired => "IDENTITY_REQUIRED",
            Self::VerificationRequired => "VERIFICATION_REQUIRED",
            Self::Blocked => "BLOCKED",
            Self::AssigneeChanged => "ASSIGNEE_CHANGED",
            Self::HistoryChanged => "HISTORY_CHANGED",
            Self::TooManyConnections => "TOO_MANY_CONNECTIONS",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::ServerError => "SERVER_ERROR",
        }
    }

    /// Whether it passes by itself: the same thing, asked again later, may succeed.
    pub fn passes(self) -> bool {
        match self {
            Self::AuthError
            | Self::IdentityChanged
            | Self::RateLimited
            | Self::HistoryChanged
            | Self::TooManyConnections
            | Self::ShuttingDown
            | Self::ServerError => true,
            Self::MissingParams
            | Self::InvalidCredentials
            | Self::Forbidden
            | Self::ConversationNotFound
            | Self::MessageNotFound
            | Self::ActivityNotFound
            | Self::NotFound
            | Self::IdentityRequired
            | Self::VerificationRequired
            | Self::Blocked
            | Self::AssigneeChanged
            | Self::ValidationError
            | Self::MessageTooLong
            | Self::LocalIdConflict => false,
        }
    }
}

/// The one shape of an error: REST bodies and socket `error` events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people; may change.
    pub message: String,
    /// With `RATE_LIMITED`: how many milliseconds to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The request's name in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, request_id: None }
    }

    /// `MISSING_PARAMS` for the field `name`.
    pub fn missing(name: &str) -> Self {
        Self::new(Code::MissingParams, format!("{name} is required"))
    }

    /// `VALIDATION_ERROR` with this text.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::ValidationError, message)
    }
}

/// A failure as an ack carries it: `{ success: false, error, message }`.
#[derive(Debug, Clone, Serialize)]
pub struct AckFailure<'a> {
    success: bool,
    error: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl<'a> From<&'a Failure> for AckFailure<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            success: false,
            error: failure.code,
            message: &failure.message,
            retry_after_ms: failure.retry_after_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_the_same_everywhere() {
        for code in [Code::MissingParams, Code::LocalIdConflict, Code::TooManyConnections, Code::ServerError]
        {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
