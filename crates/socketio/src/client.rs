//! The client's end of a Socket.IO connection as its owner sees it. Spawns nothing, never connects by itself, and
//! never reconnects: it begins with a byte stream whose upgrade is done, and ends with it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::session::ClientSession;
use crate::{ClientIncoming, CloseReason, Config, Outgoing};

/// The client's end of a connection, over a byte stream whose upgrade is done; any stream, for all bytes written
/// are flushed. In one namespace.
///
/// Nothing moves unless [`next`](Self::next) or [`close`](Self::close) is polled, the answers to the server's pings
/// included: whatever takes long belongs into another task. Dropping it drops the stream.
pub struct ClientConnection<Io> {
    driver: Driver<Io, ClientSession>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> ClientConnection<Io> {
    /// Begins a session: once the server's first packet is there, asks for `namespace` with `auth`, a JSON object.
    /// The namespace is written as it is, with its leading slash and without a comma. `already_read` is what was
    /// read past the answer to the upgrade request.
    ///
    /// Each call of `keys` gives the mask of one WebSocket frame. They are to be unpredictable to whoever chooses
    /// what is sent: the masks keep proxies from taking it for something else.
    pub fn new(
        io: Io,
        already_read: Bytes,
        config: Arc<Config>,
        namespace: &str,
        auth: Option<&RawValue>,
        keys: impl FnMut() -> [u8; 4] + Send + 'static,
    ) -> Self {
        let session = ClientSession::new(&config, namespace, auth, Instant::now());
        let driver = Driver::client(io, &already_read, config, session, Box::new(keys));
        drop(already_read);
        Self { driver }
    }

    /// The handle through which frames are sent, for this and any other task. It takes none before
    /// [`ClientIncoming::Connected`].
    pub fn outgoing(&self) -> Outgoing {
        self.driver.outgoing().clone()
    }

    /// The next thing that the server did, in the order in which it did it; after the end
    /// [`ClientIncoming::Closed`], again and again. Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> ClientIncoming {
        poll_fn(|cx| self.driver.poll_next(cx)).await.unwrap_or_else(ClientIncoming::Closed)
    }

    /// Ends the connection: writes what is queued, leaves the namespace, writes the WebSocket close frame, and
    /// waits for the server to hang up. Takes [`Config::close_timeout`] at most. What the server sent and
    /// [`next`](Self::next) did not return is dropped. A connection that is closing already keeps its reason.
    ///
    /// The namespace is left by a packet of its own only for a reason of this side's own will, such as
    /// [`CloseReason::ClientClosed`]: a server may take a client that left for one that does not come back.
    pub async fn close(&mut self, reason: CloseReason) {
        poll_fn(|cx| self.driver.poll_close(cx, reason)).await;
    }
}

impl<Io> fmt::Debug for ClientConnection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection").finish_non_exhaustive()
    }
}
