//! What one client has seen and done: the history that is checked in the end.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

/// A message as a client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) seq: u64,
    pub(crate) id: String,
    /// When it came, if it came by itself; not, if it was on a page.
    pub(crate) live_at: Option<Instant>,
}

/// A send that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) conversation: usize,
    pub(crate) local_id: String,
    pub(crate) body: String,
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) at: Instant,
}

/// A client's history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// By history, in the order in which they came.
    pub(crate) received: HashMap<usize, Vec<Received>>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Sends that were never acknowledged.
    pub(crate) unsettled: u64,
    /// Sends that were asked again.
    pub(crate) retried: u64,
    /// Answers that can't be: another code than one that says to try again.
    pub(crate) refused: Vec<String>,
    /// Presence that was told again though it had not changed.
    pub(crate) presence_repeated: u64,
    /// When connections were made.
    pub(crate) connects: Vec<Instant>,
}

impl Record {
    /// Notes what has come of a history.
    pub(crate) fn receive(&mut self, history: usize, seq: u64, id: String, live_at: Option<Instant>) {
        self.received.entry(history).or_default().push(Received { seq, id, live_at });
    }
}

/// The number of something that happened beside the messages, and what it is known by, which has no id.
pub(crate) fn happened(activity: &Value) -> (u64, String) {
    let id = format!("{}, {} at {}", activity["kind"], activity["local_id"], activity["at"]);
    (activity["n"].as_u64().unwrap_or(0), id)
}
