//! One conversation's subscribers on this node, and what each of them has.
//!
//! What a subscriber has is known by subscriber: whoever is let in first decides nothing for those who come later. The
//! next message goes out to whom it is the next for, an old one is dropped, and what somebody misses is asked for.

use std::collections::HashMap;

use protocol::event::StatusChange;
use protocol::{ConnectionId, Message, MessageId, MessageStatus, Side, limits};
use socketio::{CloseReason, Frame, Outgoing, Stale};
use store::Marks;

use super::typing::Typing;
use super::{Channel, Encoded, Namespace, SubscriberKey};

/// Where a subscriber's frames go.
pub(super) trait Sink {
    /// Sends what has a `seq`, or nothing to do with others.
    fn send(&self, seq: Option<u64>, frame: Frame);
    /// Sends what makes earlier frames about the same stale.
    fn send_newest(&self, about: u64, stale: Stale, frame: Frame);
    /// So much was kept for it that it can't be sent.
    fn overflow(&self);
    /// Ends it; it may come back.
    fn turn_out(&self);
    /// Whether there is room for another page.
    fn has_room(&self) -> bool;
}

impl Sink for Outgoing {
    fn send(&self, _: Option<u64>, frame: Frame) {
        // False is a connection that ends; its own task takes it out of here.
        Outgoing::send(self, frame);
    }

    fn send_newest(&self, about: u64, stale: Stale, frame: Frame) {
        Outgoing::send_newest(self, about, stale, frame);
    }

    fn overflow(&self) {
        self.close(CloseReason::SlowReader);
    }

    fn turn_out(&self) {
        self.close(CloseReason::Server);
    }

    fn has_room(&self) -> bool {
        self.is_closed() || !self.is_half_full()
    }
}

/// What the room needs from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Step {
    Nothing,
    /// Somebody misses messages: those after this `seq`.
    ReadAfter(u64),
}

/// What came of reading what somebody misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Repaired {
    /// Nobody misses anything any more.
    Done,
    /// It helped, and there is more after this `seq`.
    Next(u64),
    /// It helped nobody: what somebody misses after this `seq` is not there to be read.
    Stuck(u64),
}

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// The last message's.
    pub(crate) last_seq: u64,
    /// Up to where the receipts reach.
    pub(crate) marks: Marks,
}

/// Each mark with what it says.
fn places(marks: &mut Marks) -> [(Side, MessageStatus, &mut u64); 4] {
    let Marks { device_read, device_delivered, agent_read, agent_delivered } = marks;
    [
        (Side::User, MessageStatus::Read, device_read),
        (Side::User, MessageStatus::Delivered, device_delivered),
        (Side::Agent, MessageStatus::Read, agent_read),
        (Side::Agent, MessageStatus::Delivered, agent_delivered),
    ]
}

/// Raises what of `marks` is lower than in `others`.
fn raise(marks: &mut Marks, mut others: Marks) {
    for (mine, other) in places(marks).into_iter().zip(places(&mut others)) {
        *mine.2 = (*mine.2).max(*other.2);
    }
}

/// Raises what the receipt says; true if it says anything new.
fn note(marks: &mut Marks, change: &StatusChange) -> bool {
    let mut is_news = false;
    for (by, status, up_to_seq) in places(marks) {
        // What is read is delivered too.
        let is_meant = by == change.by && (status == change.status || change.status == MessageStatus::Read);
        if is_meant && *up_to_seq < change.up_to_seq {
            *up_to_seq = change.up_to_seq;
            is_news |= status == change.status;
        }
    }
    is_news
}

pub(super) struct Room<S> {
    subscribers: HashMap<SubscriberKey, Subscriber<S>>,
    /// The newest `seq` heard of: what everybody here has to reach.
    heard: u64,
    is_repairing: bool,
    /// The newest message that was given to somebody here, or that somebody has read.
    newest: Option<(u64, MessageId)>,
    doubt: Doubt,
    /// Who is shown as typing.
    pub(super) typing: Typing,
}

impl<S> Default for Room<S> {
    fn default() -> Self {
        Self {
            subscribers: HashMap::new(),
            heard: 0,
            is_repairing: false,
            newest: None,
            doubt: Doubt::None,
            typing: Typing::default(),
        }
    }
}

/// Whether what was given here is still there: a database may have lost what it had confirmed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// Something was heard that is older than what was given, or another message in the same place.
    Arisen,
    /// The database is asked.
    Asked,
}

struct Subscriber<S> {
    connection_id: ConnectionId,
    channel: Channel,
    sink: S,
    /// It has all messages up to here, from here or from elsewhere; `None` until it has read its past once.
    has: Option<u64>,
    /// Up to where it was told of receipts.
    marks: Marks,
    held: Option<Held>,
}

/// What comes while a subscriber reads its past.
#[derive(Default)]
struct Held {
    frames: Vec<(Kept, Frame)>,
    bytes: usize,
}

enum Kept {
    /// A message with this `seq`.
    Message(u64),
    Receipt(StatusChange),
    Other,
}

impl<S: Sink> Subscriber<S> {
    /// Takes a message if it is the next one, or keeps it. What does not fit is read again later.
    fn offer(&mut self, seq: u64, frame: impl FnOnce() -> Option<Frame>) {
        if let Some(held) = &mut self.held {
            if self.has.is_some_and(|has| seq <= has) || held.bytes > limits::QUEUE_BYTES / 2 {
                return;
            }
            if let Some(frame) = frame() {
                held.bytes += frame.cost();
                held.frames.push((Kept::Message(seq), frame));
            }
        } else if self.has.is_some_and(|has| has + 1 == seq)
            && let Some(frame) = frame()
        {
            self.has = Some(seq);
            self.sink.send(Some(seq), frame);
        }
    }

    fn tell(&mut self, kept: Kept, (about, stale): (u64, Stale), frame: Frame) {
        match &mut self.held {
            None => self.sink.send_newest(about, stale, frame),
            Some(held) => {
                held.bytes += frame.cost();
                held.frames.push((kept, frame));
                if held.bytes > limits::QUEUE_BYTES {
                    self.sink.overflow();
                }
            }
        }
    }

    /// Sends what was kept, if it is still news; returns whether it was a message.
    fn resume(&mut self, kept: Kept, frame: Frame) {
        match kept {
            Kept::Message(seq) => self.offer(seq, || Some(frame)),
            Kept::Receipt(change) => {
                if note(&mut self.marks, &change) {
                    self.sink.send(None, frame);
                }
            }
            Kept::Other => self.sink.send(None, frame),
        }
    }

    /// What it has, if it is not about to read that.
    fn live(&self) -> Option<u64> {
        self.has.filter(|_| self.held.is_none())
    }
}

impl<S: Sink> Room<S> {
    /// From here on all is kept for this subscriber.
    pub(super) fn hold(
        &mut self,
        key: SubscriberKey,
        connection_id: &ConnectionId,
        channel: Channel,
        sink: S,
    ) {
        let subscriber = self.subscribers.entry(key).or_insert_with(|| Subscriber {
            connection_id: connection_id.clone(),
            channel,
            sink,
            has: None,
            marks: Marks::default(),
            held: None,
        });
        subscriber.held.get_or_insert_default();
    }

    /// The subscriber has read where the conversation stands, and `first` tells it. With `goes_on` it was in the room
    /// before and is given no messages now: it misses none of those that were kept.
    pub(super) fn release(
        &mut self,
        key: SubscriberKey,
        standing: Standing,
        newest: Option<&MessageId>,
        goes_on: bool,
        first: Vec<Frame>,
    ) -> Step {
        self.heard = self.heard.max(standing.last_seq);
        if let Some(id) = newest {
            self.note_newest(standing.last_seq, id);
        }
        let Some(subscriber) = self.subscribers.get_mut(&key) else { return self.missing() };
        let mut held = subscriber.held.take().unwrap_or_default().frames.into_iter().peekable();
        if goes_on {
            let is_before = |kept: &Kept| match kept {
                Kept::Message(seq) => *seq <= standing.last_seq,
                Kept::Receipt(_) | Kept::Other => true,
            };
            while let Some((kept, frame)) = held.next_if(|(kept, _)| is_before(kept)) {
                subscriber.resume(kept, frame);
            }
        } else {
            subscriber.has = Some(standing.last_seq);
            raise(&mut subscriber.marks, standing.marks);
        }
        for frame in first {
            subscriber.sink.send(None, frame);
        }
        for (kept, frame) in held {
            subscriber.resume(kept, frame);
        }
        self.missing()
    }

    /// Takes the subscriber out; true if nobody is left.
    pub(super) fn remove(&mut self, key: SubscriberKey) -> bool {
        self.subscribers.remove(&key);
        self.subscribers.is_empty()
    }

    /// Whether the message is newer than what was heard of.
    pub(super) fn is_news(&self, message: &Message) -> bool {
        message.seq > self.heard
    }

    /// The message is there. One that is older than what was given here, or another in its place, is a reason to doubt:
    /// mostly it is only late.
    fn note_newest(&mut self, seq: u64, id: &MessageId) {
        let is_newer = self.newest.as_ref().is_none_or(|(newest, _)| *newest < seq);
        if is_newer {
            self.newest = Some((seq, id.clone()));
        } else if self.newest.as_ref() != Some(&(seq, id.clone())) {
            self.raise_doubt();
        }
    }

    fn raise_doubt(&mut self) {
        if self.doubt == Doubt::None {
            self.doubt = Doubt::Arisen;
        }
    }

    /// What the database is to be asked for, if there is a doubt that nobody has taken up. From here on it is taken up,
    /// until [`settle_doubt`](Self::settle_doubt).
    pub(super) fn take_doubt(&mut self) -> Option<(u64, MessageId)> {
        if self.doubt != Doubt::Arisen {
            return None;
        }
        self.doubt = if self.newest.is_some() { Doubt::Asked } else { Doubt::None };
        self.newest.clone()
    }

    /// The database has what was given here.
    pub(super) fn settle_doubt(&mut self) {
        self.doubt = Doubt::None;
    }

    /// The newest message that was given here, if any was.
    pub(super) fn newest(&self) -> Option<&(u64, MessageId)> {
        self.newest.as_ref()
    }

    /// Whether anybody here was told where the conversation stands.
    pub(super) fn is_joined(&self) -> bool {
        self.subscribers.values().any(|subscriber| subscriber.has.is_some())
    }

    /// What was given here is no longer there: ends everybody, and tells them why; they come back and find the last message
    /// that is. Whoever comes from here on begins with what there is.
    pub(super) fn turn_out_all(&mut self, why: impl Fn(Channel) -> Option<Frame>) -> usize {
        let gone = std::mem::take(&mut self.subscribers);
        *self = Self::default();
        for subscriber in gone.values() {
            if let Some(why) = why(subscriber.channel) {
                subscriber.sink.send(None, why);
            }
            subscriber.sink.turn_out();
        }
        gone.len()
    }

    /// A message was committed.
    pub(super) fn deliver(&mut self, message: &Message) -> Step {
        self.note_newest(message.seq, &message.id);
        self.heard = self.heard.max(message.seq);
        self.advance(message);
        self.missing()
    }

    /// Messages were read that come after `from`, where somebody stood.
    pub(super) fn repaired(&mut self, from: u64, messages: &[Message]) -> Repaired {
        let before = self.behind();
        for message in messages {
            self.advance(message);
        }
        match messages.last() {
            Some(last) if self.newest.as_ref().is_none_or(|(newest, _)| *newest < last.seq) => {
                self.newest = Some((last.seq, last.id.clone()));
            }
            Some(_) => {}
            None => {
                // Something was heard of that is not there: it was lost again.
                self.heard = from;
                self.raise_doubt();
            }
        }
        match self.behind() {
            None => {
                self.is_repairing = false;
                Repaired::Done
            }
            // Who has come in since with less was not asked for.
            Some(seq) if seq < from || before.is_none_or(|before| before < seq) => Repaired::Next(seq),
            Some(seq) => Repaired::Stuck(seq),
        }
    }

    /// Whether everybody who misses something can take more of it.
    pub(super) fn has_room(&self) -> bool {
        let behind = |subscriber: &&Subscriber<S>| subscriber.live().is_some_and(|has| has < self.heard);
        self.subscribers.values().filter(behind).all(|subscriber| subscriber.sink.has_room())
    }

    /// Offers the message to everybody.
    fn advance(&mut self, message: &Message) {
        let encoded = Encoded::new(message);
        for subscriber in self.subscribers.values_mut() {
            let channel = subscriber.channel;
            subscriber.offer(message.seq, || encoded.frame(channel));
        }
    }

    /// Whether what is committed goes beyond what somebody here has. Who is about to read will have it from there.
    pub(super) fn is_behind(&self, standing: Standing) -> bool {
        self.subscribers.values().any(|subscriber| {
            let Some(has) = subscriber.live() else { return false };
            let (mut told, mut marks) = (subscriber.marks, standing.marks);
            let mut pairs = places(&mut told).into_iter().zip(places(&mut marks));
            has < standing.last_seq || pairs.any(|(told, now)| *told.2 < *now.2)
        })
    }

    /// The conversation has messages up to `last_seq`: reads those that are missing here.
    pub(super) fn expect(&mut self, last_seq: u64) -> Step {
        self.heard = self.heard.max(last_seq);
        self.missing()
    }

    /// The receipts in `marks` that somebody here was not told of.
    pub(super) fn missed_receipts(&self, mut marks: Marks) -> Vec<(Side, MessageStatus, u64)> {
        let mut live: Vec<Marks> = self
            .subscribers
            .values()
            .filter(|subscriber| subscriber.live().is_some())
            .map(|subscriber| subscriber.marks)
            .collect();
        let mut missed = Vec::new();
        for (place, (by, status, up_to_seq)) in places(&mut marks).into_iter().enumerate() {
            if live.iter_mut().any(|told| *places(told)[place].2 < *up_to_seq) {
                missed.push((by, status, *up_to_seq));
            }
        }
        missed
    }

    /// Tells of a receipt whoever has not heard of it.
    pub(super) fn tell_receipt(
        &mut self,
        change: &StatusChange,
        about: u64,
        frame: impl Fn(Channel) -> Option<Frame>,
    ) {
        for subscriber in self.subscribers.values_mut() {
            // What one who reads its past has heard of is known when it has read.
            if subscriber.held.is_none() && !note(&mut subscriber.marks, change) {
                continue;
            }
            if let Some(frame) = frame(subscriber.channel) {
                subscriber.tell(Kept::Receipt(change.clone()), (about, Stale::State), frame);
            }
        }
    }

    /// Whether a device is here.
    pub(super) fn has_devices(&self) -> bool {
        self.subscribers.values().any(|subscriber| subscriber.channel.namespace == Namespace::Client)
    }

    /// Ends the devices' connections, and tells them why.
    pub(super) fn turn_out_devices(&mut self, why: impl Fn(Channel) -> Option<Frame>) {
        let is_device =
            |_: &SubscriberKey, gone: &mut Subscriber<S>| gone.channel.namespace == Namespace::Client;
        for (_, gone) in self.subscribers.extract_if(is_device) {
            if let Some(why) = why(gone.channel) {
                gone.sink.send(None, why);
            }
            gone.sink.turn_out();
        }
    }

    /// The lowest `seq` that somebody has who misses something.
    fn behind(&self) -> Option<u64> {
        self.subscribers.values().filter_map(Subscriber::live).min().filter(|has| *has < self.heard)
    }

    fn missing(&mut self) -> Step {
        match self.behind() {
            Some(has) if !self.is_repairing => {
                self.is_repairing = true;
                Step::ReadAfter(has)
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
        frame: impl Fn(Channel) -> Option<Frame>,
    ) {
        for subscriber in self.subscribers.values_mut() {
            if except == Some(&subscriber.connection_id) {
                continue;
            }
            if let Some(frame) = frame(subscriber.channel) {
                subscriber.tell(Kept::Other, about, frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::rc::Rc;

    use proptest::prelude::*;
    use protocol::{ConversationId, Timestamp};

    use super::*;

    const CLIENT: Channel =
        Channel { namespace: Namespace::Client, wire: super::super::Wire::SocketIo(socketio::Wire::Json) };

    /// What a subscriber was sent, by `seq`.
    #[derive(Clone, Default)]
    struct Got {
        seqs: Rc<RefCell<Vec<u64>>>,
        receipts: Rc<Cell<usize>>,
    }

    impl Sink for Got {
        fn send(&self, seq: Option<u64>, _: Frame) {
            match seq {
                Some(seq) => self.seqs.borrow_mut().push(seq),
                None => self.receipts.set(self.receipts.get() + 1),
            }
        }

        fn send_newest(&self, _: u64, _: Stale, _: Frame) {
            self.receipts.set(self.receipts.get() + 1);
        }

        fn overflow(&self) {
            panic!("nothing here is large");
        }

        fn turn_out(&self) {}

        fn has_room(&self) -> bool {
            true
        }
    }

    fn message(seq: u64) -> Message {
        Message {
            id: format!("msg_{seq}").into(),
            local_id: seq.to_string().into(),
            conversation_id: "conv_1".into(),
            seq,
            body: "x".into(),
            sender: protocol::Sender::User,
            sender_name: None,
            sender_id: None,
            created_at: Timestamp::from_epoch_ms(0),
            status: MessageStatus::Sent,
        }
    }

    /// A join as it is under way: held, then what it has read of the database, then released.
    struct Joining {
        key: SubscriberKey,
        got: Got,
        read: Option<u64>,
    }

    /// What happens next, in whatever order.
    #[derive(Clone, Debug)]
    enum Happening {
        Hold,
        /// One of those who are held reads where the conversation stands.
        Read(usize),
        /// One of those who have read is let in.
        Release(usize),
        Commit,
        /// The bus brings one of what it has, or brings it again.
        Announce(usize),
        /// The bus loses one.
        Lose(usize),
        /// The database answers to what the room has asked for.
        Repair,
        Leave(usize),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            2 => Just(Happening::Hold),
            2 => any::<usize>().prop_map(Happening::Read),
            2 => any::<usize>().prop_map(Happening::Release),
            3 => Just(Happening::Commit),
            3 => any::<usize>().prop_map(Happening::Announce),
            1 => any::<usize>().prop_map(Happening::Lose),
            2 => Just(Happening::Repair),
            1 => any::<usize>().prop_map(Happening::Leave),
        ]
    }

    /// A node: its room, and what the bus has for it.
    #[derive(Default)]
    struct Node {
        room: Room<Got>,
        bus: Vec<u64>,
        joining: Vec<Joining>,
        /// Those who are in, with the cursor that they came with.
        inside: Vec<(SubscriberKey, u64, Got)>,
        asked: VecDeque<u64>,
        next_key: SubscriberKey,
    }

    impl Node {
        fn ask(&mut self, step: Step) {
            if let Step::ReadAfter(seq) = step {
                self.asked.push_back(seq);
            }
        }

        fn happen(&mut self, happening: &Happening, committed: u64) {
            let pick = |number: usize, count: usize| (count > 0).then(|| number % count);
            match *happening {
                Happening::Hold => {
                    self.next_key += 1;
                    let (key, got) = (self.next_key, Got::default());
                    let connection_id = ConnectionId::from(format!("conn_{key}"));
                    self.room.hold(key, &connection_id, CLIENT, got.clone());
                    self.joining.push(Joining { key, got, read: None });
                }
                Happening::Read(number) => {
                    if let Some(at) = pick(number, self.joining.len()) {
                        self.joining[at].read.get_or_insert(committed);
                    }
                }
                Happening::Release(number) => {
                    let Some(at) = pick(number, self.joining.len()) else { return };
                    if let Some(last_seq) = self.joining[at].read {
                        let Joining { key, got, .. } = self.joining.swap_remove(at);
                        let standing = Standing { last_seq, ..Standing::default() };
                        let step = self.room.release(key, standing, None, false, Vec::new());
                        self.ask(step);
                        self.inside.push((key, last_seq, got));
                    }
                }
                Happening::Announce(number) => {
                    if let Some(at) = pick(number, self.bus.len()) {
                        // In any order, and every third one again later.
                        let seq = if number % 3 == 0 { self.bus[at] } else { self.bus.remove(at) };
                        let step = self.room.deliver(&message(seq));
                        self.ask(step);
                    }
                }
                Happening::Lose(number) => {
                    if let Some(at) = pick(number, self.bus.len()) {
                        self.bus.remove(at);
                    }
                }
                Happening::Repair => {
                    let Some(seq) = self.asked.pop_front() else { return };
                    // Pages of two, so that there are several.
                    let page: Vec<_> = (seq + 1..=committed).take(2).map(message).collect();
                    match self.room.repaired(seq, &page) {
                        Repaired::Done => {}
                        Repaired::Next(seq) | Repaired::Stuck(seq) => self.asked.push_back(seq),
                    }
                }
                Happening::Leave(number) => {
                    if let Some(at) = pick(number, self.inside.len()) {
                        let (key, ..) = self.inside.swap_remove(at);
                        self.room.remove(key);
                    }
                }
                Happening::Commit => {}
            }
        }

        /// Everybody comes in, the look tells how the conversation stands, and the database answers.
        fn settle(&mut self, committed: u64) {
            while !self.joining.is_empty() {
                self.happen(&Happening::Read(0), committed);
                self.happen(&Happening::Release(0), committed);
            }
            let step = self.room.expect(committed);
            self.ask(step);
            for _ in 0..=2 * committed + 4 {
                self.happen(&Happening::Repair, committed);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// However joins, commits, reads and a late or lossy bus come upon each other, on two nodes: everybody gets
        /// what follows their own cursor, in order, each once.
        #[test]
        fn everybody_gets_what_follows_their_own_cursor(
            happenings in prop::collection::vec((any::<bool>(), happening()), 0..60),
        ) {
            let (mut nodes, mut committed) = ([Node::default(), Node::default()], 3);
            for (at, happening) in &happenings {
                if matches!(happening, Happening::Commit) {
                    committed += 1;
                    for node in &mut nodes {
                        node.bus.push(committed);
                    }
                } else {
                    nodes[usize::from(*at)].happen(happening, committed);
                }
            }
            for node in &mut nodes {
                node.settle(committed);
                for (key, cursor, got) in &node.inside {
                    let expected: Vec<_> = (cursor + 1..=committed).collect();
                    prop_assert_eq!(&*got.seqs.borrow(), &expected, "subscriber {} from {}", key, cursor);
                }
            }
        }
    }

    fn join(room: &mut Room<Got>, key: SubscriberKey, standing: Standing) -> Got {
        let got = Got::default();
        room.hold(key, &"conn_1".into(), CLIENT, got.clone());
        let _ = room.release(key, standing, None, false, Vec::new());
        got
    }

    #[test]
    fn who_is_let_in_first_does_not_decide_for_who_read_before() {
        let mut room = Room::default();
        let got = Got::default();
        room.hold(1, &"conn_1".into(), CLIENT, got.clone());
        // It reads 5; then 6 and 7 are committed, another one reads 7 and is let in first; the bus is late.
        join(&mut room, 2, Standing { last_seq: 7, ..Standing::default() });
        let step = room.release(1, Standing { last_seq: 5, ..Standing::default() }, None, false, Vec::new());
        assert_eq!(step, Step::ReadAfter(5));
        assert_eq!(room.repaired(5, &[message(6), message(7)]), Repaired::Done);
        assert_eq!(*got.seqs.borrow(), [6, 7]);
    }

    #[test]
    fn a_hole_that_is_one_stops_nobody_else_and_is_told_as_such() {
        let mut room = Room::default();
        let before = join(&mut room, 1, Standing { last_seq: 1, ..Standing::default() });
        let after = join(&mut room, 2, Standing { last_seq: 3, ..Standing::default() });
        // Number 2 is nowhere.
        assert_eq!(room.repaired(1, &[message(3)]), Repaired::Stuck(1));
        let _ = room.deliver(&message(4));
        assert_eq!((before.seqs.borrow().len(), &**after.seqs.borrow()), (0, [4].as_slice()));
    }

    #[test]
    fn what_does_not_fit_what_was_given_is_a_reason_to_ask_and_what_is_only_late_settles_it() {
        let newest = |seq: u64| Some((seq, MessageId::from(format!("msg_{seq}"))));
        let mut room = Room::default();
        join(&mut room, 1, Standing::default());
        for seq in 1..=3 {
            let _ = room.deliver(&message(seq));
        }
        let _ = room.deliver(&message(3));
        assert_eq!(room.take_doubt(), None, "the same once more is no reason");
        let another = Message { id: "msg_of_another_past".into(), ..message(3) };
        for odd in [another, message(2)] {
            let _ = room.deliver(&odd);
            assert_eq!(room.take_doubt(), newest(3));
            let _ = room.deliver(&odd);
            assert_eq!(room.take_doubt(), None, "it is asked already");
            room.settle_doubt();
        }
        // Who comes has read less than was given here.
        room.hold(2, &"conn_2".into(), CLIENT, Got::default());
        let standing = Standing { last_seq: 2, ..Standing::default() };
        let _ = room.release(2, standing, Some(&message(2).id), false, Vec::new());
        assert_eq!(room.take_doubt(), newest(3));
    }

    #[test]
    fn what_was_heard_of_and_is_not_there_is_not_waited_for() {
        let mut room = Room::default();
        let got = join(&mut room, 1, Standing { last_seq: 1, ..Standing::default() });
        let _ = room.deliver(&message(3));
        assert_eq!(room.repaired(1, &[]), Repaired::Done, "2 and 3 are lost");
        assert_eq!(room.take_doubt(), Some((3, message(3).id)));
        let _ = room.deliver(&message(2));
        assert_eq!(*got.seqs.borrow(), [2]);
    }

    #[test]
    fn receipts_are_told_to_whoever_has_not_heard_of_them_and_to_nobody_twice() {
        let mut room = Room::default();
        let read = |seq| StatusChange {
            conversation_id: ConversationId::from("conv_1"),
            up_to_seq: seq,
            status: MessageStatus::Read,
            by: Side::Agent,
            at: Timestamp::from_epoch_ms(0),
        };
        let standing = |agent_read| Standing {
            last_seq: 9,
            marks: Marks { agent_read, agent_delivered: agent_read, ..Marks::default() },
        };
        let frame = |channel: Channel| Frame::event(channel.namespace.path(), "message:status", &1).ok();
        let (early, late) = (join(&mut room, 1, standing(5)), join(&mut room, 2, standing(7)));
        // The bus has lost 7. The one who has it from the database does not stand for the other.
        assert!(room.is_behind(standing(7)));
        assert_eq!(
            room.missed_receipts(standing(7).marks),
            [(Side::Agent, MessageStatus::Read, 7), (Side::Agent, MessageStatus::Delivered, 7)]
        );
        room.tell_receipt(&read(7), 1, frame);
        assert!(!room.is_behind(standing(7)));
        assert_eq!((early.receipts.get(), late.receipts.get()), (1, 0));
        // It comes late all the same, and an older one after it.
        room.tell_receipt(&read(7), 1, frame);
        room.tell_receipt(&read(6), 1, frame);
        assert_eq!((early.receipts.get(), late.receipts.get()), (1, 0));
    }
}
