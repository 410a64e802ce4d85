//! Who is connected. Sessions and presence are two views of this one record, so they can't disagree, and each change
//! is announced in the order in which it happened.

mod memory;

use protocol::{AppId, ConnectionId, DeviceId, Session};

use self::memory::Memory;
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
    /// How many connections the device has with it.
    pub active_connections: u32,
}

/// The device has as many connections as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyConnections;

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
    bus: Bus,
}

enum Backend {
    Memory(Memory),
}

impl Registry {
    /// A registry that knows this process's connections, and there are no others.
    pub fn in_process(bus: Bus) -> Self {
        Self { backend: Backend::Memory(Memory::default()), bus }
    }

    /// Records a connection and announces it, and presence if it is the device's first.
    ///
    /// # Errors
    /// If the device has `most` connections already; 0 is no limit.
    pub async fn join(&self, session: Session, most: u32) -> Result<Joined, TooManyConnections> {
        let Backend::Memory(memory) = &self.backend;
        memory.join(session, most, &self.bus)
    }

    /// Removes a connection and announces that, and presence if it was the device's last. `reason` is in Socket.IO's
    /// words. A connection that is not recorded is left alone.
    pub async fn leave(&self, app_id: &AppId, connection_id: &ConnectionId, reason: &str) -> Edge {
        let Backend::Memory(memory) = &self.backend;
        memory.leave(app_id, connection_id, reason, &self.bus)
    }

    /// How many connections the device has.
    pub async fn connections_of(&self, app_id: &AppId, device_id: &DeviceId) -> u32 {
        let Backend::Memory(memory) = &self.backend;
        memory.connections_of(app_id, device_id)
    }

    /// Up to `limit` of the app's sessions behind `after`.
    pub async fn sessions(&self, app_id: &AppId, after: Option<&ConnectionId>, limit: usize) -> SessionList {
        let Backend::Memory(memory) = &self.backend;
        memory.sessions(app_id, after, limit)
    }
}
