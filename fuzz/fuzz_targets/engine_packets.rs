//! Engine.IO packets from arbitrary text: what parses is its digit and its data.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socketio::packet::engine::{digit, parse};

fuzz_target!(|text: &str| {
    if let Ok((kind, data)) = parse(text) {
        assert_eq!(format!("{}{data}", char::from(digit(kind))), text);
    }
});
