//! What happens in an app as a whole, for the agents who watch it.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use protocol::{AgentId, AppId, Permission, Permissions};
use socketio::{CloseReason, Frame, Outgoing, Stale};

use super::{Channel, Namespace, SubscriberKey, Wire};

/// An agent's connection.
pub(crate) struct Watcher {
    pub(crate) outgoing: Outgoing,
    pub(crate) permissions: Permissions,
    /// The person, where there is one.
    pub(crate) agent_id: Option<AgentId>,
}

impl Watcher {
    fn channel(&self) -> Channel {
        Channel::of(Namespace::Admin, &self.outgoing)
    }
}

/// Per app, those who watch it.
#[derive(Default)]
pub(crate) struct Feeds {
    apps: RwLock<HashMap<AppId, HashMap<SubscriberKey, Watcher>>>,
}

impl Feeds {
    pub(crate) fn watch(&self, app_id: &AppId, key: SubscriberKey, watcher: Watcher) {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app_id.clone()).or_default().insert(key, watcher);
    }

    pub(crate) fn unwatch(&self, app_id: &AppId, key: SubscriberKey) {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(watchers) = apps.get_mut(app_id) {
            watchers.remove(&key);
            if watchers.is_empty() {
                apps.remove(app_id);
            }
        }
    }

    /// Whether someone with the permission watches the app.
    pub(super) fn has_watcher(&self, app_id: &AppId, permission: Permission) -> bool {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(app_id)
            .is_some_and(|watchers| watchers.values().any(|watcher| watcher.permissions.has(permission)))
    }

    /// Ends all who watch with the permission, and tells them why; stock clients come back.
    pub(super) fn turn_out_all(
        &self,
        permission: Permission,
        why: impl Fn(Channel) -> Option<Frame>,
    ) -> usize {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let watchers = apps.values().flat_map(HashMap::values);
        let watchers = watchers.filter(|watcher| watcher.permissions.has(permission));
        watchers
            .map(|watcher| {
                if let Some(why) = why(watcher.channel()) {
                    watcher.outgoing.send(why);
                }
                watcher.outgoing.close(CloseReason::Server);
            })
            .count()
    }

    /// Tells those with the permission the newest of something; `key` says of what. A frame is made only if someone
    /// watches for whom it is: `frame` is told whether it is for those who may know devices by their ids. True if anybody watches.
    pub(super) fn tell(
        &self,
        app_id: &AppId,
        permission: Permission,
        (key, stale): (u64, Stale),
        frame: impl Fn(Channel, bool) -> Option<Frame>,
    ) -> bool {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let Some(watchers) = apps.get(app_id) else { return false };
        let mut is_watched = false;
        let frames: [[OnceCell<Option<Frame>>; 2]; Wire::COUNT] = Default::default();
        for watcher in watchers.values().filter(|watcher| watcher.permissions.has(permission)) {
            is_watched = true;
            let by_id = watcher.permissions.has(Permission::ViewConversations);
            let channel = watcher.channel();
            let made = &frames[channel.wire.index()][usize::from(by_id)];
            let frame = made.get_or_init(|| frame(channel, by_id));
            if let Some(frame) = frame {
                // False is a connection that ends; its own task takes it out of here.
                watcher.outgoing.send_newest(key, stale, frame.clone());
            }
        }
        is_watched
    }

    /// The people who watch the app with the permission, each once; `None` if nobody does, person or program.
    pub(super) fn people(&self, app_id: &AppId, permission: Permission) -> Option<Vec<AgentId>> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let watchers = apps.get(app_id)?.values().filter(|watcher| watcher.permissions.has(permission));
        let mut is_watched = false;
        let people = watchers.inspect(|_| is_watched = true).filter_map(|watcher| watcher.agent_id.clone());
        let people: BTreeSet<_> = people.collect();
        is_watched.then(|| people.into_iter().collect())
    }

    /// As [`tell`](Self::tell), where each person is told something else.
    pub(super) fn tell_each(
        &self,
        app_id: &AppId,
        permission: Permission,
        (key, stale): (u64, Stale),
        frame: impl Fn(Channel, Option<&AgentId>) -> Option<Frame>,
    ) {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let watchers = apps.get(app_id).into_iter().flat_map(HashMap::values);
        for watcher in watchers.filter(|watcher| watcher.permissions.has(permission)) {
            if let Some(frame) = frame(watcher.channel(), watcher.agent_id.as_ref()) {
                watcher.outgoing.send_newest(key, stale, frame);
            }
        }
    }
}
