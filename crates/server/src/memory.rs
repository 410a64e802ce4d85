//! Gives memory back to the system when much of it has become free: what was kept for slow readers, what the connections
//! took that have left, and whatever else was needed for a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat::InFlight;
use socketio::Meter;

use crate::metrics::Metrics;

/// How often it is looked at what has become free.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks without a reason to think that anything has become free until memory is given back all the same: a minute.
const LOOKS_WITHOUT_REASON: u32 = 30;

/// Bytes that have to have become free before it is worth the work, by what is known of connections.
const FREED: u64 = 1024 * 1024;

/// Bytes by which the process has to have grown, too.
const GROWN: u64 = 4 * 1024 * 1024;

/// What a socket takes, roughly, beside what waits for it: an idle one 3 KiB.
const SOCKET: u64 = 8 * 1024;

/// What an HTTP connection takes, roughly: a page is four times as much, and most have none.
const HTTP: u64 = 64 * 1024;

/// Looks for as long as it runs.
pub(crate) async fn give_back(meter: Arc<Meter>, metrics: Arc<Metrics>, open: InFlight) {
    let in_use = || {
        let queued = u64::try_from(meter.queued_bytes.load(Ordering::Relaxed)).unwrap_or_default();
        let sockets = metrics.open_sockets();
        queued + sockets * SOCKET + (open.count() as u64).saturating_sub(sockets) * HTTP
    };
    let mut peak = Peak::default();
    let mut growth = Growth::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What is known of connections tells soon; what the process has taken tells the truth.
        if growth.is_worth_it(private(), peak.has_fallen(in_use())) {
            // It may take some milliseconds, in which nobody else is to wait for this thread.
            let _ = tokio::task::spawn_blocking(allocator::give_back).await;
            growth.starts_at(private());
        }
    }
}

/// Bytes that the process has in memory and shares with nobody: none where the system doesn't tell as Linux does.
fn private() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map_while(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// The most that was in use since it fell, and what was in use at the last look.
#[derive(Default)]
struct Peak {
    most: u64,
    last: u64,
}

impl Peak {
    /// Whether so much has become free that it is worth giving back. While it goes on falling, the rest is waited for.
    fn has_fallen(&mut self, in_use: u64) -> bool {
        self.most = self.most.max(in_use);
        let is_falling = in_use + FREED < self.last;
        self.last = in_use;
        // An eighth of what is left: where much is in use, it takes longer, too.
        let is_worth_it = self.most - in_use >= FREED.max(in_use / 8);
        if !is_worth_it || is_falling {
            return false;
        }
        self.most = in_use;
        true
    }
}

/// How much the process took when memory was given back last, and how often it was looked since.
#[derive(Default)]
struct Growth {
    kept: u64,
    looks: u32,
}

impl Growth {
    /// Whether to give memory back, where something is known to have become free, or not.
    fn is_worth_it(&mut self, private: Option<u64>, has_fallen: bool) -> bool {
        self.looks += 1;
        let has_grown = private.is_none_or(|private| private >= self.kept + GROWN.max(self.kept / 8));
        has_grown && (has_fallen || self.looks >= LOOKS_WITHOUT_REASON)
    }

    fn starts_at(&mut self, private: Option<u64>) {
        *self = Self { kept: private.unwrap_or_default(), looks: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn what_falls_is_told_once_and_at_its_end() {
        let mut peak = Peak::default();
        let looks = [1, 5, 60, 60, 59, 40, 20, 2, 2, 2, 3, 4, 3, 4].map(|mib| peak.has_fallen(mib * MIB));
        let fallen: Vec<_> = (0..looks.len()).filter(|at| looks[*at]).collect();
        assert_eq!(fallen, [8, 12]);
    }

    #[test]
    fn on_a_large_server_crumbs_are_nothing() {
        let mut peak = Peak::default();
        let looks = [1000, 990, 1000, 950, 1000, 800, 800].map(|mib| peak.has_fallen(mib * MIB));
        assert_eq!(looks, [false, false, false, false, false, false, true]);
    }

    #[test]
    fn memory_is_given_back_when_the_process_has_grown_and_something_fell_or_a_minute_went_by() {
        let mut growth = Growth::default();
        let mut at = |mib: u64, has_fallen| {
            let is_worth_it = growth.is_worth_it(Some(mib * MIB), has_fallen);
            if is_worth_it {
                growth.starts_at(Some(mib * MIB));
            }
            is_worth_it
        };
        assert!(at(20, true));
        assert!(!at(23, true), "it has not grown enough");
        assert!(!at(30, false), "nobody knows why");
        assert!(at(30, true));
        let minute: Vec<bool> = (0..LOOKS_WITHOUT_REASON).map(|_| at(40, false)).collect();
        assert_eq!(minute.iter().filter(|given| **given).count(), 1);
        assert_eq!(minute.last(), Some(&true));
        assert!(at(800, true));
        assert!(!at(880, true), "a tenth is not worth the work");
        assert!(growth.is_worth_it(None, true), "where nothing is known of the process, what fell tells");
    }

    #[test]
    fn the_system_tells_what_the_process_took() {
        let before = private().expect("Linux tells");
        let taken = vec![1_u8; 64 * 1024 * 1024];
        let with = private().expect("Linux tells");
        assert!(with >= before + taken.len() as u64 / 2, "{before}, then {with}");
    }
}
