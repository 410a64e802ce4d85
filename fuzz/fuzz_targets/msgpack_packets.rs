//! Socket.IO packets from arbitrary MessagePack: what is read is a packet that the parser of text takes as well, within the
//! same bounds, and takes no more memory than a bounded multiple of its bytes.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use socketio::packet::msgpack;
use socketio::packet::socket::{Body, MAX_ATTACHMENTS, MAX_ELEMENTS, MAX_NAMESPACE, parse};
use socketio::session::{Output, Protocol, Session};
use socketio::websocket::Message;
use socketio::{Config, Incoming, Wire};
use tokio::time::Instant;

/// The most that a byte becomes in JSON, and more than all that stands around a packet's values.
const LONGEST: usize = 6;
const AROUND: usize = 1_000;

fuzz_target!(|input: &[u8]| {
    let Ok(parsed) = msgpack::parse(input) else { return };
    let _ = parsed.into_packet(|packet, attachments| {
        assert!(packet.namespace.len() <= MAX_NAMESPACE && attachments.len() <= MAX_ATTACHMENTS);
        if let Body::Event { elements, .. } | Body::Ack { elements, .. } = &packet.body {
            assert!(elements.ranges.len() <= MAX_ELEMENTS);
        }
        let text = packet.encode();
        assert!(text.len() <= LONGEST * input.len() + AROUND);
        // A name with a comma in it can't be written as text.
        if attachments.is_empty() && !packet.namespace.contains(',') {
            assert_eq!(parse(&text).expect("what was read can be written"), packet);
        }
    });

    let now = Instant::now();
    let mut session = Session::server(&Config::default(), now);
    let connect = b"\x82\xa4type\x00\xa3nsp\xa1/";
    let Output::Item(Incoming::Connect { .. }) =
        session.receive(Message::Binary(Cow::Borrowed(connect)), now)
    else {
        panic!("a connect is one");
    };
    session.accept("/", "sid");
    assert_eq!(session.wire(), Some(Wire::MessagePack));
    let _ = session.receive(Message::Binary(Cow::Borrowed(input)), now);
});
