//! How many accepted writes are not answered yet: what a server that leaves waits for.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts writes that were accepted and not yet answered.
#[derive(Clone)]
pub struct InFlight {
    count: Arc<watch::Sender<usize>>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { count: Arc::new(watch::Sender::new(0)) }
    }
}

impl InFlight {
    /// One more, until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        self.count.send_modify(|count| *count += 1);
        Entered { count: Arc::clone(&self.count) }
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
        let has_room = |count: &mut usize| {
            let has_room = *count < most;
            *count += usize::from(has_room);
            has_room
        };
        self.count.send_if_modified(has_room).then(|| Entered { count: Arc::clone(&self.count) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are fewer than `most`.
    pub async fn below(&self, most: usize) {
        let mut count = self.count.subscribe();
        // The sender lives in `self`, so this can't fail.
        let _ = count.wait_for(|count| *count < most).await;
    }
}

/// One write that is not answered yet.
pub struct Entered {
    count: Arc<watch::Sender<usize>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}
