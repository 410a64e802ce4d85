//! One conversation's subscribers on this node, and what each of them has.
//!
//! What a subscriber has is known by subscriber: whoever is let in first decides nothing for those who come later. The
//! next message goes out to whom it is the next for, an old one is dropped, and what somebody misses is asked for. What
//! happens beside the messages is a stream of its own, in the same manner, which devices are no part of.

use std::collections::HashMap;

use protocol::event::{Named, StatusChange};
use protocol::{Activity, ConnectionId, Message, MessageId, MessageStatus, Side, Timestamp, limits};
use serde::Serialize;
use socketio::{CloseReason, Frame, Outgoing, Stale};
use store::Marks;

use super::typing::Typing;
use super::{Channel, Encoded, Namespace, SubscriberKey};

/// Where a subscriber's frames go.
pub(super) trait Sink {
    /// Sends what has a place in a stream, or nothing to do with others.
    fn send(&self, place: Option<(Stream, u64)>, frame: Frame);
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
    fn send(&self, _: Option<(Stream, u64)>, frame: Frame) {
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

/// What has an order of its own in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    /// The messages, by `seq`.
    Messages,
    /// What happened beside them, by `n`. No device is part of it.
    Activity,
}

impl Stream {
    pub(super) const ALL: [Self; 2] = [Self::Messages, Self::Activity];
}

/// Something for each stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Both<T> {
    pub(crate) messages: T,
    pub(crate) activity: T,
}

impl<T> std::ops::Index<Stream> for Both<T> {
    type Output = T;

    fn index(&self, stream: Stream) -> &T {
        match stream {
            Stream::Messages => &self.messages,
            Stream::Activity => &self.activity,
        }
    }
}

impl<T> std::ops::IndexMut<Stream> for Both<T> {
    fn index_mut(&mut self, stream: Stream) -> &mut T {
        match stream {
            Stream::Messages => &mut self.messages,
            Stream::Activity => &mut self.activity,
        }
    }
}

/// One thing of a stream.
pub(super) trait Numbered: Serialize + Named {
    const STREAM: Stream;

    /// Its place there.
    fn number(&self) -> u64;

    /// What tells it from any other that could stand in its place.
    fn mark(&self) -> Mark;
}

impl Numbered for Message {
    const STREAM: Stream = Stream::Messages;

    fn number(&self) -> u64 {
        self.seq
    }

    fn mark(&self) -> Mark {
        Mark::Message(self.id.clone())
    }
}

impl Numbered for Activity {
    const STREAM: Stream = Stream::Activity;

    fn number(&self) -> u64 {
        self.n
    }

    fn mark(&self) -> Mark {
        Mark::Activity(self.at)
    }
}

/// What tells one thing from another that has its number: a database that went back in time gives numbers again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A message's id.
    Message(MessageId),
    /// When something happened.
    Activity(Timestamp),
}

/// The newest of each stream that was given to somebody, by number.
pub(super) type Newest = Both<Option<(u64, Mark)>>;

/// What the room needs from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Step {
    Nothing,
    /// Somebody misses what comes after this number.
    ReadAfter(Stream, u64),
}

/// What came of reading what somebody misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Repaired {
    /// Nobody misses anything any more.
    Done,
    /// It helped, and there is more after this number.
    Next(u64),
    /// It helped nobody: what somebody misses after this number is not there to be read.
    Stuck(u64),
}

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// The number of the last of each stream.
    pub(crate) last: Both<u64>,
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
    /// The newest heard of: what everybody here has to reach who is part of the stream.
    heard: Both<u64>,
    is_repairing: Both<bool>,
    /// The newest that was given to somebody here, or that somebody has read.
    newest: Newest,
    doubt: Doubt,
    /// Who is shown as typing.
    pub(super) typing: Typing,
}

impl<S> Default for Room<S> {
    fn default() -> Self {
        Self {
            subscribers: HashMap::new(),
            heard: Both::default(),
            is_repairing: Both::default(),
            newest: Newest::default(),
            doubt: Doubt::None,
            typing: Typing::default(),
        }
    }
}

/// Whether what was given here is still there: a database may have lost what it had confirmed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// Something was heard that is older than what was given, or another in the same place.
    Arisen,
    /// The database is asked.
    Asked,
}

struct Subscriber<S> {
    connection_id: ConnectionId,
    channel: Channel,
    sink: S,
    /// It has all up to here, from here or from elsewhere; `None` until it has read its past once, and for ever of a stream that
    /// it is no part of.
    has: Both<Option<u64>>,
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
    /// What has this place.
    Numbered(Stream, u64),
    Receipt(StatusChange),
    Other,
}

impl<S: Sink> Subscriber<S> {
    /// Whether it is part of a stream: devices have nothing to do with what happens among agents.
    fn hears(&self, stream: Stream) -> bool {
        match stream {
            Stream::Messages => true,
            Stream::Activity => self.channel.namespace == Namespace::Admin,
        }
    }

    /// Takes what is the next of its stream, or keeps it. What does not fit is read again later.
    fn offer(&mut self, stream: Stream, number: u64, frame: impl FnOnce() -> Option<Frame>) {
        if !self.hears(stream) {
            return;
        }
        let has = self.has[stream];
        if let Some(held) = &mut self.held {
            if has.is_some_and(|has| number <= has) || held.bytes > limits::QUEUE_BYTES / 2 {
                return;
            }
            if let Some(frame) = frame() {
                held.bytes += frame.cost();
                held.frames.push((Kept::Numbered(stream, number), frame));
            }
        } else if has.is_some_and(|has| has + 1 == number)
            && let Some(frame) = frame()
        {
            self.has[stream] = Some(number);
            self.sink.send(Some((stream, number)), frame);
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

    /// Sends what was kept, if it is still news.
    fn resume(&mut self, kept: Kept, frame: Frame) {
        match kept {
            Kept::Numbered(stream, number) => self.offer(stream, number, || Some(frame)),
            Kept::Receipt(change) => {
                if note(&mut self.marks, &change) {
                    self.sink.send(None, frame);
                }
            }
            Kept::Other => self.sink.send(None, frame),
        }
    }

    /// What it has of a stream that it is part of, if it is not about to read that.
    fn live(&self, stream: Stream) -> Option<u64> {
        self.has[stream].filter(|_| self.held.is_none())
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
            has: Both::default(),
            marks: Marks::default(),
            held: None,
        });
        subscriber.held.get_or_insert_default();
    }

    /// The subscriber has read where the conversation stands, and `first` tells it. A stream `goes_on` of which it was part
    /// before and is given nothing now: it misses nothing of what was kept.
    pub(super) fn release(
        &mut self,
        key: SubscriberKey,
        standing: Standing,
        newest: Option<&MessageId>,
        goes_on: Both<bool>,
        first: Vec<Frame>,
    ) -> [Step; 2] {
        for stream in Stream::ALL {
            self.heard[stream] = self.heard[stream].max(standing.last[stream]);
        }
        if let Some(id) = newest {
            self.note_newest(Stream::Messages, standing.last.messages, Mark::Message(id.clone()));
        }
        // Of what happened, the row says only how much: less than was given here is a reason to ask.
        if self.newest.activity.as_ref().is_some_and(|(given, _)| standing.last.activity < *given) {
            self.raise_doubt();
        }
        let Some(subscriber) = self.subscribers.get_mut(&key) else { return self.missing() };
        let held = subscriber.held.take().unwrap_or_default().frames;
        for stream in Stream::ALL {
            if !goes_on[stream] && subscriber.hears(stream) {
                subscriber.has[stream] = Some(standing.last[stream]);
            }
        }
        if !goes_on.messages {
            raise(&mut subscriber.marks, standing.marks);
        }
        // What it is told first says up to where it has all: that much comes before.
        let mut is_past = !(goes_on.messages && goes_on.activity);
        let mut later = Vec::new();
        for (kept, frame) in held {
            let is_before = match &kept {
                Kept::Numbered(stream, number) => goes_on[*stream] && *number <= standing.last[*stream],
                Kept::Receipt(_) | Kept::Other => !is_past,
            };
            if is_before {
                subscriber.resume(kept, frame);
            } else {
                is_past = true;
                later.push((kept, frame));
            }
        }
        for frame in first {
            subscriber.sink.send(None, frame);
        }
        for (kept, frame) in later {
            subscriber.resume(kept, frame);
        }
        self.missing()
    }

    /// The subscriber could not read where the conversation stands, and goes on as it was.
    pub(super) fn go_on(&mut self, key: SubscriberKey) -> [Step; 2] {
        if let Some(subscriber) = self.subscribers.get_mut(&key) {
            for (kept, frame) in subscriber.held.take().unwrap_or_default().frames {
                subscriber.resume(kept, frame);
            }
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
        message.seq > self.heard.messages
    }

    /// It is there. What is older than what was given here, or another in its place, is a reason to doubt: mostly it is only
    /// late.
    fn note_newest(&mut self, stream: Stream, number: u64, mark: Mark) {
        let newest = &mut self.newest[stream];
        if newest.as_ref().is_none_or(|(newest, _)| *newest < number) {
            *newest = Some((number, mark));
        } else if *newest != Some((number, mark)) {
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
    pub(super) fn take_doubt(&mut self) -> Option<Newest> {
        if self.doubt != Doubt::Arisen {
            return None;
        }
        let is_given = self.newest != Newest::default();
        self.doubt = if is_given { Doubt::Asked } else { Doubt::None };
        is_given.then(|| self.newest.clone())
    }

    /// The database has what was given here.
    pub(super) fn settle_doubt(&mut self) {
        self.doubt = Doubt::None;
    }

    /// The newest that was given here, if anything was.
    pub(super) fn newest(&self) -> Newest {
        self.newest.clone()
    }

    /// Whether anybody here was told where the conversation stands.
    pub(super) fn is_joined(&self) -> bool {
        self.subscribers.values().any(|subscriber| subscriber.has.messages.is_some())
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

    /// Something was committed.
    pub(super) fn deliver<T: Numbered>(&mut self, item: &T) -> Step {
        self.note_newest(T::STREAM, item.number(), item.mark());
        self.heard[T::STREAM] = self.heard[T::STREAM].max(item.number());
        self.advance(item);
        self.missing_of(T::STREAM)
    }

    /// What comes after `from` was read, where somebody stood.
    pub(super) fn repaired<T: Numbered>(&mut self, from: u64, items: &[T]) -> Repaired {
        let stream = T::STREAM;
        let before = self.behind(stream);
        for item in items {
            self.advance(item);
        }
        match items.last() {
            Some(last) if self.newest[stream].as_ref().is_none_or(|(newest, _)| *newest < last.number()) => {
                self.newest[stream] = Some((last.number(), last.mark()));
            }
            Some(_) => {}
            None => {
                // Something was heard of that is not there: it was lost again.
                self.heard[stream] = from;
                self.raise_doubt();
            }
        }
        match self.behind(stream) {
            None => {
                self.is_repairing[stream] = false;
                Repaired::Done
            }
            // Who has come in since with less was not asked for.
            Some(seq) if seq < from || before.is_none_or(|before| before < seq) => Repaired::Next(seq),
            Some(seq) => Repaired::Stuck(seq),
        }
    }

    /// Whether everybody who misses something can take more of it.
    pub(super) fn has_room(&self) -> bool {
        let is_behind = |subscriber: &&Subscriber<S>| {
            Stream::ALL
                .into_iter()
                .any(|stream| subscriber.live(stream).is_some_and(|has| has < self.heard[stream]))
        };
        self.subscribers.values().filter(is_behind).all(|subscriber| subscriber.sink.has_room())
    }

    /// Offers it to everybody who is part of its stream.
    fn advance<T: Numbered>(&mut self, item: &T) {
        let encoded = Encoded::new(item);
        for subscriber in self.subscribers.values_mut() {
            let channel = subscriber.channel;
            subscriber.offer(T::STREAM, item.number(), || encoded.frame(channel));
        }
    }

    /// Whether what is committed goes beyond what somebody here has. Who is about to read will have it from there.
    pub(super) fn is_behind(&self, standing: Standing) -> bool {
        self.subscribers.values().any(|subscriber| {
            let Standing { last, mut marks } = standing;
            let mut told = subscriber.marks;
            let mut pairs = places(&mut told).into_iter().zip(places(&mut marks));
            let lacks = |stream| subscriber.live(stream).is_some_and(|has| has < last[stream]);
            Stream::ALL.into_iter().any(lacks)
                || (subscriber.live(Stream::Messages).is_some() && pairs.any(|(told, now)| *told.2 < *now.2))
        })
    }

    /// The conversation has so much of each stream: reads what is missing here.
    pub(super) fn expect(&mut self, last: Both<u64>) -> [Step; 2] {
        for stream in Stream::ALL {
            self.heard[stream] = self.heard[stream].max(last[stream]);
        }
        self.missing()
    }

    /// The receipts in `marks` that somebody here was not told of.
    pub(super) fn missed_receipts(&self, mut marks: Marks) -> Vec<(Side, MessageStatus, u64)> {
        let mut live: Vec<Marks> = self
            .subscribers
            .values()
            .filter(|subscriber| subscriber.live(Stream::Messages).is_some())
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

    /// The lowest number that somebody has who misses something of the stream.
    fn behind(&self, stream: Stream) -> Option<u64> {
        let live = self.subscribers.values().filter_map(|subscriber| subscriber.live(stream));
        live.min().filter(|has| *has < self.heard[stream])
    }

    fn missing(&mut self) -> [Step; 2] {
        Stream::ALL.map(|stream| self.missing_of(stream))
    }

    fn missing_of(&mut self, stream: Stream) -> Step {
        match self.behind(stream) {
            Some(has) if !self.is_repairing[stream] => {
                self.is_repairing[stream] = true;
                Step::ReadAfter(stream, has)
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

    const ADMIN: Channel = Channel { namespace: Namespace::Admin, ..CLIENT };

    /// What a subscriber was sent, by number.
    #[derive(Clone, Default)]
    struct Got {
        seqs: Rc<RefCell<Vec<u64>>>,
        activity: Rc<RefCell<Vec<u64>>>,
        receipts: Rc<Cell<usize>>,
    }

    impl Sink for Got {
        fn send(&self, place: Option<(Stream, u64)>, _: Frame) {
            match place {
                Some((Stream::Messages, seq)) => self.seqs.borrow_mut().push(seq),
                Some((Stream::Activity, n)) => self.activity.borrow_mut().push(n),
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

    fn activity(n: u64) -> Activity {
        Activity {
            conversation_id: "conv_1".into(),
            n,
            kind: protocol::ActivityKind::Note,
            at: Timestamp::from_epoch_ms(n as i64),
            by: None,
            to: None,
            body: Some("x".to_owned()),
            local_id: None,
        }
    }

    /// A conversation that has messages up to a number, and in which nothing else has happened.
    fn standing(last_seq: u64) -> Standing {
        Standing { last: Both { messages: last_seq, activity: 0 }, ..Standing::default() }
    }

    /// Everything is given anew.
    const ANEW: Both<bool> = Both { messages: false, activity: false };

    /// A join as it is under way: held, then what it has read of the database, then released.
    struct Joining {
        key: SubscriberKey,
        is_agent: bool,
        got: Got,
        read: Option<Both<u64>>,
    }

    /// What happens next, in whatever order.
    #[derive(Clone, Debug)]
    enum Happening {
        Hold(bool),
        /// One of those who are held reads where the conversation stands.
        Read(usize),
        /// One of those who have read is let in.
        Release(usize),
        Commit(Stream),
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
            2 => any::<bool>().prop_map(Happening::Hold),
            2 => any::<usize>().prop_map(Happening::Read),
            2 => any::<usize>().prop_map(Happening::Release),
            3 => any::<bool>().prop_map(|is_message| {
                Happening::Commit(if is_message { Stream::Messages } else { Stream::Activity })
            }),
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
        bus: Vec<(Stream, u64)>,
        joining: Vec<Joining>,
        /// Those who are in, whether they are agents, and the cursors that they came with.
        inside: Vec<(SubscriberKey, bool, Both<u64>, Got)>,
        asked: VecDeque<(Stream, u64)>,
        next_key: SubscriberKey,
    }

    impl Node {
        fn ask(&mut self, steps: impl IntoIterator<Item = Step>) {
            for step in steps {
                if let Step::ReadAfter(stream, number) = step {
                    self.asked.push_back((stream, number));
                }
            }
        }

        fn happen(&mut self, happening: &Happening, committed: Both<u64>) {
            let pick = |number: usize, count: usize| (count > 0).then(|| number % count);
            match *happening {
                Happening::Hold(is_agent) => {
                    self.next_key += 1;
                    let (key, got) = (self.next_key, Got::default());
                    let connection_id = ConnectionId::from(format!("conn_{key}"));
                    let channel = if is_agent { ADMIN } else { CLIENT };
                    self.room.hold(key, &connection_id, channel, got.clone());
                    self.joining.push(Joining { key, is_agent, got, read: None });
                }
                Happening::Read(number) => {
                    if let Some(at) = pick(number, self.joining.len()) {
                        self.joining[at].read.get_or_insert(committed);
                    }
                }
                Happening::Release(number) => {
                    let Some(at) = pick(number, self.joining.len()) else { return };
                    if let Some(last) = self.joining[at].read {
                        let Joining { key, is_agent, got, .. } = self.joining.swap_remove(at);
                        let standing = Standing { last, ..Standing::default() };
                        let steps = self.room.release(key, standing, None, ANEW, Vec::new());
                        self.ask(steps);
                        self.inside.push((key, is_agent, last, got));
                    }
                }
                Happening::Announce(number) => {
                    if let Some(at) = pick(number, self.bus.len()) {
                        // In any order, and every third one again later.
                        let place = if number % 3 == 0 { self.bus[at] } else { self.bus.remove(at) };
                        let step = match place {
                            (Stream::Messages, seq) => self.room.deliver(&message(seq)),
                            (Stream::Activity, n) => self.room.deliver(&activity(n)),
                        };
                        self.ask([step]);
                    }
                }
                Happening::Lose(number) => {
                    if let Some(at) = pick(number, self.bus.len()) {
                        self.bus.remove(at);
                    }
                }
                Happening::Repair => {
                    let Some((stream, number)) = self.asked.pop_front() else { return };
                    // Pages of two, so that there are several.
                    let page = (number + 1..=committed[stream]).take(2);
                    let repaired = match stream {
                        Stream::Messages => {
                            self.room.repaired(number, &page.map(message).collect::<Vec<_>>())
                        }
                        Stream::Activity => {
                            self.room.repaired(number, &page.map(activity).collect::<Vec<_>>())
                        }
                    };
                    match repaired {
                        Repaired::Done => {}
                        Repaired::Next(number) | Repaired::Stuck(number) => {
                            self.asked.push_back((stream, number));
                        }
                    }
                }
                Happening::Leave(number) => {
                    if let Some(at) = pick(number, self.inside.len()) {
                        let (key, ..) = self.inside.swap_remove(at);
                        self.room.remove(key);
                    }
                }
                Happening::Commit(_) => {}
            }
        }

        /// Everybody comes in, the look tells how the conversation stands, and the database answers.
        fn settle(&mut self, committed: Both<u64>) {
            while !self.joining.is_empty() {
                self.happen(&Happening::Read(0), committed);
                self.happen(&Happening::Release(0), committed);
            }
            let steps = self.room.expect(committed);
            self.ask(steps);
            for _ in 0..=2 * (committed.messages + committed.activity) + 8 {
                self.happen(&Happening::Repair, committed);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// However joins, commits, reads and a late or lossy bus come upon each other, on two nodes: everybody gets
        /// what follows their own cursors, in order, each once; and no device any of what happens among agents.
        #[test]
        fn everybody_gets_what_follows_their_own_cursor(
            happenings in prop::collection::vec((any::<bool>(), happening()), 0..60),
        ) {
            let mut nodes = [Node::default(), Node::default()];
            let mut committed = Both { messages: 3, activity: 2 };
            for (at, happening) in &happenings {
                if let Happening::Commit(stream) = happening {
                    committed[*stream] += 1;
                    for node in &mut nodes {
                        node.bus.push((*stream, committed[*stream]));
                    }
                } else {
                    nodes[usize::from(*at)].happen(happening, committed);
                }
            }
            for node in &mut nodes {
                node.settle(committed);
                for (key, is_agent, cursor, got) in &node.inside {
                    let expected: Vec<_> = (cursor.messages + 1..=committed.messages).collect();
                    prop_assert_eq!(&*got.seqs.borrow(), &expected, "subscriber {} from {:?}", key, cursor);
                    let mut expected: Vec<_> = (cursor.activity + 1..=committed.activity).collect();
                    if !is_agent {
                        expected.clear();
                    }
                    prop_assert_eq!(&*got.activity.borrow(), &expected, "subscriber {} from {:?}", key, cursor);
                }
            }
        }
    }

    fn join(room: &mut Room<Got>, key: SubscriberKey, standing: Standing) -> Got {
        let got = Got::default();
        room.hold(key, &"conn_1".into(), CLIENT, got.clone());
        let _ = room.release(key, standing, None, ANEW, Vec::new());
        got
    }

    #[test]
    fn who_is_let_in_first_does_not_decide_for_who_read_before() {
        let mut room = Room::default();
        let got = Got::default();
        room.hold(1, &"conn_1".into(), CLIENT, got.clone());
        // It reads 5; then 6 and 7 are committed, another one reads 7 and is let in first; the bus is late.
        join(&mut room, 2, standing(7));
        let step = room.release(1, standing(5), None, ANEW, Vec::new());
        assert_eq!(step[0], Step::ReadAfter(Stream::Messages, 5));
        assert_eq!(room.repaired(5, &[message(6), message(7)]), Repaired::Done);
        assert_eq!(*got.seqs.borrow(), [6, 7]);
    }

    #[test]
    fn a_hole_that_is_one_stops_nobody_else_and_is_told_as_such() {
        let mut room = Room::default();
        let before = join(&mut room, 1, standing(1));
        let after = join(&mut room, 2, standing(3));
        // Number 2 is nowhere.
        assert_eq!(room.repaired(1, &[message(3)]), Repaired::Stuck(1));
        let _ = room.deliver(&message(4));
        assert_eq!((before.seqs.borrow().len(), &**after.seqs.borrow()), (0, [4].as_slice()));
    }

    #[test]
    fn what_does_not_fit_what_was_given_is_a_reason_to_ask_and_what_is_only_late_settles_it() {
        let newest = |seq: u64| {
            let messages = Some((seq, Mark::Message(format!("msg_{seq}").into())));
            Some(Newest { messages, activity: None })
        };
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
        let standing = standing(2);
        let _ = room.release(2, standing, Some(&message(2).id), ANEW, Vec::new());
        assert_eq!(room.take_doubt(), newest(3));
    }

    #[test]
    fn what_was_heard_of_and_is_not_there_is_not_waited_for() {
        let mut room = Room::default();
        let got = join(&mut room, 1, standing(1));
        let _ = room.deliver(&message(3));
        assert_eq!(room.repaired::<Message>(1, &[]), Repaired::Done, "2 and 3 are lost");
        let doubted = room.take_doubt().and_then(|newest| newest.messages);
        assert_eq!(doubted, Some((3, Mark::Message(message(3).id))));
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
            last: standing(9).last,
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
