//! WebSocket frames from arbitrary bytes: what is decoded does not depend on how the bytes arrive, and nothing
//! larger than allowed is waited for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socketio::websocket::{Decoded, Decoder, Error, Role};

const MAX: usize = 1000;

fn decode(role: Role, bytes: &[u8], chunk: usize) -> (Vec<String>, Option<Error>) {
    let mut decoder = Decoder::new(role, MAX).skipping(4 * MAX);
    let mut unread = Vec::new();
    let mut messages = Vec::new();
    for chunk in bytes.chunks(chunk) {
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
        assert!(unread.len() <= MAX + 14);
    }
    (messages, None)
}

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (is_server, chunk, bytes) = input;
    let role = if is_server { Role::Server } else { Role::Client };
    let whole = decode(role, bytes, bytes.len().max(1));
    assert_eq!(decode(role, bytes, usize::from(chunk).max(1)), whole);
});
