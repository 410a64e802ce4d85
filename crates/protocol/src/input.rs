//! The form of what comes in: lengths and characters, the same for every transport and at both ends.

use crate::limits::{BODY_CHARS, CONTEXT_BYTES, DEVICE_ID_CHARS, LOCAL_ID_CHARS, NAME_CHARS};
use crate::rest::User;
use crate::{Code, Failure, LocalId};

/// Checks that `text` is there, has at most `most` characters, and no NUL, which not every database can keep.
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
    if text.contains('\0') {
        return Err(Failure::invalid(format!("{name} contains a NUL character")));
    }
    Ok(())
}

/// Checks a message's text.
///
/// # Errors
/// `MISSING_PARAMS`, `MESSAGE_TOO_LONG`, or `VALIDATION_ERROR` for a NUL.
pub fn body(body: &str) -> Result<(), Failure> {
    if body.chars().nth(BODY_CHARS).is_some() {
        let message = format!("body has more than {BODY_CHARS} characters");
        return Err(Failure::new(Code::MessageTooLong, message));
    }
    text("body", body, BODY_CHARS)
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
    // Postgres keeps no NUL, and an escaped one is kept for it.
    if json.contains("\\u0000") {
        return Err(Failure::invalid(format!("{name} contains a NUL character")));
    }
    Ok(json)
}
