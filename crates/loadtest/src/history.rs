//! What must hold of a conversation in the end, at the server and in the app: nothing lost, nothing twice, all in order.

use crate::{
    ledger::{Faults, Tracker},
    packet,
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::HashMap;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    /// The person with the app.
    Person,
    /// An agent.
    Agent,
}

/// A message as the server has it, or as the app shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place; none for what the app has not got rid of.
    pub(crate) seq: Option<u64>,
    /// Its name.
    pub(crate) local_id: String,
    /// Who wrote it.
    pub(crate) writer: Writer,
    /// The text.
    pub(crate) body: String,
}

impl Entry {
    /// Reads a message of a REST answer.
    pub(crate) fn of_rest(message: &Value) -> Result<Self> {
        let text = |field: &str| {
            let text = message.get(field).and_then(Value::as_str).map(str::to_owned);
            text.with_context(|| format!("no {field} in {message}"))
        };
        Ok(Self {
            seq: message.get("seq").and_then(Value::as_u64),
            local_id: text("local_id")?,
            writer: if text("sender")? == "agent" { Writer::Agent } else { Writer::Person },
            body: text("body")?,
        })
    }
}

/// What was written into a conversation: for each side the messages' names, in the order in which it wrote them. The
/// first bears the number 0 in its body, the next 1, and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// By the person: each was accepted by the SDK.
    pub(crate) person: Vec<String>,
    /// By the agent: each was acknowledged by the server.
    pub(crate) agent: Vec<String>,
}

impl Written {
    /// What is wrong with what the server has stored, given as it tells it.
    pub(crate) fn faults_at_server(&self, stored: &[Entry]) -> Faults {
        let mut faults = Faults::default();
        let (mut person, mut agent) = (Tracker::default(), Tracker::default());
        let numbers = self.numbers();
        for (index, entry) in stored.iter().enumerate() {
            // Places are given without holes.
            let is_placed = entry.seq == Some(index as u64 + 1);
            let number = numbers.get(&(entry.writer, entry.local_id.as_str())).copied();
            let is_whole = number.is_some() && number == packet::number_in_body(entry.body.as_bytes());
            faults.wrong += u64::from(!is_placed) + u64::from(!is_whole);
            let Some(number) = number else { continue };
            // A tracker counts from 1. A message that is there again is doubled, one behind a later one disordered.
            let _ = match entry.writer {
                Writer::Person => person.receive(number + 1),
                Writer::Agent => agent.receive(number + 1),
            };
        }
        faults += person.faults(self.person.len() as u64);
        faults += agent.faults(self.agent.len() as u64);
        faults
    }

    fn numbers(&self) -> HashMap<(Writer, &str), u64> {
        let sides = [(Writer::Person, &self.person), (Writer::Agent, &self.agent)];
        let numbered = sides.into_iter().flat_map(|(writer, names)| {
            names.iter().zip(0..).map(move |(name, number)| ((writer, name.as_str()), number))
        });
        numbered.collect()
    }
}

/// What is wrong with what the app shows, where the server has stored this.
pub(crate) fn faults_in_app(stored: &[Entry], shown: &[Entry]) -> Faults {
    let mut faults = Faults::default();
    let mut tracker = Tracker::default();
    for entry in shown {
        let Some(seq) = entry.seq else {
            faults.unanswered += 1;
            continue;
        };
        tracker.receive(seq);
        faults.wrong += u64::from(!stored.contains(entry));
    }
    let highest = stored.iter().filter_map(|entry| entry.seq).max().unwrap_or(0);
    faults += tracker.faults(highest);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, writer: Writer, number: u64) -> Entry {
        let name = if writer == Writer::Person { "p" } else { "a" };
        Entry { seq: Some(seq), local_id: format!("{name}{number}"), writer, body: packet::body(number, 20) }
    }

    fn written() -> Written {
        Written {
            person: vec!["p0".to_owned(), "p1".to_owned(), "p2".to_owned()],
            agent: vec!["a0".to_owned(), "a1".to_owned()],
        }
    }

    /// A conversation in which nothing went wrong.
    fn stored() -> Vec<Entry> {
        vec![
            entry(1, Writer::Person, 0),
            entry(2, Writer::Agent, 0),
            entry(3, Writer::Person, 1),
            entry(4, Writer::Agent, 1),
            entry(5, Writer::Person, 2),
        ]
    }

    /// The same places for other messages.
    fn placed_anew(mut entries: Vec<Entry>) -> Vec<Entry> {
        for (entry, seq) in entries.iter_mut().zip(1..) {
            entry.seq = Some(seq);
        }
        entries
    }

    #[test]
    fn a_whole_conversation_has_no_faults() {
        assert_eq!(written().faults_at_server(&stored()), Faults::default());
        assert_eq!(faults_in_app(&stored(), &stored()), Faults::default());
    }

    #[test]
    fn whatever_is_missing_at_the_server_is_lost() {
        for index in 0..stored().len() {
            let mut entries = stored();
            entries.remove(index);
            let faults = written().faults_at_server(&placed_anew(entries));
            assert_eq!(faults, Faults { lost: 1, ..Faults::default() }, "without {index}");
        }
        assert_eq!(written().faults_at_server(&[]), Faults { lost: 5, ..Faults::default() });
    }

    #[test]
    fn whatever_is_stored_twice_is_doubled() {
        for index in 0..stored().len() {
            let mut entries = stored();
            entries.push(entries[index].clone());
            let faults = written().faults_at_server(&placed_anew(entries));
            assert_eq!(faults, Faults { doubled: 1, ..Faults::default() }, "{index} twice");
        }
    }

    #[test]
    fn sides_may_mix_but_each_keeps_its_order() {
        let mut entries = stored();
        entries.swap(0, 1);
        assert_eq!(written().faults_at_server(&placed_anew(entries)), Faults::default());
        let mut entries = stored();
        entries.swap(0, 2);
        let faults = written().faults_at_server(&placed_anew(entries));
        assert_eq!(faults, Faults { disordered: 1, ..Faults::default() });
    }

    #[test]
    fn another_text_another_writer_a_hole_and_a_stranger_are_wrong() {
        let wrong = |change: fn(&mut Vec<Entry>)| {
            let mut entries = stored();
            change(&mut entries);
            written().faults_at_server(&entries)
        };
        assert_eq!(wrong(|entries| entries[0].body = packet::body(1, 20)).wrong, 1);
        assert_eq!(wrong(|entries| entries[4].seq = Some(6)).wrong, 1);
        assert_eq!(
            wrong(|entries| entries[4].local_id = "x".to_owned()),
            Faults { wrong: 1, lost: 1, ..Faults::default() }
        );
        assert_eq!(
            wrong(|entries| entries[4].writer = Writer::Agent),
            Faults { wrong: 1, lost: 1, ..Faults::default() }
        );
    }

    #[test]
    fn the_app_shows_what_is_stored_once_and_in_order() {
        let shown = |change: fn(&mut Vec<Entry>)| {
            let mut entries = stored();
            change(&mut entries);
            faults_in_app(&stored(), &entries)
        };
        assert_eq!(shown(|entries| drop(entries.remove(1))), Faults { lost: 1, ..Faults::default() });
        assert_eq!(shown(|entries| drop(entries.pop())), Faults { lost: 1, ..Faults::default() });
        assert_eq!(shown(|entries| entries.swap(1, 3)).disordered, 2, "both 2 and 3 are behind 4");
        assert_eq!(
            shown(|entries| entries.push(entries[4].clone())),
            Faults { doubled: 1, ..Faults::default() }
        );
        assert_eq!(shown(|entries| entries[2].body.push('!')), Faults { wrong: 1, ..Faults::default() });
        let waiting = shown(|entries| entries[4].seq = None);
        assert_eq!(waiting, Faults { unanswered: 1, lost: 1, ..Faults::default() });
    }
}
