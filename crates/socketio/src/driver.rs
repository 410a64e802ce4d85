//! Drives one session over one byte stream: reads, writes, timers, the end. Everything happens in `poll`, so
//! that it can run beside the handler of an event. A write that does not go on never keeps anything else waiting, and
//! a peer that sends without end gives way to the other connections of its thread.

mod writer;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::session::{Output, Protocol};
use crate::websocket::{CloseCode, Decoded, Decoder, Error, Message, Role};
use crate::{CloseReason, Config, Frame, Outgoing, scratch};
pub(crate) use writer::MaskKeys;
use writer::Writer;

/// Bytes read on a connection that is closing before its goodbye is given up: a peer that floods instead of
/// hanging up is not listened to for long.
const MAX_DISCARDED: usize = 4 * 1024 * 1024;
/// Bytes queued that a burst of events may hold back, so that its answers go out together.
const BURST: usize = 64 * 1024;
/// WebSocket frames, and bytes, that are taken from one peer before the thread's other connections have their turn.
const TURN_FRAMES: u32 = 64;
const TURN_BYTES: u32 = 64 * 1024;
/// Bytes that may wait for a peer that has not shown who it is before no more of it is read.
const UNKNOWN_QUEUE: usize = 4 * 1024;
/// The longest head of a frame, and what is read beyond an unfinished one.
const READ_AHEAD: usize = 1024;

pub(crate) struct Driver<Io, P: Protocol> {
    io: Option<Io>,
    config: Arc<Config>,
    outgoing: Outgoing,
    session: P,
    decoder: Decoder,
    /// Bytes read and not decoded: an unfinished frame, or what came while the inbox was full.
    unread: BytesMut,
    /// Whether `unread` may begin with a whole frame.
    is_behind: bool,
    /// What is to be handed out, each with the bytes that it came in.
    inbox: VecDeque<(P::Item, u32)>,
    inbox_bytes: u32,
    /// Bytes of the message that is being taken in, attachments included.
    message_bytes: u32,
    turn: Turn,
    writer: Writer,
    timer: Option<Pin<Box<Sleep>>>,
    phase: Phase,
}

/// What was taken from the peer since the other connections had their turn.
#[derive(Clone, Copy, Default)]
struct Turn {
    frames: u32,
    bytes: u32,
}

impl Turn {
    fn is_over(self) -> bool {
        self.frames >= TURN_FRAMES || self.bytes >= TURN_BYTES
    }
}

#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// Writing what is queued, then the close frame. `hang_up`: the peer has said goodbye already, or would not.
    Flushing {
        reason: CloseReason,
        by: Instant,
        hang_up: bool,
    },
    /// Everything is written; closing the socket before the peer has read it could take it back.
    Lingering {
        reason: CloseReason,
        by: Instant,
        discarded: usize,
    },
    Over(CloseReason),
}

impl<Io: AsyncRead + AsyncWrite + Unpin, P: Protocol> Driver<Io, P> {
    /// The server's end.
    pub(crate) fn server(io: Io, already_read: &Bytes, config: Arc<Config>, session: P) -> Self {
        Self::new(io, already_read, config, session, None)
    }

    /// The client's end, which masks all that it writes.
    pub(crate) fn client(
        io: Io,
        already_read: &Bytes,
        config: Arc<Config>,
        session: P,
        keys: MaskKeys,
    ) -> Self {
        Self::new(io, already_read, config, session, Some(keys))
    }

    fn new(io: Io, already_read: &Bytes, config: Arc<Config>, session: P, keys: Option<MaskKeys>) -> Self {
        let role = if keys.is_some() { Role::Client } else { Role::Server };
        let outgoing = Outgoing::new(Arc::clone(&config), role);
        outgoing.shared().speak(session.wire());
        Self {
            io: Some(io),
            decoder: Decoder::new(role, config.max_payload).skipping(match role {
                Role::Server => config.max_skipped,
                Role::Client => 0,
            }),
            outgoing,
            config,
            session,
            is_behind: !already_read.is_empty(),
            unread: BytesMut::from(&already_read[..]),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            message_bytes: 0,
            turn: Turn::default(),
            writer: Writer::new(keys),
            timer: None,
            phase: Phase::Open,
        }
    }

    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    pub(crate) fn session(&mut self) -> &mut P {
        &mut self.session
    }

    /// The next item, or the reason for the end once all items are handed out.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<P::Item, CloseReason>> {
        if self.turn.is_over() {
            // The task is the last in its queue after this.
            cx.waker().wake_by_ref();
            self.rest();
            return Poll::Pending;
        }
        // What is decoded is handed out before any I/O: the answers to a burst then go out in one write.
        if let Some(item) = self.pop() {
            return Poll::Ready(Ok(item));
        }
        if self.is_in_burst() {
            self.decode_unread(Instant::now(), cx);
        }
        if !self.is_in_burst() || self.inbox.is_empty() {
            self.poll_io(cx);
        }
        if let Some(item) = self.pop() {
            return Poll::Ready(Ok(item));
        }
        match self.phase {
            Phase::Over(reason) => Poll::Ready(Err(reason)),
            _ => {
                self.rest();
                Poll::Pending
            }
        }
    }

    /// To be called when the task gives way: the peer's next turn begins.
    pub(crate) fn rest(&mut self) {
        self.turn = Turn::default();
    }

    /// Whether more was read than is handed out, and little waits to be written. Handling goes on first: it ends
    /// with what was read, at most one buffer, and a handler that waits does so beside all I/O.
    fn is_in_burst(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.is_behind
            && self.outgoing.queued_bytes() < BURST
            && !self.outgoing.is_closed()
    }

    fn pop(&mut self) -> Option<P::Item> {
        let (item, bytes) = self.inbox.pop_front()?;
        self.inbox_bytes = self.inbox_bytes.saturating_sub(bytes);
        if self.inbox.is_empty() {
            self.inbox = VecDeque::new();
        }
        Some(item)
    }

    /// Runs `work` to its end with all I/O and timers going on beside it.
    pub(crate) async fn during<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            // First the work, so that what it queues is written in the same turn.
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll_io(cx);
            self.rest();
            Poll::Pending
        })
        .await
    }

    /// Ends the connection from this side, dropping items not handed out; ready once it is over.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        self.outgoing.shared().request_close(reason);
        self.inbox = VecDeque::new();
        self.inbox_bytes = 0;
        self.poll_io(cx);
        self.rest();
        if let Phase::Over(_) = self.phase { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Does all I/O and all timing that can be done now, and sees to it that the task is woken for the rest.
    pub(crate) fn poll_io(&mut self, cx: &mut Context<'_>) {
        if let Phase::Over(_) = self.phase {
            return;
        }
        let requested = self.outgoing.shared().listen(cx.waker());
        let now = Instant::now();
        if let (Phase::Open, Some(reason)) = (self.phase, requested) {
            self.end(reason, now, cx);
        }
        self.tick(now, cx);
        let may_read = self.may_read();
        self.poll_read(now, cx);
        self.poll_write(now, cx);
        if !may_read && self.may_read() {
            // What was held back would otherwise wait for news that may never come.
            self.poll_read(now, cx);
            self.poll_write(now, cx);
        }
        if self.turn.is_over() {
            // Reading stopped short of what the socket may have: nothing else would wake the task for it.
            cx.waker().wake_by_ref();
        }
        if let Phase::Lingering { .. } = self.phase {
            self.poll_linger(cx);
        }
        self.poll_timer(cx);
    }

    fn tick(&mut self, now: Instant, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Open => {
                let mut may_hear = self.outgoing.shared().role() == Role::Client;
                while let Phase::Open = self.phase {
                    if self.session.deadline() > now {
                        return;
                    }
                    if std::mem::take(&mut may_hear) {
                        // Silence is held against a server: what it said while the owner was busy elsewhere
                        // may lie in the socket still.
                        self.poll_read(now, cx);
                        continue;
                    }
                    // A peer whose writes are refused is heard no better by reading on.
                    let listening = self.has_room() || self.writer.is_blocked();
                    let output = self.session.tick(now, listening);
                    self.obey(output, now, cx);
                }
            }
            Phase::Flushing { reason, by, .. } | Phase::Lingering { reason, by, .. } => {
                if by <= now {
                    self.over(reason);
                }
            }
            Phase::Over(_) => {}
        }
    }

    fn has_room(&self) -> bool {
        self.inbox.len() < self.config.max_pending_events.max(1)
            && (self.inbox_bytes as usize) < self.config.max_payload
    }

    /// Whether the peer is listened to: a stranger that reads nothing is not.
    fn may_read(&self) -> bool {
        self.session.is_known() || !self.writer.is_blocked() && self.outgoing.queued_bytes() < UNKNOWN_QUEUE
    }

    fn poll_read(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Phase::Open = self.phase {
            if !self.has_room() || !self.may_read() || self.turn.is_over() {
                return;
            }
            if self.is_behind {
                self.decode_unread(now, cx);
                continue;
            }
            let mut unread = std::mem::take(&mut self.unread);
            // No more than what may still be of an unfinished frame, so that it takes no more memory than a frame may.
            let most = match unread.len() {
                0 => scratch::SIZE,
                begun => (self.config.max_payload + READ_AHEAD).saturating_sub(begun).max(READ_AHEAD),
            };
            let read = scratch::with_read(|buffer| {
                let buffer = &mut buffer[..most.min(scratch::SIZE)];
                let Some(io) = self.io.as_mut() else { return Poll::Pending };
                let mut free = ReadBuf::new(buffer);
                match Pin::new(io).poll_read(cx, &mut free) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(0),
                    Poll::Ready(Ok(())) => {}
                }
                let filled = free.filled_mut();
                let count = filled.len();
                self.turn.bytes = self.turn.bytes.saturating_add(count_of(count));
                if unread.is_empty() {
                    let consumed = self.decode(filled, now, cx);
                    unread.extend_from_slice(&filled[consumed..]);
                } else {
                    append(&mut unread, filled, self.config.max_payload + READ_AHEAD);
                    self.is_behind = true;
                }
                Poll::Ready(count)
            });
            self.unread = unread;
            match read {
                Poll::Pending => return,
                Poll::Ready(0) => self.end(CloseReason::Transport, now, cx),
                Poll::Ready(_) => {
                    self.session.heard(now);
                    self.outgoing.shared().heard(now);
                }
            }
        }
    }

    fn decode_unread(&mut self, now: Instant, cx: &mut Context<'_>) {
        let mut unread = std::mem::take(&mut self.unread);
        let consumed = self.decode(&mut unread, now, cx);
        if consumed < unread.len() {
            unread.advance(consumed);
            self.unread = unread;
        }
    }

    /// Decodes whole frames for as long as there is room for what they bring; returns the bytes used.
    fn decode(&mut self, bytes: &mut [u8], now: Instant, cx: &mut Context<'_>) -> usize {
        let mut used = 0;
        self.is_behind = false;
        while let Phase::Open = self.phase {
            if !self.has_room() || self.turn.frames >= TURN_FRAMES {
                self.is_behind = used < bytes.len();
                return used;
            }
            self.turn.frames += 1;
            match self.decoder.decode(&mut bytes[used..]) {
                Ok(Decoded::Incomplete) => return used,
                Ok(Decoded::Fragment { consumed }) => {
                    used += consumed;
                    self.message_bytes = self.message_bytes.saturating_add(count_of(consumed));
                }
                Ok(Decoded::Skipped { consumed }) => used += consumed,
                Ok(Decoded::Message { consumed, message }) => {
                    used += consumed;
                    self.message_bytes = self.message_bytes.saturating_add(count_of(consumed));
                    if let Message::Close(code) = message {
                        self.goodbye(code, now);
                    } else {
                        if let Message::Pong(payload) = message {
                            self.outgoing.shared().ponged(payload);
                        }
                        let output = self.session.receive(message, now);
                        self.obey(output, now, cx);
                    }
                }
                Err(Error::TooLarge) => self.end(CloseReason::TooLarge, now, cx),
                Err(Error::Protocol(what)) => self.end(CloseReason::Protocol(what), now, cx),
            }
        }
        bytes.len()
    }

    fn obey(&mut self, output: Output<P::Item>, now: Instant, cx: &mut Context<'_>) {
        match output {
            Output::Nothing => {}
            Output::Item(item) => self.take_in(item),
            Output::Left(item, namespace) => {
                self.outgoing.shared().give_up(&namespace);
                self.take_in(item);
            }
            Output::Granted(item, largest) => {
                self.outgoing.shared().admit(largest);
                self.take_in(item);
            }
            Output::Send(frame) => self.outgoing.shared().send_own(frame),
            Output::Pong(frame) => self.outgoing.shared().send_pong(frame),
            Output::Ack { namespace, id, args } => self.outgoing.shared().answer(&namespace, id, args),
            Output::Close(reason) => self.end(reason, now, cx),
        }
    }

    fn take_in(&mut self, item: P::Item) {
        self.outgoing.shared().speak(self.session.wire());
        let bytes = std::mem::take(&mut self.message_bytes);
        self.inbox_bytes = self.inbox_bytes.saturating_add(bytes);
        self.inbox.push_back((item, bytes));
    }

    /// Begins the end from this side.
    fn end(&mut self, reason: CloseReason, now: Instant, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        self.outgoing.shared().request_close(reason);
        let close = Frame::websocket_close(self.session.close_code(reason));
        if reason.is_abrupt() {
            // One attempt, and only between two frames: this peer is not waited for.
            let farewell = self.session.farewell(reason);
            let last = self.writer.dress(farewell.into_iter().chain([close]).collect());
            if let (Some(io), true) = (self.io.as_mut(), self.writer.is_between_frames()) {
                for frame in last {
                    let written = Pin::new(&mut *io).poll_write(cx, frame.bytes());
                    if !matches!(written, Poll::Ready(Ok(count)) if count == frame.len()) {
                        break;
                    }
                }
            }
            self.over(reason);
            return;
        }
        let queued = self.outgoing.shared().take();
        for namespace in queued.iter().filter_map(Frame::leaves) {
            self.session.left(namespace, now);
        }
        self.writer.append(queued);
        let farewell = self.session.farewell(reason);
        self.say_last(farewell.into_iter().chain([close]).collect());
        let by = now + self.config.close_timeout;
        self.phase = Phase::Flushing { reason, by, hang_up: false };
    }

    /// The peer closed the WebSocket: it reads nothing more but the close frame that it is owed.
    fn goodbye(&mut self, code: Option<CloseCode>, now: Instant) {
        let shared = self.outgoing.shared();
        shared.request_close(CloseReason::Transport);
        drop(shared.take());
        self.writer.keep_begun();
        self.say_last(VecDeque::from([Frame::websocket_close(code.unwrap_or(CloseCode::Normal))]));
        let by = now + self.config.close_timeout;
        self.phase = Phase::Flushing { reason: CloseReason::Transport, by, hang_up: true };
    }

    fn say_last(&mut self, frames: VecDeque<Frame>) {
        let shared = self.outgoing.shared();
        shared.add(frames.iter().map(|frame| shared.cost(frame)).sum());
        self.writer.append(frames);
    }

    fn poll_write(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(io) = self.io.as_mut() else { return };
        let shared = self.outgoing.shared();
        let session = &mut self.session;
        match self.writer.poll(io, shared, |namespace| session.left(namespace, now), cx) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => {
                let reason = match self.phase {
                    Phase::Flushing { reason, .. } => reason,
                    // A stream with a deadline for its writes: what was sent to the peer is not taken.
                    _ if error.kind() == io::ErrorKind::TimedOut => CloseReason::SlowReader,
                    _ => CloseReason::Transport,
                };
                shared.request_close(reason);
                self.over(reason);
            }
            Poll::Ready(Ok(())) => {
                if let Phase::Flushing { reason, by, hang_up } = self.phase {
                    if hang_up {
                        self.over(reason);
                    } else {
                        self.phase = Phase::Lingering { reason, by: by.max(now), discarded: 0 };
                    }
                }
            }
        }
    }

    /// Shuts this side's half and reads on until the peer has shut its own.
    fn poll_linger(&mut self, cx: &mut Context<'_>) {
        let Phase::Lingering { reason, by, mut discarded } = self.phase else { return };
        let Some(io) = self.io.as_mut() else { return };
        // Not ready is as good as done here: the deadline bounds both.
        let _ = Pin::new(&mut *io).poll_shutdown(cx);
        let is_over = scratch::with_read(|buffer| {
            loop {
                let mut free = ReadBuf::new(buffer);
                match Pin::new(&mut *io).poll_read(cx, &mut free) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(())) if !free.filled().is_empty() => discarded += free.filled().len(),
                    Poll::Ready(_) => return true,
                }
                if discarded > MAX_DISCARDED {
                    return true;
                }
            }
        });
        if is_over {
            self.over(reason);
        } else {
            self.phase = Phase::Lingering { reason, by, discarded };
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let deadline = match self.phase {
                Phase::Open => self.session.deadline(),
                Phase::Flushing { by, .. } | Phase::Lingering { by, .. } => by,
                Phase::Over(_) => return,
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = Instant::now().max(deadline);
            self.tick(now, cx);
            self.poll_write(now, cx);
        }
    }

    /// The end itself: the socket and all memory but the inbox go now, even while a handler still runs.
    fn over(&mut self, reason: CloseReason) {
        self.phase = Phase::Over(reason);
        self.io = None;
        self.timer = None;
        self.unread = BytesMut::new();
        self.writer = Writer::default();
        self.outgoing.shared().finish(reason);
    }
}

/// Bytes as they are counted here: no message has 4 GiB.
fn count_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Appends without more room than there may ever be need for.
fn append(unread: &mut BytesMut, bytes: &[u8], most: usize) {
    let needed = unread.len() + bytes.len();
    if needed > unread.capacity() {
        let room = needed.max((2 * unread.capacity()).min(most));
        let mut grown = BytesMut::with_capacity(room);
        grown.extend_from_slice(unread);
        *unread = grown;
    }
    unread.extend_from_slice(bytes);
}

impl<Io, P: Protocol> Drop for Driver<Io, P> {
    fn drop(&mut self) {
        // Rooms may hold the queue for a while yet: they are to see that nobody reads it.
        self.outgoing.shared().finish(CloseReason::Server);
    }
}
