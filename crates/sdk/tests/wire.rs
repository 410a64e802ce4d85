//! A network that breaks on demand: streams in memory which can be cut, cut in the middle, or fall silent half-open.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What a stream does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Swallows what is written and brings nothing, as when a phone has left its network without a word.
    HalfOpen,
    /// Brings so many bytes more, and is cut then.
    CutAfter(usize),
    Cut,
}

struct State {
    mode: Mode,
    reader: Option<Waker>,
}

/// The handle that breaks one stream.
#[derive(Clone)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

impl Breaker {
    fn set(&self, mode: Mode) {
        let mut state = self.0.lock().expect("no test panics with the lock");
        if state.mode != Mode::Cut {
            state.mode = mode;
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Ends the stream at once.
    pub(crate) fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Ends the stream after so many bytes from the server: in the middle of a frame, most likely.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.set(Mode::CutAfter(bytes));
    }

    /// Lets nothing through any more, and says nothing.
    pub(crate) fn fall_silent(&self) {
        self.set(Mode::HalfOpen);
    }

    fn mode(&self, reader: Option<&Waker>) -> Mode {
        let mut state = self.0.lock().expect("no test panics with the lock");
        if let Some(reader) = reader {
            state.reader = Some(reader.clone());
        }
        state.mode
    }
}

/// The client's end of a stream that can be broken.
pub(crate) struct Breakable {
    inner: DuplexStream,
    breaker: Breaker,
}

/// The two ends of a new stream, and what breaks it.
pub(crate) fn stream() -> (Breakable, DuplexStream, Breaker) {
    let (client, server) = tokio::io::duplex(256 * 1024);
    let breaker = Breaker(Arc::new(Mutex::new(State { mode: Mode::Open, reader: None })));
    (Breakable { inner: client, breaker: breaker.clone() }, server, breaker)
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.breaker.mode(Some(cx.waker())) {
            Mode::Open => Pin::new(&mut self.inner).poll_read(cx, buf),
            Mode::HalfOpen => Poll::Pending,
            Mode::Cut | Mode::CutAfter(0) => reset(),
            Mode::CutAfter(left) => {
                let mut few = buf.take(left);
                let polled = Pin::new(&mut self.inner).poll_read(cx, &mut few);
                let read = few.filled().len();
                if polled.is_ready() {
                    // `take` initialises nothing of the whole: what it has filled is told to it.
                    buf.advance(read);
                    self.breaker.set(Mode::CutAfter(left - read));
                }
                polled
            }
        }
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.breaker.mode(None) {
            Mode::Open | Mode::CutAfter(_) => Pin::new(&mut self.inner).poll_write(cx, bytes),
            Mode::HalfOpen => Poll::Ready(Ok(bytes.len())),
            Mode::Cut => reset(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.breaker.mode(None) {
            Mode::Cut => reset(),
            Mode::HalfOpen => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
