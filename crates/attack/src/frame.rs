//! WebSocket frames, whole ones and parts, as a client writes and reads them.

/// The opcode of a part that is not the first of its message.
pub(crate) const CONTINUATION: u8 = 0x0;
/// The opcode of a text frame.
pub(crate) const TEXT: u8 = 0x1;
/// The opcode of a binary frame.
pub(crate) const BINARY: u8 = 0x2;
/// The opcode of a close frame.
pub(crate) const CLOSE: u8 = 0x8;
/// The opcode of a WebSocket ping.
pub(crate) const PING: u8 = 0x9;

const MASK: [u8; 4] = [0x5a, 0xc3, 0x91, 0x2e];

/// Where one frame lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The kind of frame.
    pub(crate) opcode: u8,
    /// The payload's first byte.
    pub(crate) start: usize,
    /// One past the payload's last byte: where the next frame begins.
    pub(crate) end: usize,
}

/// Finds the first frame in `input`, or nothing if it has not arrived whole. A server's frames are not masked.
pub(crate) fn parse(input: &[u8]) -> Option<Frame> {
    let [head, short, ..] = *input else { return None };
    let (length, start) = match short & 0x7f {
        126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    (input.len() >= end).then_some(Frame { opcode: head & 0x0f, start, end })
}

/// Appends one masked frame; `last` is false for a part that others follow.
pub(crate) fn encode(opcode: u8, last: bool, payload: &[u8], output: &mut Vec<u8>) {
    output.push(if last { 0x80 | opcode } else { opcode });
    match payload.len() {
        length @ 0..126 => output.push(0x80 | length as u8),
        length @ 126..65_536 => {
            output.push(0x80 | 126);
            output.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            output.push(0x80 | 127);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&MASK);
    output.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// One whole text message.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    let mut output = Vec::with_capacity(payload.len() + 8);
    encode(TEXT, true, payload.as_bytes(), &mut output);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_when_it_is_whole() {
        for length in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            encode(BINARY, true, &vec![7; length], &mut frame);
            // A server's frame is the same without the mask.
            let header = frame.len() - length - MASK.len();
            let served =
                [&[frame[0], frame[1] & 0x7f], &frame[2..header], vec![7; length].as_slice()].concat();
            let found = parse(&served).unwrap();
            assert_eq!((found.opcode, found.start, found.end), (BINARY, header, served.len()));
            assert_eq!(parse(&served[..served.len() - 1]), None);
        }
    }

    #[test]
    fn a_part_is_told_from_a_whole_message() {
        let mut parts = Vec::new();
        encode(TEXT, false, b"a", &mut parts);
        assert_eq!(parts[0], TEXT);
        assert_eq!(text("a")[0], 0x80 | TEXT);
    }
}
