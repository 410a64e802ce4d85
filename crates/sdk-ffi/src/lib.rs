//! The SDK for Kotlin, Swift and Python: the crate `sdk` behind UniFFI. A façade; nothing is decided here.
//!
//! The client lives on a thread of its own ([`engine`]); the app's listeners are called on another ([`delivery`]), so
//! that a slow one holds up nothing but its own kind. What crosses the border is in [`types`] and [`error`].

mod client;
mod delivery;
mod engine;
mod error;
mod threads;
mod tokens;
mod types;

pub use self::client::{SdkClient, SdkSubscription, fetch_unread};
pub use self::delivery::{EventListener, LogListener, StateListener, TimelineListener};
pub use self::error::SdkError;
pub use self::threads::shut_down_all;
pub use self::tokens::{TokenListener, TokenRequest};
pub use self::types::{
    ChatEvent, ClientConfig, ClientState, ConnectionState, ConversationStatus, ConversationSummary, Delivery,
    LogLevel, Sender, Timeline, TimelineItem, User,
};

uniffi::setup_scaffolding!();
