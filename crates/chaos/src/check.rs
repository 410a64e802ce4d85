//! The checker: what clients have seen and done, held against what is stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::record::{Received, Record};

/// P4: a committed message reaches every connected subscriber within this time.
pub(crate) const DELIVERED_WITHIN: Duration = Duration::from_secs(5);

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) local_id: String,
    pub(crate) body: String,
}

/// What went wrong. Zero everywhere is what was promised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged and not stored, or not as it was acknowledged; or stored, and not with a client that was there.
    pub(crate) lost: u64,
    /// Stored twice, or come twice to one client.
    pub(crate) doubled: u64,
    /// Stored with a hole in `seq`, or come in another order than the stored one.
    pub(crate) disordered: u64,
    /// Came by itself more than five seconds after its ack, though clients and database could be reached.
    pub(crate) late: u64,
    /// How long messages took from their ack until they came by themselves, times at which that could not be expected
    /// left out; sorted.
    pub(crate) delays: Vec<Duration>,
    /// Each kind's first cases, in words.
    pub(crate) examples: Vec<String>,
}

/// Examples of each kind that are told.
const EXAMPLES: u64 = 5;

impl Verdict {
    fn note(count: &mut u64, examples: &mut Vec<String>, what: impl FnOnce() -> String) {
        *count += 1;
        if *count <= EXAMPLES {
            examples.push(what());
        }
    }

    fn lost(&mut self, what: impl FnOnce() -> String) {
        Self::note(&mut self.lost, &mut self.examples, || format!("lost: {}", what()));
    }

    fn doubled(&mut self, what: impl FnOnce() -> String) {
        Self::note(&mut self.doubled, &mut self.examples, || format!("doubled: {}", what()));
    }

    fn disordered(&mut self, what: impl FnOnce() -> String) {
        Self::note(&mut self.disordered, &mut self.examples, || format!("disordered: {}", what()));
    }

    fn late(&mut self, what: impl FnOnce() -> String) {
        Self::note(&mut self.late, &mut self.examples, || format!("late: {}", what()));
    }
}

/// Checks everything. `stored` has the conversations' messages in the order in which the server lists them; `blind` are
/// the times at which nobody could be asked to deliver.
pub(crate) fn check(
    stored: &BTreeMap<usize, Vec<Stored>>,
    records: &[Record],
    blind: &[(Instant, Instant)],
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut acknowledged_at = HashMap::new();
    for (conversation, messages) in stored {
        check_stored(*conversation, messages, &mut verdict);
    }
    let none = Vec::new();
    for record in records {
        for ack in &record.acknowledged {
            acknowledged_at.insert((ack.conversation, ack.seq), ack.at);
            let messages = stored.get(&ack.conversation).unwrap_or(&none);
            let found = messages.iter().find(|message| message.local_id == ack.local_id);
            let is_as_said = found.is_some_and(|message| {
                message.id == ack.id && message.seq == ack.seq && message.body == ack.body
            });
            if !is_as_said {
                verdict.lost(|| format!("{ack:?} was acknowledged; stored is {found:?}"));
            }
        }
    }
    for (client, record) in records.iter().enumerate() {
        for (conversation, received) in &record.received {
            let messages = stored.get(conversation).unwrap_or(&none);
            let name = format!("client {client}, conversation {conversation}");
            check_received(&name, messages, received, &mut verdict);
            for message in received {
                let acknowledged = acknowledged_at.get(&(*conversation, message.seq));
                if let (Some(from), Some(to)) = (acknowledged, message.live_at) {
                    let delay = seeing(*from, to, blind);
                    verdict.delays.push(delay);
                    if delay > DELIVERED_WITHIN {
                        verdict.late(|| format!("{name}: {} after {delay:?}", message.seq));
                    }
                }
            }
        }
    }
    verdict.delays.sort_unstable();
    verdict
}

fn check_stored(conversation: usize, messages: &[Stored], verdict: &mut Verdict) {
    let mut local_ids = HashSet::new();
    for (message, seq) in messages.iter().zip(1..) {
        if message.seq != seq {
            verdict.disordered(|| format!("conversation {conversation} has {} stored at {seq}", message.seq));
        }
        if !local_ids.insert(&message.local_id) {
            verdict.doubled(|| format!("conversation {conversation} has {} stored twice", message.local_id));
        }
    }
}

/// Each once, in the stored order, from the first message to the last.
fn check_received(name: &str, stored: &[Stored], received: &[Received], verdict: &mut Verdict) {
    let mut had = HashSet::new();
    let mut last = 0;
    for message in received {
        if !had.insert(message.seq) {
            verdict.doubled(|| format!("{name}: {} came again after {last}", message.seq));
            continue;
        }
        if message.seq < last {
            verdict.disordered(|| format!("{name}: {} came after {last}", message.seq));
        }
        last = last.max(message.seq);
        let place = usize::try_from(message.seq).unwrap_or(usize::MAX).wrapping_sub(1);
        if stored.get(place).is_none_or(|stored| stored.id != message.id) {
            verdict.disordered(|| format!("{name}: {message:?} came, stored is {:?}", stored.get(place)));
        }
    }
    for message in stored.iter().filter(|message| !had.contains(&message.seq)) {
        verdict.lost(|| format!("{name}: {} never came", message.seq));
    }
}

/// How long it was from one time to the other, without the times in between that do not count.
fn seeing(from: Instant, to: Instant, blind: &[(Instant, Instant)]) -> Duration {
    let mut counted = to.saturating_duration_since(from);
    for (begin, end) in merged(blind) {
        counted = counted.saturating_sub(end.min(to).saturating_duration_since(begin.max(from)));
    }
    counted
}

/// The same times without overlaps.
fn merged(times: &[(Instant, Instant)]) -> Vec<(Instant, Instant)> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(Instant, Instant)> = Vec::new();
    for (begin, end) in sorted {
        match merged.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use crate::record::Acknowledged;

    use super::*;

    fn message(seq: u64) -> Stored {
        Stored { seq, id: format!("msg_{seq}"), local_id: format!("local-{seq}"), body: "x".into() }
    }

    /// Ten messages, all acknowledged, and two clients who have all of them.
    fn history() -> (BTreeMap<usize, Vec<Stored>>, Vec<Record>, Instant) {
        let start = Instant::now();
        let stored: Vec<Stored> = (1..=10).map(message).collect();
        let mut records = vec![Record::default(), Record::default()];
        for message in &stored {
            records[0].acknowledged.push(Acknowledged {
                conversation: 0,
                local_id: message.local_id.clone(),
                body: message.body.clone(),
                id: message.id.clone(),
                seq: message.seq,
                at: start,
            });
            for record in &mut records {
                let live_at = Some(start + Duration::from_millis(message.seq));
                let received = Received { seq: message.seq, id: message.id.clone(), live_at };
                record.received.entry(0).or_default().push(received);
            }
        }
        (BTreeMap::from([(0, stored)]), records, start)
    }

    fn counts(verdict: &Verdict) -> [u64; 4] {
        [verdict.lost, verdict.doubled, verdict.disordered, verdict.late]
    }

    #[test]
    fn a_good_history_is_good() {
        let (stored, records, _) = history();
        let verdict = check(&stored, &records, &[]);
        assert_eq!(counts(&verdict), [0; 4], "{:?}", verdict.examples);
        assert_eq!(verdict.delays.len(), 20);
    }

    #[test]
    fn what_was_acknowledged_and_is_not_stored_as_it_was_is_lost() {
        let (mut stored, records, _) = history();
        stored.get_mut(&0).unwrap().pop();
        assert_eq!(check(&stored, &records, &[]).lost, 1);
        let (mut stored, records, _) = history();
        stored.get_mut(&0).unwrap()[3].body = "y".into();
        assert_eq!(counts(&check(&stored, &records, &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn stored_twice_is_doubled_and_a_hole_is_disorder() {
        let (mut stored, mut records, _) = history();
        let messages = stored.get_mut(&0).unwrap();
        messages.push(Stored { seq: 11, id: "msg_11".into(), ..messages[4].clone() });
        for record in &mut records {
            let again = Received { seq: 11, id: "msg_11".into(), live_at: None };
            record.received.get_mut(&0).unwrap().push(again);
        }
        assert_eq!(counts(&check(&stored, &records, &[])), [0, 1, 0, 0]);
        let (mut stored, records, _) = history();
        stored.get_mut(&0).unwrap()[9].seq = 12;
        assert!(check(&stored, &records, &[]).disordered > 0);
    }

    #[test]
    fn a_message_that_never_came_is_lost_for_that_client() {
        let (stored, mut records, _) = history();
        records[1].received.get_mut(&0).unwrap().remove(4);
        assert_eq!(counts(&check(&stored, &records, &[])), [1, 0, 0, 0]);
    }

    #[test]
    fn a_message_that_came_again_is_doubled_and_one_out_of_turn_is_disordered() {
        let (stored, mut records, _) = history();
        let received = records[1].received.get_mut(&0).unwrap();
        received.insert(5, received[2].clone());
        assert_eq!(counts(&check(&stored, &records, &[])), [0, 1, 0, 0]);
        let (stored, mut records, _) = history();
        records[1].received.get_mut(&0).unwrap().swap(2, 3);
        assert_eq!(counts(&check(&stored, &records, &[])), [0, 0, 1, 0]);
        let (stored, mut records, _) = history();
        records[1].received.get_mut(&0).unwrap()[2].id = "msg_other".into();
        assert_eq!(counts(&check(&stored, &records, &[])), [0, 0, 1, 0]);
    }

    #[test]
    fn late_is_what_came_late_without_a_reason() {
        let (stored, mut records, start) = history();
        let late = start + Duration::from_secs(9);
        records[1].received.get_mut(&0).unwrap()[9].live_at = Some(late);
        assert_eq!(counts(&check(&stored, &records, &[])), [0, 0, 0, 1]);
        // Two times that overlap count once.
        let second = |n| start + Duration::from_secs(n);
        let blind = [(second(1), second(4)), (second(3), second(6)), (second(20), second(30))];
        let verdict = check(&stored, &records, &blind);
        assert_eq!(verdict.late, 0);
        assert_eq!(verdict.delays.last(), Some(&Duration::from_secs(4)));
    }
}
