//! How fast one may send.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use protocol::limits::SEND_BURST_SECONDS;
use protocol::{AppId, Code, ConnectionId, DeviceId, Failure, TokenId};

use crate::{Ambient, Principal};

/// How fast devices and agents may send; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// Sends a second per device, over all its connections and REST.
    pub per_device: u32,
    /// Sends a second per agent connection, or per token over REST.
    pub per_agent: u32,
}

/// By what sends are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Device(AppId, DeviceId),
    Connection(ConnectionId),
    Token(TokenId),
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

type Limiter = RateLimiter<Key, HashMapStateStore<Key>, ElapsedClock, NoOpMiddleware<Duration>>;

pub(crate) struct SendLimiter {
    devices: Option<Limiter>,
    agents: Option<Limiter>,
    clock: ElapsedClock,
}

impl SendLimiter {
    pub(crate) fn new(limits: SendLimits, ambient: Ambient) -> Self {
        let clock = ElapsedClock(ambient);
        Self { devices: limiter(limits.per_device, &clock), agents: limiter(limits.per_agent, &clock), clock }
    }

    /// Counts one send of `principal`.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Failure> {
        let (limiter, key) = match principal {
            Principal::Device(device) => {
                (&self.devices, Key::Device(device.app_id.clone(), device.device_id.clone()))
            }
            Principal::Agent(agent) => match &agent.connection_id {
                Some(connection) => (&self.agents, Key::Connection(connection.clone())),
                None => (&self.agents, Key::Token(agent.token_id.clone())),
            },
        };
        let Some(limiter) = limiter else { return Ok(()) };
        limiter.check_key(&key).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) + 1;
            Failure {
                retry_after_ms: Some(retry_after_ms),
                ..Failure::new(Code::RateLimited, format!("too many sends; wait {retry_after_ms} ms"))
            }
        })
    }

    pub(crate) fn forget_quiet(&self) {
        for limiter in [&self.devices, &self.agents].into_iter().flatten() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

fn limiter(per_second: u32, clock: &ElapsedClock) -> Option<Limiter> {
    let rate = NonZeroU32::new(per_second)?;
    let burst = NonZeroU32::new(per_second.saturating_mul(SEND_BURST_SECONDS))?;
    let quota = Quota::per_second(rate).allow_burst(burst);
    Some(RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;
    use protocol::Timestamp;

    use super::*;
    use crate::Device;

    fn device(name: &str) -> Principal {
        Principal::Device(Device { app_id: "app_1".into(), device_id: name.into() })
    }

    fn limiter_at(clock_ms: &Arc<AtomicU64>, per_device: u32) -> SendLimiter {
        let clock_ms = Arc::clone(clock_ms);
        let elapsed = move || Duration::from_millis(clock_ms.load(Ordering::Relaxed));
        let ambient = Ambient::of(|| Timestamp::from_epoch_ms(0), elapsed, |_| ());
        SendLimiter::new(SendLimits { per_device, per_agent: 0 }, ambient)
    }

    proptest! {
        /// Whenever one tries: never more than the burst and what the time since has given, and who waits as long as
        /// they were told gets through.
        #[test]
        fn sends_stay_within_rate_and_burst(rate in 1..20u32, pauses in prop::collection::vec(0..700u64, 1..200)) {
            let clock_ms = Arc::new(AtomicU64::new(1_000));
            let limiter = limiter_at(&clock_ms, rate);
            let (mut granted, start) = (0u64, clock_ms.load(Ordering::Relaxed));
            for pause in pauses {
                let now = clock_ms.fetch_add(pause, Ordering::Relaxed) + pause;
                match limiter.check(&device("a")) {
                    Ok(()) => granted += 1,
                    Err(failure) => {
                        prop_assert_eq!(failure.code, Code::RateLimited);
                        clock_ms.fetch_add(failure.retry_after_ms.unwrap(), Ordering::Relaxed);
                        prop_assert!(limiter.check(&device("a")).is_ok());
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
        let limiter = limiter_at(&Arc::new(AtomicU64::new(0)), 5);
        for _ in 0..10 {
            assert!(limiter.check(&device("a")).is_ok());
        }
        assert!(limiter.check(&device("a")).is_err());
        assert!(limiter.check(&device("b")).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = limiter_at(&Arc::new(AtomicU64::new(0)), 0);
        for _ in 0..1_000 {
            assert!(limiter.check(&device("a")).is_ok());
        }
    }
}
