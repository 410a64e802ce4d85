//! The accounting: what was sent, what came of it, and what went wrong on the way.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    ops::AddAssign,
};

/// What must not happen, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Faults {
    /// Deliveries of acknowledged messages that never came.
    pub(crate) lost: u64,
    /// Deliveries that came more than once, and messages stored more than once.
    pub(crate) doubled: u64,
    /// Deliveries that came after a later one.
    pub(crate) disordered: u64,
    /// A `seq` that carried another message than it carried before, or a hole among the acknowledged ones.
    pub(crate) wrong: u64,
    /// Sends that were answered with an error.
    pub(crate) refused: u64,
    /// Sends that were never answered.
    pub(crate) unanswered: u64,
    /// Connections that ended early.
    pub(crate) broken: u64,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.broken += other.broken;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "lost {}, doubled {}, disordered {}, wrong {}, refused {}, unanswered {}, broken {}",
            self.lost, self.doubled, self.disordered, self.wrong, self.refused, self.unanswered, self.broken
        )
    }
}

/// One conversation: the messages that the tool sent into it, by their numbers 0, 1, 2 …
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sent_at: Vec<u64>,
    number_at: Vec<Option<u64>>,
    acked: u64,
    highest_acked: u64,
    refused: u64,
    wrong: u64,
}

impl Ledger {
    /// Notes a send and returns its number.
    pub(crate) fn send(&mut self, at: u64) -> u64 {
        self.sent_at.push(at);
        self.sent_at.len() as u64 - 1
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent_at.len() as u64
    }

    /// How many are still to be answered.
    pub(crate) fn open(&self) -> u64 {
        self.sent() - self.acked - self.refused
    }

    /// When message `number` was sent.
    pub(crate) fn sent_at(&self, number: u64) -> Option<u64> {
        self.sent_at.get(usize::try_from(number).ok()?).copied()
    }

    /// Notes that the server acknowledged `number` as `seq`.
    pub(crate) fn ack(&mut self, number: u64, seq: u64) {
        self.acked += 1;
        self.highest_acked = self.highest_acked.max(seq);
        self.place(number, seq);
    }

    /// Notes that the server refused a send.
    pub(crate) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Notes that `seq` was seen to carry `number`: whoever says so first is believed.
    pub(crate) fn place(&mut self, number: u64, seq: u64) {
        let index = usize::try_from(seq).unwrap_or(0);
        if index == 0 || number >= self.sent() {
            self.wrong += 1;
            return;
        }
        if self.number_at.len() <= index {
            self.number_at.resize(index + 1, None);
        }
        if *self.number_at[index].get_or_insert(number) != number {
            self.wrong += 1;
        }
    }

    /// The highest `seq` that every subscriber must get.
    pub(crate) fn highest_acked(&self) -> u64 {
        self.highest_acked
    }

    /// What went wrong with the conversation itself.
    pub(crate) fn faults(&self) -> Faults {
        let mut seen = HashSet::new();
        let placed = self.number_at.iter().flatten();
        let doubled = placed.filter(|number| !seen.insert(**number)).count() as u64;
        let until = self.number_at.len().min(self.highest_acked as usize + 1);
        let holes =
            self.number_at.iter().take(until).skip(1).filter(|number| number.is_none()).count() as u64;
        Faults {
            doubled,
            wrong: self.wrong + holes,
            refused: self.refused,
            unanswered: self.open(),
            ..Faults::default()
        }
    }
}

/// One subscriber of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    last: u64,
    missing: BTreeSet<u64>,
    doubled: u64,
    disordered: u64,
}

impl Tracker {
    /// Notes a delivery. True if it is the first of this `seq`.
    pub(crate) fn receive(&mut self, seq: u64) -> bool {
        if seq > self.last {
            self.missing.extend(self.last + 1..seq);
            self.last = seq;
            return true;
        }
        let late = self.missing.remove(&seq);
        if late {
            self.disordered += 1;
        } else {
            self.doubled += 1;
        }
        late
    }

    /// Whether everything up to `highest` has come.
    pub(crate) fn complete(&self, highest: u64) -> bool {
        self.missing.is_empty() && self.last >= highest
    }

    /// What went wrong on the way to this subscriber, who should have got everything up to `highest`.
    pub(crate) fn faults(&self, highest: u64) -> Faults {
        Faults {
            lost: self.missing.len() as u64 + highest.saturating_sub(self.last),
            doubled: self.doubled,
            disordered: self.disordered,
            ..Faults::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(seqs: &[u64], highest: u64) -> Faults {
        let mut tracker = Tracker::default();
        for seq in seqs {
            tracker.receive(*seq);
        }
        tracker.faults(highest)
    }

    #[test]
    fn in_order_and_whole_is_no_fault() {
        assert_eq!(tracked(&[1, 2, 3], 3), Faults::default());
        assert_eq!(tracked(&[1, 2, 3, 4], 3), Faults::default(), "delivered ahead of its ack");
    }

    #[test]
    fn a_hole_is_lost_and_so_is_a_missing_end() {
        assert_eq!(tracked(&[1, 3, 5], 7), Faults { lost: 4, ..Faults::default() });
        assert_eq!(tracked(&[], 2), Faults { lost: 2, ..Faults::default() });
    }

    #[test]
    fn late_is_disordered_and_again_is_doubled() {
        assert_eq!(tracked(&[1, 3, 2], 3), Faults { disordered: 1, ..Faults::default() });
        assert_eq!(tracked(&[1, 2, 2, 1], 2), Faults { doubled: 2, ..Faults::default() });
        assert_eq!(tracked(&[2, 1, 1], 2), Faults { disordered: 1, doubled: 1, ..Faults::default() });
    }

    #[test]
    fn a_tracker_tells_when_it_has_everything() {
        let mut tracker = Tracker::default();
        assert!(tracker.complete(0));
        tracker.receive(2);
        assert!(!tracker.complete(2));
        assert!(tracker.receive(1));
        assert!(!tracker.receive(1));
        assert!(tracker.complete(2));
    }

    #[test]
    fn a_ledger_without_faults() {
        let mut ledger = Ledger::default();
        for number in 0..3 {
            assert_eq!(ledger.send(number * 10), number);
        }
        ledger.place(1, 2);
        for number in 0..3 {
            ledger.ack(number, number + 1);
        }
        assert_eq!((ledger.open(), ledger.highest_acked(), ledger.sent_at(2)), (0, 3, Some(20)));
        assert_eq!(ledger.faults(), Faults::default());
    }

    #[test]
    fn a_message_stored_twice_is_doubled() {
        let mut ledger = Ledger::default();
        ledger.send(0);
        ledger.ack(0, 1);
        ledger.place(0, 2);
        assert_eq!(ledger.faults(), Faults { doubled: 1, ..Faults::default() });
    }

    #[test]
    fn two_messages_of_one_seq_are_wrong_and_so_are_holes() {
        let mut ledger = Ledger::default();
        ledger.send(0);
        ledger.send(0);
        ledger.ack(0, 1);
        ledger.ack(1, 1);
        assert_eq!(ledger.faults().wrong, 1);

        let mut ledger = Ledger::default();
        ledger.send(0);
        ledger.ack(0, 3);
        assert_eq!(ledger.faults().wrong, 2, "1 and 2 were never given");
        ledger.place(9, 4);
        assert_eq!(ledger.faults().wrong, 3, "9 was never sent");
    }

    #[test]
    fn what_is_not_answered_is_told() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.send(0);
        }
        ledger.ack(0, 1);
        ledger.refuse();
        assert_eq!(ledger.faults(), Faults { refused: 1, unanswered: 1, ..Faults::default() });
    }
}
