//! Why something could not be done.

use protocol::limits::BODY_CHARS;

use crate::limits::QUEUED_MESSAGES;

/// Why something could not be done. Nothing was changed by what failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// Too many messages wait to be sent.
    #[error("{QUEUED_MESSAGES} messages wait to be sent already")]
    QueueFull,
    /// A message needs a text.
    #[error("a message needs a text")]
    EmptyBody,
    /// The text is longer than a message may be.
    #[error("a message has at most {BODY_CHARS} characters")]
    BodyTooLong,
    /// The text holds a character that no message can have.
    #[error("a message can't hold the NUL character")]
    InvalidBody,
    /// No message of this person has that local id.
    #[error("there is no such message")]
    UnknownMessage,
    /// This person has no conversation with that id.
    #[error("there is no such conversation")]
    UnknownConversation,
    /// The message is not in a state in which that can be done; the text says which it is in.
    #[error("not possible: {0}")]
    NotPossible(String),
    /// That needs the server, and there is no connection to it.
    #[error("there is no connection to the server")]
    Offline,
    /// The configuration is wrong; the text says what.
    #[error("{0}")]
    InvalidConfig(String),
    /// The person's data is not of its form; the text says what.
    #[error("{0}")]
    InvalidUser(String),
    /// The app's function gave no token, or one that names nobody; the text says why.
    #[error("no token: {0}")]
    Token(String),
    /// Another client has this person's file open, here or in another process.
    #[error("another client has this data folder open")]
    AlreadyOpen,
    /// The local file can't be read or written; the text is the system's.
    #[error("local storage: {0}")]
    Storage(String),
    /// The server refused; with its code and text.
    #[error("{code}: {message}")]
    Server {
        /// The server's code, see the protocol's list.
        code: String,
        /// For people; may change.
        message: String,
    },
}

impl ClientError {
    /// The error in one constant word, for programs and other languages.
    pub fn code(&self) -> &str {
        match self {
            Self::Closed => "CLOSED",
            Self::QueueFull => "QUEUE_FULL",
            Self::EmptyBody => "EMPTY_BODY",
            Self::BodyTooLong => "BODY_TOO_LONG",
            Self::InvalidBody => "INVALID_BODY",
            Self::UnknownMessage => "UNKNOWN_MESSAGE",
            Self::UnknownConversation => "UNKNOWN_CONVERSATION",
            Self::NotPossible(_) => "NOT_POSSIBLE",
            Self::Offline => "OFFLINE",
            Self::InvalidConfig(_) => "INVALID_CONFIG",
            Self::InvalidUser(_) => "INVALID_USER",
            Self::Token(_) => "TOKEN_FAILED",
            Self::AlreadyOpen => "ALREADY_OPEN",
            Self::Storage(_) => "STORAGE",
            Self::Server { code, .. } => code,
        }
    }
}
