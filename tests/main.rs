//! The promises, from outside: real sockets, a real database, a started server. One file a promise or a group of
//! scenarios; each test reads as a sentence.

mod bad_bytes;
mod bad_input;
mod broadcast;
mod connecting;
mod end_to_end;
mod integration;
mod many_connections;
mod message_flow;

/// The server's binary, for tests that kill it.
#[expect(dead_code, reason = "used by the tests that follow")]
const BINARY: &str = env!("CARGO_BIN_EXE_replyhq");
