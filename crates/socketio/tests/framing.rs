//! Properties of the WebSocket layer.

use proptest::prelude::*;
use socketio::websocket::{
    Control, Data, Decoded, Decoder, Error, Message, OpCode, Role, encode, encode_masked,
};

/// What a decoder makes of bytes that arrive in the given chunks.
fn decode(role: Role, bytes: &[u8], chunks: &[usize]) -> (Vec<String>, Option<Error>) {
    let mut decoder = Decoder::new(role, 1000).skipping(3000);
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
                Ok(Decoded::Fragment { consumed } | Decoded::Skipped { consumed }) => {
                    drop(unread.drain(..consumed));
                }
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
    (
        opcode,
        prop_oneof![3 => "[a-z\u{e9}]{0,300}", 1 => "[a-z]{900,1600}"],
        any::<[u8; 4]>(),
        prop::bool::weighted(0.7),
    )
        .prop_map(|(opcode, payload, mask, is_final)| {
            let mut out = Vec::new();
            encode_masked(&mut out, opcode, payload.as_bytes(), mask);
            if !is_final {
                out[0] &= 0x7f;
            }
            out
        })
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

fn text_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_masked(&mut out, OpCode::Data(Data::Text), payload, [7, 1, 9, 4]);
    out[0] = first;
    out
}

#[test]
fn a_text_that_is_too_large_is_told_by_its_beginning_and_skipped() {
    let whole = text_frame(0x81, &[b'a'; 3000]);
    let in_pieces = [
        text_frame(0x01, &[b'a'; 300]),
        text_frame(0x00, &[b'a'; 600]),
        text_frame(0x89, b"?"),
        text_frame(0x00, &[b'a'; 2000]),
        text_frame(0x00, &[b'a'; 100]),
        text_frame(0x80, &[]),
    ]
    .concat();
    let told = format!("{:?}", Message::TooLarge { is_text: true, beginning: [b'a'; 512].into() });
    let ping = format!("{:?}", Message::Ping(b"?"));
    let after = format!("{:?}", Message::Text("after".into()));
    for (large, expected) in
        [(whole, vec![told.clone(), after.clone()]), (in_pieces, vec![ping, told, after])]
    {
        let bytes = [large, text_frame(0x81, b"after")].concat();
        for chunks in [vec![], vec![1; 4000], vec![511; 10]] {
            assert_eq!(decode(Role::Server, &bytes, &chunks), (expected.clone(), None));
        }
    }
}

#[test]
fn what_is_more_than_too_large_is_an_error_in_one_frame_or_in_many() {
    let once = text_frame(0x81, &[b'a'; 3001]);
    let later =
        [text_frame(0x01, &[b'a'; 900]), text_frame(0x00, &[b'a'; 2000]), text_frame(0x80, &[b'a'; 101])]
            .concat();
    for bytes in [once, later] {
        assert_eq!(decode(Role::Server, &bytes, &[]).1, Some(Error::TooLarge));
    }
    let bytes = [text_frame(0x01, &[b'a'; 2000]), text_frame(0x81, b"b")].concat();
    assert!(
        matches!(decode(Role::Server, &bytes, &[]).1, Some(Error::Protocol(_))),
        "a message inside a message"
    );
}
