//! What stands in the place of a device's id for agents who may not read conversations. With the app's public key an id
//! *is* the device: it reads the history and writes as the person.

use std::fmt::Write as _;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::{AppId, DeviceId, Permission};
use sha2::Sha256;

use crate::{Agent, Chat};

/// Begins every handle, so that nobody takes one for an id.
const PREFIX: &str = "hdl_";

/// Bytes of the keyed hash that are shown.
const BYTES: usize = 16;

/// Under which name the installation keeps the key.
const SECRET: &str = "device_handles";

/// The key of the handles, once it is known.
#[derive(Default)]
pub(crate) struct Handles {
    key: OnceLock<String>,
}

impl Handles {
    /// The device's handle: the same on all nodes and for good, and nothing that its id can be had from.
    fn of(&self, app_id: &AppId, device_id: &DeviceId) -> DeviceId {
        let mut handle = PREFIX.to_owned();
        // Where there is no key yet, nothing is told either.
        let key = self.key.get().and_then(|key| Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok());
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
    /// Reads the installation's key for handles, or makes it. To be called before agents are let in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_handle_key(&self) -> Result<(), store::Error> {
        let new = crate::credential::generate("", &self.ambient);
        let key = self.store.secret(SECRET, new).await?;
        // A second call finds the same one.
        let _ = self.handles.key.set(key);
        Ok(())
    }

    /// What stands in the place of the device's id for those who may not read conversations.
    pub fn handle(&self, app_id: &AppId, device_id: &DeviceId) -> DeviceId {
        self.handles.of(app_id, device_id)
    }

    /// The device as this agent may know of it.
    pub(crate) fn known_as(&self, agent: &Agent, device_id: &DeviceId) -> DeviceId {
        if agent.permissions.has(Permission::ViewConversations) {
            device_id.clone()
        } else {
            self.handle(&agent.app_id, device_id)
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
                .find(|session| self.handle(&agent.app_id, &session.device_id).as_str() == name);
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
        let handles = Handles { key: "one".to_owned().into() };
        let handle = handles.of(&"app_1".into(), &"phone".into());
        assert_eq!(handle, handles.of(&"app_1".into(), &"phone".into()));
        assert_eq!(handle.len(), PREFIX.len() + 2 * BYTES);
        assert_ne!(handle, handles.of(&"app_2".into(), &"phone".into()));
        assert_ne!(handle, handles.of(&"app_1".into(), &"tablet".into()));
        assert_ne!(handle, Handles { key: "two".to_owned().into() }.of(&"app_1".into(), &"phone".into()));
    }
}
