//! What old clients read and write, and what in it differs from what all others do.

use protocol::event::{AgentTyping, Connected, Named, ServerShutdown};
use protocol::{Code, ConversationId, Failure, Message, Sender};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketio::{CloseReason, EncodeError, Frame};

/// What an old client says. All else is ignored.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Said {
    /// It lives.
    #[serde(rename = "ping")]
    Ping,
    /// It is to be in this conversation, and in no other.
    #[serde(rename = "subscribe")]
    Subscribe { conversation_id: String },
    /// Its person types, which is meant where it does not say.
    #[serde(rename = "user.typing")]
    Typing { conversation_id: String, is_typing: Option<bool> },
}

impl Said {
    /// What a frame says; `None` is nothing that means anything.
    ///
    /// # Errors
    /// If it is not JSON.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let value: Value = serde_json::from_str(text).map_err(|_| Failure::invalid("this is not JSON"))?;
        Ok(Self::deserialize(value).ok())
    }
}

/// A code that only old clients have.
pub(super) const INVALID_JSON: &str = "INVALID_JSON";
/// As old clients call a conversation that is not there for them.
pub(super) const UNAUTHORIZED_CONVERSATION: &str = "UNAUTHORIZED_CONVERSATION";

/// The close codes of their protocol.
const SILENT: u16 = 4408;
const SLOW: u16 = 4429;
const GOING_AWAY: u16 = 1001;
const PROTOCOL: u16 = 1002;
const TOO_LARGE: u16 = 1009;
const NORMAL: u16 = 1000;

/// How a connection ends.
pub(super) fn farewell(reason: CloseReason) -> (Option<Frame>, u16) {
    match reason {
        CloseReason::PingTimeout => {
            (Some(error("CONNECTION_TIMEOUT", "nothing was heard for too long")), SILENT)
        }
        CloseReason::SlowReader => (None, SLOW),
        CloseReason::Shutdown => (None, GOING_AWAY),
        CloseReason::Protocol(_) => (None, PROTOCOL),
        CloseReason::TooLarge => (None, TOO_LARGE),
        CloseReason::Transport
        | CloseReason::ClientClosed
        | CloseReason::ConnectTimeout
        | CloseReason::Server => (None, NORMAL),
    }
}

/// An event as old clients get it; `None` where their protocol has none such.
///
/// # Errors
/// If it does not serialise.
pub(crate) fn frame<T: Serialize + Named>(event: &T) -> Result<Option<Frame>, EncodeError> {
    let told: fn(Value) -> Value = match T::NAME {
        Connected::NAME => {
            |event| json!({ "type": "connection.established", "connection_id": event["connection_id"] })
        }
        Message::NAME => |event| json!({ "type": "message.new", "message": in_dialect(event) }),
        AgentTyping::NAME => |event| {
            json!({
                "type": "agent.typing",
                "conversation_id": event["conversation_id"],
                "is_typing": event["is_typing"],
            })
        },
        ServerShutdown::NAME => |event| json!({ "type": "server.going_away", "message": event["message"] }),
        Failure::NAME => |event| {
            let code = if event["code"] == Code::InvalidCredentials.as_str() {
                json!("INVALID_API_KEY")
            } else {
                event["code"].clone()
            };
            json!({ "type": "error", "error": event["message"], "code": code })
        },
        _ => return Ok(None),
    };
    Ok(Some(Frame::plain(&told(serde_json::to_value(event)?).to_string())))
}

/// The answer to a sign of life.
pub(super) fn pong() -> Frame {
    Frame::plain(&json!({ "type": "pong" }).to_string())
}

/// The connection is in this conversation.
pub(super) fn subscribed(conversation_id: &ConversationId) -> Frame {
    Frame::plain(&json!({ "type": "subscribed", "conversation_id": conversation_id }).to_string())
}

/// Something went wrong; the connection goes on.
pub(super) fn error(code: &str, message: &str) -> Frame {
    Frame::plain(&json!({ "type": "error", "error": message, "code": code }).to_string())
}

/// A message, or something that has messages in it, as old clients read it: `status` is upper case, for otherwise they drop
/// it in silence; and what was not written by the person has our own id as its `local_id`, for they know messages by that
/// alone, over all conversations, and agents may choose the same one twice.
pub(super) fn in_dialect(mut value: Value) -> Value {
    match &mut value {
        Value::Array(values) => {
            for value in values {
                *value = in_dialect(value.take());
            }
        }
        Value::Object(fields) if fields.contains_key("local_id") && fields.contains_key("body") => {
            if let Some(Value::String(status)) = fields.get_mut("status") {
                status.make_ascii_uppercase();
            }
            let is_own = fields.get("sender").is_some_and(|sender| *sender == json!(Sender::User));
            if let (false, Some(id)) = (is_own, fields.get("id").cloned()) {
                fields.insert("local_id".into(), id);
            }
        }
        Value::Object(fields) => {
            for value in fields.values_mut().filter(|value| value.is_object() || value.is_array()) {
                *value = in_dialect(value.take());
            }
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use protocol::event::StatusChange;
    use protocol::{MessageStatus, Side, Timestamp};

    use super::*;

    fn said(text: &str) -> Option<Said> {
        Said::parse(text).unwrap()
    }

    #[test]
    fn what_old_clients_say_is_understood_and_all_else_ignored() {
        assert_eq!(said(r#"{"type":"ping"}"#), Some(Said::Ping));
        let conversation_id = "conv_1".to_owned();
        assert_eq!(
            said(r#"{"conversation_id":"conv_1","type":"subscribe"}"#),
            Some(Said::Subscribe { conversation_id: conversation_id.clone() })
        );
        for (text, is_typing) in [
            (r#"{"type":"user.typing","conversation_id":"conv_1"}"#, None),
            (r#"{"type":"user.typing","conversation_id":"conv_1","is_typing":null}"#, None),
            (r#"{"type":"user.typing","conversation_id":"conv_1","is_typing":false,"x":1}"#, Some(false)),
        ] {
            let expected = Said::Typing { conversation_id: conversation_id.clone(), is_typing };
            assert_eq!(said(text), Some(expected), "{text}");
        }
        for text in ["{}", "[]", "1", "null", r#"{"type":7}"#, r#"{"type":"subscribe"}"#, r#"{"type":"x"}"#] {
            assert_eq!(said(text), None, "{text}");
        }
        for text in ["", "{", "ping", r#"{"type":"ping"}{"#] {
            assert_eq!(Said::parse(text).unwrap_err().code, Code::ValidationError, "{text}");
        }
    }

    #[test]
    fn events_that_their_protocol_has_not_are_not_told() {
        let change = StatusChange {
            conversation_id: "conv_1".into(),
            up_to_seq: 1,
            status: MessageStatus::Read,
            at: Timestamp::from_epoch_ms(0),
            by: Side::Agent,
        };
        assert!(frame(&change).unwrap().is_none());
    }

    #[test]
    fn messages_are_found_wherever_they_are() {
        let message = |sender: &str, status: &str, local_id: &str| json!({ "id": "msg_1", "local_id": local_id, "body": "status", "sender": sender, "status": status });
        let given = json!({
            "messages": [message("user", "read", "a"), message("agent", "sent", "a")],
            "conversation": { "id": "conv_1", "status": "open", "last_message": message("system", "sent", "") },
        });
        let expected = json!({
            "messages": [message("user", "READ", "a"), message("agent", "SENT", "msg_1")],
            "conversation": { "id": "conv_1", "status": "open", "last_message": message("system", "SENT", "msg_1") },
        });
        assert_eq!(in_dialect(given), expected);
    }
}
