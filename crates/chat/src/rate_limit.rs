//! How often what may be done, by whom and from where. All buckets are in one table of one size.

mod table;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};
use protocol::limits::{Action, By, RATES, Rate, SEND_BURST_SECONDS};
use protocol::{AppId, Code, DeviceId, Failure};

use self::table::Table;
use crate::{Address, Ambient, Principal};

/// The limits by action, as an operator has set them.
#[derive(Debug, Clone)]
pub struct Rates(Vec<(Action, By, Rate)>);

impl Rates {
    /// The defaults, with these sends a second of a device and of an agent. 0 is no limit, and not only for sends: of
    /// nothing that devices do, or agents.
    pub fn new(per_device: u32, per_agent: u32) -> Self {
        let sends = |per_second: u32| Rate {
            per_minute: per_second.saturating_mul(60),
            burst: per_second.saturating_mul(SEND_BURST_SECONDS),
        };
        let rates = RATES.iter().filter_map(|&(action, by, rate)| {
            let is_limited = match by {
                By::Device | By::App | By::Address => per_device != 0,
                By::Agent => per_agent != 0,
                By::Connection => per_device != 0 && per_agent != 0,
            };
            let rate = match (action, by) {
                (Action::Send, By::Device) => sends(per_device),
                (Action::Send, By::Agent) => sends(per_agent),
                _ => rate,
            };
            is_limited.then_some((action, by, rate))
        });
        Self(rates.collect())
    }

    /// No limits at all.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Sets one limit; `None` is no limit.
    pub fn set(&mut self, action: Action, by: By, rate: Option<Rate>) {
        self.0.retain(|(known, known_by, _)| (*known, *known_by) != (action, by));
        self.0.extend(rate.map(|rate| (action, by, rate)));
    }
}

/// The monotonic clock of [`Ambient`], in the form that the limiter takes.
#[derive(Clone)]
struct ElapsedClock(Ambient);

impl Clock for ElapsedClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

type Bucketing = RateLimiter<u64, Table, ElapsedClock, NoOpMiddleware<Duration>>;

/// Who is counted, as the table's keys are made of.
#[derive(Hash)]
enum Who<'a> {
    Device(&'a AppId, &'a DeviceId),
    Agent(&'a str),
    Address(IpAddr),
    App(&'a AppId),
    Connection(u64),
}

pub(crate) struct Limiter {
    limits: Vec<(Action, By, Bucketing)>,
    table: Table,
    clock: ElapsedClock,
}

impl Limiter {
    pub(crate) fn new(rates: &Rates, ambient: Ambient) -> Self {
        let (clock, table) = (ElapsedClock(ambient), Table::new());
        let limits = rates.0.iter().filter_map(|(action, by, rate)| {
            let quota = Quota::per_minute(NonZeroU32::new(rate.per_minute)?)
                .allow_burst(NonZeroU32::new(rate.burst.max(1))?);
            Some((*action, *by, RateLimiter::new(quota, table.clone(), clock.clone())))
        });
        let limits = limits.collect();
        Self { limits, table, clock }
    }

    /// Counts one act of `principal`: by device or agent, by address, by app. The first limit that is reached stands,
    /// and those after it do not count the act. Tells of an address that has reached its limit and is let through,
    /// because many may share it.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub(crate) fn check(&self, action: Action, principal: &Principal) -> Result<Option<IpAddr>, Failure> {
        let shared = self.check_own(action, principal)?;
        self.check_app(action, principal)?;
        Ok(shared)
    }

    /// As [`check`](Self::check), but not by app: what others of the app do has no say in it.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub(crate) fn check_own(&self, action: Action, principal: &Principal) -> Result<Option<IpAddr>, Failure> {
        let address = match principal {
            Principal::Device(device) => {
                self.count(action, By::Device, &Who::Device(&device.app_id, &device.device_id))?;
                device.address
            }
            Principal::Agent(agent) => {
                let who = agent.connection_id.as_ref().map_or(agent.token_id.as_str(), |id| id.as_str());
                self.count(action, By::Agent, &Who::Agent(who))?;
                // Who has an agent's credential is known, and many of them share an office.
                return Ok(None);
            }
        };
        self.check_address(action, address)
    }

    /// Counts one act of a device against what all devices of its app may do together.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub(crate) fn check_app(&self, action: Action, principal: &Principal) -> Result<(), Failure> {
        match principal {
            Principal::Device(device) => self.count(action, By::App, &Who::App(&device.app_id)),
            Principal::Agent(_) => Ok(()),
        }
    }

    /// Counts one act of somebody who is only known by where they are; see [`check`](Self::check).
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub(crate) fn check_address(
        &self,
        action: Action,
        address: Option<Address>,
    ) -> Result<Option<IpAddr>, Failure> {
        let Some(address) = address else { return Ok(None) };
        match self.count(action, By::Address, &Who::Address(address.network())) {
            Err(_) if address.may_be_shared => Ok(Some(address.ip)),
            outcome => outcome.map(|()| None),
        }
    }

    /// Counts one event of a connection; the time to wait before the next is read, if that is one too many.
    pub(crate) fn event(&self, connection: u64) -> Option<Duration> {
        self.wait(Action::Event, By::Connection, &Who::Connection(connection))
    }

    fn count(&self, action: Action, by: By, who: &Who<'_>) -> Result<(), Failure> {
        let Some(wait) = self.wait(action, by, who) else { return Ok(()) };
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let message = format!("too many {}; wait {retry_after_ms} ms", action.noun());
        Err(Failure { retry_after_ms: Some(retry_after_ms), ..Failure::new(Code::RateLimited, message) })
    }

    fn wait(&self, action: Action, by: By, who: &Who<'_>) -> Option<Duration> {
        let limit = self.limits.iter().find(|(known, known_by, _)| (*known, *known_by) == (action, by));
        let (_, _, bucketing) = limit?;
        let key = self.table.key((action, who));
        let not_until = bucketing.check_key(&key).err()?;
        Some(not_until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;
    use protocol::Timestamp;

    use super::*;
    use crate::{Device, Restrictions};

    fn device(name: &str) -> Principal {
        Principal::Device(Device {
            app_id: "app_1".into(),
            device_id: name.into(),
            address: None,
            person: None,
            restrictions: Restrictions::default(),
        })
    }

    fn limiter_at(clock_ms: &Arc<AtomicU64>, rates: &Rates) -> Limiter {
        let clock_ms = Arc::clone(clock_ms);
        let elapsed = move || Duration::from_millis(clock_ms.load(Ordering::Relaxed));
        let ambient = Ambient::of(|| Timestamp::from_epoch_ms(0), elapsed, |_| ());
        Limiter::new(rates, ambient)
    }

    proptest! {
        /// Whenever one tries: never more than the burst and what the time since has given, and who waits as long as
        /// they were told gets through.
        #[test]
        fn sends_stay_within_rate_and_burst(rate in 1..20u32, pauses in prop::collection::vec(0..700u64, 1..200)) {
            let clock_ms = Arc::new(AtomicU64::new(1_000));
            let limiter = limiter_at(&clock_ms, &Rates::new(rate, 0));
            let (mut granted, start) = (0u64, clock_ms.load(Ordering::Relaxed));
            for pause in pauses {
                let now = clock_ms.fetch_add(pause, Ordering::Relaxed) + pause;
                match limiter.check(Action::Send, &device("a")) {
                    Ok(_) => granted += 1,
                    Err(failure) => {
                        prop_assert_eq!(failure.code, Code::RateLimited);
                        clock_ms.fetch_add(failure.retry_after_ms.unwrap(), Ordering::Relaxed);
                        prop_assert!(limiter.check(Action::Send, &device("a")).is_ok());
                        granted += 1;
                    }
                }
                let elapsed_ms = clock_ms.load(Ordering::Relaxed) - start;
                let most = u64::from(rate * SEND_BURST_SECONDS) + u64::from(rate) * elapsed_ms / 1_000 + 1;
                prop_assert!(granted <= most, "{} of {} at {}", granted, most, now);
            }
        }
    }

    #[test]
    fn one_device_does_not_use_up_what_another_may_send() {
        let limiter = limiter_at(&Arc::new(AtomicU64::new(0)), &Rates::new(5, 0));
        for _ in 0..10 {
            assert!(limiter.check(Action::Send, &device("a")).is_ok());
        }
        assert!(limiter.check(Action::Send, &device("a")).is_err());
        assert!(limiter.check(Action::Send, &device("b")).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = limiter_at(&Arc::new(AtomicU64::new(0)), &Rates::new(0, 0));
        for _ in 0..1_000 {
            assert!(limiter.check(Action::Send, &device("a")).is_ok());
        }
    }

    fn at(name: &str, address: &str, may_be_shared: bool) -> Principal {
        let address = Some(Address { ip: address.parse().unwrap(), may_be_shared });
        Principal::Device(Device {
            app_id: "app_1".into(),
            device_id: name.into(),
            address,
            person: None,
            restrictions: Restrictions::default(),
        })
    }

    /// How many of `most` devices with made-up names may open a conversation at once, each from its address.
    fn opened(limiter: &Limiter, most: u32, device: impl Fn(u32) -> Principal) -> u32 {
        (0..most).filter(|number| limiter.check(Action::Open, &device(*number)).is_ok()).count() as u32
    }

    #[test]
    fn made_up_names_do_not_get_around_the_limits_by_address_and_by_app() {
        let clock_ms = Arc::new(AtomicU64::new(1_000));
        let burst = |by| RATES.iter().find(|rate| (rate.0, rate.1) == (Action::Open, by)).unwrap().2.burst;
        let limiter = limiter_at(&clock_ms, &Rates::new(5, 100));
        let from_one = |number: u32| at(&number.to_string(), "203.0.113.7", false);
        assert_eq!(opened(&limiter, 5_000, from_one), burst(By::Address));
        let from_many = |number: u32| at(&number.to_string(), &format!("203.0.{}.1", number % 250), false);
        assert_eq!(opened(&limiter, 20_000, from_many), burst(By::App) - burst(By::Address));
    }

    #[test]
    fn an_address_of_the_sixth_version_is_its_network() {
        let limiter = limiter_at(&Arc::new(AtomicU64::new(1_000)), &Rates::new(5, 100));
        let neighbours = |number: u32| at(&number.to_string(), &format!("2001:db8:1:2::{number:x}"), false);
        assert!(opened(&limiter, 900, neighbours) < 900);
        assert!(limiter.check(Action::Open, &at("x", "2001:db8:1:3::1", false)).is_ok());
    }

    #[test]
    fn an_address_that_many_may_share_is_told_of_and_not_refused() {
        let limiter = limiter_at(&Arc::new(AtomicU64::new(1_000)), &Rates::new(5, 100));
        let behind = |number: u32| at(&number.to_string(), "10.0.0.1", true);
        let told = (0..400).filter(|number| {
            let told = limiter.check(Action::Open, &behind(*number)).unwrap();
            told == Some("10.0.0.1".parse().unwrap())
        });
        assert!(told.count() > 50);
    }

    #[test]
    fn one_limit_can_be_set_or_taken_away() {
        let mut rates = Rates::new(5, 100);
        rates.set(Action::Open, By::Device, Some(Rate { per_minute: 1, burst: 2 }));
        rates.set(Action::Typing, By::Device, None);
        let limiter = limiter_at(&Arc::new(AtomicU64::new(1_000)), &rates);
        let opens: Vec<_> = (0..3).map(|_| limiter.check(Action::Open, &device("a")).is_ok()).collect();
        assert_eq!(opens, [true, true, false]);
        assert!((0..1_000).all(|_| limiter.check(Action::Typing, &device("a")).is_ok()));
    }

    #[test]
    fn events_are_slowed_and_not_refused() {
        let clock_ms = Arc::new(AtomicU64::new(1_000));
        let limiter = limiter_at(&clock_ms, &Rates::new(5, 100));
        let waits: Vec<_> = (0..2_000).filter_map(|_| limiter.event(7)).collect();
        assert_eq!(waits.len(), 1_000);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(2)), "one event's worth");
        assert_eq!(limiter.event(8), None);
    }
}
