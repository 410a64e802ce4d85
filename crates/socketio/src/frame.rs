//! Packets ready for the wire. Encoded once and shared: sending one to many connections copies nothing. Never
//! masked here: a client's end masks a copy of its own while it writes.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::packet::msgpack::{self, Content, Granted, Refusal};
use crate::packet::{engine, socket};
use crate::websocket::{self, Control, Data, MAX_HEAD, OpCode};
use crate::{AckId, Args, scratch};

/// Bytes of memory that a frame takes while it waits, beside those that it has on the wire: its place in a queue that
/// may have just doubled (2 × 48), the allocator's own words (2 × 16), the count of those who share it (32), and a
/// place in the index of what may be replaced (32).
const OVERHEAD: usize = 192;

/// Why a value could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It does not serialise to JSON.
    #[error("not serialisable to JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It does not serialise to MessagePack.
    #[error("not serialisable to MessagePack: {0}")]
    MessagePack(#[from] rmp_serde::encode::Error),
    /// What it serialised to is not text.
    #[error("not text")]
    NotText,
    /// It is longer than 4 GiB.
    #[error("too long")]
    TooLong,
    /// More than ten attachments, which a stock peer refuses.
    #[error("too many attachments")]
    TooManyAttachments,
}

/// One encoded packet with all its WebSocket frames, binary attachments included. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    /// The namespace that the peer has left once it has read this.
    leaves: Option<Arc<str>>,
}

impl Frame {
    /// The event `name` with one argument.
    ///
    /// # Errors
    ///
    /// When the argument does not serialise to JSON.
    pub fn event<T: Serialize + ?Sized>(namespace: &str, name: &str, arg: &T) -> Result<Self, EncodeError> {
        Self::event_with_id(namespace, name, arg, None)
    }

    pub(crate) fn event_with_id<T: Serialize + ?Sized>(
        namespace: &str,
        name: &str,
        arg: &T,
        id: Option<AckId>,
    ) -> Result<Self, EncodeError> {
        Self::message(|out| {
            socket::encode_head(out, b'2', 0, namespace, id);
            out.push(b'[');
            serde_json::to_writer(&mut *out, name)?;
            out.push(b',');
            serde_json::to_writer(&mut *out, arg)?;
            out.push(b']');
            Ok(())
        })
    }

    /// The event `name` with given arguments, binary attachments included.
    ///
    /// # Errors
    ///
    /// When there are more than ten attachments.
    pub fn event_with(namespace: &str, name: &str, args: &Args) -> Result<Self, EncodeError> {
        check_attachments(args)?;
        Self::with_attachments(args.attachments(), engine::Kind::Message, |out| {
            let kind = if args.attachments().is_empty() { b'2' } else { b'5' };
            socket::encode_head(out, kind, args.attachments().len(), namespace, None);
            out.push(b'[');
            serde_json::to_writer(&mut *out, name)?;
            for arg in args.iter() {
                out.push(b',');
                out.extend_from_slice(arg.as_bytes());
            }
            out.push(b']');
            Ok(())
        })
    }

    /// The answer to an event, with one argument.
    ///
    /// # Errors
    ///
    /// When the argument does not serialise to JSON.
    pub fn ack<T: Serialize + ?Sized>(namespace: &str, id: AckId, arg: &T) -> Result<Self, EncodeError> {
        Self::message(|out| {
            socket::encode_head(out, b'3', 0, namespace, Some(id));
            out.push(b'[');
            serde_json::to_writer(&mut *out, arg)?;
            out.push(b']');
            Ok(())
        })
    }

    /// The answer to an event with given arguments, binary attachments included.
    ///
    /// # Errors
    ///
    /// When there are more than ten attachments.
    pub fn ack_with(namespace: &str, id: AckId, args: &Args) -> Result<Self, EncodeError> {
        check_attachments(args)?;
        Self::with_attachments(args.attachments(), engine::Kind::Message, |out| {
            let kind = if args.attachments().is_empty() { b'3' } else { b'6' };
            socket::encode_head(out, kind, args.attachments().len(), namespace, Some(id));
            out.push(b'[');
            for (index, arg) in args.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(arg.as_bytes());
            }
            out.push(b']');
            Ok(())
        })
    }

    /// Puts the peer out of a namespace. A stock client does not come back to it by itself.
    pub fn disconnect(namespace: &str) -> Self {
        let mut frame = Self::infallible(|out| socket::encode_head(out, b'1', 0, namespace, None));
        frame.leaves = Some(namespace.into());
        frame
    }

    /// A bare Engine.IO text message, for connections without Socket.IO.
    pub fn text(text: &str) -> Self {
        Self::infallible(|out| out.extend_from_slice(text.as_bytes()))
    }

    /// A bare Engine.IO binary message, for connections without Socket.IO.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::written(|out| websocket::encode(out, OpCode::Data(Data::Binary), bytes))
    }

    /// A WebSocket text message as it stands, for connections without Engine.IO.
    pub fn plain(text: &str) -> Self {
        Self::written(|out| websocket::encode(out, OpCode::Data(Data::Text), text.as_bytes()))
    }

    /// Bytes on the wire as a server sends it, frame heads and attachments included. A client's masks come on top.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never but for [`nothing`](Self::nothing): every frame has a head.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that it takes while it waits, by the most pessimistic count: as if nobody shared it.
    pub fn cost(&self) -> usize {
        self.len() + OVERHEAD
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn leaves(&self) -> Option<&Arc<str>> {
        self.leaves.as_ref()
    }

    /// Bytes that masking it adds.
    pub(crate) fn masks(&self) -> usize {
        websocket::MASK * websocket::split(&self.bytes).count()
    }

    /// The same as a client sends it, each WebSocket frame under a key of its own.
    pub(crate) fn masked(&self, keys: impl FnMut() -> [u8; 4]) -> Self {
        Self { bytes: websocket::mask_frames(&self.bytes, keys).into(), leaves: self.leaves.clone() }
    }

    /// Whether a peer takes it that takes messages of `largest` bytes, and no more for all attachments together.
    pub(crate) fn fits(&self, largest: usize) -> bool {
        if self.len() <= largest {
            return true;
        }
        let mut attached = 0;
        websocket::split(&self.bytes).all(|(opcode, payload)| match opcode {
            OpCode::Data(Data::Binary) => {
                attached += payload.len();
                attached <= largest
            }
            _ => payload.len() <= largest,
        })
    }

    /// Asks for a namespace, `auth` being a JSON object.
    pub(crate) fn ask(namespace: &str, auth: Option<&RawValue>) -> Self {
        Self::infallible(|out| {
            socket::encode_head(out, b'0', 0, namespace, None);
            out.extend_from_slice(auth.map_or("", RawValue::get).as_bytes());
        })
    }

    /// Grants a namespace.
    pub(crate) fn connect(namespace: &str, sid: &str) -> Self {
        Self::infallible(|out| {
            socket::encode_head(out, b'0', 0, namespace, None);
            out.extend_from_slice(b"{\"sid\":");
            json(out, sid);
            out.push(b'}');
        })
    }

    /// Refuses a namespace.
    pub(crate) fn connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> Self {
        Self::infallible(|out| {
            socket::encode_head(out, b'4', 0, namespace, None);
            out.extend_from_slice(b"{\"message\":");
            json(out, message);
            if let Some(data) = data {
                out.extend_from_slice(b",\"data\":");
                out.extend_from_slice(data.get().as_bytes());
            }
            out.push(b'}');
        })
    }

    pub(crate) fn open(open: &engine::Open<'_>) -> Self {
        Self::encoded(engine::Kind::Open, |out| {
            json(out, open);
            Ok(())
        })
        .unwrap_or_else(|never: Infallible| match never {})
    }

    /// What is not sent: the place of a frame that was.
    pub(crate) fn nothing() -> Self {
        Self { bytes: Bytes::new(), leaves: None }
    }

    pub(crate) fn ping() -> Self {
        // The bytes never differ: no allocation for what every connection is sent all day.
        Self { bytes: Bytes::from_static(b"\x81\x012"), leaves: None }
    }

    pub(crate) fn pong() -> Self {
        Self { bytes: Bytes::from_static(b"\x81\x013"), leaves: None }
    }

    pub(crate) fn websocket_pong(payload: &[u8]) -> Self {
        Self::written(|out| websocket::encode(out, OpCode::Control(Control::Pong), payload))
    }

    pub(crate) fn websocket_ping(payload: &[u8]) -> Self {
        Self::written(|out| websocket::encode(out, OpCode::Control(Control::Ping), payload))
    }

    pub(crate) fn websocket_close(code: websocket::CloseCode) -> Self {
        Self::written(|out| websocket::encode_close(out, code))
    }

    pub(crate) fn msgpack_event<T: Serialize + ?Sized>(
        namespace: &str,
        name: &str,
        arg: &T,
        id: Option<AckId>,
    ) -> Result<Self, EncodeError> {
        Self::packed(2, namespace, id, &Content::Event(name, arg))
    }

    pub(crate) fn msgpack_ack<T: Serialize + ?Sized>(
        namespace: &str,
        id: AckId,
        arg: &T,
    ) -> Result<Self, EncodeError> {
        Self::packed(3, namespace, Some(id), &Content::Answer(arg))
    }

    pub(crate) fn msgpack_disconnect(namespace: &str) -> Self {
        let mut frame = Self::packed_surely(1, namespace, &Content::<()>::None);
        frame.leaves = Some(namespace.into());
        frame
    }

    pub(crate) fn msgpack_connect(namespace: &str, sid: &str) -> Self {
        Self::packed_surely(0, namespace, &Content::Value(&Granted { sid }))
    }

    pub(crate) fn msgpack_connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> Self {
        Self::packed_surely(4, namespace, &Content::Value(&Refusal::new(message, data)))
    }

    /// One binary frame with a packet in MessagePack.
    fn packed<T: Serialize + ?Sized>(
        kind: u8,
        namespace: &str,
        id: Option<AckId>,
        content: &Content<'_, T>,
    ) -> Result<Self, EncodeError> {
        scratch::with_encode(|out| {
            out.resize(MAX_HEAD, 0);
            msgpack::encode(out, kind, namespace, id, content)?;
            let start = websocket::frame_in_place(out, OpCode::Data(Data::Binary));
            Ok(Self { bytes: Bytes::copy_from_slice(&out[start..]), leaves: None })
        })
    }

    /// The crate's own structs always serialise.
    fn packed_surely<T: Serialize>(kind: u8, namespace: &str, content: &Content<'_, T>) -> Self {
        Self::packed(kind, namespace, None, content).unwrap_or_else(|_| Self::nothing())
    }

    fn message(write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<Self, EncodeError> {
        Self::encoded(engine::Kind::Message, write)
    }

    fn infallible(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::encoded(engine::Kind::Message, |out| {
            write(out);
            Ok(())
        })
        .unwrap_or_else(|never: Infallible| match never {})
    }

    /// One text frame with a packet of that kind.
    fn encoded<E>(kind: engine::Kind, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Self, E> {
        Self::with_attachments(&[], kind, write)
    }

    fn with_attachments<E>(
        attachments: &[Bytes],
        kind: engine::Kind,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        scratch::with_encode(|out| {
            out.resize(MAX_HEAD, 0);
            out.push(engine::digit(kind));
            write(out)?;
            let start = websocket::frame_in_place(out, OpCode::Data(Data::Text));
            for attachment in attachments {
                websocket::encode(out, OpCode::Data(Data::Binary), attachment);
            }
            Ok(Self { bytes: Bytes::copy_from_slice(&out[start..]), leaves: None })
        })
    }

    /// Whole WebSocket frames, as they are written.
    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        scratch::with_encode(|out| {
            write(out);
            Self { bytes: Bytes::copy_from_slice(out), leaves: None }
        })
    }
}

fn check_attachments(args: &Args) -> Result<(), EncodeError> {
    if args.attachments().len() > socket::MAX_ATTACHMENTS {
        return Err(EncodeError::TooManyAttachments);
    }
    Ok(())
}

/// Strings and the crate's own structs always serialise, and a vector takes all that is written to it.
fn json<T: Serialize + ?Sized>(mut out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(&mut out, value);
    let _ = out.flush();
}
