//! What events carry, as it comes from a client: everything may be missing or wrong.

use protocol::Failure;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use socketio::Event;

/// Characters of a parser's complaint that go back to the client: enough to see what is wrong.
const COMPLAINT_CHARS: usize = 200;

/// A conversation.
#[derive(Deserialize)]
pub(super) struct InConversation {
    pub(super) conversation_id: String,
}

#[derive(Deserialize)]
pub(super) struct Join {
    pub(super) conversation_id: String,
    pub(super) after: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Send {
    pub(super) conversation_id: String,
    pub(super) body: String,
    pub(super) local_id: String,
}

/// `{ message_id }`, or `{ conversation_id, up_to_message_id }`.
#[derive(Deserialize)]
pub(super) struct Delivery {
    pub(super) message_id: Option<String>,
    pub(super) conversation_id: Option<String>,
    pub(super) up_to_message_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Read {
    pub(super) conversation_id: String,
    pub(super) up_to_message_id: String,
}

#[derive(Deserialize)]
pub(super) struct OfApp {
    pub(super) app_id: String,
}

#[derive(Deserialize)]
pub(super) struct ListSessions {
    pub(super) app_id: String,
    pub(super) after: Option<String>,
    pub(super) limit: Option<u32>,
}

/// The event's object.
///
/// # Errors
/// `MISSING_PARAMS` where something needed is not there, `VALIDATION_ERROR` where it is of another form.
pub(super) fn object<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    let Some(json) = event.args.get(0) else { return Err(Failure::missing("a payload")) };
    parse(json)
}

/// As [`object`], but early SDKs send the conversation's id alone.
pub(super) fn conversation<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    match event.args.get(0) {
        Some(json) if json.starts_with('"') => parse(format!("{{\"conversation_id\":{json}}}")),
        _ => object(event),
    }
}

/// An object in a client's JSON.
pub(crate) fn parse<T: DeserializeOwned>(json: impl AsRef<[u8]>) -> Result<T, Failure> {
    let json = json.as_ref();
    // A derived struct would take the values of its fields in a row too.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(Failure::invalid("expected an object, not an array"));
    }
    serde_json::from_slice(json).map_err(|error| refused(&error))
}

/// The parser's complaint as a failure.
fn refused(error: &serde_json::Error) -> Failure {
    let complaint: String = in_words_of_json(&error.to_string()).chars().take(COMPLAINT_CHARS).collect();
    match complaint.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => Failure::missing(field),
        None => Failure::invalid(complaint),
    }
}

/// A parser's complaint, with what JSON calls things in place of our types, of which a caller knows nothing.
pub(crate) fn in_words_of_json(complaint: &str) -> String {
    const WHOLE: [&str; 10] = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize"];
    let complaint =
        complaint.replace("invalid digit found in string", "expected a whole number, not negative");
    let Some((before, expected)) = complaint.split_once("expected ") else { return complaint };
    let (what, place) = match expected.find(" at line ") {
        Some(at) => expected.split_at(at),
        None => (expected, ""),
    };
    let what = match what.split(' ').next().unwrap_or_default() {
        "struct" | "tuple" | "unit" | "newtype" | "enum" | "internally" | "adjacently" => "an object",
        word if WHOLE.contains(&word) => "a whole number",
        "f32" | "f64" => "a number",
        "borrowed" => "a string",
        "map" | "a" if what.ends_with("map") => "an object",
        "sequence" | "a" if what.ends_with("sequence") => "an array",
        _ => what,
    };
    format!("{before}expected {what}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_something_else_is_told_in_words_of_json() {
        let complaint = |json: &str| parse::<ListSessions>(json).map(drop).unwrap_err().message;
        assert_eq!(complaint("5"), "invalid type: integer `5`, expected an object at line 1 column 1");
        assert_eq!(
            complaint(r#"{"app_id":"a","limit":-1}"#),
            "invalid value: integer `-1`, expected a whole number at line 1 column 24"
        );
        assert_eq!(complaint(r#"{"app_id":{}}"#), "invalid type: map, expected a string at line 1 column 10");
        assert!(complaint(r#"{"app_id":"a","limit":"ten"}"#).contains("expected a whole number at line"));
        assert_eq!(
            parse::<Send>(r#"{"conversation_id":"c"}"#).map(drop).unwrap_err().message,
            "body is required"
        );
        let query = "Failed to deserialize query string: limit: invalid digit found in string";
        assert_eq!(
            in_words_of_json(query),
            "Failed to deserialize query string: limit: expected a whole number, not negative"
        );
    }
}
