//! When to tell the server what was received and read: some at a time. What is to be told stands in the local store; here
//! is only when.

use std::collections::HashMap;
use std::time::Duration;

use protocol::ConversationId;
use tokio::time::Instant;

use crate::backoff::full_jitter;
use crate::limits;

/// When each conversation's receipts are due.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    due: HashMap<ConversationId, Due>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// Messages that the receipt speaks of.
    messages: u64,
    is_in_flight: bool,
    failures: u32,
}

impl Receipts {
    /// There is something to tell of `messages` more.
    pub(crate) fn note(&mut self, conversation: &ConversationId, messages: u64, now: Instant) {
        let (wait, at_once) = limits::RECEIPT_BATCH;
        let fresh = Due { at: now + wait, messages: 0, is_in_flight: false, failures: 0 };
        let due = self.due.entry(conversation.clone()).or_insert(fresh);
        due.messages = due.messages.saturating_add(messages);
        if due.messages >= at_once && due.failures == 0 {
            due.at = due.at.min(now);
        }
    }

    /// Conversations whose receipts are to be sent now; they count as on their way from here on.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ConversationId> {
        let mut taken = Vec::new();
        for (conversation, due) in &mut self.due {
            if !due.is_in_flight && due.at <= now {
                due.is_in_flight = true;
                due.messages = 0;
                taken.push(conversation.clone());
            }
        }
        taken
    }

    /// All is told.
    pub(crate) fn told(&mut self, conversation: &ConversationId) {
        self.due.remove(conversation);
    }

    /// More came while a receipt was on its way: it waits for its turn.
    pub(crate) fn again(&mut self, conversation: &ConversationId, now: Instant) {
        if let Some(due) = self.due.get_mut(conversation) {
            *due = Due {
                at: now + limits::RECEIPT_BATCH.0,
                messages: due.messages,
                is_in_flight: false,
                failures: 0,
            };
        }
    }

    /// The server could not take it now.
    pub(crate) fn failed(
        &mut self,
        conversation: &ConversationId,
        retry_after: Option<Duration>,
        now: Instant,
        chance: u64,
    ) {
        if let Some(due) = self.due.get_mut(conversation) {
            let jitter = full_jitter(limits::RESEND, due.failures, chance);
            due.failures = due.failures.saturating_add(1);
            due.is_in_flight = false;
            due.at = now + retry_after.unwrap_or(jitter).max(limits::RECEIPT_BATCH.0);
        }
    }

    /// The connection is gone. What was not told is found in the local store again.
    pub(crate) fn connection_lost(&mut self) {
        self.due.clear();
    }

    /// Whether nothing is due or on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    /// When the next one is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.values().filter(|due| !due.is_in_flight).map(|due| due.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_wait_three_hundred_milliseconds_or_for_fifty_messages() {
        let mut receipts = Receipts::default();
        let here = ConversationId::from("a");
        let now = Instant::now();
        receipts.note(&here, 1, now);
        receipts.note(&here, 48, now + Duration::from_millis(200));
        assert_eq!(receipts.deadline(), Some(now + Duration::from_millis(300)), "from the first one on");
        assert!(receipts.take_due(now + Duration::from_millis(299)).is_empty());
        receipts.note(&here, 1, now + Duration::from_millis(210));
        assert_eq!(
            receipts.take_due(now + Duration::from_millis(210)),
            std::slice::from_ref(&here),
            "fifty don't wait"
        );
        assert!(receipts.take_due(now + Duration::from_secs(9)).is_empty(), "one at a time");
        assert!(!receipts.is_idle());
        receipts.told(&here);
        assert!(receipts.is_idle());
    }

    #[test]
    fn a_receipt_that_failed_is_sent_again_later() {
        let mut receipts = Receipts::default();
        let here = ConversationId::from("a");
        let now = Instant::now();
        receipts.note(&here, 1, now);
        let due = now + Duration::from_millis(300);
        assert_eq!(receipts.take_due(due).len(), 1);
        receipts.failed(&here, Some(Duration::from_secs(2)), due, 0);
        assert_eq!(receipts.deadline(), Some(due + Duration::from_secs(2)));
        receipts.note(&here, 100, due);
        assert_eq!(receipts.deadline(), Some(due + Duration::from_secs(2)), "many don't hurry what failed");
    }
}
