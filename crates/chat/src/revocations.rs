//! Devices of which what was let in before has to go: read from the database, which has them in order, whoever revoked them.

use std::time::Duration;

use protocol::{AppId, Code, DeviceId, Failure};
use store::{EndBindings, HasEndedBindings, ListRevocations, Revocations};

use crate::Chat;
use crate::principal::identity_required;

/// How many are read or ended at once.
const PAGE: u32 = 1_000;

/// How long a binding that has ended may last, at most, until it is noticed: what every node does on each look, one does first.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of a device have to go that were let in under a lower version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The device's version since.
    pub version: u64,
    /// What they are to be told.
    pub failure: Failure,
}

/// What has come since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedDevices {
    /// In their order.
    pub revoked: Vec<Revoked>,
    /// Where the next look begins.
    pub seen: u64,
    /// There is no telling which: any device may be meant.
    pub may_be_any: bool,
    /// Whether there are more now.
    pub has_more: bool,
}

impl Chat {
    /// The devices that were revoked since `seen`; without it, only where to begin. Bindings that have lasted as long as they
    /// may are ended first. `None` if the database can't say just now.
    pub async fn revoked(&self, seen: Option<u64>) -> Option<RevokedDevices> {
        let ended = tokio::time::timeout(PATIENCE, self.end_bindings()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!("bindings could not be looked at");
        }
        let listed = self.read(ListRevocations { since: seen, limit: PAGE }).await.ok()?;
        let Revocations { revocations, newest, is_incomplete } = listed;
        let seen = if is_incomplete { newest } else { revocations.last().map_or(newest, |last| last.n) };
        let revoked = revocations.into_iter().map(|revocation| {
            let store::Revocation { app_id, device_id, version, reason, .. } = revocation;
            self.devices.forget(&(app_id.clone(), device_id.clone()));
            Revoked { app_id, device_id, version, failure: failure(&reason) }
        });
        let revoked = revoked.collect();
        Some(RevokedDevices { revoked, seen, may_be_any: is_incomplete, has_more: seen < newest })
    }

    async fn end_bindings(&self) -> Result<(), Failure> {
        let now = self.ambient.now();
        while self.read(HasEndedBindings { now }).await? {
            if self.write(EndBindings { now, limit: PAGE }).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// What a revoked connection is told. One revoked for a reason that this version does not know connects again and sees.
fn failure(reason: &str) -> Failure {
    if reason == Code::Blocked.as_str() {
        return crate::blocked();
    }
    if reason == Code::IdentityRequired.as_str() {
        return identity_required();
    }
    let (code, message) = if reason == Code::InvalidCredentials.as_str() {
        (Code::InvalidCredentials, "the device's name has another owner now: connect again, with its secret")
    } else {
        (Code::IdentityChanged, "somebody else is at this device now")
    };
    Failure::new(code, message)
}
