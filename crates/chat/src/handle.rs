//! What stands in the place of a device's id for agents who may not read conversations. With the app's public key an id
//! *is* the device: it reads the history and writes as the person.

use std::fmt::Write as _;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::{AppId, DeviceId, Permission};
use sha2::Sha256;
use store::{KeepSecret, Store};

use crate::{Agent, Ambient, Chat};

/// Begins every handle, so that nobody takes one for an id.
const PREFIX: &str = "hdl_";

/// Bytes of the keyed hash that are shown.
const BYTES: usize = 16;

/// Under which name the installation keeps the key.
const SECRET: &str = "device_handles";

/// Makes the handles of an installation, by the key that it keeps for them. By default there is no key, and all devices
/// have the same empty handle: enough where no agent is let in.
#[derive(Default)]
pub struct Handles {
    key: Option<String>,
}

impl Handles {
    /// Reads the installation's key, or makes it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read(store: &Store, ambient: &Ambient) -> Result<Arc<Self>, store::Error> {
        let new = crate::credential::generate("", ambient);
        Ok(Arc::new(Self { key: Some(store.write(KeepSecret { name: SECRET, new }).await?) }))
    }

    /// The device's handle: the same on all nodes and for good, and nothing that its id can be had from.
    pub fn of(&self, app_id: &AppId, device_id: &DeviceId) -> DeviceId {
        let mut handle = PREFIX.to_owned();
        let key = self.key.as_ref().and_then(|key| Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok());
        if let Some(mut hash) = key {
            hash.update(app_id.as_bytes());
            hash.update(&[0]);
            hash.update(device_id.as_bytes());
            for byte in hash.finalize().into_bytes().iter().take(BYTES) {
                // Writing to a String can't fail.
                let _ = write!(handle, "{byte:02x}");
            }
        }
        handle.into()
    }
}

impl Chat {
    /// The device as this agent may know of it.
    pub(crate) fn known_as(&self, agent: &Agent, device_id: &DeviceId) -> DeviceId {
        if agent.permissions.has(Permission::ViewConversations) {
            device_id.clone()
        } else {
            self.handles.of(&agent.app_id, device_id)
        }
    }

    /// The device of the agent's app that is meant: by its id, or by its handle, if it is connected.
    pub(crate) async fn meant(&self, agent: &Agent, name: &str) -> Option<DeviceId> {
        /// Sessions in one read.
        const PAGE: usize = 1_000;
        if !name.starts_with(PREFIX) || agent.permissions.has(Permission::ViewConversations) {
            return Some(name.into());
        }
        let mut after = None;
        loop {
            let page = self.cluster.registry.sessions(&agent.app_id, after.as_ref(), PAGE).await;
            let found = page
                .sessions
                .iter()
                .find(|session| self.handles.of(&agent.app_id, &session.device_id).as_str() == name);
            if let Some(session) = found {
                return Some(session.device_id.clone());
            }
            after = page.sessions.last().map(|session| session.connection_id.clone());
            if !page.has_more || after.is_none() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_the_same_each_time_and_another_for_another_app_device_or_key() {
        let handles = Handles { key: Some("one".to_owned()) };
        let handle = handles.of(&"app_1".into(), &"phone".into());
        assert_eq!(handle, handles.of(&"app_1".into(), &"phone".into()));
        assert_eq!(handle.len(), PREFIX.len() + 2 * BYTES);
        assert_ne!(handle, handles.of(&"app_2".into(), &"phone".into()));
        assert_ne!(handle, handles.of(&"app_1".into(), &"tablet".into()));
        assert_ne!(handle, Handles { key: Some("two".to_owned()) }.of(&"app_1".into(), &"phone".into()));
    }
}
