//! Who is connected. Sessions and presence are two views of this one record, so they can't disagree, and each change
//! is announced in the order in which it happened.

mod announcement;
mod memory;
mod redis;

use protocol::{AppId, ConnectionId, DeviceId, Session};

use self::memory::Memory;
pub(crate) use self::redis::Shared;
pub use self::redis::Totals;
use crate::Bus;

/// What a change of a device's connections means to those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Its first connection came.
    BecameOnline,
    /// Its last connection went.
    BecameOffline,
    /// It is as online as it was.
    Unchanged,
}

impl Edge {
    /// The edge from one number of connections to another.
    pub fn between(before: usize, after: usize) -> Self {
        match (before, after) {
            (0, 1..) => Self::BecameOnline,
            (1.., 0) => Self::BecameOffline,
            _ => Self::Unchanged,
        }
    }
}

/// A connection was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// What it means.
    pub edge: Edge,
    /// How many connections the device has with it. Those of a node that has just died count until its lease ends.
    pub active_connections: u32,
}

/// Some of an app's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionList {
    /// Ordered by connection id.
    pub sessions: Vec<Session>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// The record of live connections.
pub struct Registry {
    backend: Backend,
}

enum Backend {
    Memory(Memory, Bus),
    Redis(Shared),
}

/// How many are connected to all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Live connections of the app's devices.
    pub connections: u64,
    /// Devices with at least one.
    pub devices: u64,
    /// Nodes that run.
    pub nodes: u64,
}

/// As long as it lives, what happens to the app's connections on any node is announced on this one.
pub struct Watching {
    _feed: Option<redis::Watching>,
}

impl Registry {
    /// A registry that knows this process's connections, and there are no others.
    pub fn in_process(bus: Bus) -> Self {
        Self { backend: Backend::Memory(Memory::default(), bus) }
    }

    pub(crate) fn shared(shared: Shared) -> Self {
        Self { backend: Backend::Redis(shared) }
    }

    /// Records a connection and announces it, and presence if it is the device's first on any node. While Redis is
    /// away, it is recorded here and announced later.
    pub async fn join(&self, session: Session) -> Joined {
        match &self.backend {
            Backend::Memory(memory, bus) => memory.join(session, bus),
            Backend::Redis(shared) => shared.join(session).await,
        }
    }

    /// Removes a connection and announces that, and presence if it was the device's last on any node. `reason` is in
    /// Socket.IO's words. A connection that is not recorded is left alone. The edge is this node's own view.
    pub async fn leave(&self, app_id: &AppId, connection_id: &ConnectionId, reason: &str) -> Edge {
        match &self.backend {
            Backend::Memory(memory, bus) => memory.leave(app_id, connection_id, reason, bus),
            Backend::Redis(shared) => shared.leave(app_id, connection_id, reason),
        }
    }

    /// How many connections each of the devices has.
    pub async fn connections_of(&self, app_id: &AppId, devices: &[DeviceId]) -> Vec<u32> {
        match &self.backend {
            Backend::Memory(memory, _) => {
                devices.iter().map(|device| memory.connections_of(app_id, device)).collect()
            }
            Backend::Redis(shared) => shared.connections_of(app_id, devices).await,
        }
    }

    /// Up to `limit` of the app's sessions behind `after`.
    pub async fn sessions(&self, app_id: &AppId, after: Option<&ConnectionId>, limit: usize) -> SessionList {
        match &self.backend {
            Backend::Memory(memory, _) => memory.sessions(app_id, after, limit),
            Backend::Redis(shared) => shared.sessions(app_id, after, limit).await,
        }
    }

    /// How many of the app are connected. While Redis is away, to this node.
    pub async fn counts(&self, app_id: &AppId) -> Counts {
        match &self.backend {
            Backend::Memory(memory, _) => {
                let (connections, devices) = memory.counts(app_id);
                Counts { connections, devices, nodes: 1 }
            }
            Backend::Redis(shared) => {
                let (connections, devices) = shared.counts(app_id).await;
                Counts { connections, devices, nodes: shared.totals().nodes.max(1) }
            }
        }
    }

    /// How many nodes there are at this moment, this one included. While Redis is away, as many as there were last.
    pub async fn nodes(&self) -> u64 {
        match &self.backend {
            Backend::Memory(..) => 1,
            Backend::Redis(shared) => shared.nodes().await,
        }
    }

    /// All nodes together: connections of devices, and nodes.
    pub fn totals(&self) -> Totals {
        match &self.backend {
            Backend::Memory(memory, _) => Totals { connections: memory.total(), nodes: 1 },
            Backend::Redis(shared) => shared.totals(),
        }
    }

    /// Announces on this node what happens to the app's connections on any. Returns once that has begun.
    pub async fn watch(&self, app_id: &AppId) -> Watching {
        match &self.backend {
            Backend::Memory(..) => Watching { _feed: None },
            Backend::Redis(shared) => Watching { _feed: Some(shared.watch(app_id).await) },
        }
    }

    /// Whether the record of all nodes can be reached.
    pub fn is_live(&self) -> bool {
        match &self.backend {
            Backend::Memory(..) => true,
            Backend::Redis(shared) => shared.is_live(),
        }
    }

    /// Tells the other nodes that this one has left, once all its connections are gone.
    pub async fn retire(&self) {
        if let Backend::Redis(shared) = &self.backend {
            shared.retire().await;
        }
    }
}
