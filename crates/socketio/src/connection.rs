//! A Socket.IO connection as its owner sees it. Spawns nothing: it lives in the task that polls it, and rests
//! when that does not.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::session::{Engine, Session};
use crate::{CloseReason, Config, Incoming, Outgoing};

/// The server's end of a connection, over a byte stream whose upgrade is done.
///
/// Nothing moves unless [`next`](Self::next), [`during`](Self::during) or [`close`](Self::close) is polled.
/// Dropping it drops the socket.
pub struct Connection<Io> {
    driver: Driver<Io, Session>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> Connection<Io> {
    /// Begins a session: queues the Engine.IO open packet with the session id `sid`, and starts its times.
    /// `already_read` is what the HTTP server read past the upgrade request.
    pub fn new(io: Io, already_read: Bytes, config: Arc<Config>, sid: &str) -> Self {
        let session = Session::server(&config, Instant::now());
        let open = Engine::open(&config, sid);
        let driver = Driver::server(io, &already_read, config, session);
        drop(already_read);
        driver.outgoing().send(open);
        Self { driver }
    }

    /// The handle through which frames are sent, for this and any other task.
    pub fn outgoing(&self) -> Outgoing {
        self.driver.outgoing().clone()
    }

    /// The next thing that the peer did, in the order in which it did it; after the end
    /// [`Incoming::Closed`], again and again. Gives way to other tasks after 64 frames or 64 KiB of one peer. Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Incoming {
        poll_fn(|cx| self.driver.poll_next(cx)).await.unwrap_or_else(Incoming::Closed)
    }

    /// Runs `work` to its end, with all I/O and timers of the connection going on beside it. Up to
    /// [`Config::max_pending_events`] things that the peer does meanwhile are kept for [`next`](Self::next);
    /// with so many waiting nothing more is read, answers to this side's events included. Answers are handed
    /// over at once. `work` also runs to its end when the connection dies.
    pub async fn during<F: Future>(&mut self, work: F) -> F::Output {
        self.driver.during(work).await
    }

    /// Grants the namespace asked for in [`Incoming::Connect`], under the id `sid`. Does nothing when the peer
    /// does not wait for it.
    pub fn accept(&mut self, namespace: &str, sid: &str) {
        if let Some(frame) = self.driver.session().accept(namespace, sid) {
            self.driver.outgoing().send(frame);
        }
    }

    /// Refuses the namespace asked for in [`Incoming::Connect`]; the peer sees an error with `message` and
    /// `data`. Does nothing when the peer does not wait for it.
    pub fn refuse(&mut self, namespace: &str, message: &str, data: Option<&RawValue>) {
        if let Some(frame) = self.driver.session().refuse(namespace, message, data) {
            self.driver.outgoing().send(frame);
        }
    }

    /// Ends the connection: writes what is queued and the WebSocket close frame, and waits for the peer to hang
    /// up. Takes [`Config::close_timeout`] at most. What the peer sent and [`next`](Self::next) did not return
    /// is dropped. A connection that is closing already keeps its reason.
    pub async fn close(&mut self, reason: CloseReason) {
        poll_fn(|cx| self.driver.poll_close(cx, reason)).await;
    }
}

impl<Io> fmt::Debug for Connection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
