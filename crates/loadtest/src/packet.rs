//! Socket.IO packets in Engine.IO messages, read by searching for bytes: the tool must not be what is measured.

use memchr::{memchr, memmem};

/// What begins the body of every message that the tool sends; a number of twelve digits follows.
const BODY_MARK: &str = "#";
const NUMBER_DIGITS: usize = 12;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The Engine.IO handshake.
    Open,
    /// An Engine.IO ping: to be answered.
    Ping,
    /// The server accepted the namespace.
    Connect,
    /// The server refused the namespace, with this.
    Refused(&'a [u8]),
    /// An event: its name, and its arguments as they stand after the comma.
    Event(&'a [u8], &'a [u8]),
    /// The answer to the packet of this id.
    Ack(u64, &'a [u8]),
    /// The server let go of the namespace or of the connection.
    Closed,
    /// Anything that the tool has no use for.
    Other,
}

/// Reads one text message.
pub(crate) fn parse(text: &[u8]) -> Packet<'_> {
    match text {
        [b'0', ..] => Packet::Open,
        [b'1', ..] => Packet::Closed,
        [b'2', ..] => Packet::Ping,
        [b'4', kind, rest @ ..] => parse_message(*kind, rest),
        _ => Packet::Other,
    }
}

fn parse_message(kind: u8, rest: &[u8]) -> Packet<'_> {
    let rest = match rest.first() {
        Some(b'/') => memchr(b',', rest).map_or(&rest[rest.len()..], |comma| &rest[comma + 1..]),
        _ => rest,
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, data) = rest.split_at(digits);
    match kind {
        b'0' => Packet::Connect,
        b'1' => Packet::Closed,
        b'2' => parse_event(data),
        b'3' => parse_number(id).map_or(Packet::Other, |id| Packet::Ack(id, data)),
        b'4' => Packet::Refused(data),
        _ => Packet::Other,
    }
}

fn parse_event(data: &[u8]) -> Packet<'_> {
    let Some(name) = data.strip_prefix(b"[\"") else { return Packet::Other };
    let Some(end) = memchr(b'"', name) else { return Packet::Other };
    Packet::Event(&name[..end], &name[end + 1..])
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// The unsigned number after `key`, which is written as it stands in JSON: `"seq":`.
pub(crate) fn field_number(json: &[u8], key: &str) -> Option<u64> {
    let rest = &json[memmem::find(json, key.as_bytes())? + key.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    parse_number(&rest[..digits])
}

/// Whether an ack or an answer says that it went well.
pub(crate) fn succeeded(json: &[u8]) -> bool {
    memmem::find(json, b"\"success\":true").is_some()
}

/// The `seq` of a message.
pub(crate) fn seq(json: &[u8]) -> Option<u64> {
    field_number(json, "\"seq\":")
}

/// The number that the tool wrote into a message's body.
pub(crate) fn body_number(json: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"body\":\"";
    number_in_body(&json[memmem::find(json, KEY)? + KEY.len()..])
}

/// The number at the beginning of a body.
pub(crate) fn number_in_body(body: &[u8]) -> Option<u64> {
    let digits = body.strip_prefix(BODY_MARK.as_bytes())?.get(..NUMBER_DIGITS)?;
    digits.iter().all(u8::is_ascii_digit).then(|| parse_number(digits))?
}

/// Writes the body of message `number`, `length` characters long (but never too short for the number).
pub(crate) fn body(number: u64, length: usize) -> String {
    const FILLER: &str = " The order has not come yet, could you please look where it is?";
    let mut body = format!("{BODY_MARK}{number:012}");
    while body.len() < length {
        body.push_str(&FILLER[..FILLER.len().min(length - body.len())]);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_io_is_told_apart() {
        assert_eq!(parse(b"0{\"sid\":\"x\"}"), Packet::Open);
        assert_eq!(parse(b"2"), Packet::Ping);
        assert_eq!(parse(b"1"), Packet::Closed);
        assert_eq!(parse(b"6"), Packet::Other);
        assert_eq!(parse(b""), Packet::Other);
    }

    #[test]
    fn namespaces_and_ids_are_passed_over() {
        assert_eq!(parse(b"40/client,{\"sid\":\"x\"}"), Packet::Connect);
        assert_eq!(parse(b"44/client,{\"message\":\"X\"}"), Packet::Refused(b"{\"message\":\"X\"}"));
        assert_eq!(parse(b"42/client,[\"connected\",{}]"), Packet::Event(b"connected", b",{}]"));
        assert_eq!(parse(b"42[\"plain\"]"), Packet::Event(b"plain", b"]"));
        assert_eq!(parse(b"42/admin,7[\"asked\",1]"), Packet::Event(b"asked", b",1]"));
        assert_eq!(parse(b"43/admin,12[{\"success\":true}]"), Packet::Ack(12, b"[{\"success\":true}]"));
        assert_eq!(parse(b"41/admin,"), Packet::Closed);
    }

    #[test]
    fn nonsense_is_nothing_rather_than_a_panic() {
        for text in ["4", "42", "42/", "42/client", "42/client,[", "42/client,[\"x", "43/admin,[]", "9", "45"]
        {
            assert!(matches!(parse(text.as_bytes()), Packet::Other), "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_name() {
        let json = br#",{"last_seq":9,"id":"msg_1","seq":42,"body":"hm"}]"#;
        assert_eq!(seq(json), Some(42));
        assert_eq!(field_number(json, "\"missing\":"), None);
        assert!(succeeded(br#"[{"success":true}]"#));
        assert!(!succeeded(br#"[{"success":false,"error":"FORBIDDEN"}]"#));
    }

    #[test]
    fn a_body_carries_its_number_at_any_length() {
        for length in [1, 13, 40, 100, 500] {
            let text = body(77, length);
            assert_eq!(text.len(), length.max(13));
            let json = format!("{{\"body\":\"{text}\"}}");
            assert_eq!(body_number(json.as_bytes()), Some(77));
        }
        assert_eq!(body_number(br#"{"body":"hello, this is not ours"}"#), None);
    }
}
