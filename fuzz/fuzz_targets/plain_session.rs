//! As `session`, of a WebSocket without Engine.IO on it: arbitrary bytes through frames, with time passing between them.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use socketio::session::{Output, PlainSession, Protocol};
use socketio::websocket::{Control, Data, Decoded, Decoder, Message, OpCode, Role, encode_masked};
use socketio::{CloseReason, Config};
use tokio::time::Instant;

fuzz_target!(|input: &[u8]| {
    let config = Config { max_payload: 1000, ..Config::default() };
    let mut now = Instant::now();
    let mut session = PlainSession::server(&config, |_| (None, 1000), now);
    let mut decoder = Decoder::new(Role::Server, config.max_payload).skipping(4_000);
    let (mut unread, mut heard_at) = (Vec::new(), now);
    for step in input.split(|byte| *byte == 0xff) {
        let [kind, seconds, bytes @ ..] = step else { continue };
        let (kind, seconds) = (*kind, *seconds);
        now += Duration::from_secs(u64::from(seconds));
        while session.deadline() <= now {
            if let Output::Close(reason) = session.tick(now, kind & 0x80 == 0) {
                assert_eq!(reason, CloseReason::PingTimeout);
                assert!(now >= heard_at + config.ping_interval + config.ping_timeout);
                return;
            }
        }
        match kind % 4 {
            0 => encode_masked(&mut unread, OpCode::Data(Data::Text), bytes, [kind; 4]),
            1 => encode_masked(&mut unread, OpCode::Data(Data::Binary), bytes, [kind; 4]),
            2 => encode_masked(
                &mut unread,
                OpCode::Control(Control::Ping),
                &bytes[..bytes.len().min(125)],
                [kind; 4],
            ),
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
                    session.heard(now);
                    heard_at = now;
                    let was_text = matches!(message, Message::Text(_));
                    match session.receive(message, now) {
                        Output::Close(_) => return,
                        Output::Item(text) => assert!(was_text && text.len() <= 1000),
                        _ => assert!(!was_text),
                    }
                    unread.drain(..consumed);
                }
            }
        }
    }
});
