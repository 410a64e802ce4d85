//! Who is at a device, when that changes: whoever was there before is seen by nobody there any more, on any node, before
//! the change is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cluster::{IdentityChange, Signal};
use protocol::{AppId, ConnectionId};
use tokio::sync::Semaphore;

use crate::{Chat, Device};

/// How long the other nodes are waited for. One that does not answer has died, or hears nothing of the others: it finds
/// the change in the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// Changes that are under way here, by their names. Whoever waits for one may go away meanwhile.
#[derive(Default)]
pub(crate) struct IdentityChanges {
    under_way: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl IdentityChanges {
    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Weak<Semaphore>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that may be made.
#[derive(Clone)]
pub(crate) struct Change {
    app_id: AppId,
    told: IdentityChange,
    /// A permit for each node that has done its part.
    heard: Arc<Semaphore>,
}

impl Chat {
    pub(crate) fn begin_identity_change(&self, device: &Device) -> Change {
        // As unique as a connection's.
        let name = ConnectionId::new(self.ambient.now(), self.ambient.chance()).to_string();
        let told = IdentityChange { device_id: device.device_id.clone(), name };
        Change { app_id: device.app_id.clone(), told, heard: Arc::new(Semaphore::new(0)) }
    }

    /// Tells all nodes, this one at once, to close the device's connections.
    pub(crate) fn tell_identity_change(&self, change: Change) {
        {
            let mut under_way = self.identity_changes.under_way();
            under_way.retain(|_, heard| heard.strong_count() > 0);
            under_way.insert(change.told.name.clone(), Arc::downgrade(&change.heard));
        }
        self.publish(change.app_id, Signal::IdentityChanged(change.told));
    }

    /// Waits until all nodes have done it.
    pub(crate) async fn finish_identity_change(&self, change: &Change) {
        let heard = &change.heard;
        let all = async {
            // As many as there are now: who comes later reads what is committed.
            let nodes = self.cluster.registry.nodes().await;
            let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
            heard.acquire_many(nodes).await.map(drop)
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                heard = heard.available_permits(),
                "somebody else is at a device, and not all nodes have said that they know"
            );
        }
        self.identity_changes.under_way().remove(&change.told.name);
    }

    /// This node has closed the device's connections.
    pub fn answer_identity_change(&self, app_id: &AppId, change: &IdentityChange) {
        self.publish(app_id.clone(), Signal::IdentityHeard(change.name.clone()));
    }

    /// Some node has closed the connections of the change with this name.
    pub fn identity_change_heard(&self, name: &str) {
        let heard = self.identity_changes.under_way().get(name).and_then(Weak::upgrade);
        if let Some(heard) = heard {
            heard.add_permits(1);
        }
    }
}
