//! Who is connected.

use cluster::{Edge, Totals, Watching};
use protocol::limits::Action;
use protocol::rest::{Presence, SessionPage, Stats};
use protocol::{AppId, ConnectionId, Failure, Permission, Session, encoded};

use store::{NameDevices, TouchDevice};

use crate::{Agent, Chat, Device, Page, Principal, input};

impl Chat {
    /// Counts one login of a device on a socket.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub fn limit_login(&self, device: &Device) -> Result<(), Failure> {
        // Its address was counted when the socket came.
        let device = Device { address: None, ..device.clone() };
        self.limit(Action::Connect, &Principal::Device(device))
    }

    /// Records a device's connection; presence is announced if it is the first. True if the device may have more than it
    /// may have now: see [`thin_out`](Self::thin_out).
    pub async fn connect(&self, session: Session) -> bool {
        let most = self.connections_per_device;
        let joined = self.cluster.registry.join(session).await;
        most != 0 && joined.active_connections > most
    }

    /// Removes a device's connection; presence is announced if it was the last. `reason` is in Socket.IO's words.
    /// When a device was last here is noted with its last connection on this node, where anything is kept of it.
    pub async fn disconnect(&self, device: &Device, connection_id: &ConnectionId, reason: &str) {
        let edge = self.cluster.registry.leave(&device.app_id, connection_id, reason).await;
        if edge == Edge::BecameOffline {
            let (app_id, device_id) = (device.app_id.clone(), device.device_id.clone());
            // Nobody waits for it, and it is worth no more than a log line where it fails.
            self.store.submit(TouchDevice { app_id, device_id, now: self.ambient.now() }, |noted| {
                if let Err(error) = noted {
                    tracing::debug!(%error, "when a device was last here could not be noted");
                }
            });
        }
    }

    /// The app's live connections.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn sessions(
        &self,
        agent: &Agent,
        after: Option<&str>,
        page: Page,
    ) -> Result<SessionPage, Failure> {
        agent.require(Permission::ViewSessions)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let after = after.filter(|cursor| !cursor.is_empty()).map(ConnectionId::from);
        let list = self.cluster.registry.sessions(&agent.app_id, after.as_ref(), page.rows() as usize).await;
        let mut sessions = list.sessions;
        let fitting = encoded::fitting(&sessions);
        let has_more = list.has_more || fitting < sessions.len();
        sessions.truncate(fitting);
        let devices = sessions.iter().map(|session| session.device_id.clone()).collect();
        let named = self.read(NameDevices { app_id: agent.app_id.clone(), devices }).await;
        for session in &mut sessions {
            // As it is now; what was told when it connected, where that can't be asked.
            if let Ok(named) = &named {
                session.user_info = named.get(&session.device_id).cloned();
            }
            session.device_id = self.known_as(agent, &session.device_id);
        }
        Ok(SessionPage { sessions, has_more })
    }

    /// Whether a device is online.
    ///
    /// # Errors
    /// `FORBIDDEN`, `VALIDATION_ERROR` for what no device is called.
    pub async fn presence(&self, agent: &Agent, device_id: &str) -> Result<Presence, Failure> {
        agent.require(Permission::ViewPresence)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        input::device_id(device_id)?;
        let active_connections = match self.meant(agent, device_id).await {
            Some(meant) => {
                let meant = std::slice::from_ref(&meant);
                let counts = self.cluster.registry.connections_of(&agent.app_id, meant).await;
                counts.first().copied().unwrap_or(0)
            }
            None => 0,
        };
        // As it was named: who has one of the two learns nothing of the other.
        let device_id = device_id.into();
        Ok(Presence { device_id, is_online: active_connections > 0, active_connections })
    }

    /// How many of the agent's app are connected, on all nodes.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn stats(&self, agent: &Agent) -> Result<Stats, Failure> {
        agent.require(Permission::ViewSessions)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let counts = self.cluster.registry.counts(&agent.app_id).await;
        Ok(Stats { connections: counts.connections, devices_online: counts.devices, nodes: counts.nodes })
    }

    /// Announces on this node what happens to the app's connections on any, as long as the answer lives.
    pub async fn watch(&self, app_id: &AppId) -> Watching {
        self.cluster.registry.watch(app_id).await
    }

    /// Connections of devices on all nodes, and nodes.
    pub fn totals(&self) -> Totals {
        self.cluster.registry.totals()
    }

    /// Whether this node and the others know of each other. A node alone always does.
    pub fn is_in_touch(&self) -> bool {
        self.cluster.is_live()
    }

    /// Tells the other nodes that this one has left; to be called when all its connections are gone.
    pub async fn retire(&self) {
        self.cluster.registry.retire().await;
    }
}
