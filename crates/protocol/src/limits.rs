//! The limits, together. Those that an operator can change have their defaults here.

use std::time::Duration;

/// Characters in a message's body, at most.
pub const BODY_CHARS: usize = 5_000;
/// Characters in a `local_id`, at most.
pub const LOCAL_ID_CHARS: usize = 64;
/// Characters in a `device_id`, at most.
pub const DEVICE_ID_CHARS: usize = 128;
/// Characters in a user's id, name or e-mail address, or in a name given to an app or a token, at most.
pub const NAME_CHARS: usize = 256;
/// Bytes of JSON in a user's `attributes` or a `device_context`, at most.
pub const CONTEXT_BYTES: usize = 8 * 1024;
/// Bytes in one frame from a client, at most; also in a REST body.
pub const FRAME_BYTES: usize = 64 * 1024;
/// Bytes that may wait for one connection before it is dropped as a slow reader.
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Sends that one connection may have waiting for their commit; further events wait unread.
pub const SENDS_IN_FLIGHT: usize = 64;
/// Bytes of an HTTP request's head, at most.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Sends a second per device, and how many at once.
pub const DEVICE_SENDS_PER_SECOND: u32 = 5;
/// How many seconds' worth of sends may come at once.
pub const SEND_BURST_SECONDS: u32 = 2;
/// Sends a second per agent connection.
pub const AGENT_SENDS_PER_SECOND: u32 = 100;
/// Connections per device.
pub const CONNECTIONS_PER_DEVICE: u32 = 20;
/// Conversations that one device connection may be joined to.
pub const ROOMS_PER_DEVICE_CONNECTION: usize = 100;
/// Conversations that one agent connection may be joined to.
pub const ROOMS_PER_AGENT_CONNECTION: usize = 1_000;
/// Rows in a page when nothing is said.
pub const PAGE: u32 = 50;
/// Rows in a page at most.
pub const PAGE_MAX: u32 = 200;
/// Bytes of bodies in a page at most; one message always fits. JSON can make six bytes of one, and with that a page
/// still fits into a connection's queue ([`QUEUE_BYTES`]).
pub const PAGE_BODY_BYTES: usize = 128 * 1024;
/// Sessions in one answer at most.
pub const SESSIONS_PAGE_MAX: u32 = 1_000;
/// From one ping to the next.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// How long a pong may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a handshake may take, from the first byte to the accepted namespace.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
