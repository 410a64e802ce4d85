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
    /// By conversation, in the order in which they came.
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
    /// Notes a message; the answer is its `seq`.
    pub(crate) fn receive(&mut self, conversation: usize, message: &Value, live_at: Option<Instant>) -> u64 {
        let seq = message["seq"].as_u64().unwrap_or(0);
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        self.received.entry(conversation).or_default().push(Received { seq, id, live_at });
        seq
    }
}
