//! Who is at a device, when that changes: whoever was there before is seen by nobody there any more, on any node, before
//! the change is answered.

use std::sync::Arc;
use std::time::Duration;

use cluster::{IdentityChange, Signal};
use protocol::{AppId, ConnectionId};

use crate::round::Round;
use crate::{Chat, Device};

/// How long the other nodes are waited for. One that does not answer has died, or hears nothing of the others: it finds
/// the change in the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change that may be made.
#[derive(Clone)]
pub(crate) struct Change {
    app_id: AppId,
    told: IdentityChange,
    /// An answer for each node that has done its part.
    heard: Arc<Round<()>>,
}

impl Chat {
    /// `except` is the connection that brings it, if one does: it goes on, as whom it is now.
    pub(crate) fn begin_identity_change(&self, device: &Device, except: Option<&ConnectionId>) -> Change {
        let heard = self.rounds.identity_changes.begin(self.round_name());
        let told = IdentityChange {
            device_id: device.device_id.clone(),
            name: heard.name.clone(),
            except: except.cloned(),
        };
        Change { app_id: device.app_id.clone(), told, heard }
    }

    /// Tells all nodes, this one at once, to close the device's connections.
    pub(crate) fn tell_identity_change(&self, change: Change) {
        self.publish(change.app_id, Signal::IdentityChanged(change.told));
    }

    /// Waits until all nodes have done it.
    pub(crate) async fn finish_identity_change(&self, change: &Change) {
        // As many as there are now: who comes later reads what is committed.
        if !change.heard.finish(Box::pin(self.cluster.registry.nodes()), PATIENCE).await {
            tracing::warn!(
                heard = change.heard.take_answers().len(),
                "somebody else is at a device, and not all nodes have said that they know"
            );
        }
    }
}
