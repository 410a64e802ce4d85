//! The registry in this process: the record of its connections, and their announcement.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{AppId, ConnectionId, DeviceId, Session};

use super::{Edge, Joined, SessionList, announcement};
use crate::{Bus, Envelope};

#[derive(Default)]
pub(super) struct Memory {
    /// One lock for record and announcement: those who watch hear of changes in the order in which they happened.
    record: Mutex<Record>,
}

/// Who is connected to this process.
#[derive(Default)]
pub(super) struct Record {
    apps: HashMap<AppId, App>,
}

#[derive(Default)]
struct App {
    sessions: BTreeMap<ConnectionId, Session>,
    connections: HashMap<DeviceId, u32>,
}

impl Record {
    /// Puts a session in.
    pub(super) fn join(&mut self, session: Session) -> Joined {
        let app = self.apps.entry(session.app_id.clone()).or_default();
        let before = app.connections.get(&session.device_id).copied().unwrap_or(0);
        let after = before + 1;
        app.connections.insert(session.device_id.clone(), after);
        app.sessions.insert(session.connection_id.clone(), session);
        Joined { edge: Edge::between(before as usize, after as usize), active_connections: after }
    }

    /// Takes a session out; with how many connections its device has left.
    pub(super) fn leave(&mut self, app_id: &AppId, connection_id: &ConnectionId) -> Option<(Session, u32)> {
        let app = self.apps.get_mut(app_id)?;
        let session = app.sessions.remove(connection_id)?;
        let after = app.connections.get(&session.device_id).copied().unwrap_or(1) - 1;
        if after == 0 {
            app.connections.remove(&session.device_id);
        } else {
            app.connections.insert(session.device_id.clone(), after);
        }
        if app.sessions.is_empty() {
            self.apps.remove(app_id);
        }
        Some((session, after))
    }

    pub(super) fn connections_of(&self, app_id: &AppId, device_id: &DeviceId) -> u32 {
        self.apps.get(app_id).and_then(|app| app.connections.get(device_id)).copied().unwrap_or(0)
    }

    /// The app's devices that have a connection.
    pub(super) fn devices(&self, app_id: &AppId) -> HashSet<DeviceId> {
        self.apps.get(app_id).map(|app| app.connections.keys().cloned().collect()).unwrap_or_default()
    }

    /// The app's connections, and its devices that have one.
    pub(super) fn counts(&self, app_id: &AppId) -> (u64, u64) {
        let app = self.apps.get(app_id);
        app.map_or((0, 0), |app| (app.sessions.len() as u64, app.connections.len() as u64))
    }

    fn total(&self) -> u64 {
        self.apps.values().map(|app| app.sessions.len() as u64).sum()
    }

    pub(super) fn sessions(&self, app_id: &AppId, after: Option<&ConnectionId>, limit: usize) -> SessionList {
        let Some(app) = self.apps.get(app_id) else {
            return SessionList { sessions: Vec::new(), has_more: false };
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest =
            app.sessions.range::<ConnectionId, _>((from, Bound::Unbounded)).map(|(_, session)| session);
        let sessions: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        SessionList { sessions, has_more: rest.next().is_some() }
    }
}

impl Memory {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, session: Session, bus: &Bus) -> Joined {
        let mut record = self.record();
        let joined = record.join(session.clone());
        let presence = presence_at(joined.edge, &session, joined.active_connections);
        bus.publish(&announcement::joined(Box::new(session)));
        if let Some(presence) = presence {
            bus.publish(&presence);
        }
        joined
    }

    pub(super) fn leave(
        &self,
        app_id: &AppId,
        connection_id: &ConnectionId,
        reason: &str,
        bus: &Bus,
    ) -> Edge {
        let mut record = self.record();
        let Some((session, after)) = record.leave(app_id, connection_id) else { return Edge::Unchanged };
        let edge = Edge::between(after as usize + 1, after as usize);
        let presence = presence_at(edge, &session, after);
        bus.publish(&announcement::left(session, reason.into()));
        if let Some(presence) = presence {
            bus.publish(&presence);
        }
        edge
    }

    pub(super) fn connections_of(&self, app_id: &AppId, device_id: &DeviceId) -> u32 {
        self.record().connections_of(app_id, device_id)
    }

    pub(super) fn counts(&self, app_id: &AppId) -> (u64, u64) {
        self.record().counts(app_id)
    }

    pub(super) fn total(&self) -> u64 {
        self.record().total()
    }

    pub(super) fn sessions(&self, app_id: &AppId, after: Option<&ConnectionId>, limit: usize) -> SessionList {
        self.record().sessions(app_id, after, limit)
    }
}

/// What is told of the device besides, if this is an edge.
fn presence_at(edge: Edge, session: &Session, active_connections: u32) -> Option<Envelope> {
    let is_online = match edge {
        Edge::BecameOnline => true,
        Edge::BecameOffline => false,
        Edge::Unchanged => return None,
    };
    let (app_id, device_id) = (session.app_id.clone(), session.device_id.clone());
    Some(announcement::presence(app_id, device_id, is_online, active_connections, session.user_info.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use protocol::Timestamp;

    use super::*;
    use crate::{Envelope, Signal};

    fn session(device: u8, connection: u8) -> Session {
        Session {
            connection_id: format!("conn_{device}_{connection}").into(),
            app_id: "app_1".into(),
            device_id: format!("device-{device}").into(),
            connected_at: Timestamp::from_epoch_ms(0),
            user_info: None,
        }
    }

    proptest! {
        /// Whatever comes and goes in whatever order: presence is announced at the edges and only there.
        #[test]
        fn presence_is_announced_once_at_each_edge(steps in prop::collection::vec((any::<bool>(), 0..3u8, 0..4u8), 0..60)) {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let ears = Arc::clone(&heard);
            let bus = Bus::in_process(Arc::new(move |envelope: &Envelope| {
                if let Signal::Presence(change) = &envelope.signal {
                    ears.lock().unwrap().push((change.device_id.to_string(), change.is_online));
                }
                None
            }));
            let memory = Memory::default();
            let mut live = std::collections::BTreeSet::new();
            let mut expected = Vec::new();
            for (is_join, device, connection) in steps {
                let name = format!("device-{device}");
                let count = |live: &std::collections::BTreeSet<(u8, u8)>| live.iter().filter(|(d, _)| *d == device).count();
                let before = count(&live);
                if is_join {
                    if !live.insert((device, connection)) { continue; }
                    memory.join(session(device, connection), &bus);
                } else {
                    live.remove(&(device, connection));
                    let gone = session(device, connection);
                    memory.leave(&gone.app_id, &gone.connection_id, "transport close", &bus);
                }
                let after = count(&live);
                if (before == 0) != (after == 0) {
                    expected.push((name.clone(), after > 0));
                }
                prop_assert_eq!(memory.connections_of(&"app_1".into(), &name.as_str().into()) as usize, after);
                prop_assert_eq!(memory.sessions(&"app_1".into(), None, 100).sessions.len(), live.len());
            }
            prop_assert_eq!(&*heard.lock().unwrap(), &expected);
        }
    }

    #[test]
    fn sessions_come_in_pages() {
        let bus = Bus::in_process(Arc::new(|_: &Envelope| None));
        let memory = Memory::default();
        for connection in 0..5 {
            memory.join(session(1, connection), &bus);
        }
        let first = memory.sessions(&"app_1".into(), None, 3);
        assert_eq!((first.sessions.len(), first.has_more), (3, true));
        let last = first.sessions.last().map(|session| session.connection_id.clone());
        let second = memory.sessions(&"app_1".into(), last.as_ref(), 3);
        assert_eq!((second.sessions.len(), second.has_more), (2, false));
    }
}
