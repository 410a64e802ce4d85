//! Reads frames and puts fragmented messages together. Holds only the fragments of an unfinished message; the
//! bytes of an unfinished frame stay with the caller.

use std::borrow::Cow;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;

use crate::reason::INVALID_UTF8;

use super::{CloseCode, Control, Data, OpCode, Role, mask};

/// Frames one message may come in. The bound on its bytes does not bound empty ones.
const MAX_FRAGMENTS: usize = 1024;
const MAX_CONTROL: usize = 125;
/// Bytes of a text that is too large which are looked at: more than stands before the JSON of any packet.
const BEGINNING: usize = 512;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, checked to be UTF-8.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// To be answered with a pong of the same bytes, 125 at most.
    Ping(&'a [u8]),
    /// An answer.
    Pong(&'a [u8]),
    /// A text, or bytes, of more than is allowed; the rest is skipped.
    TooLarge {
        /// Whether it is text.
        is_text: bool,
        /// How it begins: 512 bytes at most.
        beginning: Box<[u8]>,
    },
    /// The peer sends nothing more; its code, if it gave one.
    Close(Option<CloseCode>),
}

/// What [`Decoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// The bytes end before the frame does.
    Incomplete,
    /// A frame that ends no message.
    Fragment {
        /// Bytes it took.
        consumed: usize,
    },
    /// Bytes of a message that is larger than allowed.
    Skipped {
        /// How many.
        consumed: usize,
    },
    /// A message.
    Message {
        /// Bytes its last frame took.
        consumed: usize,
        /// The message.
        message: Message<'a>,
    },
}

/// Why bytes are not WebSocket frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Broken rules; the text says which.
    #[error("{0}")]
    Protocol(&'static str),
    /// The message is larger than allowed, and than what is skipped.
    #[error("message too large")]
    TooLarge,
}

/// The state between two frames.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_message: usize,
    max_skipped: usize,
    unfinished: Option<Box<Unfinished>>,
    skipped: Option<Box<Skipped>>,
}

#[derive(Debug)]
struct Unfinished {
    is_text: bool,
    fragments: usize,
    bytes: Vec<u8>,
}

/// A message that is being skipped.
#[derive(Debug)]
struct Skipped {
    /// Bytes that are still to come of the frame that has begun.
    of_frame: usize,
    /// Whether that frame is the last.
    is_final: bool,
    fragments: usize,
    /// Bytes that may still come in frames that have not begun.
    room: usize,
}

struct Head {
    is_final: bool,
    opcode: OpCode,
    mask: Option<[u8; 4]>,
    size: usize,
    length: usize,
    /// More than the message may have, and no more than what is skipped.
    is_too_large: bool,
}

impl Decoder {
    /// A decoder for messages of at most `max_message` bytes.
    pub fn new(role: Role, max_message: usize) -> Self {
        Self { role, max_message, max_skipped: 0, unfinished: None, skipped: None }
    }

    /// Skips a text that is too large, of so many bytes at most, instead of failing.
    #[must_use]
    pub fn skipping(mut self, up_to: usize) -> Self {
        self.max_skipped = up_to;
        self
    }

    /// Reads the frame that `input` begins with and unmasks it in place. The caller drops the consumed bytes
    /// before the next call, and gives the same bytes again, with more, after [`Decoded::Incomplete`].
    ///
    /// # Errors
    ///
    /// When the bytes are not a frame that may come now, or the message is too large; known from the frame's
    /// head, before its payload is there. Nothing can be decoded after an error.
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<Decoded<'a>, Error> {
        if let Some(consumed) = self.skip(input.len()) {
            return Ok(if consumed > 0 { Decoded::Skipped { consumed } } else { Decoded::Incomplete });
        }
        let Some(head) = self.head(input)? else { return Ok(Decoded::Incomplete) };
        if let (OpCode::Data(_), Some(skipped)) = (head.opcode, &mut self.skipped) {
            skipped.of_frame = head.length;
            skipped.is_final = head.is_final;
            skipped.fragments += 1;
            skipped.room -= head.length;
            if head.is_final && head.length == 0 {
                self.skipped = None;
            }
            return Ok(Decoded::Skipped { consumed: head.size });
        }
        if head.is_too_large {
            return Ok(self.too_large(&head, input));
        }
        let consumed = head.size + head.length;
        let Some(payload) = input.get_mut(head.size..consumed) else { return Ok(Decoded::Incomplete) };
        if let Some(key) = head.mask {
            mask::apply(payload, key);
        }
        let payload = &*payload;
        let message = match head.opcode {
            OpCode::Control(control) => Some(control_message(control, payload)?),
            OpCode::Data(data) => self.data(data, head.is_final, payload)?,
        };
        Ok(match message {
            Some(message) => Decoded::Message { consumed, message },
            None => Decoded::Fragment { consumed },
        })
    }

    /// How many of these bytes are the rest of a frame that is skipped; nothing if there is none.
    fn skip(&mut self, available: usize) -> Option<usize> {
        let skipped = self.skipped.as_mut().filter(|skipped| skipped.of_frame > 0)?;
        let consumed = skipped.of_frame.min(available);
        skipped.of_frame -= consumed;
        if skipped.of_frame == 0 && skipped.is_final {
            self.skipped = None;
        }
        Some(consumed)
    }

    /// Tells how the message begins that this frame makes too large, and skips the rest of it.
    fn too_large<'a>(&mut self, head: &Head, input: &mut [u8]) -> Decoded<'a> {
        let known = self.unfinished.as_ref().map_or(&[][..], |unfinished| &unfinished.bytes);
        let known = &known[..known.len().min(BEGINNING)];
        let missing = (BEGINNING - known.len()).min(head.length);
        let Some(payload) = input.get_mut(head.size..head.size + missing) else { return Decoded::Incomplete };
        if let Some(key) = head.mask {
            mask::apply(payload, key);
        }
        let beginning = [known, payload].concat().into_boxed_slice();
        let (before, fragments, is_text) =
            self.unfinished.take().map_or((0, 0, head.opcode == OpCode::Data(Data::Text)), |unfinished| {
                (unfinished.bytes.len(), unfinished.fragments, unfinished.is_text)
            });
        let of_frame = head.length - missing;
        if of_frame > 0 || !head.is_final {
            self.skipped = Some(Box::new(Skipped {
                of_frame,
                is_final: head.is_final,
                fragments: fragments + 1,
                room: self.max_skipped - before - head.length,
            }));
        }
        Decoded::Message { consumed: head.size + missing, message: Message::TooLarge { is_text, beginning } }
    }

    fn head(&self, input: &[u8]) -> Result<Option<Head>, Error> {
        let mut cursor = Cursor::new(input);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Error::Protocol("invalid opcode"))?;
        let Some((header, length)) = parsed else { return Ok(None) };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Error::Protocol("reserved bits set"));
        }
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Error::Protocol("unmasked frame")),
            (Role::Client, Some(_)) => return Err(Error::Protocol("masked frame")),
            _ => {}
        }
        let mut room = self.max_message;
        let mut skippable = 0;
        match header.opcode {
            OpCode::Control(_) => {
                if !header.is_final {
                    return Err(Error::Protocol("fragmented control frame"));
                }
                if length > MAX_CONTROL as u64 {
                    return Err(Error::Protocol("control frame too long"));
                }
                room = MAX_CONTROL;
            }
            OpCode::Data(Data::Continue) if let Some(skipped) = &self.skipped => {
                if skipped.fragments >= MAX_FRAGMENTS {
                    return Err(Error::Protocol("too many fragments"));
                }
                room = skipped.room;
            }
            OpCode::Data(Data::Continue) => {
                let unfinished =
                    self.unfinished.as_ref().ok_or(Error::Protocol("continuation without a message"))?;
                if unfinished.fragments >= MAX_FRAGMENTS {
                    return Err(Error::Protocol("too many fragments"));
                }
                room = room.saturating_sub(unfinished.bytes.len());
                skippable = self.max_skipped.saturating_sub(unfinished.bytes.len());
            }
            OpCode::Data(_) if self.unfinished.is_some() || self.skipped.is_some() => {
                return Err(Error::Protocol("message inside a message"));
            }
            OpCode::Data(_) => skippable = self.max_skipped,
        }
        let most = room.max(skippable);
        let length = usize::try_from(length).ok().filter(|length| *length <= most).ok_or(Error::TooLarge)?;
        let size = usize::try_from(cursor.position()).map_err(|_| Error::TooLarge)?;
        Ok(Some(Head {
            is_final: header.is_final,
            opcode: header.opcode,
            mask: header.mask,
            size,
            length,
            is_too_large: length > room,
        }))
    }

    fn data<'a>(
        &mut self,
        data: Data,
        is_final: bool,
        payload: &'a [u8],
    ) -> Result<Option<Message<'a>>, Error> {
        if is_final && self.unfinished.is_none() {
            return Ok(Some(match data {
                Data::Text => Message::Text(Cow::Borrowed(text(payload)?)),
                _ => Message::Binary(Cow::Borrowed(payload)),
            }));
        }
        let unfinished = self.unfinished.get_or_insert_with(|| {
            Box::new(Unfinished { is_text: data == Data::Text, fragments: 0, bytes: Vec::new() })
        });
        unfinished.fragments += 1;
        // Without more room than the message may ever need.
        let bytes = &mut unfinished.bytes;
        let needed = bytes.len() + payload.len();
        if needed > bytes.capacity() {
            bytes.reserve_exact(needed.max((2 * bytes.capacity()).min(self.max_message)) - bytes.len());
        }
        bytes.extend_from_slice(payload);
        if !is_final {
            return Ok(None);
        }
        let Some(whole) = self.unfinished.take() else { return Ok(None) };
        if !whole.is_text {
            return Ok(Some(Message::Binary(Cow::Owned(whole.bytes))));
        }
        let text = String::from_utf8(whole.bytes).map_err(|_| Error::Protocol(INVALID_UTF8))?;
        Ok(Some(Message::Text(Cow::Owned(text))))
    }
}

fn text(payload: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(payload).map_err(|_| Error::Protocol(INVALID_UTF8))
}

fn control_message(control: Control, payload: &[u8]) -> Result<Message<'_>, Error> {
    match control {
        Control::Ping => Ok(Message::Ping(payload)),
        Control::Pong => Ok(Message::Pong(payload)),
        Control::Close => match payload {
            [] => Ok(Message::Close(None)),
            [high, low, reason @ ..] => {
                text(reason)?;
                let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
                if code.is_allowed() {
                    Ok(Message::Close(Some(code)))
                } else {
                    Err(Error::Protocol("invalid close code"))
                }
            }
            _ => Err(Error::Protocol("invalid close frame")),
        },
        Control::Reserved(_) => Err(Error::Protocol("invalid opcode")),
    }
}
