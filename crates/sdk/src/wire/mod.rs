//! The way to the server: TLS, REST, and the live connection. Knows how to ask, not what or when.

pub(crate) mod http;
pub(crate) mod link;
mod proxy;
pub(crate) mod tls;
pub(crate) mod trouble;
