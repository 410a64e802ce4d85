//! The bodies of REST requests and answers.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Activity, Actor, Agent, AgentId, AgentStatus, AppId, AuditEntry, Availability, CannedReply, Colleague,
    Conversation, DeviceId, Failure, IdentityKeyId, InboxConversation, Message, MessageId, Permission, Role,
    Sender, Session, Timestamp, TokenId, UserId,
};

/// Who uses a device, as the app tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The app's own id for the person.
    pub id: UserId,
    /// Shown to agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Shown to agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Anything else, at most 8 KiB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `POST /v1/conversations`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenConversation {
    /// Who uses the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What the app wants agents to know of the device, at most 8 KiB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub device_context: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `POST /v1/identify`, and the event `identify`: either a `user` or a `token`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Identify {
    /// Who uses the device, as the app says; `null` is nobody. Who leaves it out has forgotten it, or has a token.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<User>))]
    pub user: Option<Option<User>>,
    /// Proof of who uses the device: a JWT that the app's own backend has signed, with `sub`, `exp`, and perhaps `name`,
    /// `email` and `attributes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// `null` is something else than nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Who is at a device, as an [`Identify`] says it.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    /// Nobody.
    Nobody,
    /// Somebody, by the app's word.
    Claimed(User),
    /// Somebody, by a token.
    Token(String),
}

impl From<Identity> for Identify {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Nobody => Self { user: Some(None), token: None },
            Identity::Claimed(user) => Self { user: Some(Some(user)), token: None },
            Identity::Token(token) => Self { user: None, token: Some(token) },
        }
    }
}

impl TryFrom<Identify> for Identity {
    type Error = Failure;

    /// # Errors
    /// `MISSING_PARAMS` if it says nothing, `VALIDATION_ERROR` if it says both.
    fn try_from(said: Identify) -> Result<Self, Failure> {
        match (said.user, said.token) {
            (None, None) => Err(Failure::missing("user or token")),
            (Some(_), Some(_)) => Err(Failure::invalid("either user or token, and not both")),
            (Some(None), None) => Ok(Self::Nobody),
            (Some(Some(user)), None) => Ok(Self::Claimed(user)),
            (None, Some(token)) => Ok(Self::Token(token)),
        }
    }
}

/// `POST /v1/device-context`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TellContext {
    /// What the app wants agents to know of the device, at most 8 KiB of JSON; takes the place of what was told before.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub device_context: serde_json::Map<String, serde_json::Value>,
}

/// Who writes in a conversation, as agents see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonAnswer {
    /// The person; absent while nobody was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonInfo>,
    /// What the team has written about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The device that opened the conversation, and after it those at which the person is verified; at most 100.
    pub devices: Vec<PersonsDevice>,
    /// What else they have written, the newest first; at most 20.
    pub conversations: Vec<InboxConversation>,
}

/// `POST /v1/admin/conversations/{id}/notes`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddNote {
    /// The writer's own name for the note, 1 to 64 characters, unique among the conversation's notes. A header
    /// `Idempotency-Key` may stand in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_id: Option<String>,
    /// The text, 1 to 5,000 characters. No device ever gets it.
    pub body: String,
}

/// One thing that happened in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityAnswer {
    /// It.
    pub activity: Activity,
}

/// What happened in a conversation beside its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityList {
    /// Ascending by `n`.
    pub activity: Vec<Activity>,
    /// The newest one's `n`; 0 while there is none.
    pub last_activity: u64,
    /// Whether there is more in the direction asked for.
    pub has_more: bool,
}

/// `POST /v1/admin/canned-replies`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddCannedReply {
    /// Its short name: 1 to 32 letters, digits, `-` and `_`; kept in lower case.
    pub shortcut: String,
    /// The text, with `{{person.name|there}}`, `{{person.email}}` and `{{agent.name}}` for what they say.
    pub text: String,
}

/// `PATCH /v1/admin/canned-replies/{canned_reply_id}`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeCannedReply {
    /// Another short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<String>,
    /// Another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A canned reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CannedReplyAnswer {
    /// It.
    pub canned_reply: CannedReply,
}

/// Canned replies of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CannedReplyPage {
    /// Ascending by their shortcuts.
    pub canned_replies: Vec<CannedReply>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// What is known of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonInfo {
    /// The app's own id for the person.
    pub id: UserId,
    /// Their name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What else the app told of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether the app's backend has proved it. Else it is only what a device says.
    pub is_verified: bool,
    /// Whether the agents have blocked the person.
    pub is_blocked: bool,
}

/// A device of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonsDevice {
    /// The device.
    pub device_id: DeviceId,
    /// What its app told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub device_context: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether it is connected now.
    pub is_online: bool,
    /// By how many connections.
    pub active_connections: u32,
    /// When it was last connected, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_seen_at: Option<Timestamp>,
    /// Whether the agents have blocked the device.
    pub is_blocked: bool,
    /// Whether the person is verified there now.
    pub is_verified: bool,
}

/// `PATCH /v1/admin/devices/{device_id}`, `PATCH /v1/admin/people/{user_id}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeBlocked {
    /// Whether they are to be blocked.
    pub blocked: bool,
}

/// Whether somebody is blocked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockedAnswer {
    /// The device, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// The person, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Whether they are blocked.
    pub blocked: bool,
}

/// A key by which an app's own backend proves who its people are, without the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityKeyInfo {
    /// Its id: what a token may name as `kid`.
    pub id: IdentityKeyId,
    /// `HS256`, `ES256`, `EdDSA` or `RS256`.
    pub algorithm: String,
    /// When it was made or uploaded.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was retired: it proves nothing since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub retired_at: Option<Timestamp>,
}

/// The keys of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityKeys {
    /// All of them, in the order in which they came.
    pub keys: Vec<IdentityKeyInfo>,
}

/// `POST /v1/admin/app/identity-keys`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddIdentityKey {
    /// A public key as PEM: EC on P-256, Ed25519 or RSA. Without it, a secret for HS256 is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A key that was added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IdentityKeyAdded {
    /// Its id.
    pub id: IdentityKeyId,
    /// What it is for.
    pub algorithm: String,
    /// The secret, if one was made: it is not to be had again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An app, as its agents see it who manage it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppAnswer {
    /// The app.
    pub app: AppInfo,
}

/// An app, as its agents see it who manage it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppInfo {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Whose word it takes for who somebody is: `claimed` is that of the program at the device, `verified` only that of the
    /// app's own backend, by a token.
    pub identity: String,
    /// Whether a device has to show a secret of its own.
    pub require_device_secret: bool,
    /// The origins of the pages that may use its key; none is any.
    pub allowed_origins: Vec<String>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// The key before the present one, while it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key: Option<OldKeyInfo>,
    /// By what its backend proves who its people are.
    pub identity_keys: Vec<IdentityKeyInfo>,
}

/// A key that is good for a while beside the one that took its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OldKeyInfo {
    /// Until when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub until: Timestamp,
    /// When it was last shown, to the minute; absent if it never was since there is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
}

/// `POST /v1/admin/app/key`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateKey {
    /// For how many days the present key is good beside the new one; it is void at once if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_old_for_days: Option<u16>,
}

/// The app's new key, this once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRotated {
    /// The key.
    pub api_key: String,
    /// Until when the one before is good, if it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub old_key_until: Option<Timestamp>,
}

/// A program's token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// What it may do now: with an owner, no more than they.
    pub permissions: Vec<Permission>,
    /// The agent who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<AgentId>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Until when it is good; absent is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
}

/// The tokens of an app's programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// Those that are good.
    pub tokens: Vec<TokenInfo>,
}

/// `POST /v1/admin/tokens`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddToken {
    /// Its name, which people see as `sender_name` where no agent answers for it.
    pub name: String,
    /// What it may do, at most what whoever asks may; all but `manage` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<Permission>>,
    /// For how many days it is good; for ever if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u16>,
    /// The agent who answers for it: it acts as them, and ends with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
}

/// A token that was made, with its secret, which is not to be had again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAdded {
    /// The token.
    pub token: TokenInfo,
    /// What the program shows.
    pub admin_token: String,
}

/// `PATCH /v1/admin/app`: what is to be other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeApp {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `claimed` or `verified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether a device has to show a secret of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_device_secret: Option<bool>,
    /// The origins of the pages that may use its key; none is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
}

/// `POST /v1/auth/sign-in`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignIn {
    /// The agent's e-mail address.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub email: String,
    /// Their password.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub password: String,
    /// The app, for who is an agent of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// Whether they stay signed in: for 30 days from the last use, and not 12 hours.
    #[serde(default)]
    pub stay: bool,
}

/// `POST /v1/auth/code`: an invitation, a link for a new password or of the demo, or that of the first run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UseCode {
    /// The code.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub code: String,
    /// The password that the agent has from now on, at least 10 characters. Needed but for the demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The agent's name, if it is another than in the invitation. Needed for the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For the first run: the first admin's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// For the first run: the first app's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// Whether they stay signed in: for 30 days from the last use, and not 12 hours.
    #[serde(default)]
    pub stay: bool,
}

/// An agent has signed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedIn {
    /// The session's token: what `Authorization: Bearer` and the socket take.
    pub admin_token: String,
    /// When it ends, if it is not used before.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// The agent.
    pub agent: Agent,
    /// Their app.
    pub app_id: AppId,
    /// After a first run: the key of the app that was made, which is not to be had again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// `POST /v1/admin/agents`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InviteAgent {
    /// Their name, which people see.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub name: String,
    /// Their e-mail address.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub email: String,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub role: Option<Role>,
}

/// An agent, and how they come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LetIn {
    /// The agent.
    pub agent: Agent,
    /// The code: good once, for 72 hours as an invitation and 24 for a new password, and not to be had again.
    pub code: String,
    /// A link with it, to be sent to them.
    pub link: String,
}

/// An app's agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agents {
    /// All of them, by e-mail address.
    pub agents: Vec<Colleague>,
}

/// The answer that carries one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentAnswer {
    /// The agent.
    pub agent: Agent,
}

/// `PATCH /v1/admin/agents/{agent_id}`: what is to be other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeAgent {
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `active` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Their app.
    pub app_id: AppId,
    /// The name that people see.
    pub name: String,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// The agent; absent for a program that acts for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// When the token ends; for a session, if it is not used before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

/// `PATCH /v1/admin/me`: what is to be other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeMe {
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether they take part just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Another password, at least 10 characters. Their other sessions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The present one, where another is given. A wrong one is `VALIDATION_ERROR`, and a wrong try as at signing in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_password: Option<String>,
}

/// A session of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignInInfo {
    /// Its id.
    pub id: TokenId,
    /// When they signed in.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_used_at: Timestamp,
    /// When it ends, if it is not used before.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// By what program, in that one's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// The sessions of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignIns {
    /// Those that are good, the newest first.
    pub sign_ins: Vec<SignInInfo>,
}

/// A message to send. `Idempotency-Key` serves where `local_id` is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendMessage {
    /// The sender's name for the message, 1 to 64 characters; a retry with the same one stores nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_id: Option<String>,
    /// The text, 1 to 5,000 characters.
    pub body: String,
}

/// A cumulative receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The last message that it is about.
    pub up_to_message_id: String,
}

/// `PATCH /v1/admin/conversations/{id}`: at least one of these. What is more than one is done in this order: whom it is with, its
/// status, its tags, its mark; what can't be done ends it there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeConversation {
    /// `open` or `resolved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<crate::ConversationStatus>,
    /// The agent whom it is to be with, who may answer; `null` is nobody.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub assignee_id: Option<Option<AgentId>>,
    /// Whom it has to be with still, or else nothing changes and the answer is `ASSIGNEE_CHANGED`; `null` is nobody. Of two who take
    /// a conversation that is with nobody, one gets it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub if_assignee_id: Option<Option<AgentId>>,
    /// Tags to put on, each 1 to 32 characters, kept in lower case; a conversation has at most 20. Those that the app's list does not
    /// have go on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_tags: Vec<String>,
    /// Tags to take off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_tags: Vec<String>,
    /// Whether the team is to look at it again. Who reads what is new in it or answers ends that, too; the person sees nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_unread: Option<bool>,
}

/// How many open conversations each view of an inbox has. Each number is at most 1,000, and means so many or more then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxCounts {
    /// All of them.
    pub open: u64,
    /// Those that are with nobody.
    pub unassigned: u64,
    /// Those in which somebody waits for an answer.
    pub waiting: u64,
    /// Those that are with the agent who asks; absent for a program that nobody answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine: Option<u64>,
    /// Those of them with something that no agent has read, or that are marked as unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine_unread: Option<u64>,
}

/// A tag of an app's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KnownTag {
    /// The tag.
    pub tag: String,
    /// How many open conversations have it; 1,000 is so many or more.
    pub open: u64,
}

/// An app's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TagList {
    /// In alphabetical order; at most 500.
    pub tags: Vec<KnownTag>,
}

/// `POST /v1/admin/tags`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddTag {
    /// The tag, 1 to 32 characters; kept in lower case.
    pub tag: String,
}

/// `PATCH /v1/admin/conversations/{id}/person`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DescribePerson {
    /// What the team knows about the person, at most 2,000 characters, in the place of what stood there; empty is nothing.
    pub about: String,
}

/// The answer that carries one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageAnswer {
    /// The stored message.
    pub message: Message,
}

/// The answer that carries one conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationAnswer {
    /// The conversation.
    pub conversation: Conversation,
}

/// The answer that carries one conversation, for agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxConversationAnswer {
    /// The conversation.
    pub conversation: InboxConversation,
}

/// A page of a device's conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationPage {
    /// Newest activity first.
    pub conversations: Vec<Conversation>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// What a badge shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unread {
    /// Agents' messages that the person has not read, in all conversations that the device shows, or of a verified person in the
    /// newest 200; of each, the newest 1,000 messages are looked at.
    pub unread_count: u64,
}

/// A page of an agent's inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxPage {
    /// Newest activity first.
    pub conversations: Vec<InboxConversation>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
    /// What to give as `after` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What a search has found, a page of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchPage {
    /// Newest first.
    pub results: Vec<SearchResult>,
    /// Whether there may be more behind the last one.
    pub has_more: bool,
    /// What to give as `after` for the next page. A page may have few results, or none, and there are more nevertheless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// False while the index is made of what was there before it: until then not everything is found.
    pub is_complete: bool,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchResult {
    /// What it is. There may be more kinds in time.
    pub kind: SearchKind,
    /// Where it is, as an inbox shows it.
    pub conversation: InboxConversation,
    /// The message, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FoundMessage>,
    /// The note, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<FoundNote>,
    /// The text around what was found.
    pub snippet: Snippet,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// A message's text.
    Message,
    /// The text of a note, which agents wrote for each other.
    Note,
    /// Who writes in the conversation: their name, e-mail address or id, or the device's id.
    Person,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundMessage {
    /// Its id: `after` or `before` of a page of the conversation's messages.
    pub id: MessageId,
    /// Its place in the conversation.
    pub seq: u64,
    /// Which side wrote it.
    pub sender: Sender,
    /// Who wrote it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<String>,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}

/// A note that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundNote {
    /// Its place among the conversation's activity: a page of that begins or ends at it.
    pub n: u64,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// A part of a text, and where in it is what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Snippet {
    /// The text, on one line. Where more of it comes before or behind, there is an ellipsis. No HTML: show it as text.
    pub text: String,
    /// What matched, in order, none touching another.
    pub ranges: Vec<SnippetRange>,
}

/// A part of a snippet's text, in Unicode code points: not in bytes, and not in the UTF-16 units of JavaScript's `length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnippetRange {
    /// Before its first one.
    pub start: usize,
    /// Behind its last one.
    pub end: usize,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessagePage {
    /// Ascending by `seq`.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction asked for.
    pub has_more: bool,
}

/// The answer to a receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Done {
    /// Always true; a failure has the shape of an error.
    pub success: bool,
}

/// Live connections of the app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionPage {
    /// Ordered by `connection_id`, which rises by time of connecting.
    pub sessions: Vec<Session>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
}

/// Whether a device is online.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Presence {
    /// The device.
    pub device_id: DeviceId,
    /// Whether it has at least one connection.
    pub is_online: bool,
    /// How many.
    pub active_connections: u32,
}

/// How many are connected, on all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Live connections of the app's devices.
    pub connections: u64,
    /// Devices of the app with at least one.
    pub devices_online: u64,
    /// Servers that share the work.
    pub nodes: u64,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Whether there are older ones; give the last one's `id` as `before`.
    pub has_more: bool,
}
