//! The SDK from outside.

mod connecting;
mod phone;
mod scenario;
mod stories;
mod story;
mod wire;
mod world;
