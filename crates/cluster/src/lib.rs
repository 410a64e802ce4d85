//! What is live: events between nodes (the bus) and who is connected (the registry).
//!
//! One node has both in its process; many share them through Redis. Nothing here lasts: Redis could be wiped at any
//! moment, and all that is lost is a few seconds of presence.

mod bus;
mod envelope;
mod redis;
mod registry;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::bus::{Bus, Deliver};
pub use self::envelope::{
    Crowd, Envelope, IdentityChange, OpenedFor, ProvenAt, Signal, SilentConnection, Viewing,
};
pub use self::redis::RedisUrl;
use self::redis::{Publisher, Received, subscribe};
pub use self::registry::{Counts, Edge, Joined, Registry, SessionList, Totals, Watching};

/// Something that happened between the nodes, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// So many envelopes were published.
    Published(usize),
    /// So many envelopes were not, because Redis was away or too slow.
    Dropped(usize),
    /// An envelope came from another node.
    Heard,
    /// The record of connections can be reached, or can't any more.
    Live(bool),
    /// Redis had forgotten connections of this node; they were put back.
    PutBack,
    /// Other nodes had written this one off.
    WrittenOff,
}

/// Is told what happens between the nodes. Must be quick.
pub type Observer = Arc<dyn Fn(Observation) + Send + Sync>;

/// Is called when the other nodes have called this one's devices offline, as after a long freeze: closes the devices'
/// connections here, so that they come back. Must be quick.
pub type WrittenOff = Arc<dyn Fn() + Send + Sync>;

/// The live side of a node: a bus, and a registry that announces on it.
pub struct Cluster {
    /// Events.
    pub bus: Bus,
    /// Who is connected.
    pub registry: Registry,
    subscription: Option<Subscription>,
}

struct Subscription {
    is_proven: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a node among many brings.
pub struct Node {
    /// Where Redis is.
    pub redis: RedisUrl,
    /// A name that no other node has or had.
    pub name: String,
    /// Gets every envelope.
    pub deliver: Deliver,
    /// Closes the devices' connections.
    pub written_off: WrittenOff,
    /// Is told what happens.
    pub observer: Observer,
}

impl Cluster {
    /// A node on its own; `deliver` gets every envelope.
    pub fn single_node(deliver: Deliver) -> Self {
        let bus = Bus::in_process(deliver);
        Self { registry: Registry::in_process(bus.clone()), bus, subscription: None }
    }

    /// A node among many. Does not wait for Redis, and goes on without it. Must be called within a runtime.
    pub fn of_many(node: Node) -> Self {
        let Node { redis, name, deliver, written_off, observer } = node;
        let name: Arc<str> = name.into();
        let publisher = Publisher::start(&redis, Arc::clone(&name), Arc::clone(&observer));
        let shared = registry::Shared::start(
            &redis,
            Arc::clone(&name),
            publisher.clone(),
            Arc::clone(&deliver),
            written_off,
            Arc::clone(&observer),
        );
        let on_change = shared.on_change();
        let (proven, is_proven) = watch::channel(false);
        let bus = Bus::to_others(deliver, publisher.clone());
        let heard = bus.clone();
        let task = tokio::spawn(subscribe(redis, name, publisher, proven, move |received| match received {
            Received::Envelope(envelope) => {
                observer(Observation::Heard);
                heard.deliver(&envelope);
            }
            Received::Changed(app_id) => on_change(&app_id),
        }));
        let subscription = Some(Subscription { is_proven, task: task.abort_handle() });
        Self { bus, registry: Registry::shared(shared), subscription }
    }

    /// Whether this node and the others hear each other.
    pub fn is_live(&self) -> bool {
        let hears = self.subscription.as_ref().is_none_or(|subscription| *subscription.is_proven.borrow());
        hears && self.registry.is_live()
    }
}
