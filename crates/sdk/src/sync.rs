//! How a conversation is caught up with: join, pages from the cursor on, then live events, which wait for the ones before
//! them. Pure: it says what to do next and keeps what came too early; what is stored is in the local store.

use std::collections::BTreeMap;

use protocol::Message;
use tokio::time::Instant;

use crate::backoff::full_jitter;
use crate::limits;

/// How one conversation stands on this connection.
#[derive(Debug)]
pub(crate) struct Sync {
    phase: Phase,
    /// Live messages that came before the ones before them.
    early: BTreeMap<u64, Message>,
    failures: u32,
    /// Where a page is asked for from, if the server may lack what is here: it went back in time, and the last message that
    /// both have is looked for.
    looking_from: Option<u64>,
    /// Whether a page has come: the server has let this connection in.
    is_joined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A page is to be asked for.
    Wanting { from: Instant },
    /// A page was asked for.
    Asking,
    /// Live events follow each other.
    Live,
    /// The server does not know the conversation.
    Gone,
}

/// What a live message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// The next one, or one that is known: to be stored now.
    Take(Box<Message>),
    /// Kept until those before it are there.
    Kept,
}

/// What became of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Whether there is more behind it.
    pub(crate) has_more: bool,
    /// Whether it moved the cursor.
    pub(crate) brought_some: bool,
}

impl Sync {
    /// A conversation that is still to be joined.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Wanting { from: now },
            early: BTreeMap::new(),
            failures: 0,
            looking_from: None,
            is_joined: false,
        }
    }

    /// Whether a page is to be asked for now; from here on it counts as asked for.
    #[must_use]
    pub(crate) fn take_wish(&mut self, now: Instant) -> bool {
        let wants = matches!(self.phase, Phase::Wanting { from } if from <= now);
        if wants {
            self.phase = Phase::Asking;
        }
        wants
    }

    /// A live message, with everything up to `tail` being there.
    pub(crate) fn live(&mut self, message: Message, tail: u64, now: Instant) -> Live {
        if message.seq <= tail || (message.seq == tail + 1 && self.phase == Phase::Live) {
            return Live::Take(Box::new(message));
        }
        if self.early.len() >= limits::BUFFERED {
            // They come with the pages.
            self.early.clear();
        } else {
            self.early.insert(message.seq, message);
        }
        if self.phase == Phase::Live {
            // Something is missing before it.
            self.phase = Phase::Wanting { from: now };
        }
        Live::Kept
    }

    /// The page that was asked for is stored and all up to `tail` is there; `has_more`: another is to be asked for, at
    /// once if this one brought anything. Returns what came early and follows now, in order.
    #[must_use]
    pub(crate) fn page_taken(&mut self, tail: u64, page: Taken, now: Instant, chance: u64) -> Vec<Message> {
        self.is_joined = true;
        let following = self.take_following(tail);
        let tail = tail + following.len() as u64;
        let misses_some = self.early.keys().next_back().is_some_and(|newest| *newest > tail);
        if !page.has_more && !misses_some {
            self.failures = 0;
            self.phase = Phase::Live;
        } else if page.brought_some || !following.is_empty() {
            self.failures = 0;
            self.phase = Phase::Wanting { from: now };
        } else if self.failures < limits::EMPTY_PAGES {
            self.page_failed(now, chance);
        } else {
            // There never was what would have to come before.
            self.early.clear();
            self.failures = 0;
            self.phase = Phase::Live;
        }
        following
    }

    /// What follows `tail` of what came early. What is below is forgotten: it is there.
    #[must_use]
    pub(crate) fn take_following(&mut self, mut tail: u64) -> Vec<Message> {
        self.early = self.early.split_off(&(tail + 1));
        let mut following = Vec::new();
        while let Some(message) = self.early.remove(&(tail + 1)) {
            following.push(message);
            tail += 1;
        }
        following
    }

    /// The page did not come, or made no sense: it is asked for again later.
    pub(crate) fn page_failed(&mut self, now: Instant, chance: u64) {
        let wait = full_jitter(limits::RESEND, self.failures, chance);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Wanting { from: now + wait };
    }

    /// The server does not have the message at the cursor: an older one is named, ever further back. False if none was
    /// named, and so nothing helps.
    #[must_use]
    pub(crate) fn look_back(&mut self, tail: u64, now: Instant) -> bool {
        let from = self.looking_from.unwrap_or(tail);
        if from == 0 {
            return false;
        }
        let step = limits::LOOK_BACK * (tail.saturating_sub(from) + 1);
        self.looking_from = Some(from.saturating_sub(step));
        self.phase = Phase::Wanting { from: now };
        true
    }

    /// A page was asked for from here.
    pub(crate) fn looks_from(&mut self, seq: u64) {
        self.looking_from = Some(seq);
    }

    /// All up to `seq` is the server's too, and perhaps more.
    pub(crate) fn look_on(&mut self, seq: u64, now: Instant) {
        self.looking_from = Some(seq);
        self.phase = Phase::Wanting { from: now };
    }

    /// What both have is known.
    pub(crate) fn found(&mut self) {
        self.looking_from = None;
    }

    /// Where a page is asked for from, if not from the last message that is here.
    pub(crate) fn looking_from(&self) -> Option<u64> {
        self.looking_from
    }

    /// The server does not know the conversation.
    pub(crate) fn gone(&mut self) {
        self.phase = Phase::Gone;
        self.early.clear();
    }

    /// Whether the server has let this connection in.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined && self.phase != Phase::Gone
    }

    /// Whether it is still open what the server has of the conversation: what it has lost is to be sent first.
    pub(crate) fn is_open_question(&self) -> bool {
        !self.is_joined && self.phase != Phase::Gone
    }

    /// Something may have been missed: a page is asked for, unless one is under way, which will tell.
    pub(crate) fn ask_again(&mut self, now: Instant) {
        if self.phase == Phase::Live {
            self.phase = Phase::Wanting { from: now };
        }
    }

    /// When a page is to be asked for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Wanting { from } => Some(from),
            _ => None,
        }
    }
}

/// Whether a page can be stored behind `tail`: it goes on where the stored messages end, without a hole.
pub(crate) fn follows(page: &[Message], tail: u64) -> bool {
    let begins_well = page.first().is_none_or(|first| first.seq <= tail + 1 && first.seq > 0);
    begins_well && is_contiguous(page)
}

/// Whether each message of a page follows the one before it.
pub(crate) fn is_contiguous(page: &[Message]) -> bool {
    page.windows(2).all(|pair| pair[1].seq.checked_sub(1) == Some(pair[0].seq))
}

#[cfg(test)]
mod tests {
    use protocol::{ConversationId, MessageId, MessageStatus, Sender, Timestamp};

    use super::*;

    fn message(seq: u64) -> Message {
        let conversation_id = ConversationId::from("conv_0123456789abcdefghjkmn");
        Message {
            id: MessageId::new(&conversation_id, seq, 0),
            local_id: format!("l{seq}").into(),
            conversation_id,
            seq,
            body: "x".into(),
            sender: Sender::Agent,
            sender_name: None,
            sender_id: None,
            created_at: Timestamp::from_epoch_ms(0),
            status: MessageStatus::Sent,
        }
    }

    fn seqs(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.seq).collect()
    }

    const BROUGHT: Taken = Taken { has_more: false, brought_some: true };

    #[test]
    fn live_messages_wait_for_the_pages_before_them() {
        let now = Instant::now();
        let mut sync = Sync::new(now);
        assert!(sync.take_wish(now));
        assert!(!sync.take_wish(now), "one page at a time");
        assert_eq!(sync.live(message(4), 0, now), Live::Kept);
        assert_eq!(sync.live(message(1), 0, now), Live::Kept, "the page brings it, in its place");
        assert_eq!(seqs(&sync.page_taken(2, BROUGHT, now, 0)), [0u64; 0]);
        assert!(sync.take_wish(now), "three is missing");
        assert_eq!(seqs(&sync.page_taken(3, BROUGHT, now, 0)), [4]);
        assert!(matches!(sync.live(message(5), 4, now), Live::Take(_)));
        assert!(matches!(sync.live(message(2), 4, now), Live::Take(_)), "again, with another status perhaps");
    }

    #[test]
    fn a_hole_in_what_comes_live_asks_for_a_page() {
        let now = Instant::now();
        let mut sync = Sync::new(now);
        assert!(sync.take_wish(now));
        assert!(sync.page_taken(0, Taken { has_more: false, brought_some: false }, now, 0).is_empty());
        assert_eq!(sync.live(message(2), 0, now), Live::Kept);
        assert!(sync.take_wish(now));
    }

    #[test]
    fn a_server_that_never_brings_what_is_missing_is_not_asked_without_a_pause() {
        let now = Instant::now();
        let mut sync = Sync::new(now);
        assert!(sync.take_wish(now));
        assert_eq!(sync.live(message(9), 0, now), Live::Kept);
        let empty = Taken { has_more: false, brought_some: false };
        assert!(sync.page_taken(0, empty, now, u64::MAX).is_empty());
        assert!(sync.deadline().is_some_and(|due| due > now));
        let mut later = now;
        while let Some(due) = sync.deadline() {
            later = due;
            assert!(sync.take_wish(later));
            assert!(sync.page_taken(0, empty, later, u64::MAX).is_empty());
        }
        assert!((3..60).contains(&(later - now).as_secs()), "some time is given");
        assert!(matches!(sync.live(message(1), 0, later), Live::Take(_)), "and then it goes on without");
    }

    #[test]
    fn too_much_that_is_early_is_forgotten_since_the_pages_bring_it() {
        let now = Instant::now();
        let mut sync = Sync::new(now);
        for seq in 2..5_000 {
            sync.live(message(seq), 0, now);
        }
        assert!(sync.early.len() <= limits::BUFFERED);
    }

    #[test]
    fn a_page_goes_on_where_the_stored_messages_end() {
        let page = |range: std::ops::RangeInclusive<u64>| range.map(message).collect::<Vec<_>>();
        assert!(follows(&page(5..=9), 4));
        assert!(follows(&page(2..=9), 4), "some may be known");
        assert!(follows(&[], 4));
        assert!(!follows(&page(6..=9), 4));
        assert!(!follows(&[message(5), message(7)], 4));
        assert!(!follows(&[message(0)], 4));
        assert!(!follows(&[message(1), message(u64::MAX), message(0)], 4), "whatever a server says");
    }
}
