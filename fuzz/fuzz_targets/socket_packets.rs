//! Socket.IO packets from arbitrary text, and events put together with arbitrary attachments: what parses stays
//! within the bounds and survives being written and read again. The input is the text and then the attachments,
//! with a byte between them that no text has.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use socketio::packet::socket::{Body, MAX_ATTACHMENTS, MAX_ELEMENTS, MAX_NAMESPACE, parse};
use socketio::session::{Output, Protocol, Session};
use socketio::websocket::Message;
use socketio::{Config, Frame, Incoming};
use tokio::time::Instant;

fuzz_target!(|input: &[u8]| {
    let mut attachments = input.split(|byte| *byte == 0xff);
    let Some(Ok(text)) = attachments.next().map(std::str::from_utf8) else { return };
    let Ok(packet) = parse(text) else { return };
    assert!(packet.namespace.len() <= MAX_NAMESPACE);
    if let Body::Event { elements, .. } | Body::Ack { elements, .. } = &packet.body {
        assert!(elements.ranges.len() <= MAX_ELEMENTS && elements.attachments <= MAX_ATTACHMENTS);
    }
    let again = packet.encode();
    assert_eq!(parse(&again).expect("what was written can be read"), packet);

    let now = Instant::now();
    let mut session = Session::server(&Config::default(), now);
    let connect = format!("40{},", packet.namespace);
    session.receive(Message::Text(Cow::Owned(connect)), now);
    session.accept(packet.namespace, "sid");
    let mut output = session.receive(Message::Text(Cow::Owned(format!("4{text}"))), now);
    for attachment in attachments {
        if let Output::Close(_) | Output::Item(_) = output {
            break;
        }
        output = session.receive(Message::Binary(Cow::Borrowed(attachment)), now);
    }
    if let Output::Item(Incoming::Event { namespace, event }) = output {
        assert!(Frame::event_with(&namespace, &event.name, &event.args).is_ok());
    }
});
