//! When to connect: a state machine that is a pure function of (state, input, now, chance). It opens and closes nothing
//! itself, and knows nothing of messages.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::full_jitter;
use crate::limits;

/// Where the connection stands, and all that decides on its future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    has_network: bool,
    is_foreground: bool,
    /// Until when a client in the background may stay connected.
    drain_until: Option<Instant>,
    /// A server that left has asked for patience until then.
    not_before: Option<Instant>,
    /// Tries in a row that led to nothing that held.
    failures: u32,
}

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none and none is wanted: no network, or the background.
    Idle,
    Connecting {
        since: Instant,
    },
    Online {
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// The server refused the key.
    Refused,
    /// The server takes nothing from this device or person; it is asked again then.
    Blocked {
        until: Instant,
    },
    /// The server has to be told anew who is there. There is another try then, if there is anything to tell.
    Unidentified {
        until: Option<Instant>,
    },
    Closed,
}

/// As the log has it.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "none",
            Self::Connecting { .. } => "connecting",
            Self::Online { .. } => "online",
            Self::Waiting { .. } => "waiting for another try",
            Self::Refused => "the key was refused",
            Self::Blocked { .. } => "blocked",
            Self::Unidentified { .. } => "the server wants to know who is there",
            Self::Closed => "closed",
        })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The client was opened.
    Start,
    /// The network came, or went.
    Network(bool),
    /// There is another network than before.
    NetworkChanged,
    Foreground,
    /// The app went to the background; whether there is something left to send.
    Background {
        has_work: bool,
    },
    /// Nothing is left to send.
    Drained,
    /// The server has accepted the connection.
    Connected,
    /// The connection, or the try, is over.
    Lost,
    /// The connection has shown no sign of life when it was asked for one.
    Silent,
    /// The server refused the key.
    Refused,
    /// The server takes nothing from this device or person.
    Blocked,
    /// The server has to be told anew who is there; whether there is something to tell it.
    Unidentified {
        may_retry: bool,
    },
    /// There is a new key.
    NewKey,
    /// The person changed: connect again, as somebody else.
    NewPerson,
    /// The server leaves, and asks to come back after this time.
    Leaving(Duration),
    Close,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a connection. There is none.
    Open,
    /// End the connection, or the try. Nothing that it still says counts.
    Close,
    /// Both, the end first.
    Reopen,
}

impl State {
    /// Before the start: with a network, in the foreground.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            has_network: true,
            is_foreground: true,
            drain_until: None,
            not_before: None,
            failures: 0,
        }
    }

    /// The state after `input` at `now`, and what is to be done. `chance` is 64 random bits.
    pub(crate) fn after(mut self, input: Input, now: Instant, chance: u64) -> (Self, Option<Action>) {
        if self.phase == Phase::Closed {
            return (self, None);
        }
        self.forget_what_is_over(now);
        let action = match input {
            Input::Start | Input::Tick => self.go_on(now),
            Input::Network(has_network) => self.network(has_network, now),
            Input::NetworkChanged => {
                self.has_network = true;
                self.begin_again(now)
            }
            Input::Silent => {
                if let Phase::Online { .. } = self.phase {
                    self.begin_again(now)
                } else {
                    None
                }
            }
            Input::Foreground => {
                self.is_foreground = true;
                self.drain_until = None;
                self.try_at_once(now)
            }
            Input::Background { has_work } => self.background(has_work, now),
            Input::Drained => {
                if self.drain_until.take().is_some() {
                    self.rest()
                } else {
                    None
                }
            }
            Input::Connected => {
                if let Phase::Connecting { .. } = self.phase {
                    self.phase = Phase::Online { since: now };
                }
                None
            }
            Input::Lost => {
                self.lost(now, chance);
                None
            }
            Input::Refused => {
                if self.is_open() {
                    self.phase = Phase::Refused;
                    Some(Action::Close)
                } else {
                    None
                }
            }
            Input::Blocked => self.blocked(now, chance),
            Input::Unidentified { may_retry } => {
                if let Phase::Online { .. } = self.phase {
                    let wait = full_jitter(limits::IDENTITY_RETRY, self.failures, chance);
                    self.failures = self.failures.saturating_add(1);
                    self.phase = Phase::Unidentified { until: may_retry.then(|| now + wait) };
                    Some(Action::Close)
                } else {
                    None
                }
            }
            Input::NewKey => self.new_key(now),
            Input::NewPerson => self.instead(now),
            Input::Leaving(delay) => {
                let until = now + delay.min(limits::ASKED_WAIT);
                self.not_before = Some(until);
                if let Phase::Waiting { .. } = self.phase {
                    self.phase = Phase::Waiting { until };
                }
                None
            }
            Input::Close => {
                let was_open = self.is_open();
                self.phase = Phase::Closed;
                was_open.then_some(Action::Close)
            }
        };
        (self, action)
    }

    /// When time matters next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let wait = match self.phase {
            Phase::Waiting { until } | Phase::Blocked { until } => Some(until),
            Phase::Unidentified { until } => until,
            _ => None,
        };
        match (wait, self.drain_until) {
            (Some(wait), Some(drain)) => Some(wait.min(drain)),
            (wait, drain) => wait.or(drain),
        }
    }

    /// Whether the person sees the app.
    pub(crate) fn is_foreground(&self) -> bool {
        self.is_foreground
    }

    /// Whether it is emptying the queue before it rests in the background.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    /// Whether there is a connection or a try.
    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Online { .. })
    }

    /// Whether it may connect at all.
    fn is_wanted(&self) -> bool {
        self.has_network && (self.is_foreground || self.drain_until.is_some())
    }

    fn forget_what_is_over(&mut self, now: Instant) {
        if self.not_before.is_some_and(|until| until <= now) {
            self.not_before = None;
        }
        if let Phase::Online { since } = self.phase
            && now - since >= limits::STABLE
        {
            self.failures = 0;
        }
    }

    /// Time passed: what it was waited for is due, or the time for draining is over.
    fn go_on(&mut self, now: Instant) -> Option<Action> {
        if self.drain_until.is_some_and(|until| until <= now) {
            self.drain_until = None;
            return self.rest();
        }
        match self.phase {
            Phase::Waiting { until }
            | Phase::Blocked { until }
            | Phase::Unidentified { until: Some(until) }
                if until <= now =>
            {
                self.open(now)
            }
            Phase::Idle => self.open(now),
            _ => None,
        }
    }

    /// Opens a connection, if one may be opened and the server that left wants it already.
    fn open(&mut self, now: Instant) -> Option<Action> {
        if !self.is_wanted() {
            self.phase = Phase::Idle;
            return None;
        }
        if let Some(until) = self.not_before.filter(|until| *until > now) {
            self.phase = Phase::Waiting { until };
            return None;
        }
        self.phase = Phase::Connecting { since: now };
        Some(Action::Open)
    }

    /// There is new hope: whatever was waited for, unless a leaving server asked for it, is not waited for any more.
    fn try_at_once(&mut self, now: Instant) -> Option<Action> {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Blocked { .. } | Phase::Unidentified { .. } => {
                self.failures = 0;
                self.open(now)
            }
            _ => None,
        }
    }

    fn network(&mut self, has_network: bool, now: Instant) -> Option<Action> {
        self.has_network = has_network;
        if has_network {
            return match self.phase {
                // It may be another network than the one that the try began on.
                Phase::Connecting { since } if now - since >= limits::CONNECTING => self.begin_again(now),
                _ => self.try_at_once(now),
            };
        }
        self.rest()
    }

    fn background(&mut self, has_work: bool, now: Instant) -> Option<Action> {
        self.is_foreground = false;
        if has_work && self.has_network {
            self.drain_until.get_or_insert(now + limits::BACKGROUND_DRAIN);
            return self.go_on(now);
        }
        self.drain_until = None;
        self.rest()
    }

    /// Ends what there is, for as long as nobody looks or there is no network.
    fn rest(&mut self) -> Option<Action> {
        let was_open = self.is_open();
        if !matches!(self.phase, Phase::Refused | Phase::Closed) {
            self.phase = Phase::Idle;
        }
        was_open.then_some(Action::Close)
    }

    fn lost(&mut self, now: Instant, chance: u64) {
        if !self.is_open() {
            return;
        }
        if !self.is_wanted() {
            self.phase = Phase::Idle;
            return;
        }
        let jitter = now + full_jitter(limits::RECONNECT, self.failures, chance);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting { until: self.not_before.unwrap_or(jitter) };
    }

    fn blocked(&mut self, now: Instant, chance: u64) -> Option<Action> {
        let was_open = self.is_open();
        if was_open {
            let half = limits::BLOCKED_RETRY / 2;
            let wait = half + full_jitter((limits::BLOCKED_RETRY, limits::BLOCKED_RETRY), 0, chance);
            self.phase = Phase::Blocked { until: now + wait };
        }
        was_open.then_some(Action::Close)
    }

    fn new_key(&mut self, now: Instant) -> Option<Action> {
        if self.phase == Phase::Refused {
            self.phase = Phase::Idle;
        }
        if self.is_open() {
            // The old key may just have been withdrawn; the server is asked again with the new one.
            self.phase = Phase::Connecting { since: now };
            return Some(Action::Reopen);
        }
        self.try_at_once(now)
    }

    /// What there is leads nowhere: another connection, at once.
    fn begin_again(&mut self, now: Instant) -> Option<Action> {
        self.failures = 0;
        self.instead(now)
    }

    /// Another connection in the place of the one that there is, if there is one.
    fn instead(&mut self, now: Instant) -> Option<Action> {
        let was_open = self.is_open();
        if was_open {
            self.phase = Phase::Idle;
        }
        match (was_open, self.try_at_once(now)) {
            (true, Some(_)) => Some(Action::Reopen),
            (true, None) => Some(Action::Close),
            (false, action) => action,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: u64 = u64::MAX;

    /// A state and its clock.
    struct Machine {
        state: State,
        now: Instant,
    }

    impl Machine {
        fn new() -> Self {
            Self { state: State::new(), now: Instant::now() }
        }

        fn on(&mut self, input: Input) -> Option<Action> {
            let (state, action) = self.state.after(input, self.now, MOST);
            self.state = state;
            action
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }

        /// How long it waits from now on; nothing where it does not wait.
        fn wait(&self) -> Option<Duration> {
            match self.state.phase {
                Phase::Waiting { until } => Some(until - self.now),
                _ => None,
            }
        }

        fn online() -> Self {
            let mut machine = Self::new();
            assert_eq!(machine.on(Input::Start), Some(Action::Open));
            assert_eq!(machine.on(Input::Connected), None);
            machine
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn about(wait: Option<Duration>) -> u64 {
        wait.expect("it waits").as_secs_f64().round() as u64
    }

    #[test]
    fn waits_double_from_one_second_to_thirty_and_begin_anew_after_ten_that_held() {
        let mut machine = Machine::new();
        machine.on(Input::Start);
        let mut waits = Vec::new();
        for _ in 0..7 {
            machine.on(Input::Lost);
            waits.push(about(machine.wait()));
            machine.pass(machine.wait().unwrap());
            assert_eq!(machine.on(Input::Tick), Some(Action::Open));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        machine.on(Input::Connected);
        machine.pass(SECOND * 10 - Duration::from_millis(1));
        machine.on(Input::Lost);
        assert_eq!(about(machine.wait()), 30, "it did not hold");
        machine.pass(machine.wait().unwrap());
        machine.on(Input::Tick);
        machine.on(Input::Connected);
        machine.pass(SECOND * 10);
        machine.on(Input::Lost);
        assert_eq!(about(machine.wait()), 1, "it held");
    }

    #[test]
    fn a_leaving_servers_delay_wins_over_everything() {
        let mut machine = Machine::online();
        machine.on(Input::Leaving(SECOND * 45));
        machine.on(Input::Lost);
        assert_eq!(machine.wait(), Some(SECOND * 45));
        for input in [Input::Network(true), Input::Foreground, Input::NewKey, Input::NewPerson, Input::Tick] {
            assert_eq!(machine.on(input), None, "{input:?}");
            assert_eq!(machine.wait(), Some(SECOND * 45), "{input:?}");
        }
        machine.on(Input::Network(false));
        machine.pass(SECOND * 20);
        machine.on(Input::Network(true));
        assert_eq!(machine.wait(), Some(SECOND * 25));
        machine.pass(SECOND * 25);
        assert_eq!(machine.on(Input::Tick), Some(Action::Open));
    }

    #[test]
    fn the_delay_counts_although_the_socket_closed_first() {
        let mut machine = Machine::online();
        machine.on(Input::Lost);
        machine.on(Input::Leaving(SECOND * 5));
        assert_eq!(machine.wait(), Some(SECOND * 5));
    }

    #[test]
    fn without_a_network_there_are_no_timers_and_with_it_there_is_no_wait() {
        let mut machine = Machine::online();
        assert_eq!(machine.on(Input::Network(false)), Some(Action::Close));
        assert_eq!((machine.state.phase, machine.state.deadline()), (Phase::Idle, None));
        machine.pass(SECOND * 100_000);
        assert_eq!(machine.on(Input::Tick), None);
        assert_eq!(machine.on(Input::Network(true)), Some(Action::Open));
        machine.on(Input::Lost);
        assert!(machine.wait().is_some());
        assert_eq!(machine.on(Input::Network(true)), Some(Action::Open), "it may be another network");
    }

    #[test]
    fn on_another_network_a_connection_is_made_anew_and_at_once() {
        let mut machine = Machine::online();
        assert_eq!(machine.on(Input::NetworkChanged), Some(Action::Reopen));
        assert_eq!(machine.on(Input::NetworkChanged), Some(Action::Reopen), "the try, too");
        machine.on(Input::Lost);
        assert_eq!(machine.on(Input::NetworkChanged), Some(Action::Open), "nothing is waited for");
        machine.on(Input::Network(false));
        assert_eq!(machine.on(Input::NetworkChanged), Some(Action::Open), "then there is one");
        machine.on(Input::Connected);
        machine.on(Input::Background { has_work: false });
        assert_eq!(machine.on(Input::NetworkChanged), None, "nobody looks");
        machine.on(Input::Foreground);
        machine.on(Input::Connected);
        machine.on(Input::Leaving(SECOND * 45));
        assert_eq!(machine.on(Input::NetworkChanged), Some(Action::Close));
        assert_eq!(machine.wait(), Some(SECOND * 45), "the server's wish is kept");
    }

    #[test]
    fn a_try_may_have_begun_on_another_network_than_the_one_that_is_there() {
        let mut machine = Machine::new();
        machine.on(Input::Start);
        machine.pass(SECOND);
        assert_eq!(machine.on(Input::Network(true)), None, "it has just begun");
        machine.pass(SECOND);
        assert_eq!(machine.on(Input::Network(true)), Some(Action::Reopen));
        assert_eq!(machine.on(Input::Network(true)), None);
        machine.on(Input::Connected);
        machine.pass(SECOND * 100);
        assert_eq!(machine.on(Input::Network(true)), None, "one that stands is asked for a sign of life");
        assert_eq!(machine.on(Input::Silent), Some(Action::Reopen));
        assert_eq!(machine.on(Input::Silent), None, "of the one before");
    }

    #[test]
    fn a_refused_key_waits_for_another_one() {
        let mut machine = Machine::new();
        machine.on(Input::Start);
        assert_eq!(machine.on(Input::Refused), Some(Action::Close));
        for input in [
            Input::Network(false),
            Input::Network(true),
            Input::Foreground,
            Input::Background { has_work: true },
            Input::Foreground,
            Input::Tick,
            Input::Lost,
        ] {
            machine.on(input);
            assert_eq!(machine.state.phase, Phase::Refused, "{input:?}");
        }
        assert_eq!(machine.on(Input::NewKey), Some(Action::Open));
    }

    #[test]
    fn who_is_blocked_asks_again_every_few_minutes_and_when_there_is_new_hope() {
        let mut machine = Machine::new();
        machine.on(Input::Start);
        assert_eq!(machine.on(Input::Blocked), Some(Action::Close), "when it connects");
        let until = machine.state.deadline().unwrap();
        assert_eq!((until - machine.now).as_secs_f64().round() as u64, 450, "at most");
        assert_eq!(machine.on(Input::Tick), None);
        machine.pass(SECOND * 450);
        assert_eq!(machine.on(Input::Tick), Some(Action::Open));
        machine.on(Input::Connected);
        assert_eq!(machine.on(Input::Blocked), Some(Action::Close), "when it was connected");
        assert_eq!(machine.on(Input::Blocked), None, "and once");
        machine.on(Input::Background { has_work: false });
        assert_eq!(machine.on(Input::Foreground), Some(Action::Open));
    }

    #[test]
    fn a_server_that_wants_to_know_who_is_there_is_tried_ever_more_rarely_or_not_before_there_is_something_to_tell()
     {
        let mut machine = Machine::online();
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert_eq!(machine.on(Input::Unidentified { may_retry: true }), Some(Action::Close));
            let wait = machine.state.deadline().unwrap() - machine.now;
            waits.push(wait.as_secs_f64().round() as u64);
            machine.pass(wait);
            assert_eq!(machine.on(Input::Tick), Some(Action::Open));
            machine.on(Input::Connected);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        machine.on(Input::Unidentified { may_retry: false });
        assert_eq!(machine.state.deadline(), None);
        machine.pass(SECOND * 100_000);
        assert_eq!(machine.on(Input::Tick), None);
        assert_eq!(machine.on(Input::NewPerson), Some(Action::Open));
        assert_eq!(machine.on(Input::Unidentified { may_retry: true }), None, "of the connection before");
    }

    #[test]
    fn in_the_background_the_queue_is_emptied_for_ten_seconds_at_most() {
        let mut machine = Machine::online();
        assert_eq!(machine.on(Input::Background { has_work: true }), None);
        assert_eq!(machine.state.deadline(), Some(machine.now + SECOND * 10));
        machine.pass(SECOND * 10);
        assert_eq!(machine.on(Input::Tick), Some(Action::Close));
        assert_eq!(machine.state.deadline(), None);
        assert_eq!(machine.on(Input::Foreground), Some(Action::Open));
        machine.on(Input::Connected);
        machine.on(Input::Background { has_work: true });
        assert_eq!(machine.on(Input::Drained), Some(Action::Close), "done before");
        machine.on(Input::Foreground);
        machine.on(Input::Connected);
        assert_eq!(machine.on(Input::Background { has_work: false }), Some(Action::Close), "nothing to do");
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            any::<bool>().prop_map(Input::Network),
            Just(Input::Foreground),
            Just(Input::NetworkChanged),
            Just(Input::Silent),
            any::<bool>().prop_map(|has_work| Input::Background { has_work }),
            Just(Input::Drained),
            Just(Input::Connected),
            Just(Input::Lost),
            Just(Input::Refused),
            Just(Input::Blocked),
            any::<bool>().prop_map(|may_retry| Input::Unidentified { may_retry }),
            Just(Input::NewKey),
            Just(Input::NewPerson),
            (0..60_000u64).prop_map(|ms| Input::Leaving(Duration::from_millis(ms))),
            Just(Input::Tick),
            Just(Input::Tick),
        ]
    }

    proptest! {
        /// Opening and closing alternate, nothing is opened that is not wanted or is asked to wait, and a deadline that
        /// is met lies ahead again.
        #[test]
        fn whatever_comes_there_is_one_connection_at_most(
            inputs in prop::collection::vec((any_input(), 0..20_000u64, any::<u64>()), 1..80)
        ) {
            let mut state = State::new();
            let mut now = Instant::now();
            let mut is_open = false;
            let mut asked_until = now;
            for (input, ms, chance) in std::iter::once((Input::Start, 0, 0)).chain(inputs) {
                now += Duration::from_millis(ms);
                if let Input::Leaving(delay) = input {
                    asked_until = now + delay;
                }
                let (after, action) = state.after(input, now, chance);
                match action {
                    Some(Action::Open) => prop_assert!(!is_open),
                    Some(Action::Close | Action::Reopen) => prop_assert!(is_open || input == Input::Refused),
                    None => {}
                }
                if let Some(Action::Open) = action {
                    prop_assert!(after.has_network && (after.is_foreground || after.drain_until.is_some()));
                    prop_assert!(now >= asked_until);
                }
                is_open = after.is_open();
                state = after;
                let (ticked, _) = state.after(Input::Tick, now, chance);
                prop_assert!(ticked.deadline().is_none_or(|due| due > now));
            }
        }
    }
}
