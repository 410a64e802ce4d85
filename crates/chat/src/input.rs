//! The form of what comes in: lengths and characters, the same for every transport.

use protocol::limits::{
    BODY_CHARS, CONTEXT_BYTES, DEVICE_ID_CHARS, LOCAL_ID_CHARS, NAME_CHARS, PAGE, PAGE_MAX, SESSIONS_PAGE_MAX,
};
use protocol::rest::User;
use protocol::{Code, Failure, LocalId};

/// Checks that `text` is there, has at most `most` characters, and no NUL, which not every database can keep.
pub(crate) fn text(name: &str, text: &str, most: usize) -> Result<(), Failure> {
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

pub(crate) fn body(body: &str) -> Result<(), Failure> {
    if body.chars().nth(BODY_CHARS).is_some() {
        let message = format!("body has more than {BODY_CHARS} characters");
        return Err(Failure::new(Code::MessageTooLong, message));
    }
    text("body", body, BODY_CHARS)
}

pub(crate) fn local_id(local_id: &str) -> Result<LocalId, Failure> {
    text("local_id", local_id, LOCAL_ID_CHARS)?;
    Ok(local_id.into())
}

pub(crate) fn device_id(device_id: &str) -> Result<(), Failure> {
    text("device_id", device_id, DEVICE_ID_CHARS)
}

pub(crate) fn name(field: &str, name: &str) -> Result<(), Failure> {
    text(field, name, NAME_CHARS)
}

pub(crate) fn user(user: &User) -> Result<(), Failure> {
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
pub(crate) fn context(
    name: &str,
    object: &serde_json::Map<String, serde_json::Value>,
) -> Result<String, Failure> {
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

/// How many rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// As asked for; [`PAGE`] rows where nothing is said, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            None => Ok(Self(PAGE)),
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            Some(limit) => Ok(Self(limit.min(PAGE_MAX))),
        }
    }

    /// As [`of`](Self::of), for sessions: [`SESSIONS_PAGE_MAX`] rows at most, and where nothing is said.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of_sessions(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            limit => Ok(Self(limit.unwrap_or(SESSIONS_PAGE_MAX).min(SESSIONS_PAGE_MAX))),
        }
    }

    pub(crate) fn rows(self) -> u32 {
        self.0
    }

    /// Takes what was read with one row more than is wanted; tells whether there was that row.
    pub(crate) fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, bool) {
        let has_more = rows.len() > self.0 as usize;
        rows.truncate(self.0 as usize);
        (rows, has_more)
    }
}
