//! What time it is, for all that is ordered or ends by time. No node's clock decides that: on Postgres it is the server's
//! time, which all nodes share; on SQLite it goes on from what is stored, whatever the system's clock was set to meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use protocol::Timestamp;
use tokio::time::Instant;

/// How far the newest stored time may be ahead of the system's clock and be believed. Beyond it, one of the two was wrong by
/// more than a wrong hour or time zone, and waiting for years to pass helps nobody.
const AHEAD_MAX: Duration = Duration::from_secs(25 * 3600);

/// A clock that is only ever asked. Cheap to clone; all clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    /// What time it was then, in milliseconds since the epoch.
    origin_ms: AtomicI64,
    /// Whether it follows the system's clock where that goes forward.
    follows_system: bool,
}

impl Clock {
    /// Follows the system's clock forward, and goes on at its own pace where that is behind: the first time is after
    /// `newest`, the newest that is stored.
    pub(crate) fn after(newest: Timestamp) -> Self {
        let system = system_ms();
        let newest = newest.epoch_ms();
        let behind_ms = newest.saturating_add(1).saturating_sub(system);
        let is_believed = behind_ms <= i64::try_from(AHEAD_MAX.as_millis()).unwrap_or(i64::MAX);
        if behind_ms > 1_000 {
            tracing::warn!(
                behind_seconds = behind_ms / 1_000,
                is_believed,
                "the system's clock is behind the newest message; times go on from whichever is believed"
            );
        }
        let origin = if is_believed { system.max(newest.saturating_add(1)) } else { system };
        Self::at(origin, true)
    }

    /// Shows the time of a database, from its first answer on.
    pub(crate) fn of_database() -> Self {
        Self::at(system_ms(), false)
    }

    fn at(origin_ms: i64, follows_system: bool) -> Self {
        let origin_ms = AtomicI64::new(origin_ms);
        Self { shared: Arc::new(Shared { began: Instant::now(), origin_ms, follows_system }) }
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.shared.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The database was asked at `asked`, has answered just now, and said that it was this time.
    pub(crate) fn set(&self, asked: Instant, time: Timestamp) {
        let half = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or(0);
        let origin = time.epoch_ms().saturating_add(half).saturating_sub(self.elapsed_ms());
        self.shared.origin_ms.store(origin, Ordering::Relaxed);
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.elapsed_ms();
        let mut origin = self.shared.origin_ms.load(Ordering::Relaxed);
        if self.shared.follows_system {
            let system = system_ms().saturating_sub(elapsed);
            if system > origin {
                self.shared.origin_ms.fetch_max(system, Ordering::Relaxed);
                origin = system;
            }
        }
        Timestamp::from_epoch_ms(origin.saturating_add(elapsed))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the time of day comes from")]
fn system_ms() -> i64 {
    Timestamp::from(std::time::SystemTime::now()).epoch_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_after_what_is_stored_though_the_system_is_an_hour_behind() {
        let ahead = Timestamp::from_epoch_ms(system_ms() + 3_600_000);
        let clock = Clock::after(ahead);
        let first = clock.now();
        assert!(first > ahead);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now().epoch_ms() - first.epoch_ms(), 5_000, "it does not stand still");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_years_ahead_is_not_waited_for() {
        let clock = Clock::after(Timestamp::from_epoch_ms(system_ms() + 100 * 365 * 86_400_000));
        assert!(clock.now().epoch_ms() <= system_ms() + 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_databases_time_is_taken_as_of_the_middle_of_the_question() {
        let clock = Clock::of_database();
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(200)).await;
        clock.set(asked, Timestamp::from_epoch_ms(1_000_000));
        assert_eq!(clock.now().epoch_ms(), 1_000_100);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.clone().now().epoch_ms(), 1_001_100);
    }
}
