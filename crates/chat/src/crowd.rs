//! A device with more connections than it may have. The newest is let in, and those that have been silent longest go:
//! most often they are half open, and their other end has come back as the newest.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{Crowd, Signal, SilentConnection};
use protocol::{AppId, Code, ConnectionId, DeviceId, Failure};

use crate::Chat;

/// How long the other nodes are waited for. The connections of one that does not answer are not counted: it has died, and
/// they with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Devices with too many connections, as this node has seen it.
#[derive(Default)]
pub(crate) struct Crowds {
    /// Those that are counted just now, with who came since: one count at a time, so that two do not put out two for one.
    under_way: Mutex<HashMap<(AppId, DeviceId), Vec<ConnectionId>>>,
}

impl Crowds {
    fn under_way(&self) -> MutexGuard<'_, HashMap<(AppId, DeviceId), Vec<ConnectionId>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chat {
    /// Counts the device's connections on all nodes and has those closed that are too many. To be called when `newest` has
    /// come and was told to be one of too many, and is counted on its node.
    pub async fn thin_out(&self, app_id: &AppId, device_id: &DeviceId, newest: ConnectionId) {
        let device = (app_id.clone(), device_id.clone());
        {
            let mut under_way = self.crowds.under_way();
            if let Some(since) = under_way.get_mut(&device) {
                return since.push(newest);
            }
            under_way.insert(device.clone(), Vec::new());
        }
        let mut newest = vec![newest];
        while !newest.is_empty() {
            let round = self.rounds.crowds.begin(self.round_name());
            let crowd = Crowd { device_id: device_id.clone(), name: round.name.clone() };
            self.publish(app_id.clone(), Signal::Crowded(crowd));
            round.finish(Box::pin(self.cluster.registry.nodes()), PATIENCE).await;
            let connections = round.take_answers().concat();
            let gone = too_many(connections, &newest, self.connections_per_device);
            if !gone.is_empty() {
                self.publish(app_id.clone(), Signal::CrowdedOut(device_id.clone(), gone));
            }
            let mut under_way = self.crowds.under_way();
            newest = under_way.get_mut(&device).map(std::mem::take).unwrap_or_default();
            if newest.is_empty() {
                under_way.remove(&device);
            }
        }
    }
}

/// What a connection of a device is told that has to go, because a device may have only `most`.
pub fn crowded_out(most: u32) -> Failure {
    let message = format!("this device may have {most} connections at a time; this one was silent longest");
    Failure::new(Code::TooManyConnections, message)
}

/// Which of them have to go so that `most` are left: first those that have been silent longest, and the newest last.
fn too_many(mut connections: Vec<SilentConnection>, newest: &[ConnectionId], most: u32) -> Vec<ConnectionId> {
    let too_many = connections.len().saturating_sub(most as usize);
    connections.sort_unstable_by_key(|connection| {
        let is_newest = newest.contains(&connection.connection_id);
        // Ids are in the order in which they were given out, so that of two that were heard at once the older one goes.
        (is_newest, Reverse(connection.silent_ms), connection.connection_id.clone())
    });
    connections.into_iter().take(too_many).map(|connection| connection.connection_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(connections: &[(&str, u64)], newest: &[&str], most: u32) -> Vec<String> {
        let connections = connections
            .iter()
            .map(|(id, silent_ms)| SilentConnection { connection_id: (*id).into(), silent_ms: *silent_ms })
            .collect();
        let newest: Vec<ConnectionId> = newest.iter().map(|id| (*id).into()).collect();
        too_many(connections, &newest, most).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_was_silent_longest_goes_and_no_more_than_are_too_many() {
        assert_eq!(gone(&[("a", 5), ("b", 90_000), ("c", 0)], &["c"], 2), ["b"]);
        assert_eq!(gone(&[("a", 5), ("b", 7)], &["a"], 2), [""; 0]);
        assert_eq!(gone(&[("a", 5), ("b", 7), ("c", 6), ("d", 0)], &["d"], 1), ["b", "c", "a"]);
    }

    #[test]
    fn the_newest_stays_even_if_it_said_nothing_since() {
        assert_eq!(gone(&[("a", 0), ("b", 1), ("c", 900)], &["c"], 2), ["b"]);
        assert_eq!(gone(&[("a", 3), ("b", 3), ("c", 3)], &["b", "c"], 1), ["a", "b"]);
    }
}
