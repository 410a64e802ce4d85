//! ReplyHQ inside an app: conversations, messages, typing, unread counts and delivery states as observable state. What
//! people write is never lost, doubled or reordered, whatever the network, the server or the system does to the app.
//!
//! [`ChatClient`] is the door. One task owns everything: it takes calls and what the server says, changes the local file
//! in one transaction, and only then sends, answers and shows. The rules are state machines without I/O or clocks
//! (`connection`, `outbox`, `sync`, `receipts`, `typing`); the file is in `local`, the way to the server in `wire`.

mod backoff;
mod client;
mod config;
mod connection;
mod dial;
mod engine;
mod error;
mod identity;
pub mod limits;
mod local;
mod outbox;
mod platform;
mod random;
mod receipts;
mod snapshot;
mod subscription;
mod sync;
mod typing;
mod wire;

pub use protocol::rest::User;
pub use protocol::{
    ConversationId, ConversationStatus, DeviceId, LocalId, MessageId, Sender, Timestamp, UserId,
};

pub use self::client::ChatClient;
pub use self::config::{Config, Proxy};
pub use self::error::ClientError;
pub use self::identity::{FetchingToken, Identity, TokenSource};
pub use self::platform::{CommitMoment, Dialing, LogLevel, Platform, Stream};
pub use self::snapshot::{
    ChatEvent, ClientState, ConnectionState, ConversationSummary, Delivery, Timeline, TimelineItem,
    WaitReason,
};
pub use self::subscription::{EventSubscription, StateSubscription, TimelineSubscription};
