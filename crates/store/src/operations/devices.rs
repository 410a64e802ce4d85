//! Devices and the people at them.

use protocol::rest::User;
use protocol::{AppId, ConversationId, DeviceId, MessageId, Timestamp, UserInfo};

use super::apps::App;
use super::{apps, conversations, messages};
use crate::error::Error;
use crate::operation::{Operation, Read};
use crate::session::{Param, Session};

/// All that a device's handshake needs to know.
#[derive(Debug, Clone)]
pub struct DeviceLogin {
    /// Its app, with the keys and the pages that may use them.
    pub app: App,
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

/// What a handshake of a device needs; `None` if there is no such app.
#[derive(Debug, Clone)]
pub struct FindDeviceLogin {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
}

impl Operation for FindDeviceLogin {
    type Out = Option<DeviceLogin>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const USER: &str = "SELECT user_id, user_name FROM devices WHERE app_id = $1 AND device_id = $2";
        let Self { app_id, device_id } = self;
        let Some(app) = apps::find(session, app_id).await? else { return Ok(None) };
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
        Ok(Some(DeviceLogin { app, user_info, latest }))
    }
}

impl Read for FindDeviceLogin {}

/// What came of telling who is at a device.
#[derive(Debug, Clone)]
pub(crate) struct Identified {
    /// The conversations of the one who is there now that say something else than before.
    pub(crate) changed: Vec<ConversationId>,
    /// Whether somebody else was there before, who has left.
    pub(crate) has_left: bool,
}

/// Remembers who uses the device: a person, or nobody. What nobody has written becomes theirs, and the device shows what is
/// theirs and nothing else; their name goes to their open conversations. Who says the same again writes nothing.
pub(crate) async fn identify(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: Option<&User>,
    now: Timestamp,
) -> Result<Identified, Error> {
    const BEFORE: &str = "SELECT user_id FROM devices WHERE app_id = $1 AND device_id = $2";
    let device = [Param::Text(app_id), Param::Text(device_id)];
    let before = session.query_one(BEFORE, &device, |row| row.optional_text()).await?.flatten();
    if user.is_none() && before.is_none() {
        return Ok(Identified { changed: Vec::new(), has_left: false });
    }
    remember(session, app_id, device_id, user, now).await?;
    let user_id = user.map(|user| user.id.as_str());
    let changed = match user {
        Some(user) => own(session, app_id, device_id, user).await?,
        None => Vec::new(),
    };
    if before.as_deref() != user_id {
        const SHOW: &str = "UPDATE conversations SET is_shown = 1 - is_shown \
            WHERE app_id = $1 AND device_id = $2 \
            AND is_shown <> CASE WHEN user_id IS NOT DISTINCT FROM CAST($3 AS TEXT) THEN 1 ELSE 0 END";
        let params = [Param::Text(app_id), Param::Text(device_id), Param::OptionalText(user_id)];
        session.execute(SHOW, &params).await?;
    }
    Ok(Identified { changed, has_left: before.is_some_and(|before| Some(before.as_str()) != user_id) })
}

/// Gives the person what nobody has written here, and their present name to what is open of theirs.
async fn own(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: &User,
) -> Result<Vec<ConversationId>, Error> {
    const CLAIM: &str = "UPDATE conversations SET user_name = $1, user_id = $2 \
        WHERE app_id = $3 AND device_id = $4 AND user_id IS NULL RETURNING id";
    const RENAME: &str = "UPDATE conversations SET user_name = $1 WHERE user_id = $2 \
        AND app_id = $3 AND device_id = $4 AND status = 'open' AND user_name IS DISTINCT FROM $1 RETURNING id";
    let mut changed = Vec::new();
    for sql in [CLAIM, RENAME] {
        let params = [
            Param::OptionalText(user.name.as_deref()),
            Param::Text(&user.id),
            Param::Text(app_id),
            Param::Text(device_id),
        ];
        changed.extend(session.query(sql, &params, |row| row.id()).await?);
    }
    Ok(changed)
}

async fn remember(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: Option<&User>,
    now: Timestamp,
) -> Result<(), Error> {
    let attributes = user
        .and_then(|user| user.attributes.as_ref())
        .map(|map| serde_json::Value::Object(map.clone()).to_string());
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
                Param::OptionalText(user.map(|user| user.id.as_str())),
                Param::OptionalText(user.and_then(|user| user.name.as_deref())),
                Param::OptionalText(user.and_then(|user| user.email.as_deref())),
                Param::OptionalText(attributes.as_deref()),
                Param::Integer(now.epoch_ms()),
            ],
        )
        .await?;
    Ok(())
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
