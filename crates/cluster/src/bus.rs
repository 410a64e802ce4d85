//! Carries envelopes to every node.

use std::sync::Arc;

use crate::Envelope;
use crate::redis::Publisher;

/// Takes an envelope on this node and hands it to the sockets here. Must not block.
pub type Deliver = Arc<dyn Fn(&Envelope) + Send + Sync>;

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
        (self.local)(envelope);
        if let Some(others) = &self.others {
            others.publish(envelope);
        }
    }
}
