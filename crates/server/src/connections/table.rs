//! The connections of this node, and which of them are of a device or a person: found without a walk through all.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use protocol::{AppId, DeviceId, UserId};

use super::Open;
use crate::fanout::SubscriberKey;

/// A connection is changed through the table only, so that it is found as what it is.
#[derive(Default)]
pub(super) struct Table {
    open: HashMap<SubscriberKey, Open>,
    /// The connections of each device, and those that say that they are.
    devices: Index<DeviceId>,
    /// The connections of each proven person.
    people: Index<UserId>,
    /// Once the server leaves: the delay for the next one who comes in.
    pub(super) next_delay_ms: Option<u64>,
}

/// What there is of each; of whom there is nothing, nothing is kept.
struct Index<I>(HashMap<(AppId, I), HashSet<SubscriberKey>>);

impl<I> Default for Index<I> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<I: Clone + Eq + Hash> Index<I> {
    fn add(&mut self, whose: Option<(AppId, I)>, key: SubscriberKey) {
        if let Some(whose) = whose {
            self.0.entry(whose).or_default().insert(key);
        }
    }

    fn remove(&mut self, whose: Option<(AppId, I)>, key: SubscriberKey) {
        if let Some(Entry::Occupied(mut entry)) = whose.map(|whose| self.0.entry(whose)) {
            entry.get_mut().remove(&key);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    fn keys(&self, app_id: &AppId, id: &I) -> Option<&HashSet<SubscriberKey>> {
        self.0.get(&(app_id.clone(), id.clone()))
    }
}

impl Table {
    /// All there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    pub(super) fn get(&self, key: SubscriberKey) -> Option<&Open> {
        self.open.get(&key)
    }

    /// Those of a device, and those that say that they are and are not let in yet.
    pub(super) fn at(&self, app_id: &AppId, device_id: &DeviceId) -> impl Iterator<Item = &Open> {
        let keys = self.devices.keys(app_id, device_id).into_iter().flatten();
        keys.filter_map(|key| self.open.get(key))
    }

    /// Those at which the person is proven to be.
    pub(super) fn of_person(&self, app_id: &AppId, user_id: &UserId) -> impl Iterator<Item = &Open> {
        let keys = self.people.keys(app_id, user_id).into_iter().flatten();
        keys.filter_map(|key| self.open.get(key))
    }

    /// Puts it in the place of what was there under this key.
    pub(super) fn insert(&mut self, key: SubscriberKey, open: Open) {
        self.remove(key);
        self.devices.add(open.device(), key);
        self.people.add(open.person(), key);
        self.open.insert(key, open);
    }

    pub(super) fn remove(&mut self, key: SubscriberKey) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.devices.remove(open.device(), key);
        self.people.remove(open.person(), key);
        Some(open)
    }

    /// Changes a connection, if it is there.
    pub(super) fn change(&mut self, key: SubscriberKey, change: impl FnOnce(&mut Open)) {
        if let Some(mut open) = self.remove(key) {
            change(&mut open);
            self.insert(key, open);
        }
    }

    /// As [`change`](Self::change), for all that [`at`](Self::at) finds.
    pub(super) fn change_at(
        &mut self,
        app_id: &AppId,
        device_id: &DeviceId,
        mut change: impl FnMut(&mut Open),
    ) {
        let keys: Vec<_> = self.devices.keys(app_id, device_id).into_iter().flatten().copied().collect();
        for key in keys {
            self.change(key, &mut change);
        }
    }

    /// Has it found as it is, and nothing else.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let (mut devices, mut people) = (Index::default(), Index::default());
        for (key, open) in &self.open {
            devices.add(open.device(), *key);
            people.add(open.person(), *key);
        }
        assert_eq!(self.devices.0, devices.0);
        assert_eq!(self.people.0, people.0);
    }
}
