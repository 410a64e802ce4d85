//! The SDK from outside.

mod phone;
mod scenario;
