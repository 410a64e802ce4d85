//! Devices and the people at them.

use protocol::rest::User;
use protocol::{AppId, ConversationId, DeviceId, MessageId, Timestamp, UserInfo};

use super::{apps, conversations, messages};
use crate::error::Error;
use crate::session::{Param, Session};

/// All that a device's handshake needs to know.
#[derive(Debug, Clone)]
pub struct DeviceLogin {
    /// SHA-256 of the app's key, in hexadecimal.
    pub api_key_hash: String,
    /// The origins of the pages that may use it; none is any.
    pub allowed_origins: Vec<String>,
    /// Who is at the device.
    pub user_info: Option<UserInfo>,
    /// Its newest conversation.
    pub latest: Option<LatestConversation>,
}

/// A conversation's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestConversation {
    /// The conversation.
    pub id: ConversationId,
    /// Its newest message's `seq`.
    pub last_seq: u64,
    /// Its newest message.
    pub last_message_id: Option<MessageId>,
}

/// What a handshake of this device needs; `None` if there is no such app.
pub(crate) async fn login(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
) -> Result<Option<DeviceLogin>, Error> {
    let Some(app) = apps::find(session, app_id).await? else { return Ok(None) };
    const USER: &str = "SELECT user_id, user_name FROM devices WHERE app_id = $1 AND device_id = $2";
    let user_info = session
        .query_one(USER, &[Param::Text(app_id), Param::Text(device_id)], |row| {
            let (user_id, name) = (row.optional_text()?, row.optional_text()?);
            Ok(user_id.map(|user_id| UserInfo { user_id: user_id.into(), name }))
        })
        .await?
        .flatten();
    let latest = match conversations::latest(session, app_id, device_id, false).await? {
        None => None,
        Some(stored) => {
            let (id, last_seq) = (stored.conversation.id, stored.conversation.last_seq);
            let last_message_id = messages::id_at(session, &id, last_seq).await?;
            Some(LatestConversation { id, last_seq, last_message_id })
        }
    };
    let apps::App { api_key_hash, allowed_origins, .. } = app;
    Ok(Some(DeviceLogin { api_key_hash, allowed_origins, user_info, latest }))
}

/// Remembers who uses the device; their name goes to its open conversations too. Returns the ids of those that changed
/// by it. Who says the same again writes nothing.
pub(crate) async fn identify(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: &User,
    now: Timestamp,
) -> Result<Vec<ConversationId>, Error> {
    let attributes = user.attributes.as_ref().map(|map| serde_json::Value::Object(map.clone()).to_string());
    session
        .execute(
            "INSERT INTO devices (app_id, device_id, user_id, user_name, user_email, user_attributes, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (app_id, device_id) DO UPDATE SET user_id = excluded.user_id, \
             user_name = excluded.user_name, user_email = excluded.user_email, \
             user_attributes = excluded.user_attributes, updated_at = excluded.updated_at \
             WHERE devices.user_id IS DISTINCT FROM excluded.user_id \
             OR devices.user_name IS DISTINCT FROM excluded.user_name \
             OR devices.user_email IS DISTINCT FROM excluded.user_email \
             OR devices.user_attributes IS DISTINCT FROM excluded.user_attributes",
            &[
                Param::Text(app_id),
                Param::Text(device_id),
                Param::Text(&user.id),
                Param::OptionalText(user.name.as_deref()),
                Param::OptionalText(user.email.as_deref()),
                Param::OptionalText(attributes.as_deref()),
                Param::Integer(now.epoch_ms()),
            ],
        )
        .await?;
    const OPEN: &str = "UPDATE conversations SET user_id = $1, user_name = $2 \
        WHERE app_id = $3 AND device_id = $4 AND status = 'open' \
        AND (user_id IS DISTINCT FROM $1 OR user_name IS DISTINCT FROM $2) RETURNING id";
    let params = [
        Param::Text(&user.id),
        Param::OptionalText(user.name.as_deref()),
        Param::Text(app_id),
        Param::Text(device_id),
    ];
    session.query(OPEN, &params, |row| row.id()).await
}

/// Remembers what the app wants agents to know of the device.
pub(crate) async fn set_context(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    context: &str,
    now: Timestamp,
) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO devices (app_id, device_id, device_context, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (app_id, device_id) DO UPDATE SET device_context = excluded.device_context, \
             updated_at = excluded.updated_at \
             WHERE devices.device_context IS DISTINCT FROM excluded.device_context",
            &[
                Param::Text(app_id),
                Param::Text(device_id),
                Param::Text(context),
                Param::Integer(now.epoch_ms()),
            ],
        )
        .await?;
    Ok(())
}
