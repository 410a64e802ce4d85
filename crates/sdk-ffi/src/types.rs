//! What crosses the border, and how it is made from the types of `sdk`. All conversion is here.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::SdkError;

/// What a client is opened with.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ClientConfig {
    /// Where the server is: `https://chat.example.com`.
    pub server_url: String,
    /// `app_…`
    pub app_id: String,
    /// `rhq_key_…`; it is in every copy of the app and hence no secret.
    pub api_key: String,
    /// A folder of the SDK's own, which it makes. One client at a time.
    pub data_dir: String,
    /// Certificates in PEM to trust beside the usual ones, for a server with a private authority.
    #[uniffi(default = None)]
    pub extra_root_certificates_pem: Option<String>,
    /// The certificates that the system trusts, each as DER, beside the usual ones. The wrappers fill them in where their
    /// language knows them; what can't be read is passed over.
    #[uniffi(default = [])]
    pub system_root_certificates: Vec<Vec<u8>>,
    /// Public keys of which one has to be in the server's chain: `sha256/` and the base64 of the SHA-256 of a
    /// `SubjectPublicKeyInfo`, as OkHttp and curl have them. Empty: any that is trusted.
    #[uniffi(default = [])]
    pub pinned_public_keys: Vec<String>,
    /// An HTTP proxy, `http://proxy.example.com:3128`; `direct` for none. Without it, the system's.
    #[uniffi(default = None)]
    pub proxy_url: Option<String>,
    /// Names what is stored, in the place of the server's address: with it queue and history stay when that moves.
    #[uniffi(default = None)]
    pub storage_key: Option<String>,
    /// The device's name where this is the first start with this SDK: an app that comes from another one goes on as the
    /// device that it was.
    #[uniffi(default = None)]
    pub first_device_id: Option<String>,
    /// Whether agents are told what the device is: system, versions, model, language and time zone.
    #[uniffi(default = true)]
    pub describes_device: bool,
    /// What else agents are to know of the device and the app: a JSON object. With all the rest at most 8 KiB.
    #[uniffi(default = None)]
    pub device_context_json: Option<String>,
}

/// Who uses the app, as the app itself knows them.
#[derive(Debug, Clone, uniffi::Record)]
pub struct User {
    /// The app's own id for the person.
    pub id: String,
    /// Shown to agents.
    #[uniffi(default = None)]
    pub name: Option<String>,
    /// Shown to agents.
    #[uniffi(default = None)]
    pub email: Option<String>,
    /// Anything else that agents should see: a JSON object, at most 8 KiB.
    #[uniffi(default = None)]
    pub attributes_json: Option<String>,
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Something is wrong and needs a person.
    Error,
    /// Something went wrong and is dealt with.
    Warn,
    /// What happens.
    Info,
    /// What happens, in detail.
    Debug,
}

/// The whole state of a client at one moment, but for the messages.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ClientState {
    /// How it stands with the server.
    pub connection: ConnectionState,
    /// Who was last identified, until they log out.
    pub user_id: Option<String>,
    /// This person on this device, as the server knows it; another one after a logout.
    pub device_id: String,
    /// The person's conversations, newest activity first.
    pub conversations: Vec<ConversationSummary>,
    /// Messages to the person that they have not read, in all conversations.
    pub unread: i64,
    /// Messages that wait to be sent.
    pub queued: i64,
    /// Messages that wait for another person who has used this device to be identified again.
    pub queued_for_others: i64,
    /// Messages that were set aside; each is to be retried or cancelled.
    pub wedged: i64,
}

/// How it stands with the server.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum ConnectionState {
    /// There is no connection, and none is tried: no network, or the app is in the background.
    Offline,
    /// An attempt is being made.
    Connecting,
    /// Connected.
    Online,
    /// An attempt failed.
    Waiting {
        /// When the next one is made.
        until: SystemTime,
        /// Why, as a constant word: `DNS`, `REFUSED`, `UNREACHABLE`, `TIMED_OUT`, `PROXY`, `TLS`, `CERTIFICATE`,
        /// `CERTIFICATE_DATES`, `NOT_THE_SERVER`, `SERVER_BUSY`, `SERVER_LEFT`, `LOST`. There may be more one day.
        reason: String,
    },
    /// The server does not accept the API key; the app is to set another one.
    AuthFailed,
    /// The agents take nothing from this device or person; what is written waits, and the server is asked again every few
    /// minutes.
    Blocked,
    /// What proved who is there holds no longer. Where tokens can be fetched, one is; else the app is to identify the person
    /// again.
    IdentityRequired,
    /// The client was closed.
    Closed,
}

/// Something that happens once, apart from the pictures.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum ChatEvent {
    /// A message to the person has just arrived that they have not read: for a sound, or a banner.
    MessageArrived {
        /// Its conversation.
        conversation_id: String,
        /// The message.
        message: TimelineItem,
    },
    /// What was stored on the device was damaged, and was begun anew.
    StorageRecovered {
        /// Messages that waited to be sent and could be saved.
        saved: i64,
    },
    /// Something that this version of the wrapper does not know.
    Other {
        /// What it is, for a person who develops.
        detail: String,
    },
}

/// One conversation, as a list of conversations shows it.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ConversationSummary {
    /// `conv_…`
    pub id: String,
    /// Whether it goes on.
    pub status: ConversationStatus,
    /// The newest message, if there is one.
    pub last_message: Option<TimelineItem>,
    /// Messages to the person that they have not read.
    pub unread: i64,
    /// Whether an agent types right now.
    pub is_agent_typing: bool,
    /// When something last happened in it.
    pub updated_at: SystemTime,
}

/// Whether a conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum ConversationStatus {
    /// It does.
    Open,
    /// Done with; a new message of the person opens it again.
    Resolved,
}

/// The messages of one conversation that the device has: the newest ones, without a gap between them.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct Timeline {
    /// `conv_…`; none until the server has opened the person's conversation.
    pub conversation_id: Option<String>,
    /// In the order in which they are shown: what the server has, then what waits to be sent.
    pub items: Vec<TimelineItem>,
    /// Whether the server has older ones, which `load_older` would fetch.
    pub has_older: bool,
    /// Whether an agent types right now.
    pub is_agent_typing: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct TimelineItem {
    /// The sender's name for it; stays the same from the first moment on, and is unique in its conversation.
    pub local_id: String,
    /// `msg_…`, as soon as the server has it.
    pub message_id: Option<String>,
    /// Its place in the conversation (1, 2, 3 …), as soon as the server has it.
    pub seq: Option<i64>,
    /// The text.
    pub body: String,
    /// Who wrote it.
    pub sender: Sender,
    /// The agent's name, or the person's if the app told it.
    pub sender_name: Option<String>,
    /// When it was stored, by the server's clock; by the device's until then.
    pub created_at: SystemTime,
    /// How far it got.
    pub delivery: Delivery,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Sender {
    /// The person at the device.
    User,
    /// An agent.
    Agent,
    /// ReplyHQ itself.
    System,
}

/// How far a message got. A message to the person is `Delivered` until they have `Read` it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Delivery {
    /// It waits on the device, and survives the end of the app.
    Queued,
    /// It is on its way; the server has not confirmed it.
    Sending,
    /// The server has it.
    Sent,
    /// The other side's program has it.
    Delivered,
    /// The other side has read it.
    Read,
    /// It was set aside, and the next ones go on without it: it is to be retried or cancelled.
    Wedged {
        /// The server's code, or `CRASHED` for one that was on its way too often when the app died.
        code: String,
        /// The reason, for a person who develops.
        message: String,
    },
}

impl TryFrom<ClientConfig> for sdk::Config {
    type Error = SdkError;

    fn try_from(config: ClientConfig) -> Result<Self, SdkError> {
        let ClientConfig {
            server_url,
            app_id,
            api_key,
            data_dir,
            extra_root_certificates_pem,
            system_root_certificates,
            pinned_public_keys,
            proxy_url,
            storage_key,
            first_device_id,
            describes_device,
            device_context_json,
        } = config;
        let mut config = Self::new(server_url, app_id, api_key, PathBuf::from(data_dir));
        config.extra_root_certificates_pem = extra_root_certificates_pem;
        config.system_root_certificates = system_root_certificates;
        config.pinned_public_keys = pinned_public_keys;
        config.proxy = match proxy_url {
            None => sdk::Proxy::System,
            Some(direct) if direct == "direct" => sdk::Proxy::Direct,
            Some(url) => sdk::Proxy::Url(url),
        };
        config.storage_key = storage_key;
        config.first_device_id = first_device_id;
        let context = device_context_json.as_deref().map(serde_json::from_str).transpose();
        let context = context.map_err(|error| {
            SdkError::invalid_config(format!("the device's context is a JSON object: {error}"))
        })?;
        config.device_context = describes_device.then(|| context.unwrap_or_default());
        Ok(config)
    }
}

impl TryFrom<User> for sdk::User {
    type Error = SdkError;

    fn try_from(user: User) -> Result<Self, SdkError> {
        let attributes = user.attributes_json.as_deref().map(serde_json::from_str).transpose();
        let attributes = attributes
            .map_err(|error| SdkError::not_an_object(format!("attributes are a JSON object: {error}")))?;
        Ok(Self { id: user.id.into(), name: user.name, email: user.email, attributes })
    }
}

impl From<sdk::LogLevel> for LogLevel {
    fn from(level: sdk::LogLevel) -> Self {
        match level {
            sdk::LogLevel::Error => Self::Error,
            sdk::LogLevel::Warn => Self::Warn,
            sdk::LogLevel::Info => Self::Info,
            sdk::LogLevel::Debug => Self::Debug,
        }
    }
}

impl From<&sdk::ClientState> for ClientState {
    fn from(state: &sdk::ClientState) -> Self {
        Self {
            connection: (&state.connection).into(),
            user_id: state.user_id.as_ref().map(ToString::to_string),
            device_id: state.device_id.to_string(),
            conversations: state.conversations.iter().map(Into::into).collect(),
            unread: signed(state.unread),
            queued: signed(state.queued),
            queued_for_others: signed(state.queued_for_others),
            wedged: signed(state.wedged),
        }
    }
}

impl From<&sdk::ConnectionState> for ConnectionState {
    fn from(state: &sdk::ConnectionState) -> Self {
        match state {
            sdk::ConnectionState::Offline => Self::Offline,
            sdk::ConnectionState::Connecting => Self::Connecting,
            sdk::ConnectionState::Online => Self::Online,
            sdk::ConnectionState::Waiting { until, reason } => {
                Self::Waiting { until: time(*until), reason: reason.code().to_owned() }
            }
            sdk::ConnectionState::AuthFailed => Self::AuthFailed,
            sdk::ConnectionState::Blocked => Self::Blocked,
            sdk::ConnectionState::IdentityRequired => Self::IdentityRequired,
            sdk::ConnectionState::Closed => Self::Closed,
        }
    }
}

impl From<&sdk::ChatEvent> for ChatEvent {
    fn from(event: &sdk::ChatEvent) -> Self {
        match event {
            sdk::ChatEvent::MessageArrived { conversation_id, message } => {
                Self::MessageArrived { conversation_id: conversation_id.to_string(), message: message.into() }
            }
            sdk::ChatEvent::StorageRecovered { saved } => Self::StorageRecovered { saved: signed(*saved) },
            other => Self::Other { detail: format!("{other:?}") },
        }
    }
}

impl From<&sdk::ConversationSummary> for ConversationSummary {
    fn from(summary: &sdk::ConversationSummary) -> Self {
        Self {
            id: summary.id.to_string(),
            status: match summary.status {
                sdk::ConversationStatus::Open => ConversationStatus::Open,
                sdk::ConversationStatus::Resolved => ConversationStatus::Resolved,
            },
            last_message: summary.last_message.as_ref().map(Into::into),
            unread: signed(summary.unread),
            is_agent_typing: summary.is_agent_typing,
            updated_at: time(summary.updated_at),
        }
    }
}

impl From<&sdk::Timeline> for Timeline {
    fn from(timeline: &sdk::Timeline) -> Self {
        Self {
            conversation_id: timeline.conversation_id.as_ref().map(ToString::to_string),
            items: timeline.items.iter().map(Into::into).collect(),
            has_older: timeline.has_older,
            is_agent_typing: timeline.is_agent_typing,
        }
    }
}

impl From<&sdk::TimelineItem> for TimelineItem {
    fn from(item: &sdk::TimelineItem) -> Self {
        Self {
            local_id: item.local_id.to_string(),
            message_id: item.message_id.as_ref().map(ToString::to_string),
            seq: item.seq.map(signed),
            body: item.body.clone(),
            sender: match item.sender {
                sdk::Sender::User => Sender::User,
                sdk::Sender::Agent => Sender::Agent,
                sdk::Sender::System => Sender::System,
            },
            sender_name: item.sender_name.clone(),
            created_at: time(item.created_at),
            delivery: (&item.delivery).into(),
        }
    }
}

impl From<&sdk::Delivery> for Delivery {
    fn from(delivery: &sdk::Delivery) -> Self {
        match delivery {
            sdk::Delivery::Queued => Self::Queued,
            sdk::Delivery::Sending => Self::Sending,
            sdk::Delivery::Sent => Self::Sent,
            sdk::Delivery::Delivered => Self::Delivered,
            sdk::Delivery::Read => Self::Read,
            sdk::Delivery::Wedged { code, message } => {
                Self::Wedged { code: code.clone(), message: message.clone() }
            }
        }
    }
}

/// Counts and places are signed: a `Long`, an `Int64`. Kotlin's and Swift's unsigned ones fit nothing else there.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn time(timestamp: sdk::Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(timestamp.epoch_ms().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_a_json_object() {
        let user = |attributes: &str| User {
            id: "u1".into(),
            name: None,
            email: None,
            attributes_json: Some(attributes.into()),
        };
        let user_with = sdk::User::try_from(user(r#"{"plan":"pro","seats":3}"#)).unwrap();
        assert_eq!(user_with.attributes.unwrap()["seats"], 3);
        for wrong in ["[1]", "7", "", "{"] {
            let SdkError::Failed { code, detail } = sdk::User::try_from(user(wrong)).unwrap_err();
            assert_eq!(code, "INVALID_USER", "{detail}");
        }
    }

    #[test]
    fn a_count_beyond_the_signed_ones_is_the_greatest() {
        assert_eq!((signed(3), signed(u64::MAX)), (3, i64::MAX));
    }
}
