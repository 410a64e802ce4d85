//! What comes from clients as JSON, whatever the transport: read with complaints that a caller can make something of.

use protocol::Failure;
use serde::de::DeserializeOwned;

/// Characters of a parser's complaint that go back to the client: enough to see what is wrong.
const COMPLAINT_CHARS: usize = 200;

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
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct ListSessions {
        #[expect(dead_code, reason = "only its form matters")]
        app_id: String,
        #[expect(dead_code, reason = "only its form matters")]
        limit: Option<u32>,
    }

    #[derive(Deserialize)]
    struct Send {
        #[expect(dead_code, reason = "only its form matters")]
        body: String,
    }

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
