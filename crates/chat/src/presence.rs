//! Who is connected.

use cluster::TooManyConnections;
use protocol::rest::{Presence, SessionPage};
use protocol::{AppId, Code, ConnectionId, Failure, Permission, Session};

use crate::{Agent, Chat, Page};

impl Chat {
    /// Records a device's connection; presence is announced if it is the first.
    ///
    /// # Errors
    /// `TOO_MANY_CONNECTIONS`.
    pub async fn connect(&self, session: Session) -> Result<(), Failure> {
        let most = self.connections_per_device;
        match self.cluster.registry.join(session, most).await {
            Ok(_) => Ok(()),
            Err(TooManyConnections) => Err(Failure::new(
                Code::TooManyConnections,
                format!("this device has {most} connections already"),
            )),
        }
    }

    /// Removes a device's connection; presence is announced if it was the last. `reason` is in Socket.IO's words.
    pub async fn disconnect(&self, app_id: &AppId, connection_id: &ConnectionId, reason: &str) {
        self.cluster.registry.leave(app_id, connection_id, reason).await;
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
        let after = after.filter(|cursor| !cursor.is_empty()).map(ConnectionId::from);
        let list = self.cluster.registry.sessions(&agent.app_id, after.as_ref(), page.rows() as usize).await;
        Ok(SessionPage { sessions: list.sessions, has_more: list.has_more })
    }

    /// Whether a device is online.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn presence(&self, agent: &Agent, device_id: &str) -> Result<Presence, Failure> {
        agent.require(Permission::ViewPresence)?;
        let device_id = device_id.into();
        let active_connections = self.cluster.registry.connections_of(&agent.app_id, &device_id).await;
        Ok(Presence { device_id, is_online: active_connections > 0, active_connections })
    }
}
