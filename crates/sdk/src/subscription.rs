//! Streams of snapshots: the newest picture, each time it changes. Who is slow misses pictures in between, never the last.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{ClientState, Timeline};

/// The client's state as it changes.
#[derive(Debug, Clone)]
pub struct StateSubscription {
    receiver: watch::Receiver<Arc<ClientState>>,
}

impl StateSubscription {
    pub(crate) fn new(mut receiver: watch::Receiver<Arc<ClientState>>) -> Self {
        receiver.mark_changed();
        Self { receiver }
    }

    /// The state now.
    pub fn current(&self) -> Arc<ClientState> {
        Arc::clone(&self.receiver.borrow())
    }

    /// The state now on the first call, later its next change; `None` once the client is closed and its last state was
    /// given. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<ClientState>> {
        self.receiver.changed().await.ok()?;
        Some(Arc::clone(&self.receiver.borrow_and_update()))
    }
}

/// A conversation's timeline as it changes.
#[derive(Debug, Clone)]
pub struct TimelineSubscription {
    /// Nothing until the client has looked the first time.
    receiver: watch::Receiver<Option<Arc<Timeline>>>,
}

impl TimelineSubscription {
    pub(crate) fn new(receiver: watch::Receiver<Option<Arc<Timeline>>>) -> Self {
        Self { receiver }
    }

    /// The timeline now on the first call, later its next change; `None` once the client is closed and its last timeline
    /// was given. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Timeline>> {
        loop {
            self.receiver.changed().await.ok()?;
            let newest = self.receiver.borrow_and_update().clone();
            if newest.is_some() {
                return newest;
            }
        }
    }
}
