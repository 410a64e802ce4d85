//! Ids, times and bodies as strangers write them: whatever is read is within bounds and reads the same when written
//! again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::rest::{ChangeConversation, Identify, OpenConversation, Receipt, SendMessage};
use protocol::{ConversationStatus, Message, MessageId, Permissions, Timestamp};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some((conversation, seq)) = MessageId::from(text).place() {
        assert!(conversation.starts_with("conv_") && seq < 1 << 60);
    }
    let permissions = Permissions::from_text(text);
    assert_eq!(Permissions::from_text(&permissions.to_text()), permissions);
    let _ = ConversationStatus::parse(text);
    if let Ok(time) = serde_json::from_str::<Timestamp>(text) {
        let again = serde_json::to_string(&time).expect("a time can be written");
        assert_eq!(serde_json::from_str::<Timestamp>(&again).expect("and read"), time);
    }
    if let Ok(message) = serde_json::from_str::<Message>(text) {
        let again = serde_json::to_string(&message).expect("a message can be written");
        assert_eq!(serde_json::from_str::<Message>(&again).expect("and read"), message);
    }
    let _ = serde_json::from_str::<OpenConversation>(text);
    let _ = serde_json::from_str::<SendMessage>(text);
    let _ = serde_json::from_str::<Identify>(text);
    let _ = serde_json::from_str::<Receipt>(text);
    let _ = serde_json::from_str::<ChangeConversation>(text);
});
