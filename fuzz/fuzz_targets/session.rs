//! A whole connection's life without its socket: arbitrary bytes through frames and packets, with time passing
//! between them. The input is steps with the byte 0xff between them: what arrives, after how many seconds, and the
//! bytes.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use socketio::session::{Output, Protocol, Session};
use socketio::websocket::{Data, Decoded, Decoder, Message, OpCode, Role, encode_masked};
use socketio::{Config, Incoming};
use tokio::time::Instant;

fuzz_target!(|input: &[u8]| {
    let config = Config { max_payload: 1000, ..Config::default() };
    let mut now = Instant::now();
    let mut session = Session::server(&config, now);
    let mut decoder = Decoder::new(Role::Server, config.max_payload).skipping(4_000);
    let mut unread = Vec::new();
    for step in input.split(|byte| *byte == 0xff) {
        let [kind, seconds, bytes @ ..] = step else { continue };
        let (kind, seconds) = (*kind, *seconds);
        now += Duration::from_secs(u64::from(seconds));
        while session.deadline() <= now {
            if let Output::Close(_) = session.tick(now, kind & 0x80 == 0) {
                return;
            }
        }
        match kind % 4 {
            0 => encode_masked(&mut unread, OpCode::Data(Data::Text), bytes, [kind; 4]),
            1 => encode_masked(&mut unread, OpCode::Data(Data::Binary), bytes, [kind; 4]),
            2 => encode_masked(&mut unread, OpCode::Data(Data::Text), b"40", [kind; 4]),
            _ => unread.extend_from_slice(bytes),
        }
        loop {
            match decoder.decode(&mut unread) {
                Ok(Decoded::Incomplete) => break,
                Ok(Decoded::Fragment { consumed } | Decoded::Skipped { consumed }) => {
                    drop(unread.drain(..consumed));
                }
                Ok(Decoded::Message { message: Message::Close(_), .. }) | Err(_) => return,
                Ok(Decoded::Message { consumed, message }) => {
                    match session.receive(message, now) {
                        Output::Close(_) => return,
                        Output::Item(Incoming::Connect { namespace, .. }) => {
                            assert!(session.accept(&namespace, "sid").is_some());
                        }
                        _ => {}
                    }
                    unread.drain(..consumed);
                }
            }
        }
    }
});
