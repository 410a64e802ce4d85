//! Conversations that began on the system before this one. Apps that ran when it was replaced go on naming them, until they
//! open a conversation anew.

use std::sync::Arc;

use chat::Device;
use protocol::rest::OpenConversation;
use protocol::{ConversationId, Failure};

use crate::shared::Shared;

/// The conversation that a device means by `id`: its open one, or a new one, where `id` is none of ours.
///
/// # Errors
/// As for opening a conversation.
pub(super) async fn conversation(
    shared: &Arc<Shared>,
    device: &Device,
    id: ConversationId,
) -> Result<ConversationId, Failure> {
    if !is_foreign(id.as_str()) {
        return Ok(id);
    }
    // Nothing is said of who is there: what is written there by nobody becomes the first person's who is named.
    Ok(shared.chat.open_conversation(device, OpenConversation::default()).await?.id)
}

/// Whether it is in the form that ids had there, a UUID's, and ours have not.
fn is_foreign(id: &str) -> bool {
    id.len() == 36
        && id.char_indices().all(|(index, c)| match index {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_the_system_before_are_foreign() {
        assert!(is_foreign("7c5f0a3e-3b1d-4c59-9c0e-2f4f2c6a9d10"));
        for own in [
            "",
            "conv_01jz",
            "7c5f0a3e-3b1d-4c59-9c0e-2f4f2c6a9d1",
            "7c5f0a3e-3b1d-4c59-9c0e-2f4f2c6a9d1\u{e9}",
        ] {
            assert!(!is_foreign(own), "{own}");
        }
        assert!(!is_foreign(&"-".repeat(36)) && !is_foreign(&"a".repeat(36)));
    }
}
