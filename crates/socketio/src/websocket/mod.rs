//! WebSocket framing for either role over borrowed buffers. The bits of a frame's head are tungstenite's to read
//! and write; the bytes are the caller's, so that a connection at rest needs no buffer. No extensions are
//! spoken: a frame that needs one is an error. Never does I/O.

mod decoder;
mod encoder;
mod mask;

pub use decoder::{Decoded, Decoder, Error, Message};
pub use encoder::{encode, encode_close, encode_masked, frame_in_place, mask_frames, split};
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Bytes the longest frame head takes.
pub const MAX_HEAD: usize = 14;
/// Bytes that a mask adds to a frame's head.
pub const MASK: usize = 4;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes masked frames and sends unmasked ones.
    Server,
    /// Takes unmasked frames and sends masked ones.
    Client,
}
