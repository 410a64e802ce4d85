//! How a device stands now, where it may stand otherwise than when it was let in.

use protocol::{Code, Failure};
use store::{FindDevice, Scope};

use crate::Chat;
use crate::principal::identity_required;

impl Chat {
    /// What somebody is refused with who names what they don't see. A device whose binding has just ended sees nothing, and its
    /// connection may not have heard of that yet: it is told to identify, and not that its conversation is nowhere, which
    /// clients take for final, and messages with it.
    pub(crate) async fn not_seen(&self, scope: Scope, failure: Failure) -> Failure {
        let Scope { app_id, device_id: Some(device_id) } = scope else { return failure };
        if !matches!(failure.code, Code::ConversationNotFound | Code::MessageNotFound) {
            return failure;
        }
        match self.read(FindDevice { app_id, device_id }).await {
            Ok(standing) if standing.needs_identity => identity_required(),
            // What can't be looked at now is as it was said.
            _ => failure,
        }
    }
}
