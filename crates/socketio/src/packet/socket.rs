//! Socket.IO v5 packets: type, attachment count, namespace, acknowledgement id, JSON. Reads one as the stock
//! parser does and refuses what it refuses, with bounds where it has none. Never holds the attachments.

use std::ops::Range;

use super::{ParseError, payload};
use crate::AckId;

/// Attachments of one packet; the stock parser's own bound.
pub const MAX_ATTACHMENTS: usize = 10;
/// Bytes of a namespace's name.
pub const MAX_NAMESPACE: usize = 256;
/// Elements of an event's or an acknowledgement's array, the event's name included.
pub const MAX_ELEMENTS: usize = 256;

/// A packet, borrowing the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The namespace, with its leading slash.
    pub namespace: &'a str,
    /// What is said about it.
    pub body: Body<'a>,
}

/// The part of a packet that depends on its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Asks for the namespace, or grants it; the JSON object that came along.
    Connect(Option<&'a str>),
    /// Leaves the namespace.
    Disconnect,
    /// Something happened.
    Event {
        /// Its name.
        name: String,
        /// The arguments after the name.
        elements: Elements<'a>,
        /// Set when an answer is awaited.
        id: Option<AckId>,
    },
    /// The answer to an event.
    Ack {
        /// All arguments.
        elements: Elements<'a>,
        /// The event's id.
        id: AckId,
    },
    /// Refuses the namespace; the JSON of the reason.
    ConnectError(&'a str),
}

/// A JSON array cut into its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements<'a> {
    /// The array's text.
    pub text: &'a str,
    /// Where the elements are in it.
    pub ranges: Vec<Range<usize>>,
    /// How many attachments follow the packet; 0 for a packet without.
    pub attachments: usize,
}

/// Reads a packet.
///
/// # Errors
///
/// When the text is not a packet or exceeds a bound.
pub fn parse(text: &str) -> Result<Packet<'_>, ParseError> {
    let (kind, rest) = text.split_at_checked(1).ok_or(ParseError("unknown packet type"))?;
    let is_binary = matches!(kind, "5" | "6");
    let (attachments, rest) = if is_binary { attachments(rest)? } else { (0, rest) };
    let (namespace, rest) = namespace(rest)?;
    let (id, data) = id(rest)?;
    let body = match kind {
        "0" if data.is_empty() => Body::Connect(None),
        "0" => {
            payload::object(data)?;
            Body::Connect(Some(data))
        }
        "1" if data.is_empty() => Body::Disconnect,
        "2" | "5" => {
            let mut ranges = payload::elements(data, MAX_ELEMENTS)?;
            if ranges.is_empty() {
                return Err(ParseError("invalid payload"));
            }
            let name = payload::event_name(&data[ranges.remove(0)])?;
            if is_binary {
                payload::placeholders(data, attachments)?;
            }
            Body::Event { name, elements: Elements { text: data, ranges, attachments }, id }
        }
        "3" | "6" => {
            let ranges = payload::elements(data, MAX_ELEMENTS)?;
            if is_binary {
                payload::placeholders(data, attachments)?;
            }
            let id = id.ok_or(ParseError("acknowledgement without an id"))?;
            Body::Ack { elements: Elements { text: data, ranges, attachments }, id }
        }
        "4" => {
            payload::any(data)?;
            Body::ConnectError(data)
        }
        "1" => return Err(ParseError("invalid payload")),
        _ => return Err(ParseError("unknown packet type")),
    };
    Ok(Packet { namespace, body })
}

/// The namespace and the id of an event without attachments, from the text that it begins with; nothing if it is another
/// packet, or if its JSON does not begin within the text.
pub fn event_head(beginning: &str) -> Option<(&str, Option<AckId>)> {
    let rest = beginning.strip_prefix('2')?;
    let (namespace, rest) = namespace(rest).ok()?;
    let (id, data) = id(rest).ok()?;
    data.starts_with('[').then_some((namespace, id))
}

fn attachments(text: &str) -> Result<(usize, &str), ParseError> {
    let (count, rest) = text.split_once('-').ok_or(ParseError("illegal attachments"))?;
    // Two digits hold the largest count allowed: what is longer need not be read.
    if count.is_empty() || count.len() > 2 || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError("illegal attachments"));
    }
    match count.parse() {
        Ok(count) if (1..=MAX_ATTACHMENTS).contains(&count) => Ok((count, rest)),
        Ok(0) | Err(_) => Err(ParseError("illegal attachments")),
        Ok(_) => Err(ParseError("too many attachments")),
    }
}

fn namespace(text: &str) -> Result<(&str, &str), ParseError> {
    if !text.starts_with('/') {
        return Ok(("/", text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    if namespace.len() > MAX_NAMESPACE {
        return Err(ParseError("namespace too long"));
    }
    Ok((namespace, rest))
}

fn id(text: &str) -> Result<(Option<AckId>, &str), ParseError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((None, text));
    }
    let (id, rest) = text.split_at(digits);
    match id.parse() {
        Ok(id) if id <= AckId::MAX => Ok((Some(AckId(id)), rest)),
        _ => Err(ParseError("acknowledgement id too large")),
    }
}

/// Writes a packet's head, all that stands before its JSON.
pub fn encode_head(out: &mut Vec<u8>, kind: u8, attachments: usize, namespace: &str, id: Option<AckId>) {
    out.push(kind);
    if attachments > 0 {
        out.extend_from_slice(attachments.to_string().as_bytes());
        out.push(b'-');
    }
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(id.to_string().as_bytes());
    }
}

impl Packet<'_> {
    /// The packet as text, without its attachments.
    pub fn encode(&self) -> String {
        let mut out = Vec::new();
        match &self.body {
            Body::Connect(data) => {
                encode_head(&mut out, b'0', 0, self.namespace, None);
                out.extend_from_slice(data.unwrap_or_default().as_bytes());
            }
            Body::Disconnect => encode_head(&mut out, b'1', 0, self.namespace, None),
            Body::Event { elements, id, .. } => {
                let kind = if elements.attachments > 0 { b'5' } else { b'2' };
                encode_head(&mut out, kind, elements.attachments, self.namespace, *id);
                out.extend_from_slice(elements.text.as_bytes());
            }
            Body::Ack { elements, id } => {
                let kind = if elements.attachments > 0 { b'6' } else { b'3' };
                encode_head(&mut out, kind, elements.attachments, self.namespace, Some(*id));
                out.extend_from_slice(elements.text.as_bytes());
            }
            Body::ConnectError(data) => {
                encode_head(&mut out, b'4', 0, self.namespace, None);
                out.extend_from_slice(data.as_bytes());
            }
        }
        String::from_utf8(out).unwrap_or_default()
    }
}
