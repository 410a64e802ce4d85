//! What an app shows: the client's state and the timelines, each a whole picture of one moment. Never changed once it
//! is handed out.

use protocol::{ConversationId, ConversationStatus, DeviceId, LocalId, MessageId, Sender, Timestamp, UserId};

/// How the client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientState {
    /// The connection to the server.
    pub connection: ConnectionState,
    /// Who is identified; `None` for a person without a name.
    pub user_id: Option<UserId>,
    /// This person on this device, as the server knows it. Another one after a logout.
    pub device_id: DeviceId,
    /// Newest activity first.
    pub conversations: Vec<ConversationSummary>,
    /// Messages of agents that the person has not read, of those that are stored here.
    pub unread: u64,
    /// Messages that wait to be sent, or are on their way.
    pub queued: u64,
    /// Messages that were set aside: they need [`retry`](crate::ChatClient::retry) or
    /// [`cancel`](crate::ChatClient::cancel).
    pub wedged: u64,
}

/// The connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// There is none, and none is tried: no network, or the app is in the background.
    Offline,
    /// One is being opened.
    Connecting,
    /// There is one.
    Online,
    /// The last one failed.
    Waiting {
        /// When the next one is tried, unless something makes it be tried before.
        until: Timestamp,
    },
    /// The server refused the key: [`set_api_key`](crate::ChatClient::set_api_key) goes on.
    AuthFailed,
    /// The client is closed.
    Closed,
}

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationSummary {
    /// Its id.
    pub id: ConversationId,
    /// Open, or done with.
    pub status: ConversationStatus,
    /// Its newest message, one that waits to be sent included.
    pub last_message: Option<TimelineItem>,
    /// Messages of agents that the person has not read, of those that are stored here.
    pub unread: u64,
    /// Whether an agent types.
    pub is_agent_typing: bool,
    /// When something last happened in it.
    pub updated_at: Timestamp,
}

/// A conversation's newest messages, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The conversation; `None` while the server has not opened it.
    pub conversation_id: Option<ConversationId>,
    /// What is stored by the server in its order, then what waits to be sent.
    pub items: Vec<TimelineItem>,
    /// Whether [`load_older`](crate::ChatClient::load_older) has more to show.
    pub has_older: bool,
    /// Whether an agent types.
    pub is_agent_typing: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineItem {
    /// Its name from the first moment on; never changes.
    pub local_id: LocalId,
    /// The server's name for it, once it is stored there.
    pub message_id: Option<MessageId>,
    /// Its place in the conversation, once it is stored by the server.
    pub seq: Option<u64>,
    /// The text. Empty where a later server has sent something that this version can't show: say so in a line of your own.
    pub body: String,
    /// Who wrote it; `System` where that is nobody whom this version knows.
    pub sender: Sender,
    /// The agent's name, or the person's if the app told it.
    pub sender_name: Option<String>,
    /// When the server stored it; until then, when it was written.
    pub created_at: Timestamp,
    /// How far it got.
    pub delivery: Delivery,
}

/// How far a message got. For the person's own messages all of them; an agent's is `Delivered` until the person has
/// `Read` it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It waits to be sent.
    Queued,
    /// It is on its way.
    Sending,
    /// The server has stored it.
    Sent,
    /// The other side's program has it.
    Delivered,
    /// The other side's person has read it.
    Read,
    /// It was set aside, and the next ones go on without it.
    Wedged {
        /// Why, as a code: the server's, or `CRASHED` for one that was on its way too often when the app died.
        code: String,
        /// Why, for people; may change.
        message: String,
    },
}
