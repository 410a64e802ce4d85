//! Writes frames, as many as there are in one system call: small ones are gathered in the thread's buffer, large
//! ones go out from where they are. A client's are masked first. Never holds the queue's lock while it writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::outgoing::Shared;
use crate::{Frame, scratch};

/// Frames above this many bytes are not worth copying.
const SMALL: usize = 8 * 1024;
/// Frames of one vectored write.
const SLICES: usize = 16;

/// Gives a mask key for each WebSocket frame of a client.
pub(crate) type MaskKeys = Box<dyn FnMut() -> [u8; 4] + Send>;

#[derive(Default)]
pub(super) struct Writer {
    /// A client's: without them frames go out as they are.
    keys: Option<MaskKeys>,
    /// Masked already, if they are to be.
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are written.
    offset: usize,
    needs_flush: bool,
    is_blocked: bool,
}

impl Writer {
    pub(super) fn new(keys: Option<MaskKeys>) -> Self {
        Self { keys, ..Self::default() }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.offset == 0 && self.frames.is_empty()
    }

    pub(super) fn append(&mut self, frames: VecDeque<Frame>) {
        let mut frames = self.dress(frames);
        self.frames.append(&mut frames);
    }

    /// The frames as this end writes them.
    pub(super) fn dress(&mut self, mut frames: VecDeque<Frame>) -> VecDeque<Frame> {
        if let Some(keys) = &mut self.keys {
            for frame in &mut frames {
                *frame = frame.masked(&mut *keys);
            }
        }
        frames
    }

    /// Drops all frames but one that is partly written.
    pub(super) fn keep_begun(&mut self) {
        self.frames.truncate(usize::from(self.offset > 0));
    }

    /// Writes all that is queued; ready when nothing is left, here or in the queue.
    pub(super) fn poll<Io: AsyncWrite + Unpin>(
        &mut self,
        io: &mut Io,
        shared: &Shared,
        mut leaves: impl FnMut(&str),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.frames.is_empty() {
                self.frames = self.dress(shared.take());
                for namespace in self.frames.iter().filter_map(Frame::leaves).map(|name| &**name) {
                    leaves(namespace);
                    shared.give_up(namespace);
                }
            }
            if self.frames.is_empty() {
                break;
            }
            let Poll::Ready(written) = self.poll_some(io, cx) else {
                if !self.is_blocked {
                    self.is_blocked = true;
                    shared.set_blocked(true);
                }
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if self.is_blocked {
                self.is_blocked = false;
                shared.set_blocked(false);
            }
            self.needs_flush = true;
            let written = written + self.advance(written);
            shared.written(written);
        }
        if self.needs_flush {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_some<Io: AsyncWrite + Unpin>(
        &self,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(first) = self.frames.front() else { return Poll::Ready(Ok(0)) };
        let first = &first.bytes()[self.offset..];
        if self.frames.len() == 1 {
            return Pin::new(io).poll_write(cx, first);
        }
        if first.len() > SMALL {
            if !io.is_write_vectored() {
                return Pin::new(io).poll_write(cx, first);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            slices[0] = IoSlice::new(first);
            for (slice, frame) in slices[1..].iter_mut().zip(self.frames.iter().skip(1)) {
                *slice = IoSlice::new(frame.bytes());
            }
            return Pin::new(io).poll_write_vectored(cx, &slices[..SLICES.min(self.frames.len())]);
        }
        scratch::with_write(|buffer| {
            buffer.extend_from_slice(first);
            for frame in self.frames.iter().skip(1) {
                if frame.len() > SMALL || buffer.len() + frame.len() > scratch::SIZE {
                    break;
                }
                buffer.extend_from_slice(frame.bytes());
            }
            Pin::new(io).poll_write(cx, buffer)
        })
    }

    /// Drops what is written; returns what the dropped frames took beside their bytes.
    fn advance(&mut self, mut written: usize) -> usize {
        let mut freed = 0;
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.offset;
            if written < left {
                self.offset += written;
                return freed;
            }
            written -= left;
            freed += first.cost() - first.len();
            self.offset = 0;
            self.frames.pop_front();
        }
        // A connection at rest holds no queue.
        self.frames = VecDeque::new();
        freed
    }
}
