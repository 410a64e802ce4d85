//! Socket.IO v5 packets as `socket.io-msgpack-parser` writes them: one MessagePack value a packet, a map of `type`, `nsp`,
//! `data` and `id`, with attachments in their places. What was read is handed on as JSON text, so that nothing above has to
//! know how it came; what is sent is written from the values themselves.

use std::fmt;
use std::io::{Cursor, Write as _};
use std::ops::Range;

use bytes::Bytes;
use rmp_serde::{Deserializer, Serializer};
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeTuple as _, Serializer as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::socket::{Body, Elements, MAX_ATTACHMENTS, MAX_ELEMENTS, MAX_NAMESPACE, Packet};
use super::{ParseError, payload};
use crate::AckId;
use crate::frame::EncodeError;

/// Values within values, the packet's own map among them: as deep as JSON is read.
const MAX_DEPTH: usize = 128;

/// A packet as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    kind: u8,
    namespace: String,
    id: Option<AckId>,
    /// The JSON of `data`; empty if there is none.
    text: String,
    /// Where the elements are in it, if it is an array.
    ranges: Option<Vec<Range<usize>>>,
    attachments: Vec<Bytes>,
}

impl Parsed {
    /// The packet, and its attachments in the order of their placeholders.
    ///
    /// # Errors
    ///
    /// When its data is not of the form that its type has, or exceeds a bound.
    pub fn into_packet(self, read: impl FnOnce(Packet<'_>, Vec<Bytes>)) -> Result<(), ParseError> {
        let invalid = ParseError("invalid payload");
        let Self { kind, namespace, id, text, ranges, attachments } = self;
        if text.contains("_placeholder") {
            payload::placeholders(&text, attachments.len())?;
        }
        let elements = |ranges| Elements { text: &text, ranges, attachments: 0 };
        let body = match (kind, ranges) {
            (0, None) if text.is_empty() => Body::Connect(None),
            (0, None) if text.starts_with('{') && attachments.is_empty() => Body::Connect(Some(&text)),
            (1, None) if text.is_empty() => Body::Disconnect,
            (2, Some(mut ranges)) if !ranges.is_empty() => {
                let name = payload::event_name(&text[ranges.remove(0)])?;
                Body::Event { name, elements: elements(ranges), id }
            }
            (3, Some(ranges)) => {
                let id = id.ok_or(ParseError("acknowledgement without an id"))?;
                Body::Ack { elements: elements(ranges), id }
            }
            (4, None) if !text.is_empty() => Body::ConnectError(&text),
            (0..=4, _) => return Err(invalid),
            _ => return Err(ParseError("unknown packet type")),
        };
        read(Packet { namespace: &namespace, body }, attachments);
        Ok(())
    }
}

/// Reads a packet.
///
/// # Errors
///
/// When the bytes are not one, or exceed a bound.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let mut decoder = Deserializer::new(Cursor::new(bytes));
    decoder.set_max_depth(MAX_DEPTH);
    let parsed = decoder.deserialize_any(PacketVisitor).map_err(|_| ParseError("invalid MessagePack"))?;
    if decoder.position() < bytes.len() as u64 {
        return Err(ParseError("bytes after a packet"));
    }
    Ok(parsed)
}

struct PacketVisitor;

impl<'de> Visitor<'de> for PacketVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a packet")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut parsed = Parsed { kind: u8::MAX, ..Parsed::default() };
        let mut is_named = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => parsed.kind = map.next_value()?,
                "nsp" => {
                    let namespace: String = map.next_value()?;
                    if namespace.len() > MAX_NAMESPACE || !namespace.starts_with('/') {
                        return Err(A::Error::custom("namespace"));
                    }
                    // What a stock client's URL has behind the name is no part of it in this form either.
                    parsed.namespace = namespace;
                    is_named = true;
                }
                "id" => {
                    let id: Option<u64> = map.next_value()?;
                    if id.is_some_and(|id| id > AckId::MAX) {
                        return Err(A::Error::custom("id"));
                    }
                    parsed.id = id.map(AckId);
                }
                "data" => {
                    let mut json = Json::default();
                    let ranges = map.next_value_seed(Data(&mut json))?;
                    parsed.text = String::from_utf8(json.text).map_err(A::Error::custom)?;
                    parsed.attachments = json.attachments;
                    parsed.ranges = ranges;
                }
                // `options` and the like.
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if is_named { Ok(parsed) } else { Err(A::Error::custom("no namespace")) }
    }
}

/// JSON in the making, and what stands in it as placeholders.
#[derive(Default)]
struct Json {
    text: Vec<u8>,
    attachments: Vec<Bytes>,
}

impl Json {
    fn write<T: Serialize + ?Sized, E: serde::de::Error>(&mut self, value: &T) -> Result<(), E> {
        serde_json::to_writer(&mut self.text, value).map_err(E::custom)
    }

    fn attach<E: serde::de::Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        if self.attachments.len() >= MAX_ATTACHMENTS {
            return Err(E::custom("too many attachments"));
        }
        // A vector takes all that is written to it.
        let _ = write!(self.text, "{{\"_placeholder\":true,\"num\":{}}}", self.attachments.len());
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }
}

/// A packet's data: of an array it is told where its elements are; nothing stays nothing.
struct Data<'j>(&'j mut Json);

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Option<Vec<Range<usize>>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = Option<Vec<Range<usize>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array, an object, a text or nothing")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(
        self,
        extension: D,
    ) -> Result<Self::Value, D::Error> {
        extension.deserialize_any(IgnoredAny)?;
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.0.write(text)?;
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Value(self.0).visit_map(map)?;
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self(json) = self;
        let mut ranges = Vec::new();
        json.text.push(b'[');
        loop {
            if !ranges.is_empty() {
                json.text.push(b',');
            }
            let start = json.text.len();
            if seq.next_element_seed(Value(json))?.is_none() {
                break;
            }
            if ranges.len() >= MAX_ELEMENTS {
                return Err(A::Error::custom("too many elements"));
            }
            ranges.push(start..json.text.len());
        }
        if !ranges.is_empty() {
            // The comma before the element that was not there.
            json.text.pop();
        }
        json.text.push(b']');
        Ok(Some(ranges))
    }
}

/// A value on its way into JSON.
struct Value<'j>(&'j mut Json);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Written;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Written, E> {
        self.0.write(&value).map(|()| Written::Something)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Written, E> {
        self.0.write(&value).map(|()| Written::Something)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Written, E> {
        self.0.write(&value).map(|()| Written::Something)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Written, E> {
        // What JSON has no number for is null, as `JSON.stringify` has it.
        self.0.write(&value).map(|()| Written::Something)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Written, E> {
        self.0.write(value).map(|()| Written::Something)
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Written, E> {
        self.0.attach(value).map(|()| Written::Something)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Written, E> {
        self.0.write(&()).map(|()| Written::Something)
    }

    /// Times and what programs make up: JSON has nothing for them, and nobody here asks for any.
    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, extension: D) -> Result<Written, D::Error> {
        let Extension { kind, len } = Extension::deserialize(extension)?;
        self.0.write(&())?;
        Ok(if (kind, len) == UNDEFINED { Written::Undefined } else { Written::Something })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let Self(json) = self;
        json.text.push(b'[');
        let mut is_first = true;
        loop {
            if !is_first {
                json.text.push(b',');
            }
            if seq.next_element_seed(Value(json))?.is_none() {
                break;
            }
            is_first = false;
        }
        if !is_first {
            json.text.pop();
        }
        json.text.push(b']');
        Ok(Written::Something)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let Self(json) = self;
        json.text.push(b'{');
        let mut is_first = true;
        while let Some(Key(key)) = map.next_key()? {
            let before = json.text.len();
            if !is_first {
                json.text.push(b',');
            }
            json.write(&key)?;
            json.text.push(b':');
            match map.next_value_seed(Value(json))? {
                Written::Something => is_first = false,
                // As `JSON.stringify` has it: the field is not there.
                Written::Undefined => json.text.truncate(before),
            }
        }
        json.text.push(b'}');
        Ok(Written::Something)
    }
}

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Something,
    /// JavaScript's `undefined`; in its place stands null.
    Undefined,
}

/// How the stock clients write `undefined`: the kind and the length of an extension.
const UNDEFINED: (i8, usize) = (0, 1);

/// An extension of MessagePack: its kind, and how many bytes it has.
struct Extension {
    kind: i8,
    len: usize,
}

impl<'de> Deserialize<'de> for Extension {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;

        impl<'de> Visitor<'de> for Pair {
            type Value = Extension;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an extension")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extension, A::Error> {
                let missing = || A::Error::custom("no extension");
                let kind = seq.next_element()?.ok_or_else(missing)?;
                let Length(len) = seq.next_element()?.ok_or_else(missing)?;
                Ok(Extension { kind, len })
            }
        }

        deserializer.deserialize_any(Pair)
    }
}

/// How many bytes there are.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;

        impl Visitor<'_> for Count {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Length, E> {
                Ok(Length(bytes.len()))
            }
        }

        deserializer.deserialize_any(Count)
    }
}

/// The name of a field: a text, or a number as its text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key(name.to_owned()))
            }

            fn visit_i64<E>(self, name: i64) -> Result<Key, E> {
                Ok(Key(name.to_string()))
            }

            fn visit_u64<E>(self, name: u64) -> Result<Key, E> {
                Ok(Key(name.to_string()))
            }
        }

        deserializer.deserialize_any(Name)
    }
}

/// What a packet carries.
pub(crate) enum Content<'a, T: ?Sized> {
    /// Nothing.
    None,
    /// One value as it is.
    Value(&'a T),
    /// An event: its name, and one argument.
    Event(&'a str, &'a T),
    /// An answer with one argument.
    Answer(&'a T),
}

/// Writes a packet.
///
/// # Errors
///
/// When what it carries does not serialise.
pub(crate) fn encode<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    kind: u8,
    namespace: &str,
    id: Option<AckId>,
    content: &Content<'_, T>,
) -> Result<(), EncodeError> {
    let mut serializer = Serializer::new(out).with_struct_map().with_human_readable();
    let fields = 2 + usize::from(!matches!(content, Content::None)) + usize::from(id.is_some());
    let mut map = (&mut serializer).serialize_map(Some(fields))?;
    map.serialize_entry("type", &kind)?;
    map.serialize_entry("nsp", namespace)?;
    if let Some(AckId(id)) = id {
        map.serialize_entry("id", &id)?;
    }
    match content {
        Content::None => {}
        Content::Value(value) => map.serialize_entry("data", value)?,
        Content::Event(name, argument) => map.serialize_entry("data", &Two(name, argument))?,
        Content::Answer(argument) => map.serialize_entry("data", &One(argument))?,
    }
    map.end()?;
    Ok(())
}

/// An array of one, whatever its size.
struct One<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for One<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_tuple(1)?;
        array.serialize_element(self.0)?;
        array.end()
    }
}

/// An array of two.
struct Two<'a, T: ?Sized>(&'a str, &'a T);

impl<T: Serialize + ?Sized> Serialize for Two<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_tuple(2)?;
        array.serialize_element(self.0)?;
        array.serialize_element(self.1)?;
        array.end()
    }
}

/// Why a namespace is refused.
#[derive(Serialize)]
pub(crate) struct Refusal<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

impl<'a> Refusal<'a> {
    /// With the JSON that comes along, which must be some.
    pub(crate) fn new(message: &'a str, data: Option<&RawValue>) -> Self {
        Self { message, data: data.and_then(|data| serde_json::from_str(data.get()).ok()) }
    }
}

/// The id that a namespace is granted under.
#[derive(Serialize)]
pub(crate) struct Granted<'a> {
    pub(crate) sid: &'a str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `socket.io-msgpack-parser` 3.0 over `notepack.io` 3.0 makes of packets.
    const CONNECT: &[u8] = b"\x83\xa4type\x00\xa4data\x81\xa6app_id\xa5app_1\xa3nsp\xa7/client";
    const EVENT: &[u8] = b"\x85\xa4type\x02\xa4data\x92\xacmessage:send\x82\xa4body\xa2hi\xa1n\xcd\x01\x00\xa7options\x81\xa8compress\xc3\xa2id\x07\xa3nsp\xa7/client";
    const DISCONNECT: &[u8] = b"\x82\xa4type\x01\xa3nsp\xa7/client";
    /// As python-socketio's packet with `msgpack` writes it: all fields, in its order.
    const PYTHON: &[u8] = b"\x84\xa4type\x03\xa4data\x91\xc0\xa3nsp\xa7/client\xa2id\x09";

    fn read(bytes: &[u8]) -> Result<(String, Vec<Bytes>), ParseError> {
        let mut read = None;
        parse(bytes)?.into_packet(|packet, attachments| read = Some((packet.encode(), attachments)))?;
        read.ok_or(ParseError("nothing"))
    }

    #[test]
    fn what_stock_clients_write_is_read() {
        for (bytes, text) in [
            (CONNECT, r#"0/client,{"app_id":"app_1"}"#),
            (EVENT, r#"2/client,7["message:send",{"body":"hi","n":256}]"#),
            (DISCONNECT, "1/client,"),
            (PYTHON, "3/client,9[null]"),
        ] {
            assert_eq!(read(bytes).unwrap().0, text);
        }
    }

    #[test]
    fn what_json_has_no_word_for_becomes_something_that_it_has() {
        // undefined in a row and as a field, a Date, NaN, bytes, and a key that is a number.
        let odd = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x96\xa1e\xd4\x00\x00\xd6\xff\x00\x00\x00\x01\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xc4\x02\xca\xfe\x82\xa1u\xd4\x00\x00\x05\xa1x";
        let (text, attachments) = read(odd).unwrap();
        assert_eq!(text, r#"2["e",null,null,null,{"_placeholder":true,"num":0},{"5":"x"}]"#);
        assert_eq!(attachments, [Bytes::from_static(b"\xca\xfe")]);
    }

    #[test]
    fn what_is_no_packet_or_too_much_of_one_is_refused() {
        let nested =
            [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e".as_slice(), &[0x91; 200], b"\xc0"].concat();
        let wide =
            [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\xdc\x01\x01".as_slice(), &[0xa1; 1], b"e", &[0xc0; 256]]
                .concat();
        let bytes =
            [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x9c\xa1e".as_slice(), &[0xc4, 0x00].repeat(11)].concat();
        for wrong in [
            b"".as_slice(),
            b"\x93\x02\xa1/\x90",
            b"\x82\xa4type\x02\xa4data\x91\xa1e",
            b"\x82\xa4type\x02\xa3nsp\xa1/",
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x90",
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\x80",
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xaaconnect",
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa7connect",
            b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90",
            b"\x82\xa4type\x05\xa3nsp\xa1/",
            b"\x82\xa4type\xff\xa3nsp\xa1/",
            b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90",
            b"\x83\xa4type\x02\xa3nsp\xa3abc\xa4data\x91\xa1e",
            // A placeholder for what is not there.
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\x82\xac_placeholder\xc3\xa3num\x00",
            // Lengths that are not there.
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\xdd\xff\xff\xff\xff\xa1e",
            b"\x83\xa4type\x02\xa3nsp\xdb\xff\xff\xff\xff/",
            &nested,
            &wide,
            &bytes,
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(read(&[EVENT, b"\xc0"].concat()).is_err(), "more than a packet");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_none(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", bytes.as_slice()].concat());
        }

        #[test]
        fn what_is_written_is_read_again(name in "[a-z:]{1,9}", text: String, number: i32, id in prop::option::of(0..=AckId::MAX)) {
            prop_assume!(!["connect", "disconnect"].contains(&name.as_str()));
            let argument = serde_json::json!({ "text": text, "number": number, "list": [1.5, null, true] });
            let mut bytes = Vec::new();
            encode(&mut bytes, 2, "/admin", id.map(AckId), &Content::Event(&name, &argument)).unwrap();
            let written = read(&bytes).unwrap().0;
            let id = id.map_or(String::new(), |id| id.to_string());
            let (head, data) = written.split_once('[').unwrap();
            prop_assert_eq!(head, format!("2/admin,{id}"));
            let data: serde_json::Value = serde_json::from_str(&format!("[{data}")).unwrap();
            prop_assert_eq!(data, serde_json::json!([name, argument]));
        }
    }
}
