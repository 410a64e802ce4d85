//! Names of things. Opaque to clients: only this file knows what is inside.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Crockford's base 32 in lower case: its order as text is its order as a number, and nothing in it reads as
/// something else.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Digits for the milliseconds since the epoch (50 bits, until the year 37648).
const TIME_DIGITS: usize = 10;

/// Digits of chance in an id: 60 bits within one millisecond.
const CHANCE_DIGITS: usize = 12;

/// Digits of chance in a message id. Conversation and `seq` already make it unique; these tell a message from the
/// one that had its `seq` before the database was put back from a backup.
const NONCE_DIGITS: usize = 4;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Who wrote a message on the agents' side: an agent, or a program's token. `agt_…`, `tok_…`
    SenderId
);
text_id!(
    /// A key by which an app's backend proves who its people are. `idk_…`
    IdentityKeyId
);
text_id!(
    /// A canned reply. `can_…`
    CannedReplyId
);
text_id!(
    /// An agent: a person who answers. `agt_…`
    AgentId
);
text_id!(
    /// An app: a tenant. `app_…`
    AppId
);
text_id!(
    /// A device of an app, named by the app itself.
    DeviceId
);
text_id!(
    /// A person, named by the app itself.
    UserId
);
text_id!(
    /// A conversation. `conv_…`
    ConversationId
);
text_id!(
    /// A message. `msg_…`; holds its conversation and `seq`, so that a cursor needs no index of its own.
    MessageId
);
text_id!(
    /// A message as its sender names it: with the conversation, the key under which it is stored once.
    LocalId
);
text_id!(
    /// One connection of a device or an agent. `conn_…`
    ConnectionId
);
text_id!(
    /// An admin token's name; not its secret. `tok_…`
    TokenId
);

/// An id that sorts by its time of making: `prefix`, 50 bits of time, 60 bits of `chance`.
fn time_ordered(prefix: &str, now: Timestamp, chance: u64) -> Arc<str> {
    let mut text = String::with_capacity(prefix.len() + TIME_DIGITS + CHANCE_DIGITS);
    text.push_str(prefix);
    push_base32(&mut text, now.epoch_ms().unsigned_abs(), TIME_DIGITS);
    push_base32(&mut text, chance, CHANCE_DIGITS);
    text.into()
}

fn push_base32(text: &mut String, number: u64, digits: usize) {
    for place in (0..digits).rev() {
        let digit = (number >> (5 * place)) & 31;
        text.push(char::from(ALPHABET[digit as usize]));
    }
}

fn parse_base32(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 12 {
        return None;
    }
    text.bytes().try_fold(0, |number: u64, byte| {
        let digit = ALPHABET.iter().position(|&known| known == byte)?;
        Some((number << 5) | digit as u64)
    })
}

macro_rules! made_id {
    ($name:ident, $prefix:literal) => {
        impl $name {
            /// A new id, made at `now` with 60 bits of `chance`.
            pub fn new(now: Timestamp, chance: u64) -> Self {
                Self(time_ordered($prefix, now, chance))
            }
        }
    };
}

made_id!(AppId, "app_");
made_id!(ConversationId, "conv_");
made_id!(ConnectionId, "conn_");
made_id!(TokenId, "tok_");
made_id!(IdentityKeyId, "idk_");
made_id!(CannedReplyId, "can_");
made_id!(AgentId, "agt_");

impl MessageId {
    /// The id of the message that has `seq` in `conversation`, with 20 bits of `chance`.
    pub fn new(conversation: &ConversationId, seq: u64, chance: u64) -> Self {
        let suffix = conversation.strip_prefix("conv_").unwrap_or(conversation);
        let seq_digits = (64 - seq.leading_zeros() as usize).div_ceil(5).max(1);
        let mut text = String::with_capacity(4 + suffix.len() + seq_digits + NONCE_DIGITS);
        text.push_str("msg_");
        text.push_str(suffix);
        push_base32(&mut text, seq, seq_digits);
        push_base32(&mut text, chance, NONCE_DIGITS);
        Self(text.into())
    }

    /// Where the message would stand: its conversation and `seq`. `None` if this was never an id of ours. That such
    /// a message exists is for the database to say.
    pub fn place(&self) -> Option<(ConversationId, u64)> {
        let digits = self.strip_prefix("msg_")?;
        if !digits.is_ascii() {
            return None;
        }
        let (suffix, rest) = digits.split_at_checked(TIME_DIGITS + CHANCE_DIGITS)?;
        let seq = parse_base32(&rest[..rest.len().checked_sub(NONCE_DIGITS)?])?;
        Some((ConversationId(format!("conv_{suffix}").into()), seq))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = ConversationId::new(Timestamp::from_epoch_ms(1_700_000_000_000), u64::MAX);
        let late = ConversationId::new(Timestamp::from_epoch_ms(1_700_000_000_001), 0);
        assert!(early < late);
        assert!(early.starts_with("conv_"));
    }

    proptest! {
        #[test]
        fn a_message_id_tells_its_place(ms in 0..253_402_300_799_999i64, chance: u64, seq in 1..1u64 << 59, nonce: u64) {
            let conversation = ConversationId::new(Timestamp::from_epoch_ms(ms), chance);
            let message = MessageId::new(&conversation, seq, nonce);
            prop_assert_eq!(message.place(), Some((conversation, seq)));
        }

        #[test]
        fn any_text_is_a_place_or_none(text: String) {
            let _ = MessageId::from(text.as_str()).place();
            let _ = MessageId::from(format!("msg_{text}")).place();
        }
    }
}
