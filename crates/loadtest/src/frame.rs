//! WebSocket frames, as a client writes and reads them.

/// The opcode of a text frame: everything that Engine.IO says here.
pub(crate) const TEXT: u8 = 0x1;
/// The opcode of a binary frame: a packet in MessagePack.
pub(crate) const BINARY: u8 = 0x2;
/// The opcode of a close frame.
pub(crate) const CLOSE: u8 = 0x8;
/// The opcode of a WebSocket ping.
pub(crate) const PING: u8 = 0x9;
/// The opcode of a WebSocket pong.
pub(crate) const PONG: u8 = 0xA;

/// Some servers skip the unmasking for an all-zero key; a real client's key is never that.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x91, 0x2e];

/// Where one frame lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The kind of frame.
    pub(crate) opcode: u8,
    /// False for a part of a fragmented message.
    pub(crate) last: bool,
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
    (input.len() >= end).then_some(Frame { opcode: head & 0x0f, last: head & 0x80 != 0, start, end })
}

/// Appends one masked frame to `output`.
pub(crate) fn encode(opcode: u8, payload: &[u8], output: &mut Vec<u8>) {
    output.push(0x80 | opcode);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn served(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..65_536 => {
                frame.push(126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn every_length_is_found_and_no_prefix_of_it() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let frame = served(TEXT, &vec![b'x'; length]);
            let found = parse(&frame).unwrap();
            assert_eq!((found.opcode, found.last, found.end - found.start), (TEXT, true, length));
            assert_eq!(found.end, frame.len());
            for cut in [0, 1, 2, frame.len().saturating_sub(1)] {
                assert_eq!(parse(&frame[..cut.min(frame.len() - 1)]), None, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_next_frame_begins_where_the_first_ends() {
        let mut stream = served(TEXT, b"first");
        stream.extend(served(PING, b"second"));
        let first = parse(&stream).unwrap();
        let second = parse(&stream[first.end..]).unwrap();
        assert_eq!(&stream[first.start..first.end], b"first");
        assert_eq!(second.opcode, PING);
        assert_eq!(&stream[first.end + second.start..first.end + second.end], b"second");
    }

    #[test]
    fn a_fragment_is_told_from_a_whole_message() {
        assert!(!parse(&[0x01, 0x01, b'x']).unwrap().last);
    }

    #[test]
    fn what_is_encoded_unmasks_to_the_payload() {
        for length in [0, 5, 125, 126, 300, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let mut frame = Vec::new();
            encode(TEXT, &payload, &mut frame);
            assert_eq!(frame[1] & 0x80, 0x80, "a client's frame is masked");
            let header = frame.len() - length;
            let mask: [u8; 4] = frame[header - 4..header].try_into().unwrap();
            let plain: Vec<u8> =
                frame[header..].iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(plain, payload);
        }
    }
}
