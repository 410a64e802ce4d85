//! Engine.IO v4 packets in a WebSocket text message: one digit, then the data. Binary messages are not here:
//! they are a MESSAGE as they stand. The base64 form that polling needs is refused.

use super::ParseError;
use serde::{Deserialize, Serialize};

/// A packet type by its digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`, the server's first packet.
    Open,
    /// `1`, the end of the session.
    Close,
    /// `2`, the server's question.
    Ping,
    /// `3`, the client's answer.
    Pong,
    /// `4`, everything the layer above sends.
    Message,
    /// `5`, the end of an upgrade from polling.
    Upgrade,
    /// `6`, nothing.
    Noop,
}

/// Splits a text message into its type and its data.
///
/// # Errors
///
/// When the text is empty or does not begin with a known type.
pub fn parse(text: &str) -> Result<(Kind, &str), ParseError> {
    let kind = match text.as_bytes().first() {
        Some(b'0') => Kind::Open,
        Some(b'1') => Kind::Close,
        Some(b'2') => Kind::Ping,
        Some(b'3') => Kind::Pong,
        Some(b'4') => Kind::Message,
        Some(b'5') => Kind::Upgrade,
        Some(b'6') => Kind::Noop,
        _ => return Err(ParseError("unknown Engine.IO packet type")),
    };
    Ok((kind, &text[1..]))
}

/// The digit of a packet type.
pub fn digit(kind: Kind) -> u8 {
    match kind {
        Kind::Open => b'0',
        Kind::Close => b'1',
        Kind::Ping => b'2',
        Kind::Pong => b'3',
        Kind::Message => b'4',
        Kind::Upgrade => b'5',
        Kind::Noop => b'6',
    }
}

/// The data of the OPEN packet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open<'a> {
    /// The session's id.
    pub sid: &'a str,
    /// Transports the client may change to: always none here.
    pub upgrades: [&'a str; 0],
    /// Milliseconds between pings.
    pub ping_interval: u64,
    /// Milliseconds a pong may take.
    pub ping_timeout: u64,
    /// Bytes the server takes in one message.
    pub max_payload: usize,
}

/// What a client goes by of the data of the OPEN packet. The session's id is of use to polling only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// Milliseconds between pings; not checked to be sensible.
    pub ping_interval: u64,
    /// Milliseconds a pong may take; not checked to be sensible.
    pub ping_timeout: u64,
    /// Bytes the server takes in one message, if it says so: the first servers of this protocol do not.
    pub max_payload: Option<u64>,
}

/// Reads the data of an OPEN packet.
///
/// # Errors
///
/// When it is not JSON, or one of the numbers is missing or no whole number.
pub fn announced(data: &str) -> Result<Announced, ParseError> {
    serde_json::from_str(data).map_err(|_| ParseError("invalid open packet"))
}
