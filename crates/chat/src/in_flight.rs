//! How many there are of something that begins and ends: writes that are not answered yet, connections that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts those that were let in and have not ended.
#[derive(Clone, Default)]
pub struct InFlight {
    counted: Arc<Counted>,
}

// What is counted and whether somebody waits are each written before the other is read, in one order for all
// (`SeqCst`): either who waits sees that one has ended, or that one sees who waits.
#[derive(Default)]
struct Counted {
    count: AtomicUsize,
    waiting: AtomicUsize,
    ended: Notify,
}

impl InFlight {
    /// One more, until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        self.counted.count.fetch_add(1, Ordering::SeqCst);
        Entered { counted: Arc::clone(&self.counted) }
    }

    /// As [`enter`](Self::enter), as soon as there are fewer than `most`.
    pub async fn enter_below(&self, most: usize) -> Entered {
        loop {
            if let Some(entered) = self.try_enter(most) {
                return entered;
            }
            self.below(most).await;
        }
    }

    /// As [`enter`](Self::enter), if there are fewer than `most`.
    pub fn try_enter(&self, most: usize) -> Option<Entered> {
        let more = |count| (count < most).then_some(count + 1);
        self.counted.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Entered { counted: Arc::clone(&self.counted) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.counted.count.load(Ordering::SeqCst)
    }

    /// Waits until there are fewer than `most`.
    pub async fn below(&self, most: usize) {
        let _waits = Waits::begin(&self.counted);
        loop {
            let ended = self.counted.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            if self.count() < most {
                return;
            }
            ended.await;
        }
    }
}

/// Somebody waits, until this is dropped.
struct Waits<'c> {
    counted: &'c Counted,
}

impl<'c> Waits<'c> {
    fn begin(counted: &'c Counted) -> Self {
        counted.waiting.fetch_add(1, Ordering::SeqCst);
        Self { counted }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.counted.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that has not ended yet.
pub struct Entered {
    counted: Arc<Counted>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.counted.count.fetch_sub(1, Ordering::SeqCst);
        if self.counted.waiting.load(Ordering::SeqCst) > 0 {
            self.counted.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_are_let_in_than_there_may_be() {
        let open = InFlight::default();
        let first = open.try_enter(2);
        let second = open.try_enter(2);
        assert!(first.is_some() && second.is_some() && open.try_enter(2).is_none());
        drop(first);
        assert_eq!(open.count(), 1);
        assert!(open.try_enter(2).is_some());
    }

    /// Whoever waits learns of the last end, whichever comes first: the wait or the end.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_end_at_the_moment_of_the_question_is_not_missed() {
        for round in 0..2_000 {
            let open = InFlight::default();
            let entered: Vec<_> = (0..round % 3 + 1).map(|_| open.enter()).collect();
            let ending = tokio::spawn(async move { drop(entered) });
            let both = async { tokio::join!(open.below(1), open.below(1)) };
            tokio::time::timeout(Duration::from_secs(10), both).await.expect("the end is heard of");
            ending.await.unwrap();
            assert_eq!(open.counted.waiting.load(Ordering::SeqCst), 0);
        }
    }
}
