//! Who is shown as typing in a conversation, on this node, and until when. Whoever types may vanish with their node, or
//! forget to say that they have stopped: those who are shown it are told the end by the node that they are on.

use protocol::limits::TYPING_LIFETIME;
use protocol::{ConnectionId, DeviceId};
use tokio::time::Instant;

/// Who types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typist {
    /// An agent; which one is not told.
    Agent,
    /// The person at this device.
    Device(DeviceId),
}

/// Somebody who is shown as typing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) typist: Typist,
    /// The connection that they type on, which is not told.
    pub(super) from: Option<ConnectionId>,
    until: Instant,
}

/// Those who are shown as typing; few.
#[derive(Debug, Default)]
pub(super) struct Typing {
    shown: Vec<Shown>,
    /// Whether somebody looks at the time.
    is_timed: bool,
}

impl Typing {
    /// Somebody types, or still does. True if nobody looks at the time yet, and has to from here on.
    pub(super) fn begin(&mut self, typist: Typist, from: Option<ConnectionId>, now: Instant) -> bool {
        self.shown.retain(|shown| shown.typist != typist);
        self.shown.push(Shown { typist, from, until: now + TYPING_LIFETIME });
        !std::mem::replace(&mut self.is_timed, true)
    }

    /// They have stopped, by whatever means; returns those of them who were shown.
    pub(super) fn end(&mut self, is_meant: impl Fn(&Typist) -> bool) -> Vec<Shown> {
        self.shown.extract_if(.., |shown| is_meant(&shown.typist)).collect()
    }

    /// Takes out those who have not been heard of for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Shown> {
        self.shown.extract_if(.., |shown| shown.until <= now).collect()
    }

    /// When whoever looks at the time has to look next; `None` if nobody is shown, and they may go.
    pub(super) fn next_look(&mut self) -> Option<Instant> {
        let next = self.shown.iter().map(|shown| shown.until).min();
        self.is_timed = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_is_shown_on_and_who_falls_silent_is_not() {
        let (mut typing, start) = (Typing::default(), Instant::now());
        assert!(typing.begin(Typist::Agent, None, start));
        assert!(!typing.begin(Typist::Device("phone".into()), Some("conn_1".into()), start));
        assert!(!typing.begin(Typist::Agent, None, start + TYPING_LIFETIME / 2));
        let gone = typing.expire(start + TYPING_LIFETIME);
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (&gone[0].typist, &gone[0].from),
            (&Typist::Device("phone".into()), &Some("conn_1".into()))
        );
        assert_eq!(typing.next_look(), Some(start + TYPING_LIFETIME / 2 + TYPING_LIFETIME));
        assert_eq!(typing.end(|typist| *typist == Typist::Agent).len(), 1);
        assert_eq!((typing.next_look(), typing.end(|_| true)), (None, Vec::new()));
        assert!(typing.begin(Typist::Agent, None, start), "nobody looks at the time any more");
    }
}
