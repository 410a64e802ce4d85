//! Writes frames. Messages are never fragmented: the peer's bound on them is the protocol's, not the frame's.

use tungstenite::protocol::frame::FrameHeader;

use super::{CloseCode, Control, MAX_HEAD, OpCode, mask};

fn head(opcode: OpCode, mask: Option<[u8; 4]>, length: usize) -> ([u8; MAX_HEAD], usize) {
    let header = FrameHeader { is_final: true, opcode, mask, ..FrameHeader::default() };
    let mut head = [0; MAX_HEAD];
    let mut room = &mut head[..];
    // The array holds the longest head there is, so that writing to it cannot fail.
    let _ = header.format(length as u64, &mut room);
    let used = MAX_HEAD - room.len();
    (head, used)
}

/// Appends one unmasked frame, as a server sends it.
pub fn encode(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let (head, used) = head(opcode, None, payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&head[..used]);
    out.extend_from_slice(payload);
}

/// Appends one frame masked with `key`, as a client sends it. The key is to be unpredictable to whoever chose
/// the payload.
pub fn encode_masked(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], key: [u8; 4]) {
    let (head, used) = head(opcode, Some(key), payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&head[..used]);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key);
}

/// Makes one unmasked frame of a payload written at [`MAX_HEAD`] and after; returns where the frame begins.
///
/// # Panics
///
/// When `buffer` is shorter than [`MAX_HEAD`].
pub fn frame_in_place(buffer: &mut [u8], opcode: OpCode) -> usize {
    let (head, used) = head(opcode, None, buffer.len() - MAX_HEAD);
    let start = MAX_HEAD - used;
    buffer[start..MAX_HEAD].copy_from_slice(&head[..used]);
    start
}

/// Appends an unmasked close frame with a code and no text.
pub fn encode_close(out: &mut Vec<u8>, code: CloseCode) {
    encode(out, OpCode::Control(Control::Close), &u16::from(code).to_be_bytes());
}
