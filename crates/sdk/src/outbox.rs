//! When to send what waits: which conversations may send, which wait after a failure, what an answer means. Never reads a
//! clock or a file; the messages themselves are in the local store.

use std::collections::HashMap;
use std::time::Duration;

use protocol::{Code, ConversationId, LocalId};
use tokio::time::Instant;

use crate::backoff::full_jitter;
use crate::limits;

/// What is on its way, and who waits until when.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    in_flight: HashMap<ConversationId, LocalId>,
    waits: HashMap<ConversationId, Wait>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Wait {
    failures: u32,
    until: Option<Instant>,
}

impl Outbox {
    /// Whether the first message of the conversation may be sent now.
    pub(crate) fn is_free(&self, conversation: &ConversationId, now: Instant) -> bool {
        !self.in_flight.contains_key(conversation)
            && self.waits.get(conversation).and_then(|wait| wait.until).is_none_or(|until| until <= now)
    }

    /// A message is on its way.
    pub(crate) fn begin(&mut self, conversation: ConversationId, local_id: LocalId) {
        self.in_flight.insert(conversation, local_id);
    }

    /// Takes note of an answer; whether it was waited for.
    pub(crate) fn end(&mut self, conversation: &ConversationId, local_id: &LocalId) -> bool {
        if self.in_flight.get(conversation) != Some(local_id) {
            return false;
        }
        self.in_flight.remove(conversation);
        true
    }

    /// Whether this message is on its way.
    pub(crate) fn is_in_flight(&self, local_id: &LocalId) -> bool {
        self.in_flight.values().any(|in_flight| in_flight == local_id)
    }

    /// Something was sent well: there is no reason for anyone to wait.
    pub(crate) fn succeeded(&mut self) {
        self.waits.clear();
    }

    /// There is new hope: nobody waits, but failures go on counting.
    pub(crate) fn kick(&mut self) {
        for wait in self.waits.values_mut() {
            wait.until = None;
        }
    }

    /// The conversation's first message failed for now, and is tried again later.
    pub(crate) fn failed(
        &mut self,
        conversation: ConversationId,
        retry_after: Option<Duration>,
        now: Instant,
        chance: u64,
    ) {
        let wait = self.waits.entry(conversation).or_default();
        let jitter = full_jitter(limits::RESEND, wait.failures, chance);
        wait.failures = wait.failures.saturating_add(1);
        wait.until = Some(now + retry_after.map_or(jitter, |wait| wait.min(limits::ASKED_WAIT)));
    }

    /// The connection is gone, and with it what was on its way.
    pub(crate) fn connection_lost(&mut self) {
        self.in_flight.clear();
    }

    /// The conversation has another id now.
    pub(crate) fn forget(&mut self, conversation: &ConversationId) {
        self.waits.remove(conversation);
    }

    /// The conversation is no more. What was on its way there is not waited for.
    pub(crate) fn lose(&mut self, conversation: &ConversationId) {
        self.waits.remove(conversation);
        self.in_flight.remove(conversation);
    }

    /// When a wait is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waits.values().filter_map(|wait| wait.until).min()
    }

    /// Waits that are over are forgotten, so that [`deadline`](Self::deadline) lies ahead.
    pub(crate) fn tick(&mut self, now: Instant) {
        for wait in self.waits.values_mut() {
            if wait.until.is_some_and(|until| until <= now) {
                wait.until = None;
            }
        }
    }
}

/// What a failure means for what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It may go well later.
    ForNow { retry_after: Option<Duration> },
    /// Nothing goes well before something else changes.
    Barred(Bar),
    /// It never will.
    ForGood { code: String, message: String },
}

/// What stands between the client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bar {
    /// The server does not know the key any more.
    Key,
    /// The server has to be told anew who is there.
    Identity,
    /// The server takes nothing from this device or person.
    Blocked,
}

impl Bar {
    fn of(code: &str) -> Option<Self> {
        [Self::Key, Self::Identity, Self::Blocked].into_iter().find(|bar| bar.told().0.as_str() == code)
    }

    /// What the server has said, and what that means.
    pub(crate) fn told(self) -> (Code, &'static str) {
        match self {
            Self::Key => (Code::InvalidCredentials, "the server does not know the key"),
            Self::Identity => (Code::IdentityRequired, "the server has to be told anew who is there"),
            Self::Blocked => (Code::Blocked, "the server takes nothing from this device or person"),
        }
    }
}

impl Failed {
    /// Of the transport: nothing is known.
    pub(crate) const TRANSPORT: Self = Self::ForNow { retry_after: None };

    /// What is to be sent is larger than this server takes.
    pub(crate) fn too_large() -> Self {
        Self::ForGood {
            code: Code::MessageTooLong.as_str().to_owned(),
            message: "the server takes no message of that size".to_owned(),
        }
    }

    /// By the code of an answer, on the socket or in a body.
    pub(crate) fn with_code(code: &str, message: &str, retry_after_ms: Option<u64>) -> Self {
        if let Some(bar) = Bar::of(code) {
            return Self::Barred(bar);
        }
        let is = |known: Code| known.as_str() == code;
        let for_now = [
            Code::AuthError,
            Code::RateLimited,
            Code::TooManyConnections,
            Code::ShuttingDown,
            Code::ServerError,
        ];
        if for_now.into_iter().any(is) {
            return Self::ForNow { retry_after: retry_after_ms.map(Duration::from_millis) };
        }
        Self::ForGood { code: code.to_owned(), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_well_later_stays_and_what_never_will_does_not() {
        let for_now = |failed: &Failed| matches!(failed, Failed::ForNow { .. });
        for code in ["RATE_LIMITED", "SERVER_ERROR", "SHUTTING_DOWN", "TOO_MANY_CONNECTIONS", "AUTH_ERROR"] {
            assert!(for_now(&Failed::with_code(code, "", None)), "{code}");
        }
        for code in [
            "VALIDATION_ERROR",
            "MESSAGE_TOO_LONG",
            "LOCAL_ID_CONFLICT",
            "CONVERSATION_NOT_FOUND",
            "FORBIDDEN",
            "NEW_ONE",
        ] {
            assert_eq!(
                Failed::with_code(code, "why", None),
                Failed::ForGood { code: code.into(), message: "why".into() }
            );
        }
        for (code, bar) in [
            ("INVALID_CREDENTIALS", Bar::Key),
            ("IDENTITY_REQUIRED", Bar::Identity),
            ("BLOCKED", Bar::Blocked),
        ] {
            assert_eq!(Failed::with_code(code, "", None), Failed::Barred(bar));
        }
        let wait = Failed::with_code("RATE_LIMITED", "", Some(1_500));
        assert_eq!(wait, Failed::ForNow { retry_after: Some(Duration::from_millis(1_500)) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_backs_off_from_half_a_second_to_a_minute_and_a_success_ends_that_for_all() {
        let mut outbox = Outbox::default();
        let (here, there) = (ConversationId::from("a"), ConversationId::from("b"));
        let now = Instant::now();
        let mut longest = Vec::new();
        for _ in 0..10 {
            outbox.failed(here.clone(), None, now, u64::MAX);
            longest.push((outbox.deadline().unwrap() - now).as_millis());
        }
        assert_eq!(longest[..4], [500, 1_000, 2_000, 4_000]);
        assert_eq!(longest[9], 60_000);
        assert!(!outbox.is_free(&here, now) && outbox.is_free(&there, now));
        outbox.failed(here.clone(), Some(Duration::from_secs(90)), now, 0);
        assert_eq!(outbox.deadline(), Some(now + Duration::from_secs(90)), "what the server asks for counts");
        outbox.kick();
        assert!(outbox.is_free(&here, now));
        outbox.failed(here.clone(), None, now, u64::MAX);
        assert_eq!((outbox.deadline().unwrap() - now).as_millis(), 60_000, "a kick forgives nothing");
        outbox.succeeded();
        outbox.failed(here, None, now, u64::MAX);
        assert_eq!((outbox.deadline().unwrap() - now).as_millis(), 500);
    }

    #[test]
    fn one_is_in_flight_per_conversation_and_only_its_answer_ends_it() {
        let mut outbox = Outbox::default();
        let (here, there) = (ConversationId::from("a"), ConversationId::from("b"));
        let now = Instant::now();
        outbox.begin(here.clone(), "1".into());
        assert!(!outbox.is_free(&here, now) && outbox.is_free(&there, now));
        assert!(!outbox.end(&here, &"2".into()));
        assert!(outbox.is_in_flight(&"1".into()));
        assert!(outbox.end(&here, &"1".into()));
        assert!(outbox.is_free(&here, now));
    }
}
