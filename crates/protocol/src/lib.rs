//! What travels between ReplyHQ and its clients: ids, messages, events, REST bodies, error codes and limits.
//!
//! Types and pure functions only. Nothing here reads a clock, draws a random number, or does I/O; both come in
//! as arguments.

mod activity;
mod agent;
mod audit;
mod canned_reply;
mod conversation;
pub mod encoded;
mod error;
pub mod event;
mod id;
pub mod input;
pub mod limits;
mod message;
mod permission;
pub mod request;
pub mod rest;
#[cfg(feature = "openapi")]
pub mod schema;
mod session;
mod time;

pub use activity::{Activity, ActivityKind, Actor};
pub use agent::{Agent, AgentStatus, Availability, Colleague};
pub use audit::AuditEntry;
pub use canned_reply::CannedReply;
pub use conversation::{Conversation, ConversationStatus, InboxConversation};
pub use error::{AckFailure, Code, Failure};
pub use id::{
    AgentId, AppId, CannedReplyId, ConnectionId, ConversationId, DeviceId, IdentityKeyId, LocalId, MessageId,
    SenderId, TokenId, UserId,
};
pub use message::{Message, MessageStatus, Sender, Side};
pub use permission::{Permission, Permissions, Role};
pub use session::{Session, UserInfo};
pub use time::Timestamp;
