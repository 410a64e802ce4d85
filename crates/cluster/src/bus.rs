//! Carries envelopes to every node.

use std::sync::Arc;

use crate::Envelope;

/// Takes an envelope on this node and hands it to the sockets here. Must not block.
pub type Deliver = Arc<dyn Fn(&Envelope) + Send + Sync>;

/// Carries envelopes to every node, this one first.
#[derive(Clone)]
pub struct Bus {
    local: Deliver,
}

impl Bus {
    /// A bus that ends in this process.
    pub fn in_process(local: Deliver) -> Self {
        Self { local }
    }

    /// Publishes the envelope. Delivery on this node is done when this returns.
    pub fn publish(&self, envelope: &Envelope) {
        (self.local)(envelope);
    }
}
