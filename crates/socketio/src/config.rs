//! What a connection may use: its time limits and its bounds. Never read from the environment or from a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The limits of a connection; one value is shared by all connections of a server. What is a server's only, a
/// client's end ignores.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time from the handshake, and from each answer, to the next ping. A server's: a client goes by what the
    /// server announces.
    pub ping_interval: Duration,
    /// Time a peer has to answer a ping before the connection is dropped. A server's, as the interval is.
    pub ping_timeout: Duration,
    /// Time from the handshake within which a Socket.IO CONNECT must have been accepted. To a client: the time the
    /// server has for its first packet, and again for its answer to the CONNECT.
    pub connect_timeout: Duration,
    /// Bytes of one inbound message, whole or put together from fragments, and of all attachments of one event
    /// together. A larger one closes the connection, unless it is skipped.
    pub max_payload: usize,
    /// Bytes of an event that is larger than `max_payload` and is skipped: its beginning says who waits for an answer, see
    /// [`Incoming::TooLarge`](crate::Incoming::TooLarge). A server's. With 0 nothing is.
    pub max_skipped: usize,
    /// Bytes that may wait to be written. The frame that does not fit ends the connection with
    /// [`CloseReason::SlowReader`](crate::CloseReason::SlowReader).
    pub max_queue_bytes: usize,
    /// Namespaces one connection may be in, or be asking for, at a time. A server's: a client is in one.
    pub max_namespaces: usize,
    /// Events read ahead of their handling. With so many waiting nothing more is read from the socket.
    pub max_pending_events: usize,
    /// Time a close may take to write what is queued and to hear the peer's goodbye.
    pub close_timeout: Duration,
    /// Counts what all connections sharing it have queued.
    pub meter: Arc<Meter>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            max_payload: 65_536,
            max_skipped: 1024 * 1024,
            max_queue_bytes: 1024 * 1024,
            max_namespaces: 4,
            max_pending_events: 16,
            close_timeout: Duration::from_secs(2),
            meter: Arc::default(),
        }
    }
}

/// Gauges over all connections that share a [`Config`].
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes waiting in all outgoing queues.
    pub queued_bytes: AtomicI64,
}

impl Meter {
    pub(crate) fn add(&self, bytes: usize) {
        self.queued_bytes.fetch_add(signed(bytes), Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(signed(bytes), Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
