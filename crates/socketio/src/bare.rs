//! An Engine.IO connection without Socket.IO on it, for tests of the layer by itself. Same driver, same
//! promises.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::session::{Engine, Output, Payload, Protocol};
use crate::websocket::Message;
use crate::{CloseReason, Config, Outgoing};

/// What a bare connection has to tell.
#[derive(Debug)]
pub enum BareIncoming {
    /// A text message, without its packet type.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// The connection is over; nothing else follows.
    Closed(CloseReason),
}

/// The server's end of an Engine.IO connection.
pub struct BareConnection<Io> {
    driver: Driver<Io, BareSession>,
}

struct BareSession(Engine);

impl Protocol for BareSession {
    type Item = BareIncoming;

    fn receive(&mut self, message: Message<'_>, now: Instant) -> Output<BareIncoming> {
        match self.0.receive(message, now) {
            Output::Item(Payload::Text(text)) => Output::Item(BareIncoming::Text(text[1..].to_owned())),
            Output::Item(Payload::Binary(bytes)) => {
                Output::Item(BareIncoming::Binary(Bytes::copy_from_slice(&bytes)))
            }
            Output::Send(frame) => Output::Send(frame),
            Output::Pong(frame) => Output::Pong(frame),
            Output::Close(reason) => Output::Close(reason),
            Output::Nothing | Output::Left(..) | Output::Granted(..) | Output::Ack { .. } => Output::Nothing,
        }
    }

    fn tick(&mut self, now: Instant, listening: bool) -> Output<BareIncoming> {
        self.0.tick(now, listening)
    }

    fn deadline(&self) -> Instant {
        self.0.deadline()
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> BareConnection<Io> {
    /// Begins a session, see [`Connection::new`](crate::Connection::new).
    pub fn new(io: Io, already_read: Bytes, config: Arc<Config>, sid: &str) -> Self {
        let session = BareSession(Engine::server(&config, Instant::now()));
        let open = Engine::open(&config, sid);
        let driver = Driver::server(io, &already_read, config, session);
        drop(already_read);
        driver.outgoing().send(open);
        Self { driver }
    }

    /// The handle through which [`Frame::text`](crate::Frame::text) and
    /// [`Frame::binary`](crate::Frame::binary) are sent.
    pub fn outgoing(&self) -> Outgoing {
        self.driver.outgoing().clone()
    }

    /// The next message; after the end [`BareIncoming::Closed`], again and again. Cancel safe.
    pub async fn next(&mut self) -> BareIncoming {
        poll_fn(|cx| self.driver.poll_next(cx)).await.unwrap_or_else(BareIncoming::Closed)
    }

    /// Ends the connection, see [`Connection::close`](crate::Connection::close).
    pub async fn close(&mut self, reason: CloseReason) {
        poll_fn(|cx| self.driver.poll_close(cx, reason)).await;
    }
}

impl<Io> fmt::Debug for BareConnection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareConnection").finish_non_exhaustive()
    }
}
