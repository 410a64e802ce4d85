//! The promises, from outside: real sockets, a real database, a started server. One file a promise or a group of
//! scenarios; each test reads as a sentence.

// A test's future holds a whole server's, whose types are nested deeper than the compiler goes by itself.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

mod activity;
mod agents;
mod backup;
mod bad_bytes;
mod bad_input;
mod behind_a_proxy;
mod broadcast;
mod canned_replies;
mod clocks;
mod connecting;
mod credentials;
mod documents;
mod end_to_end;
mod files;
mod identity_backends;
mod inbox;
mod integration;
mod many_connections;
mod many_nodes;
mod message_flow;
mod node_failures;
mod old_clients;
mod operating;
mod other_clients;
mod p1_durable;
mod p3_ordered;
mod p5_recovered;
mod p7_polite;
mod p8_people;
mod p8_separate;
mod people;
mod people_stories;
mod programs;
mod redis_modes;
mod sdk_scenario;
mod search;
mod storage_failure;
mod team;
mod under_attack;

/// The server's binary, for tests that kill it.
const BINARY: &str = env!("CARGO_BIN_EXE_replyhq");
