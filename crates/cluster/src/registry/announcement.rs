//! What those who watch an app are told of a change of its connections.

use protocol::event::{PresenceChange, SessionDisconnect};
use protocol::{AppId, DeviceId, Session};

use crate::{Envelope, Signal};

/// A change of a device's connections.
pub(super) enum Change {
    Joined(Box<Session>),
    /// With the reason, in Socket.IO's words.
    Left(Box<Session>, String),
}

/// Tells of the change, and of presence if it is an edge; `active_connections` is how many the device has after it.
pub(super) fn announce(change: Change, active_connections: u32, mut publish: impl FnMut(Envelope)) {
    let (app_id, device_id, signal, edge) = match change {
        Change::Joined(session) => {
            let (app_id, device_id) = (session.app_id.clone(), session.device_id.clone());
            let edge = (active_connections == 1).then_some(true);
            (app_id, device_id, Signal::SessionConnect(session), edge)
        }
        Change::Left(session, reason) => {
            let Session { app_id, device_id, connection_id, .. } = *session;
            let gone = SessionDisconnect {
                app_id: app_id.clone(),
                device_id: device_id.clone(),
                connection_id,
                reason,
            };
            (app_id, device_id, Signal::SessionDisconnect(gone), (active_connections == 0).then_some(false))
        }
    };
    publish(Envelope { app_id: app_id.clone(), signal });
    if let Some(is_online) = edge {
        publish(presence(app_id, device_id, is_online, active_connections));
    }
}

/// A device came online or went offline.
pub(super) fn presence(
    app_id: AppId,
    device_id: DeviceId,
    is_online: bool,
    active_connections: u32,
) -> Envelope {
    let change = PresenceChange { app_id: app_id.clone(), device_id, is_online, active_connections };
    Envelope { app_id, signal: Signal::Presence(change) }
}
