//! The registry in this process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::event::{PresenceChange, SessionDisconnect};
use protocol::{AppId, ConnectionId, DeviceId, Session};

use super::{Edge, Joined, SessionList, TooManyConnections};
use crate::{Bus, Envelope, Signal};

#[derive(Default)]
pub(super) struct Memory {
    /// One lock for record and announcement: those who watch hear of changes in the order in which they happened.
    apps: Mutex<HashMap<AppId, App>>,
}

#[derive(Default)]
struct App {
    sessions: BTreeMap<ConnectionId, Session>,
    connections: HashMap<DeviceId, u32>,
}

impl Memory {
    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, App>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, session: Session, most: u32, bus: &Bus) -> Result<Joined, TooManyConnections> {
        let mut apps = self.apps();
        let app = apps.entry(session.app_id.clone()).or_default();
        let before = app.connections.get(&session.device_id).copied().unwrap_or(0);
        if most != 0 && before >= most {
            return Err(TooManyConnections);
        }
        let after = before + 1;
        app.connections.insert(session.device_id.clone(), after);
        app.sessions.insert(session.connection_id.clone(), session.clone());
        let edge = Edge::between(before as usize, after as usize);
        let (app_id, device_id) = (session.app_id.clone(), session.device_id.clone());
        bus.publish(&Envelope { app_id: app_id.clone(), signal: Signal::SessionConnect(Box::new(session)) });
        announce(edge, app_id, device_id, after, bus);
        Ok(Joined { edge, active_connections: after })
    }

    pub(super) fn leave(
        &self,
        app_id: &AppId,
        connection_id: &ConnectionId,
        reason: &str,
        bus: &Bus,
    ) -> Edge {
        let mut apps = self.apps();
        let Some(app) = apps.get_mut(app_id) else { return Edge::Unchanged };
        let Some(session) = app.sessions.remove(connection_id) else { return Edge::Unchanged };
        let device_id = session.device_id;
        let before = app.connections.get(&device_id).copied().unwrap_or(1);
        let after = before - 1;
        if after == 0 {
            app.connections.remove(&device_id);
        } else {
            app.connections.insert(device_id.clone(), after);
        }
        if app.sessions.is_empty() {
            apps.remove(app_id);
        }
        let edge = Edge::between(before as usize, after as usize);
        bus.publish(&Envelope {
            app_id: app_id.clone(),
            signal: Signal::SessionDisconnect(SessionDisconnect {
                app_id: app_id.clone(),
                device_id: device_id.clone(),
                connection_id: connection_id.clone(),
                reason: reason.into(),
            }),
        });
        announce(edge, app_id.clone(), device_id, after, bus);
        edge
    }

    pub(super) fn connections_of(&self, app_id: &AppId, device_id: &DeviceId) -> u32 {
        let apps = self.apps();
        apps.get(app_id).and_then(|app| app.connections.get(device_id)).copied().unwrap_or(0)
    }

    pub(super) fn sessions(&self, app_id: &AppId, after: Option<&ConnectionId>, limit: usize) -> SessionList {
        let apps = self.apps();
        let Some(app) = apps.get(app_id) else {
            return SessionList { sessions: Vec::new(), has_more: false };
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest =
            app.sessions.range::<ConnectionId, _>((from, Bound::Unbounded)).map(|(_, session)| session);
        let sessions: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        SessionList { sessions, has_more: rest.next().is_some() }
    }
}

fn announce(edge: Edge, app_id: AppId, device_id: DeviceId, active_connections: u32, bus: &Bus) {
    let is_online = match edge {
        Edge::BecameOnline => true,
        Edge::BecameOffline => false,
        Edge::Unchanged => return,
    };
    bus.publish(&Envelope {
        app_id: app_id.clone(),
        signal: Signal::Presence(PresenceChange { app_id, device_id, is_online, active_connections }),
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use protocol::Timestamp;

    use super::*;

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
                    memory.join(session(device, connection), 0, &bus).unwrap();
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
    fn a_device_may_have_so_many_connections_and_no_more() {
        let bus = Bus::in_process(Arc::new(|_: &Envelope| ()));
        let memory = Memory::default();
        assert!(memory.join(session(1, 1), 2, &bus).is_ok());
        assert!(memory.join(session(1, 2), 2, &bus).is_ok());
        assert_eq!(memory.join(session(1, 3), 2, &bus), Err(TooManyConnections));
        assert!(memory.join(session(2, 1), 2, &bus).is_ok());
    }

    #[test]
    fn sessions_come_in_pages() {
        let bus = Bus::in_process(Arc::new(|_: &Envelope| ()));
        let memory = Memory::default();
        for connection in 0..5 {
            memory.join(session(1, connection), 0, &bus).unwrap();
        }
        let first = memory.sessions(&"app_1".into(), None, 3);
        assert_eq!((first.sessions.len(), first.has_more), (3, true));
        let last = first.sessions.last().map(|session| session.connection_id.clone());
        let second = memory.sessions(&"app_1".into(), last.as_ref(), 3);
        assert_eq!((second.sessions.len(), second.has_more), (2, false));
    }
}
