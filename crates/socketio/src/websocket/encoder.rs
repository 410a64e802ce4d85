//! Writes frames. Messages are never fragmented: the peer's bound on them is the protocol's, not the frame's.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;

use super::{CloseCode, Control, MASK, MAX_HEAD, OpCode, mask};

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

/// Masks unmasked frames that lie one after another, each with the next of `keys`: what a client sends of what was
/// encoded for anyone. The result is [`MASK`] bytes longer for each frame.
pub fn mask_frames(frames: &[u8], mut keys: impl FnMut() -> [u8; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.len() + MASK * split(frames).count());
    for (opcode, payload) in split(frames) {
        encode_masked(&mut out, opcode, payload, keys());
    }
    out
}

/// The opcodes and payloads of unmasked frames that lie one after another, as the functions here append them. Ends
/// before what is not a whole frame.
pub fn split(mut frames: &[u8]) -> impl Iterator<Item = (OpCode, &[u8])> {
    std::iter::from_fn(move || {
        let mut cursor = Cursor::new(frames);
        let (header, length) = FrameHeader::parse(&mut cursor).ok()??;
        let head = usize::try_from(cursor.position()).ok()?;
        let end = head.checked_add(usize::try_from(length).ok()?)?;
        let payload = frames.get(head..end)?;
        frames = &frames[end..];
        Some((header.opcode, payload))
    })
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
