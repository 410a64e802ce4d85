//! Packets: Engine.IO's one-digit types and Socket.IO's packets inside them, as text or as MessagePack. Pure functions: they
//! hold no state between two calls and allocate no more than a bounded multiple of what they are given.

pub mod engine;
pub mod msgpack;
mod payload;
pub mod socket;

/// What is not a packet; the string says what is wrong with it, in constant words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub &'static str);
