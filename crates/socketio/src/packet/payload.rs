//! The JSON behind a packet's header: split into its elements and checked in one pass, without building values.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ParseError;

/// Splits a JSON array into the ranges of its elements.
pub(super) fn elements(text: &str, max: usize) -> Result<Vec<Range<usize>>, ParseError> {
    struct Elements<'a> {
        text: &'a str,
        max: usize,
    }

    impl<'de> Visitor<'de> for Elements<'de> {
        type Value = Vec<Range<usize>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut ranges = Vec::new();
            while let Some(raw) = seq.next_element::<&'de RawValue>()? {
                if ranges.len() == self.max {
                    return Err(A::Error::custom("too many arguments"));
                }
                // A borrowed raw value is a part of the text it was read from; where it begins is what is wanted.
                let start = raw.get().as_ptr() as usize - self.text.as_ptr() as usize;
                ranges.push(start..start + raw.get().len());
            }
            Ok(ranges)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let ranges =
        deserializer.deserialize_seq(Elements { text, max }).map_err(|_| ParseError("invalid payload"))?;
    deserializer.end().map_err(|_| ParseError("invalid payload"))?;
    Ok(ranges)
}

/// Checks that the text is one JSON object.
pub(super) fn object(text: &str) -> Result<(), ParseError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| ParseError("invalid payload"))?;
    if raw.get().starts_with('{') { Ok(()) } else { Err(ParseError("invalid payload")) }
}

/// Checks that every placeholder in the text stands for one of `attachments` attachments. What is nested more
/// than 128 deep is refused.
pub(super) fn placeholders(text: &str, attachments: usize) -> Result<(), ParseError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Placeholders { attachments: attachments as u64 }
        .deserialize(&mut deserializer)
        .map_err(|_| ParseError("illegal attachments"))?;
    Ok(())
}

#[derive(Clone, Copy)]
struct Placeholders {
    attachments: u64,
}

/// The number or the truth of a value, if it is one, having looked for placeholders inside it.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    True,
    Number(u64),
    Other,
}

impl<'de> DeserializeSeed<'de> for Placeholders {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Placeholders {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(if value { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut is_placeholder = false;
        let mut number = None;
        while let Some(key) = map.next_key::<Key>()? {
            let seen = map.next_value_seed(self)?;
            match key {
                Key::Placeholder => is_placeholder = seen == Seen::True,
                Key::Number => number = if let Seen::Number(number) = seen { Some(number) } else { None },
                Key::Other => {}
            }
        }
        if is_placeholder && number.is_none_or(|number| number >= self.attachments) {
            return Err(A::Error::custom("illegal attachments"));
        }
        Ok(Seen::Other)
    }
}

enum Key {
    Placeholder,
    Number,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "_placeholder" => Key::Placeholder,
                    "num" => Key::Number,
                    _ => Key::Other,
                })
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// The event name that the first element of an event is: a string other than those Socket.IO keeps for itself,
/// or a number.
pub(super) fn event_name(text: &str) -> Result<String, ParseError> {
    const RESERVED: [&str; 6] =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
    let invalid = ParseError("invalid payload");
    match text.as_bytes().first() {
        Some(b'"') => {
            let name: String = serde_json::from_str(text).map_err(|_| invalid)?;
            if RESERVED.contains(&name.as_str()) { Err(invalid) } else { Ok(name) }
        }
        Some(b'-' | b'0'..=b'9') => Ok(text.to_owned()),
        _ => Err(invalid),
    }
}

/// Checks that the text is one JSON value of any kind.
pub(super) fn any(text: &str) -> Result<(), ParseError> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| ParseError("invalid payload"))?;
    Ok(())
}
