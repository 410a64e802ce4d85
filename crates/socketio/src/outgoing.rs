//! The way out: a queue bounded in bytes that any task may add to, and the answers awaited from the peer. Never
//! waits: what does not fit ends the connection, so that a peer is told everything or is gone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::frame::EncodeError;
use crate::websocket::Role;
use crate::{AckId, Args, CloseReason, Config, Frame, Wire};

/// The share of the queue that may be full before what passes is replaced by what comes after it.
const PASSING_FROM: usize = 8;
/// The share of the queue that may be full before a state is replaced by the one after it.
const STATES_FROM: usize = 2;

/// Stands for no [`Wire`] at all.
const NO_WIRE: u8 = u8::MAX;

/// Answers one connection may owe at a time. One that takes events and never answers must not fill the memory.
const MAX_AWAITED: usize = 1024;

/// A handle to a connection's outgoing queue. It is small, and holding it keeps neither the socket open nor the
/// connection's task alive.
#[derive(Clone)]
pub struct Outgoing {
    shared: Arc<Shared>,
}

/// What a frame tells that a later one makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Something that passes, such as typing: replaced as soon as an eighth of the queue is full.
    Passing,
    /// How something is now: replaced when half of the queue is full.
    State,
    /// Something came, true, or went, false: as soon as an eighth of the queue is full, what came and went while it
    /// waited was never there.
    Edge(bool),
}

/// Why an event was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// The peer did not answer in time. An answer that comes later is ignored.
    #[error("no answer in time")]
    Timeout,
    /// The connection is over, or the peer has left the namespace, or this client is not in it.
    #[error("connection closed")]
    Closed,
    /// The event is larger than the server takes. A client's only.
    #[error("larger than the server takes")]
    TooLarge,
    /// The argument does not serialise.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The peer owes 1,024 answers already.
    #[error("too many answers awaited")]
    TooMany,
}

impl Outgoing {
    /// Queues a frame, without waiting. Frames sent by one task arrive in the order in which it sent them.
    ///
    /// False means that the frame will not be sent: the connection is over or closing, or the frame does not
    /// fit in [`Config::max_queue_bytes`] and the connection is being closed for it.
    ///
    /// A client's connection that goes on refuses frames too. Before the namespace is granted and once it is lost,
    /// all: there is nobody to take them. In between, one that is larger than the server said it takes: a message
    /// of it, or all its attachments together.
    pub fn send(&self, frame: Frame) -> bool {
        self.shared.send(frame).is_ok()
    }

    /// As [`send`](Self::send), for a frame that makes earlier ones with the same `key` stale. With a reader that keeps
    /// up every one is sent. With a slow one a frame that still waits is replaced, in its place: the reader is told
    /// less often, and how it is now. `key` is what the frame is about, as a hash that strangers can't foresee.
    pub fn send_newest(&self, key: u64, stale: Stale, frame: Frame) -> bool {
        self.shared.send_newest(key, stale, frame)
    }

    /// Asks for the connection's end: what is queued is still written, nothing more is taken. The first reason
    /// given stands.
    pub fn close(&self, reason: CloseReason) {
        self.shared.request_close(reason);
    }

    /// How what is sent to this peer has to be written; `None` where there is no Socket.IO on the connection. It is known,
    /// and never changes, from the first [`Incoming::Connect`](crate::Incoming::Connect) on.
    pub fn wire(&self) -> Option<Wire> {
        match self.shared.wire.load(Ordering::Relaxed) {
            NO_WIRE => None,
            wire if wire == Wire::MessagePack as u8 => Some(Wire::MessagePack),
            _ => Some(Wire::Json),
        }
    }

    /// Whether the connection is over or closing.
    pub fn is_closed(&self) -> bool {
        self.shared.queue().closing.is_some()
    }

    /// How long ago something was last read from the peer, answers to pings included; at first, how long ago the
    /// connection was made.
    pub fn silent_for(&self) -> Duration {
        let shared = &self.shared;
        shared
            .made_at
            .elapsed()
            .saturating_sub(Duration::from_millis(shared.heard_ms.load(Ordering::Relaxed)))
    }

    /// Bytes of memory that what waits to be written takes, see [`Frame::cost`].
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes()
    }

    /// Whether half of [`Config::max_queue_bytes`] waits to be written: who has a choice sends more later.
    pub fn is_half_full(&self) -> bool {
        self.shared.queued_bytes() > self.shared.config.max_queue_bytes / 2
    }

    /// Sends an event and waits for the peer's answer to it. Dropping the future gives the answer up.
    ///
    /// # Errors
    ///
    /// See [`AckError`]. With [`AckError::Timeout`] and [`AckError::Closed`] the peer may have got the event.
    pub async fn emit_with_ack<T: Serialize + ?Sized>(
        &self,
        namespace: &str,
        name: &str,
        arg: &T,
        timeout: Duration,
    ) -> Result<Args, AckError> {
        let (answer, id) = self.shared.await_answer(namespace)?;
        let forget = Forget { shared: &self.shared, id };
        let wire = self.wire().ok_or(AckError::Closed)?;
        let frame = wire.event_with_id(namespace, name, arg, Some(id))?;
        self.shared.send(frame).map_err(|refused| match refused {
            Refused::Closed => AckError::Closed,
            Refused::TooLarge => AckError::TooLarge,
        })?;
        let answered = tokio::time::timeout(timeout, answer).await;
        drop(forget);
        match answered {
            Ok(Ok(args)) => Ok(args),
            Ok(Err(_)) => Err(AckError::Closed),
            Err(_) => Err(AckError::Timeout),
        }
    }

    /// Asks the peer for a sign of life, by a ping of WebSocket's own, which it answers whatever it is busy with; whether it
    /// came in time. What was on its way before does not count.
    pub async fn probe(&self, timeout: Duration) -> bool {
        let Some((number, answered)) = self.shared.await_pong() else { return false };
        self.shared.send_own(Frame::websocket_ping(&number.to_be_bytes()));
        let outcome = tokio::time::timeout(timeout, answered).await;
        self.shared.answers().pongs.remove(&number);
        matches!(outcome, Ok(Ok(())))
    }

    pub(crate) fn new(config: Arc<Config>, role: Role) -> Self {
        Self {
            shared: Arc::new(Shared {
                role,
                config,
                queue: Mutex::default(),
                queued: AtomicUsize::new(0),
                made_at: Instant::now(),
                heard_ms: AtomicU64::new(0),
                wire: AtomicU8::new(Wire::Json as u8),
                answers: Mutex::default(),
            }),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("queued_bytes", &self.queued_bytes()).finish_non_exhaustive()
    }
}

/// Frees the place of an awaited answer however the wait ends.
struct Forget<'a> {
    shared: &'a Shared,
    id: AckId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut answers = self.shared.answers();
        answers.table.remove(&self.id);
        if answers.table.is_empty() {
            answers.table = BTreeMap::new();
        }
    }
}

/// Why a frame was not queued.
pub(crate) enum Refused {
    /// Nothing is taken, now or any more.
    Closed,
    /// The server would not take it.
    TooLarge,
}

pub(crate) struct Shared {
    role: Role,
    config: Arc<Config>,
    queue: Mutex<Queue>,
    /// What the frames in the queue and in the driver's hands cost, not counting bytes that the socket has taken.
    queued: AtomicUsize,
    made_at: Instant,
    /// When something was last read, in milliseconds since then.
    heard_ms: AtomicU64,
    /// The [`Wire`] that the peer has shown, as a number, or [`NO_WIRE`].
    wire: AtomicU8,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame>,
    /// What most queues never have.
    rare: Option<Box<Rare>>,
    /// The driver's task. Taken by whoever wakes it, so that a burst wakes it once.
    waker: Option<Waker>,
    /// The socket takes nothing now: the driver is woken by the socket, a frame more is no news to it.
    is_blocked: bool,
    closing: Option<CloseReason>,
    /// A client's: the largest message that the server takes, while this client is in its namespace.
    admitted: Option<usize>,
}

#[derive(Default)]
struct Rare {
    /// Where in the queue's frames what may be replaced is, and what it says if it is an edge. Only what came while the
    /// queue was full enough for it.
    newest: HashMap<u64, (usize, Stale)>,
    /// Places of frames that are not sent any more; the next ones of their kind take them.
    vacant: Vec<usize>,
    /// The answer to the newest WebSocket ping; the protocol asks for no other.
    pong: Option<Frame>,
}

#[derive(Default)]
struct Answers {
    next: u64,
    is_over: bool,
    table: BTreeMap<AckId, Awaited>,
    /// The number of the next WebSocket ping that is waited for, and those that are.
    next_ping: u64,
    pongs: BTreeMap<u64, oneshot::Sender<()>>,
}

struct Awaited {
    namespace: Box<str>,
    answer: oneshot::Sender<Args>,
}

impl Shared {
    /// No code panics while it holds the lock, so that a poisoned one is as good as any.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Something was read from the peer.
    pub(crate) fn heard(&self, now: Instant) {
        let since = now.saturating_duration_since(self.made_at);
        self.heard_ms.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The peer has shown how its packets are written.
    pub(crate) fn speak(&self, wire: Option<Wire>) {
        self.wire.store(wire.map_or(NO_WIRE, |wire| wire as u8), Ordering::Relaxed);
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// What the frame costs until this end has written it.
    pub(crate) fn cost(&self, frame: &Frame) -> usize {
        match self.role {
            Role::Server => frame.cost(),
            Role::Client => frame.cost() + frame.masks(),
        }
    }

    /// Queues a frame of the connection's owner.
    pub(crate) fn send(&self, frame: Frame) -> Result<(), Refused> {
        let cost = self.cost(&frame);
        let mut queue = self.queue();
        if self.role == Role::Client {
            let largest = queue.admitted.ok_or(Refused::Closed)?;
            if !frame.fits(largest) {
                return Err(Refused::TooLarge);
            }
            if frame.leaves().is_some() {
                queue.admitted = None;
            }
        }
        self.push(queue, frame, cost, None)
    }

    /// Queues a frame of the session.
    pub(crate) fn send_own(&self, frame: Frame) {
        let cost = self.cost(&frame);
        // A connection that is ending needs no answer of the protocol any more.
        let _ = self.push(self.queue(), frame, cost, None);
    }

    /// Queues the answer to a WebSocket ping, in place of one that still waits: a peer that sends pings and reads
    /// nothing gets one pong, however many it has asked for.
    pub(crate) fn send_pong(&self, pong: Frame) {
        let cost = self.cost(&pong);
        let mut queue = self.queue();
        if queue.closing.is_some() {
            return;
        }
        self.add(cost);
        if let Some(stale) = queue.rare.get_or_insert_default().pong.replace(pong) {
            self.written(self.cost(&stale));
        }
        self.wake(queue);
    }

    fn send_newest(&self, key: u64, stale: Stale, frame: Frame) -> bool {
        let cost = self.cost(&frame);
        let share = match stale {
            Stale::Passing | Stale::Edge(_) => PASSING_FROM,
            Stale::State => STATES_FROM,
        };
        let queue = self.queue();
        let key = (self.queued_bytes() > self.config.max_queue_bytes / share).then_some((key, stale));
        self.push(queue, frame, cost, key).is_ok()
    }

    /// Queues the frame: at the end, or with a key in the place of one that was queued under the same.
    fn push(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        frame: Frame,
        cost: usize,
        key: Option<(u64, Stale)>,
    ) -> Result<(), Refused> {
        if queue.closing.is_some() {
            return Err(Refused::Closed);
        }
        let (key, stale) = key.unzip();
        let rare = queue.rare.as_ref();
        let waiting = key.and_then(|key| rare?.newest.get(&key).copied());
        if let (Some((at, Stale::Edge(was))), Some(Stale::Edge(is))) = (waiting, stale)
            && was != is
        {
            self.undo(&mut queue, at, key);
            return Ok(());
        }
        let at = waiting.map(|(at, _)| at).or_else(|| {
            stale?;
            queue.rare.as_mut()?.vacant.pop()
        });
        let freed = at.and_then(|at| queue.frames.get(at)).map_or(0, |stale| self.cost(stale));
        // Only the driver subtracts meanwhile, so that the sum can be smaller than computed, never larger.
        if self.queued_bytes().saturating_add(cost) > self.config.max_queue_bytes.saturating_add(freed) {
            queue.closing = Some(CloseReason::SlowReader);
            let waker = queue.waker.take();
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
            return Err(Refused::Closed);
        }
        self.add(cost);
        let place = at.unwrap_or(queue.frames.len());
        match queue.frames.get_mut(place) {
            Some(stale) => {
                *stale = frame;
                self.written(freed);
            }
            None => queue.frames.push_back(frame),
        }
        if let Some((key, stale)) = key.zip(stale) {
            queue.rare.get_or_insert_default().newest.insert(key, (place, stale));
        }
        self.wake(queue);
        Ok(())
    }

    /// What waits there is not sent after all. Its place stays, and is charged as one.
    fn undo(&self, queue: &mut Queue, at: usize, key: Option<u64>) {
        let rare = queue.rare.get_or_insert_default();
        if let Some(key) = key {
            rare.newest.remove(&key);
        }
        rare.vacant.push(at);
        if let Some(waiting) = queue.frames.get_mut(at) {
            self.written(waiting.len());
            *waiting = Frame::nothing();
        }
    }

    /// Wakes the driver, unless the socket takes nothing now: then the socket does.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let waker = if queue.is_blocked { None } else { queue.waker.take() };
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The client is in its namespace: its owner may send messages of so many bytes.
    pub(crate) fn admit(&self, largest: usize) {
        self.queue().admitted = Some(largest);
    }

    pub(crate) fn request_close(&self, reason: CloseReason) {
        let mut queue = self.queue();
        queue.closing.get_or_insert(reason);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The reason for which the connection is to end, if it is. Registers the task to be woken by news.
    pub(crate) fn listen(&self, waker: &Waker) -> Option<CloseReason> {
        let mut queue = self.queue();
        if queue.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
        queue.closing
    }

    /// Takes all queued frames. They count as queued until [`written`](Self::written) is told of what they cost.
    pub(crate) fn take(&self) -> VecDeque<Frame> {
        let mut queue = self.queue();
        let rare = queue.rare.take();
        let mut frames = std::mem::take(&mut queue.frames);
        if let Some(rare) = rare {
            for at in rare.vacant {
                if let Some(nothing) = frames.get(at) {
                    self.written(self.cost(nothing));
                }
            }
            frames.retain(|frame| !frame.is_empty());
            frames.extend(rare.pong);
        }
        frames
    }

    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        self.queue().is_blocked = is_blocked;
    }

    /// Counts a frame that the driver writes without queueing it here.
    pub(crate) fn add(&self, cost: usize) {
        self.queued.fetch_add(cost, Ordering::Relaxed);
        self.config.meter.add(cost);
    }

    /// So much of what was queued is written, or will not be.
    pub(crate) fn written(&self, cost: usize) {
        self.queued.fetch_sub(cost, Ordering::Relaxed);
        self.config.meter.remove(cost);
    }

    /// The end: nothing is queued any more, nobody awaits an answer.
    pub(crate) fn finish(&self, reason: CloseReason) {
        let mut queue = self.queue();
        queue.closing.get_or_insert(reason);
        queue.waker = None;
        let frames = std::mem::take(&mut queue.frames);
        queue.rare = None;
        drop(queue);
        drop(frames);
        let queued = self.queued.swap(0, Ordering::Relaxed);
        self.config.meter.remove(queued);
        let mut answers = self.answers();
        answers.is_over = true;
        let (table, pongs) = (std::mem::take(&mut answers.table), std::mem::take(&mut answers.pongs));
        drop(answers);
        drop((table, pongs));
    }

    fn await_answer(&self, namespace: &str) -> Result<(oneshot::Receiver<Args>, AckId), AckError> {
        let mut answers = self.answers();
        if answers.is_over {
            return Err(AckError::Closed);
        }
        let id = AckId(answers.next);
        if answers.table.len() >= MAX_AWAITED {
            return Err(AckError::TooMany);
        }
        let (sender, receiver) = oneshot::channel();
        answers.table.insert(id, Awaited { namespace: namespace.into(), answer: sender });
        answers.next += 1;
        Ok((receiver, id))
    }

    fn await_pong(&self) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut answers = self.answers();
        if answers.is_over {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let number = answers.next_ping;
        answers.next_ping += 1;
        answers.pongs.insert(number, sender);
        Some((number, receiver))
    }

    /// A WebSocket pong came. It may stand for earlier pings, too: only the newest has to be answered.
    pub(crate) fn ponged(&self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return };
        let mut answers = self.answers();
        let later = answers.pongs.split_off(&number.saturating_add(1));
        let answered = std::mem::replace(&mut answers.pongs, later);
        drop(answers);
        for answer in answered.into_values() {
            // Nobody waits any more where this fails.
            let _ = answer.send(());
        }
    }

    /// Hands an answer to whoever awaits it. An unknown id is ignored: the wait may just have ended.
    pub(crate) fn answer(&self, namespace: &str, id: AckId, args: Args) {
        let mut answers = self.answers();
        if answers.table.get(&id).is_none_or(|awaited| *awaited.namespace != *namespace) {
            return;
        }
        let awaited = answers.table.remove(&id);
        drop(answers);
        if let Some(awaited) = awaited {
            // The receiver is gone when the wait ended this very moment.
            let _ = awaited.answer.send(args);
        }
    }

    /// No answer will come from a namespace that the peer has left; a client has no other to send to.
    pub(crate) fn give_up(&self, namespace: &str) {
        if self.role == Role::Client {
            self.queue().admitted = None;
        }
        self.answers().table.retain(|_, awaited| *awaited.namespace != *namespace);
    }
}
