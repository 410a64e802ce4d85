//! Properties of the WebSocket layer.

use proptest::prelude::*;
use socketio::websocket::{
    Control, Data, Decoded, Decoder, Error, Message, OpCode, Role, encode, encode_masked,
};

/// What a decoder makes of bytes that arrive in the given chunks.
fn decode(role: Role, bytes: &[u8], chunks: &[usize]) -> (Vec<String>, Option<Error>) {
    let mut decoder = Decoder::new(role, 1000);
    let mut unread = Vec::new();
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut sizes = chunks.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        let (chunk, after) = rest.split_at(size);
        rest = after;
        unread.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut unread) {
                Ok(Decoded::Incomplete) => break,
                Ok(Decoded::Fragment { consumed }) => drop(unread.drain(..consumed)),
                Ok(Decoded::Message { consumed, message }) => {
                    messages.push(format!("{message:?}"));
                    unread.drain(..consumed);
                }
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(unread.len() <= 1000 + 14, "a frame that is too large is not waited for");
    }
    (messages, None)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        4 => Just(OpCode::Data(Data::Text)),
        4 => Just(OpCode::Data(Data::Binary)),
        2 => Just(OpCode::Data(Data::Continue)),
        2 => Just(OpCode::Control(Control::Ping)),
        1 => Just(OpCode::Control(Control::Pong)),
        1 => Just(OpCode::Control(Control::Close)),
    ];
    (opcode, "[a-z\u{e9}]{0,300}", any::<[u8; 4]>(), prop::bool::weighted(0.7)).prop_map(
        |(opcode, payload, mask, is_final)| {
            let mut out = Vec::new();
            encode_masked(&mut out, opcode, payload.as_bytes(), mask);
            if !is_final {
                out[0] &= 0x7f;
            }
            out
        },
    )
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        frames in prop::collection::vec(frame(), 0..12),
        chunks in prop::collection::vec(1_usize..80, 0..60),
    ) {
        let bytes = frames.concat();
        prop_assert_eq!(decode(Role::Server, &bytes, &chunks), decode(Role::Server, &bytes, &[]));
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        chunks in prop::collection::vec(1_usize..80, 0..60),
        is_server in any::<bool>(),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        prop_assert_eq!(decode(role, &bytes, &chunks), decode(role, &bytes, &[]));
    }

    #[test]
    fn a_message_survives_the_wire(payload in prop::collection::vec(any::<u8>(), 0..1000), mask: [u8; 4]) {
        let mut masked = Vec::new();
        encode_masked(&mut masked, OpCode::Data(Data::Binary), &payload, mask);
        let mut plain = Vec::new();
        encode(&mut plain, OpCode::Data(Data::Binary), &payload);
        for (role, mut bytes) in [(Role::Server, masked), (Role::Client, plain)] {
            let length = bytes.len();
            let decoded = Decoder::new(role, 1000).decode(&mut bytes).unwrap();
            let Decoded::Message { consumed, message } = decoded else { panic!("no message") };
            prop_assert_eq!(consumed, length);
            prop_assert_eq!(message, Message::Binary(payload.as_slice().into()));
        }
    }
}
