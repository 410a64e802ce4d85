//! Gives memory back to the system when much of it has become free: what was kept for slow readers, and what the
//! connections took that have left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat::InFlight;
use socketio::Meter;

use crate::metrics::Metrics;

/// How often it is looked at what has become free.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Bytes that have to have become free before it is worth the work.
const WORTH_IT: u64 = 4 * 1024 * 1024;

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
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if peak.has_fallen(in_use()) {
            // It may take some milliseconds, in which nobody else is to wait for this thread.
            let _ = tokio::task::spawn_blocking(allocator::give_back).await;
        }
    }
}

/// The most that was in use since memory was given back, and what was in use at the last look.
#[derive(Default)]
struct Peak {
    most: u64,
    last: u64,
}

impl Peak {
    /// Whether so much has become free that it is worth giving back. While it goes on falling, the rest is waited for.
    fn has_fallen(&mut self, in_use: u64) -> bool {
        self.most = self.most.max(in_use);
        let is_falling = in_use + WORTH_IT < self.last;
        self.last = in_use;
        // An eighth of what is left: where much is in use, it takes longer, too.
        let is_worth_it = self.most - in_use >= WORTH_IT.max(in_use / 8);
        if !is_worth_it || is_falling {
            return false;
        }
        self.most = in_use;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn memory_is_given_back_once_after_much_of_it_became_free() {
        let mut peak = Peak::default();
        let looks = [1, 5, 60, 60, 59, 40, 20, 2, 2, 2, 3, 4, 2, 2].map(|mib| peak.has_fallen(mib * MIB));
        let given: Vec<_> = (0..looks.len()).filter(|at| looks[*at]).collect();
        assert_eq!(given, [8]);
    }

    #[test]
    fn a_large_server_does_not_give_back_crumbs() {
        let mut peak = Peak::default();
        let looks = [1000, 990, 1000, 950, 1000, 800, 800].map(|mib| peak.has_fallen(mib * MIB));
        assert_eq!(looks, [false, false, false, false, false, false, true]);
    }
}
