//! A whole connection's life at the client's end without its socket: arbitrary bytes of a server through frames and
//! packets, with time passing between them. The input is steps with the byte 0xff between them: what arrives, after
//! how many seconds, and the bytes.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use socketio::session::{ClientSession, Output, Protocol};
use socketio::websocket::{Data, Decoded, Decoder, Message, OpCode, Role, encode};
use socketio::{ClientIncoming, CloseReason, Config};
use tokio::time::Instant;

const OPEN: &[u8] = br#"0{"sid":"e","pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}"#;

fuzz_target!(|input: &[u8]| {
    let config = Config { max_payload: 1000, ..Config::default() };
    let mut now = Instant::now();
    let mut session = ClientSession::new(&config, "/ns", None, now);
    let mut decoder = Decoder::new(Role::Client, config.max_payload);
    let mut unread = Vec::new();
    let mut is_in = false;
    for step in input.split(|byte| *byte == 0xff) {
        let [kind, seconds, bytes @ ..] = step else { continue };
        let (kind, seconds) = (*kind, *seconds);
        now += Duration::from_secs(u64::from(seconds));
        while session.deadline() <= now {
            if let Output::Close(_) = session.tick(now, kind & 0x80 == 0) {
                return;
            }
            assert!(session.deadline() > now);
        }
        match kind % 4 {
            0 => encode(&mut unread, OpCode::Data(Data::Text), bytes),
            1 => encode(&mut unread, OpCode::Data(Data::Binary), bytes),
            2 => encode(&mut unread, OpCode::Data(Data::Text), OPEN),
            _ => unread.extend_from_slice(bytes),
        }
        session.heard(now);
        loop {
            match decoder.decode(&mut unread) {
                Ok(Decoded::Incomplete) => break,
                Ok(Decoded::Fragment { consumed } | Decoded::Skipped { consumed }) => {
                    drop(unread.drain(..consumed))
                }
                Ok(Decoded::Message { message: Message::Close(_), .. }) | Err(_) => return,
                Ok(Decoded::Message { consumed, message }) => {
                    match session.receive(message, now) {
                        Output::Close(_) => return,
                        Output::Granted(ClientIncoming::Connected { .. }, largest) => {
                            assert!(!is_in && largest > 0);
                            is_in = true;
                        }
                        Output::Left(ClientIncoming::Refused { .. }, _) => assert!(!is_in),
                        Output::Left(ClientIncoming::Disconnected, _) => is_in = false,
                        Output::Item(ClientIncoming::Event(event)) => {
                            assert!(is_in);
                            assert!(event.args.iter().count() == event.args.len());
                            assert!(
                                event.args.attachments().iter().map(|bytes| bytes.len()).sum::<usize>()
                                    <= 1000
                            );
                        }
                        Output::Ack { .. } => assert!(is_in),
                        Output::Nothing | Output::Send(_) | Output::Pong(_) => {}
                        other => panic!("{other:?}"),
                    }
                    assert_eq!(session.farewell(CloseReason::ClientClosed).is_some(), is_in);
                    unread.drain(..consumed);
                }
            }
        }
    }
});
