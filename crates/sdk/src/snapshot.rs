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
    /// Messages of agents that the person has not read: a badge. By the server's count where not all of them are here, which
    /// looks at the newest 1,000 of each conversation.
    pub unread: u64,
    /// Messages that wait to be sent, or are on their way.
    pub queued: u64,
    /// Messages that wait for another person to be identified again who has used this device: they are sent as whom they were
    /// written by.
    pub queued_for_others: u64,
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
        /// Why it failed.
        reason: WaitReason,
    },
    /// The server refused the key: [`set_api_key`](crate::ChatClient::set_api_key) goes on.
    AuthFailed,
    /// The server takes nothing from this device or person: the agents have blocked it. It is asked again every few minutes, and
    /// what is written meanwhile waits.
    Blocked,
    /// The server has to be told anew who is there, for what proved it holds no longer. Where [`identify`] was given tokens, one is
    /// fetched by itself, once the app is in front; else it is for the app to call it.
    ///
    /// [`identify`]: crate::ChatClient::identify
    IdentityRequired,
    /// The client is closed.
    Closed,
}

/// Why there is no connection, although one was tried: what an app can tell the person, or its developer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// It ended, or broke, without a word that would tell why.
    Lost,
    /// The server's name is not known: no network, a spelling mistake, or a resolver that fails.
    Dns,
    /// Nothing listens at the address.
    Refused,
    /// There is no way to the address.
    Unreachable,
    /// Nothing came back in time.
    TimedOut,
    /// The proxy did not let it through.
    Proxy,
    /// TLS failed.
    Tls,
    /// The server's certificate is not trusted: of an unknown authority, for another name, or without a pinned key. A
    /// network that reads along shows itself so.
    Certificate,
    /// The server's certificate is not valid at this time: the device's clock is off, or the certificate has run out.
    CertificateDates,
    /// Something else answered than the server: the page of a captive portal, or a proxy whose server is away.
    NotTheServer,
    /// The server can't take the device now.
    ServerBusy,
    /// The server restarts, and has said when it is back.
    ServerLeft,
}

impl WaitReason {
    /// The reason in one constant word, for programs and other languages.
    pub fn code(self) -> &'static str {
        match self {
            Self::Lost => "LOST",
            Self::Dns => "DNS",
            Self::Refused => "REFUSED",
            Self::Unreachable => "UNREACHABLE",
            Self::TimedOut => "TIMED_OUT",
            Self::Proxy => "PROXY",
            Self::Tls => "TLS",
            Self::Certificate => "CERTIFICATE",
            Self::CertificateDates => "CERTIFICATE_DATES",
            Self::NotTheServer => "NOT_THE_SERVER",
            Self::ServerBusy => "SERVER_BUSY",
            Self::ServerLeft => "SERVER_LEFT",
        }
    }
}

/// Something that happens once, apart from the pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// A message of the other side has just arrived that the person has not read: for a sound, or a banner. Told once, whether
    /// it came live or was missed while there was no connection; not for what is fetched on scrolling.
    MessageArrived {
        /// Its conversation.
        conversation_id: ConversationId,
        /// The message.
        message: TimelineItem,
    },
    /// The file on the device was damaged, by the disk or by another program, and was begun anew. The history comes from the
    /// server again.
    StorageRecovered {
        /// Messages that waited to be sent, or were set aside, and could be saved. There may have been more.
        saved: u64,
    },
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
    /// Messages of agents that the person has not read.
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
