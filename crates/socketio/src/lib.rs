//! Engine.IO v4 and Socket.IO v5 over WebSocket, in JSON and in MessagePack: the transport under the server and under its Rust clients, one
//! task per connection.
//!
//! It promises that an event is never skipped on a connection that goes on, but for what its sender calls stale: the
//! outgoing queue is bounded in bytes of memory, and what would not fit ends the connection. It promises that timers and teardown never wait for a
//! peer that does not read. It never reads HTTP (the caller does the upgrade, see [`upgrade`]), never spawns a
//! task, and knows nothing of what the events mean.
//!
//! The layers, from the wire up: [`websocket`] turns bytes into messages, [`packet`] turns messages into
//! packets, [`session`] is the protocol as a state machine without I/O or clock, and [`Connection`] drives one
//! session over one byte stream. [`ClientConnection`] is its other end, over the same layers. [`PlainConnection`] is a
//! WebSocket without Engine.IO, for protocols that have none.

mod args;
mod bare;
mod client;
mod config;
mod connection;
mod driver;
mod frame;
mod outgoing;
pub mod packet;
mod plain;
mod reason;
mod scratch;
pub mod session;
pub mod upgrade;
pub mod websocket;
mod wire;

pub use args::{AckId, Args, Event};
pub use bare::{BareConnection, BareIncoming};
pub use client::ClientConnection;
pub use config::{Config, Meter};
pub use connection::Connection;
pub use frame::{EncodeError, Frame};
pub use outgoing::{AckError, Outgoing, Stale};
pub use plain::PlainConnection;
pub use reason::CloseReason;
pub use session::{ClientIncoming, Incoming};
pub use wire::Wire;
