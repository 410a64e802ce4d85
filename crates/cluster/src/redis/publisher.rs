//! Sends envelopes to the other nodes: one publish each, in order, and never in anyone's way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{CHANNEL, Link, RedisUrl};
use crate::{Envelope, Observation, Observer};

/// Envelopes that may wait. More are dropped and counted: the periodic look at what was committed makes up for them.
const QUEUE: usize = 8_192;

/// Envelopes in one round trip, at most.
const BATCH: usize = 256;

/// How long to leave Redis alone after a failure; what is published meanwhile is dropped.
const PAUSE: Duration = Duration::from_millis(250);

/// Where envelopes are put.
#[derive(Clone)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<Vec<u8>>,
    node: Arc<str>,
    observer: Observer,
}

impl Publisher {
    /// Must be called within a runtime. The task ends with the last handle.
    pub(crate) fn start(url: &RedisUrl, node: Arc<str>, observer: Observer) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(Link::new(url, &[]), waiting, observer.clone()));
        Self { queue, node, observer }
    }

    /// Puts the envelope in the queue.
    pub(crate) fn publish(&self, envelope: &Envelope) {
        match envelope.encode(&self.node) {
            Ok(bytes) => self.put(bytes),
            Err(error) => tracing::error!(%error, "an envelope could not be encoded"),
        }
    }

    /// Puts what is encoded already in the queue.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        if self.queue.try_send(bytes).is_err() {
            (self.observer)(Observation::Dropped(1));
        }
    }
}

async fn run(link: Link, mut waiting: mpsc::Receiver<Vec<u8>>, observer: Observer) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let mut commands = redis::pipe();
        for bytes in &batch {
            commands.cmd(link.publish()).arg(CHANNEL).arg(bytes.as_slice());
        }
        match link.run(&commands).await {
            Ok(_) => observer(Observation::Published(batch.len())),
            Err(error) => {
                tracing::debug!(%error, "envelopes were not published");
                observer(Observation::Dropped(batch.len()));
                // Old news would only be in the way of what comes when Redis is back.
                tokio::time::sleep(PAUSE).await;
                let mut dropped = 0;
                while waiting.try_recv().is_ok() {
                    dropped += 1;
                }
                if dropped > 0 {
                    observer(Observation::Dropped(dropped));
                }
            }
        }
        batch.clear();
    }
}
