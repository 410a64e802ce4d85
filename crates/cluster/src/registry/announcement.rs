//! What those who watch an app are told of a change of its connections.

use protocol::event::{PresenceChange, SessionDisconnect};
use protocol::{AppId, DeviceId, Session, UserInfo};

use crate::{Envelope, Signal};

/// A connection was made.
pub(super) fn joined(session: Box<Session>) -> Envelope {
    Envelope { app_id: session.app_id.clone(), signal: Signal::SessionConnect(session) }
}

/// A connection is gone; the reason is in Socket.IO's words.
pub(super) fn left(session: Session, reason: String) -> Envelope {
    let Session { app_id, device_id, connection_id, .. } = session;
    let gone = SessionDisconnect { app_id: app_id.clone(), device_id, connection_id, reason };
    Envelope { app_id, signal: Signal::SessionDisconnect(gone) }
}

/// A device came online or went offline.
pub(super) fn presence(
    app_id: AppId,
    device_id: DeviceId,
    is_online: bool,
    active_connections: u32,
    user_info: Option<UserInfo>,
) -> Envelope {
    let change =
        PresenceChange { app_id: app_id.clone(), device_id, is_online, active_connections, user_info };
    Envelope { app_id, signal: Signal::Presence(change) }
}
