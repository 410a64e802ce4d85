//! Streams of snapshots: the newest picture, each time it changes. Who is slow misses pictures in between, never the last.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::{ChatEvent, ClientError, ClientState, Timeline};

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
    receiver: watch::Receiver<Shown>,
}

/// What is shown of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing yet.
    Nothing,
    Timeline(Arc<Timeline>),
    /// The server does not know it, and neither does the file: nothing more is shown.
    Unknown,
}

impl TimelineSubscription {
    pub(crate) fn new(receiver: watch::Receiver<Shown>) -> Self {
        Self { receiver }
    }

    /// The timeline now on the first call, later its next change; `None` once the client is closed and its last timeline
    /// was given. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::UnknownConversation`] as soon as it is known that there is no such conversation for this person; what
    /// another device of theirs has opened may be found at the server, and so this is known only with a connection. Nothing
    /// follows.
    pub async fn next(&mut self) -> Result<Option<Arc<Timeline>>, ClientError> {
        while self.receiver.changed().await.is_ok() {
            match &*self.receiver.borrow_and_update() {
                Shown::Nothing => {}
                Shown::Timeline(timeline) => return Ok(Some(Arc::clone(timeline))),
                Shown::Unknown => return Err(ClientError::UnknownConversation),
            }
        }
        Ok(None)
    }
}

/// What happens, in its order.
#[derive(Debug)]
pub struct EventSubscription {
    receiver: mpsc::Receiver<ChatEvent>,
}

impl EventSubscription {
    pub(crate) fn new(receiver: mpsc::Receiver<ChatEvent>) -> Self {
        Self { receiver }
    }

    /// The next event since the subscription began; `None` once the client is closed. Cancel safe. Who takes none misses those
    /// after the first 256.
    pub async fn next(&mut self) -> Option<ChatEvent> {
        self.receiver.recv().await
    }
}
