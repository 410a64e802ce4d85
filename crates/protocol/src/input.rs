//! The form of what comes in: lengths and characters, the same for every transport and at both ends.

use crate::encoded::json_len;
use crate::limits::{
    BODY_CHARS, BODY_JSON_BYTES, CONTEXT_BYTES, DEVICE_ID_CHARS, LOCAL_ID_CHARS, NAME_CHARS,
};
use crate::rest::User;
use crate::{Code, Failure, LocalId};

/// Checks that `text` is there, has at most `most` characters, and no control character but tab and line breaks: others
/// show nothing to people, take six bytes each in JSON, and some no database keeps.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub fn text(name: &str, text: &str, most: usize) -> Result<(), Failure> {
    if text.is_empty() {
        return Err(Failure::missing(name));
    }
    if text.chars().nth(most).is_some() {
        return Err(Failure::invalid(format!("{name} has more than {most} characters")));
    }
    let is_refused = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    if let Some(c) = text.chars().find(|c| is_refused(*c)) {
        let what = if c == '\0' {
            "a NUL character".into()
        } else {
            format!("the control character U+{:04X}", u32::from(c))
        };
        return Err(Failure::invalid(format!("{name} contains {what}")));
    }
    Ok(())
}

/// Checks a message's text. It may have control characters, as what is copied from a terminal has, within the bound on
/// its encoded form; but no NUL, which not every database can keep.
///
/// # Errors
/// `MISSING_PARAMS`, `MESSAGE_TOO_LONG`, or `VALIDATION_ERROR` for a NUL.
pub fn body(body: &str) -> Result<(), Failure> {
    if body.is_empty() {
        return Err(Failure::missing("body"));
    }
    if body.chars().nth(BODY_CHARS).is_some() {
        let message = format!("body has more than {BODY_CHARS} characters");
        return Err(Failure::new(Code::MessageTooLong, message));
    }
    // Two more for the quotes around it. No byte becomes more than six, so that most need no counting.
    if body.len() * 6 > BODY_JSON_BYTES && json_len(body) > BODY_JSON_BYTES + 2 {
        let message = format!("body has more than {BODY_JSON_BYTES} bytes of JSON");
        return Err(Failure::new(Code::MessageTooLong, message));
    }
    if body.contains('\0') {
        return Err(Failure::invalid("body contains a NUL character"));
    }
    Ok(())
}

/// Checks a sender's name for a message.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub fn local_id(local_id: &str) -> Result<LocalId, Failure> {
    text("local_id", local_id, LOCAL_ID_CHARS)?;
    Ok(local_id.into())
}

/// Checks a device's name.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub fn device_id(device_id: &str) -> Result<(), Failure> {
    text("device_id", device_id, DEVICE_ID_CHARS)
}

/// Checks a name, an e-mail address or a person's id, which stands in `field`.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub fn name(field: &str, name: &str) -> Result<(), Failure> {
    text(field, name, NAME_CHARS)
}

/// Checks what an app tells of a person.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub fn user(user: &User) -> Result<(), Failure> {
    name("user.id", &user.id)?;
    for (field, value) in [("user.name", &user.name), ("user.email", &user.email)] {
        if let Some(value) = value {
            name(field, value)?;
        }
    }
    if let Some(attributes) = &user.attributes {
        context("user.attributes", attributes)?;
    }
    Ok(())
}

/// The JSON text of an object that the app made up, if it is not too large.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub fn context(name: &str, object: &serde_json::Map<String, serde_json::Value>) -> Result<String, Failure> {
    let json = serde_json::to_string(object).map_err(|error| Failure::invalid(format!("{name}: {error}")))?;
    if json.len() > CONTEXT_BYTES {
        return Err(Failure::invalid(format!("{name} has more than {CONTEXT_BYTES} bytes of JSON")));
    }
    // Postgres keeps no NUL in a text. One that is escaped it would keep, but give back to nobody who asks for the value.
    if object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)) {
        return Err(Failure::invalid(format!("{name} contains a NUL character")));
    }
    Ok(json)
}

/// As deep as a parser has let it become.
fn has_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_have_no_control_characters_but_tab_and_line_breaks() {
        for c in (0..0x20).filter_map(char::from_u32) {
            let is_taken = matches!(c, '\t' | '\n' | '\r');
            for check in
                [device_id as fn(&str) -> _, |text| name("name", text), |text| local_id(text).map(drop)]
            {
                assert_eq!(check(&format!("a{c}b")).is_ok(), is_taken, "{c:?}");
            }
        }
        assert!(device_id("José 李\u{7f}").is_ok());
    }

    #[test]
    fn a_nul_is_refused_wherever_it_is_and_its_escape_as_a_text_is_not() {
        let checked = |json: &str| context("user.attributes", &serde_json::from_str(json).unwrap());
        for nul in
            [r#"{"a\u0000":1}"#, r#"{"a":"\u0000"}"#, r#"{"a":[{"b":["x\u0000"]}]}"#, r#"{"a":{"\u0000":1}}"#]
        {
            assert_eq!(checked(nul).unwrap_err().code, Code::ValidationError, "{nul}");
        }
        for text in [r#"{"a":"\\u0000"}"#, r#"{"\\u0000":[1,null,true]}"#, r#"{"path":"C:\\\\u0000"}"#] {
            assert_eq!(checked(text).unwrap(), text);
        }
    }

    #[test]
    fn a_body_is_bounded_as_it_is_encoded() {
        for good in
            ["🙂".repeat(5_000), "\"".repeat(5_000), "\u{1b}[1mbold\u{1b}[0m".into(), "\u{1}".repeat(3_333)]
        {
            assert!(body(&good).is_ok(), "{:?}", &good[..8]);
        }
        for long in ["\u{1}".repeat(5_000), "\u{1}".repeat(3_334), "x".repeat(5_001)] {
            assert_eq!(body(&long).unwrap_err().code, Code::MessageTooLong);
        }
        assert_eq!(body("a\0b").unwrap_err().code, Code::ValidationError);
        assert_eq!(body("").unwrap_err().code, Code::MissingParams);
    }
}
