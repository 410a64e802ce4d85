//! How many conversations each view has, for those who have an inbox open: counted a moment after something changed, once for all that
//! changed meanwhile.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::{AppId, Permission};
use socketio::Stale;
use store::CountInbox;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Fanout, frame};

/// From one count to the next, at least.
const EVERY: Duration = Duration::from_secs(1);

/// Of the time, so much is left for everything else: counting is worth a part of a node, and not a node.
const PAUSE_FOR_EACH: u32 = 10;

/// The apps whose counts may be others than those that were told.
#[derive(Default)]
pub(super) struct Stales {
    apps: Mutex<HashSet<AppId>>,
    due: Notify,
}

impl Stales {
    /// Something changed in the app.
    pub(super) fn add(&self, app_id: &AppId) {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if !apps.contains(app_id) {
            apps.insert(app_id.clone());
            self.due.notify_one();
        }
    }

    fn take(&self) -> HashSet<AppId> {
        std::mem::take(&mut *self.apps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts and tells, as long as the server runs.
pub(crate) async fn tell_counts(fanout: Arc<Fanout>) {
    loop {
        fanout.stales.due.notified().await;
        let started = Instant::now();
        for app_id in fanout.stales.take() {
            fanout.count(&app_id).await;
        }
        sleep(EVERY.max(started.elapsed() * PAUSE_FOR_EACH)).await;
    }
}

impl Fanout {
    async fn count(&self, app_id: &AppId) {
        let Some(agents) = self.feeds.people(app_id, Permission::ViewConversations) else { return };
        let Some(counted) = self.read(CountInbox { app_id: app_id.clone(), agents }).await else {
            // The database may be back soon.
            self.stales.add(app_id);
            return;
        };
        let about = (self.about(("counts", app_id)), Stale::State);
        self.feeds.tell_each(app_id, Permission::ViewConversations, about, |channel, agent| {
            frame(channel, &counted.of(agent))
        });
    }
}
