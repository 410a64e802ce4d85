//! What events carry, as it comes from a client: everything may be missing or wrong.

use protocol::Failure;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use socketio::Event;

use crate::json::parse;

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
