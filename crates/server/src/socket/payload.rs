//! What events carry, as it comes from a client: everything may be missing or wrong.

use protocol::Failure;
use serde::de::DeserializeOwned;
use socketio::Event;

use crate::json::parse;

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
