//! Carries envelopes to every node.

use std::sync::Arc;

use crate::redis::Publisher;
use crate::{Envelope, Signal};

/// Takes an envelope on this node and hands it to the sockets here. What it returns is this node's answer, which is published
/// to all nodes of the same app, this one included; an answer must have no answer. Must not block.
pub type Deliver = Arc<dyn Fn(&Envelope) -> Option<Signal> + Send + Sync>;

/// Carries envelopes to every node, this one first.
#[derive(Clone)]
pub struct Bus {
    local: Deliver,
    others: Option<Publisher>,
}

impl Bus {
    /// A bus that ends in this process.
    pub fn in_process(local: Deliver) -> Self {
        Self { local, others: None }
    }

    /// A bus to the other nodes as well.
    pub(crate) fn to_others(local: Deliver, others: Publisher) -> Self {
        Self { local, others: Some(others) }
    }

    /// Publishes the envelope. Delivery on this node is done when this returns; the other nodes get it as soon as
    /// Redis takes it, and nobody waits for that.
    pub fn publish(&self, envelope: &Envelope) {
        let answer = (self.local)(envelope);
        if let Some(others) = &self.others {
            others.publish(envelope);
        }
        self.answer(envelope, answer);
    }

    /// Delivers on this node what another has published.
    pub(crate) fn deliver(&self, envelope: &Envelope) {
        self.answer(envelope, (self.local)(envelope));
    }

    fn answer(&self, asked: &Envelope, answer: Option<Signal>) {
        if let Some(signal) = answer {
            self.publish(&Envelope { app_id: asked.app_id.clone(), signal });
        }
    }
}
