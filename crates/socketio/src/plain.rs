//! A WebSocket connection without Engine.IO on it, over the same driver: the same bounds, the same queue, the same end.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::session::{Farewell, PlainSession};
use crate::{CloseReason, Config, Outgoing};

/// The server's end of a plain WebSocket, over a byte stream whose upgrade is done. Binary messages are ignored.
pub struct PlainConnection<Io> {
    driver: Driver<Io, PlainSession>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> PlainConnection<Io> {
    /// Begins a session; see [`Connection::new`](crate::Connection::new). `farewell` says how it ends.
    pub fn new(io: Io, already_read: Bytes, config: Arc<Config>, farewell: Farewell) -> Self {
        let session = PlainSession::server(&config, farewell, Instant::now());
        let driver = Driver::server(io, &already_read, config, session);
        // Copied, so that what the HTTP server read into is not kept.
        drop(already_read);
        Self { driver }
    }

    /// The handle through which [`Frame::plain`](crate::Frame::plain) is sent, for this and any other task. Its
    /// [`wire`](Outgoing::wire) is `None`.
    pub fn outgoing(&self) -> Outgoing {
        self.driver.outgoing().clone()
    }

    /// The peer's next text; after the end the reason for it, again and again. Cancel safe.
    ///
    /// # Errors
    /// Why the connection is over.
    pub async fn next(&mut self) -> Result<String, CloseReason> {
        poll_fn(|cx| self.driver.poll_next(cx)).await
    }

    /// Runs `work` to its end beside all I/O, see [`Connection::during`](crate::Connection::during).
    pub async fn during<F: Future>(&mut self, work: F) -> F::Output {
        self.driver.during(work).await
    }
}

impl<Io> fmt::Debug for PlainConnection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainConnection").finish_non_exhaustive()
    }
}
