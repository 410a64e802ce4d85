//! What is live: events between nodes (the bus) and who is connected (the registry).
//!
//! Today there is one node and all of it is in this process. Nothing here lasts: it could be wiped at any moment, and
//! all that is lost is a few seconds of presence.

mod bus;
mod envelope;
mod registry;

pub use self::bus::{Bus, Deliver};
pub use self::envelope::{Envelope, Signal};
pub use self::registry::{Edge, Joined, Registry, SessionList, TooManyConnections};

/// The live side of a node: a bus, and a registry that announces on it.
pub struct Cluster {
    /// Events.
    pub bus: Bus,
    /// Who is connected.
    pub registry: Registry,
}

impl Cluster {
    /// A node on its own; `deliver` gets every envelope.
    pub fn single_node(deliver: Deliver) -> Self {
        let bus = Bus::in_process(deliver);
        Self { registry: Registry::in_process(bus.clone()), bus }
    }
}
