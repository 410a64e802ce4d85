//! Things that are due at fixed times, whatever became of those before them.

use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One thing that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its number: 0, 1, 2 …
    pub(crate) index: u64,
    /// When, in nanoseconds since the pacer's beginning.
    pub(crate) at: u64,
}

/// Tells `rate` times a second that something is due, until the receiver is dropped. A thread of its own sleeps far
/// more finely than the runtime's timer.
pub(crate) fn start(began: Instant, rate: u64) -> UnboundedReceiver<Due> {
    let (sender, receiver) = unbounded_channel();
    let offset = began.elapsed();
    thread::spawn(move || {
        for index in 0.. {
            let at = offset + Duration::from_nanos(index * 1_000_000_000 / rate.max(1));
            thread::sleep(at.saturating_sub(began.elapsed()));
            if sender.send(Due { index, at: at.as_nanos() as u64 }).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_due_comes_in_order_and_not_too_early() {
        let began = Instant::now();
        let mut due = start(began, 1_000);
        let mut last = None;
        for index in 0..20 {
            let next = due.recv().await.unwrap();
            assert_eq!(next.index, index);
            assert!(began.elapsed().as_nanos() as u64 >= next.at);
            assert!(last.is_none_or(|last| next.at == last + 1_000_000));
            last = Some(next.at);
        }
    }
}
