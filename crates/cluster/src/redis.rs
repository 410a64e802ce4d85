//! The way to Redis: one server for now, with password and TLS as its URL says.
//!
//! Every call has a limit. A connection that failed is thrown away, and the next call makes another; what is away is
//! said to be away at once, for as long as nobody has reached it again.

mod link;
mod publisher;
mod subscriber;

use std::time::Duration;

pub(crate) use self::link::Link;
pub(crate) use self::publisher::Publisher;
pub(crate) use self::subscriber::{Received, subscribe};

/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take. A hung Redis holds up nobody for longer.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The channel of all envelopes. One for all apps: a node drops what it has no subscriber for by its first line, which
/// costs less than a subscription that comes and goes with each conversation.
pub(crate) const CHANNEL: &str = "replyhq:bus";

/// Where Redis is.
#[derive(Clone)]
pub struct RedisUrl(redis::Client);

impl RedisUrl {
    /// Reads `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err("expected redis://HOST:PORT or rediss://HOST:PORT".into());
        }
        redis::Client::open(url).map(Self).map_err(|error| format!("not a Redis URL: {error}"))
    }
}

impl std::fmt::Debug for RedisUrl {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisUrl").field(self.0.get_connection_info().addr()).finish()
    }
}
