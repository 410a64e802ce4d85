//! Whole operations on conversations that answer with them as an inbox shows them.

use protocol::rest::User;
use protocol::{AppId, ConversationId, ConversationStatus, DeviceId, InboxConversation, Timestamp};

use super::audit::{self, Act};
use super::conversations::{self, Scope};
use super::devices;
use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// What [`Store::open_conversation`](crate::Store::open_conversation) needs.
#[derive(Debug, Clone)]
pub struct OpenConversation {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The new conversation's id, if there is to be one.
    pub id: ConversationId,
    /// Who uses the device, if told.
    pub user: Option<User>,
    /// JSON that the app wants agents to know, if told.
    pub device_context: Option<String>,
    /// When.
    pub now: Timestamp,
}

/// What [`Store::set_status`](crate::Store::set_status) needs.
#[derive(Debug, Clone)]
pub struct StatusChange {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// Its new status.
    pub status: ConversationStatus,
    /// The record of it.
    pub act: Act,
}

/// The device's newest open conversation, or a new one; and whether it is new.
pub(crate) async fn open(
    session: &mut Session<'_>,
    opening: &OpenConversation,
) -> Result<(InboxConversation, bool), Error> {
    let OpenConversation { app_id, device_id, id, user, device_context, now } = opening;
    lock_device(session, app_id, device_id).await?;
    if let Some(user) = user {
        devices::identify(session, app_id, device_id, user, *now).await?;
    }
    if let Some(context) = device_context {
        devices::set_context(session, app_id, device_id, context, *now).await?;
    }
    let scope = Scope { app_id: app_id.clone(), device_id: Some(device_id.clone()) };
    let (id, is_new) = match conversations::latest(session, app_id, device_id, true).await? {
        Some(open) => (open.conversation.id, false),
        None => {
            conversations::create(session, id, app_id, device_id, *now).await?;
            (id.clone(), true)
        }
    };
    match find(session, &scope, &id).await? {
        Some(conversation) => Ok((conversation, is_new)),
        None => Err(Error::new(ErrorKind::Internal, "a conversation is gone in its own transaction")),
    }
}

/// Two who open at once must not make two conversations, nor one that misses who was just identified.
async fn lock_device(session: &mut Session<'_>, app_id: &AppId, device_id: &DeviceId) -> Result<(), Error> {
    session.lock(&format!("device {app_id} {device_id}")).await
}

/// One conversation with its newest message, if it is within `scope`.
pub(crate) async fn find(
    session: &mut Session<'_>,
    scope: &Scope,
    id: &ConversationId,
) -> Result<Option<InboxConversation>, Error> {
    let Some(mut stored) = conversations::find(session, scope, id).await? else { return Ok(None) };
    stored.conversation.last_message = conversations::last_message(session, &stored).await?;
    Ok(Some(stored.into_inbox()))
}

/// Sets the status and records the act; the conversation as it is then, and whether that changed it.
pub(crate) async fn set_status(
    session: &mut Session<'_>,
    change: &StatusChange,
) -> Result<Option<(InboxConversation, bool)>, Error> {
    let StatusChange { scope, id, status, act } = change;
    let Some((mut stored, changed)) = conversations::set_status(session, scope, id, *status, act.at).await?
    else {
        return Ok(None);
    };
    if changed {
        audit::append(session, act).await?;
    }
    stored.conversation.last_message = conversations::last_message(session, &stored).await?;
    Ok(Some((stored.into_inbox(), changed)))
}

/// Remembers who uses the device; its open conversations as they are then.
pub(crate) async fn identify(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: &User,
    now: Timestamp,
) -> Result<Vec<InboxConversation>, Error> {
    lock_device(session, app_id, device_id).await?;
    let scope = Scope { app_id: app_id.clone(), device_id: Some(device_id.clone()) };
    let mut conversations = Vec::new();
    for id in devices::identify(session, app_id, device_id, user, now).await? {
        conversations.extend(find(session, &scope, &id).await?);
    }
    Ok(conversations)
}
