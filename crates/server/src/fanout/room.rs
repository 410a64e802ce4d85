//! One conversation's subscribers on this node, and the last `seq` they got.

use std::collections::HashMap;

use protocol::event::StatusChange;
use protocol::{ConnectionId, Message, MessageStatus, Side, limits};
use socketio::{CloseReason, Frame, Outgoing, Stale};
use store::Marks;

use super::{Encoded, Namespace, Peer, SubscriberKey};

/// What the room needs from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Step {
    Nothing,
    /// It misses messages: those after this `seq`.
    ReadAfter(u64),
}

/// Each mark with what it says.
fn places(marks: &mut Marks) -> [(Side, MessageStatus, &mut u64); 4] {
    [
        (Side::User, MessageStatus::Read, &mut marks.device_read),
        (Side::User, MessageStatus::Delivered, &mut marks.device_delivered),
        (Side::Agent, MessageStatus::Read, &mut marks.agent_read),
        (Side::Agent, MessageStatus::Delivered, &mut marks.agent_delivered),
    ]
}

/// Messages kept while the room's first subscriber reads where the conversation stands. More are not kept: the room
/// finds the gap and reads it.
const EARLY: usize = 64;

#[derive(Default)]
pub(super) struct Room {
    subscribers: HashMap<SubscriberKey, Subscriber>,
    /// The last `seq` delivered; `None` until the first subscriber has read where the conversation stands.
    delivered: Option<u64>,
    early: Vec<Message>,
    /// The newest `seq` heard of: what a repair has to reach.
    heard: u64,
    is_repairing: bool,
    /// Up to where each side's receipts were told of.
    marks: Marks,
}

struct Subscriber {
    connection_id: ConnectionId,
    namespace: Namespace,
    outgoing: Outgoing,
    /// It has all up to here from elsewhere.
    from_seq: u64,
    held: Option<Held>,
}

/// Frames kept while a subscriber reads its past, with their `seq` if they have one.
#[derive(Default)]
struct Held {
    frames: Vec<(Option<u64>, Frame)>,
    bytes: usize,
}

impl Subscriber {
    fn send(&mut self, seq: Option<u64>, frame: Frame) {
        if seq.is_some_and(|seq| seq <= self.from_seq) {
            return;
        }
        match &mut self.held {
            Some(held) => {
                held.bytes += frame.cost();
                held.frames.push((seq, frame));
                if held.bytes > limits::QUEUE_BYTES {
                    self.outgoing.close(CloseReason::SlowReader);
                }
            }
            // False is a connection that ends; its own task takes it out of here.
            None => drop(self.outgoing.send(frame)),
        }
    }

    /// Sends what makes earlier frames about the same stale.
    fn send_newest(&mut self, (about, stale): (u64, Stale), frame: Frame) {
        match self.held {
            Some(_) => self.send(None, frame),
            None => drop(self.outgoing.send_newest(about, stale, frame)),
        }
    }
}

impl Room {
    pub(super) fn hold(&mut self, peer: &Peer) {
        let subscriber = self.subscribers.entry(peer.key).or_insert_with(|| Subscriber {
            connection_id: peer.connection_id.clone(),
            namespace: peer.namespace,
            outgoing: peer.outgoing.clone(),
            from_seq: 0,
            held: None,
        });
        subscriber.held.get_or_insert_default();
    }

    /// `goes_on` is for one who was in the room before and is given no messages now: it misses none of those that
    /// were kept.
    pub(super) fn release(
        &mut self,
        key: SubscriberKey,
        last_seq: u64,
        marks: Marks,
        goes_on: bool,
        first: Vec<Frame>,
    ) -> Step {
        let step = self.begin_at(last_seq, marks);
        if let Some(subscriber) = self.subscribers.get_mut(&key) {
            let mut held = subscriber.held.take().unwrap_or_default().frames.into_iter().peekable();
            if goes_on {
                while let Some((seq, frame)) = held.next_if(|(seq, _)| seq.is_none_or(|seq| seq <= last_seq))
                {
                    subscriber.send(seq, frame);
                }
            } else {
                subscriber.from_seq = last_seq;
            }
            for frame in first {
                subscriber.outgoing.send(frame);
            }
            for (seq, frame) in held {
                subscriber.send(seq, frame);
            }
        }
        step
    }

    /// Where the conversation stood, as the first subscriber read it.
    fn begin_at(&mut self, last_seq: u64, marks: Marks) -> Step {
        if self.delivered.is_some() {
            return Step::Nothing;
        }
        self.delivered = Some(last_seq);
        for (mine, read) in places(&mut self.marks).into_iter().zip(places(&mut marks.clone())) {
            *mine.2 = (*mine.2).max(*read.2);
        }
        for message in std::mem::take(&mut self.early) {
            self.advance(&message);
        }
        self.missing()
    }

    /// Takes the subscriber out; true if nobody is left.
    pub(super) fn remove(&mut self, key: SubscriberKey) -> bool {
        self.subscribers.remove(&key);
        self.subscribers.is_empty()
    }

    /// A message was committed.
    pub(super) fn deliver(&mut self, message: &Message) -> Step {
        self.heard = self.heard.max(message.seq);
        if self.delivered.is_none() {
            if self.early.len() < EARLY {
                self.early.push(message.clone());
            }
            return Step::Nothing;
        }
        self.advance(message);
        self.missing()
    }

    /// Messages were read from where the last one stood; empty if that failed.
    pub(super) fn repaired(&mut self, messages: &[Message]) -> Step {
        self.is_repairing = false;
        for message in messages {
            self.advance(message);
        }
        if messages.is_empty() { Step::Nothing } else { self.missing() }
    }

    /// Sends the message out if it is the next one.
    fn advance(&mut self, message: &Message) {
        if self.delivered.is_none_or(|delivered| message.seq != delivered + 1) {
            return;
        }
        self.delivered = Some(message.seq);
        let encoded = Encoded::new(message);
        for subscriber in self.subscribers.values_mut() {
            if let Some(frame) = encoded.frame(subscriber.namespace) {
                subscriber.send(Some(message.seq), frame);
            }
        }
    }

    /// Whether what is committed goes beyond what was delivered here. A room without a beginning is about to read.
    pub(super) fn is_behind(&self, last_seq: u64, marks: Marks) -> bool {
        self.delivered.is_some_and(|delivered| delivered < last_seq)
            || !self.missed_receipts(marks).is_empty()
    }

    /// The conversation has messages up to `last_seq`: reads those that are missing here.
    pub(super) fn expect(&mut self, last_seq: u64) -> Step {
        self.heard = self.heard.max(last_seq);
        self.missing()
    }

    /// The receipts in `marks` that nobody here was told of.
    pub(super) fn missed_receipts(&self, marks: Marks) -> Vec<(Side, MessageStatus, u64)> {
        if self.delivered.is_none() {
            return Vec::new();
        }
        let (mut told, mut marks) = (self.marks, marks);
        let pairs = places(&mut told).into_iter().zip(places(&mut marks));
        let missed = pairs.filter(|(told, now)| *told.2 < *now.2);
        missed.map(|(_, (by, status, up_to_seq))| (by, status, *up_to_seq)).collect()
    }

    /// A receipt is told of here.
    pub(super) fn note_receipt(&mut self, change: &StatusChange) {
        for (by, status, up_to_seq) in places(&mut self.marks) {
            // What is read is delivered too.
            let is_meant =
                by == change.by && (status == change.status || change.status == MessageStatus::Read);
            if is_meant {
                *up_to_seq = (*up_to_seq).max(change.up_to_seq);
            }
        }
    }

    fn missing(&mut self) -> Step {
        match self.delivered {
            Some(delivered) if delivered < self.heard && !self.is_repairing => {
                self.is_repairing = true;
                Step::ReadAfter(delivered)
            }
            _ => Step::Nothing,
        }
    }

    /// Sends something that has no `seq` to those for whom there is a frame; `except` is left out. `about` says what it is
    /// the newest of.
    pub(super) fn broadcast(
        &mut self,
        except: Option<&ConnectionId>,
        about: (u64, Stale),
        frame: impl Fn(Namespace) -> Option<Frame>,
    ) {
        for subscriber in self.subscribers.values_mut() {
            if except == Some(&subscriber.connection_id) {
                continue;
            }
            if let Some(frame) = frame(subscriber.namespace) {
                subscriber.send_newest(about, frame);
            }
        }
    }
}
