//! People: what a token has proved of them, what agents see of them, and whether they are blocked.

use std::collections::HashMap;

use protocol::rest::User;
use protocol::{
    Activity, ActivityKind, Actor, AppId, Code, Conversation, ConversationId, DeviceId, InboxConversation,
    SenderId, Timestamp, UserId, UserInfo,
};
use serde_json::{Map, Value};

use super::activity::{self, Happening};
use super::audit::{self, Act};
use super::conversations::{self, Scope, Stored};
use super::revocations;
use super::search_requests::{self, Requested};
use crate::error::{Error, ErrorKind};
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session};

/// Devices of one person that agents are shown.
const DEVICES: i64 = 100;

/// What is known of a person.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Person {
    /// The app's own id for them, if anybody was named.
    pub user_id: Option<UserId>,
    /// Their name.
    pub name: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// What else the app told of them.
    pub attributes: Option<Map<String, Value>>,
    /// Whether that was proven; else it is what a device said.
    pub is_verified: bool,
    /// Whether the agents have blocked them.
    pub is_blocked: bool,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownDevice {
    /// The device.
    pub device_id: DeviceId,
    /// What its app told of it.
    pub context: Option<Map<String, Value>>,
    /// When it was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// Whether the agents have blocked it.
    pub is_blocked: bool,
    /// Whether the person is proven there now.
    pub is_bound: bool,
}

/// All that agents are shown of who writes in a conversation.
#[derive(Debug, Clone)]
pub struct PersonCard {
    /// The person.
    pub person: Person,
    /// What the team has written about them.
    pub about: Option<String>,
    /// Their devices.
    pub devices: Vec<KnownDevice>,
    /// What they have written, the newest first.
    pub conversations: Vec<InboxConversation>,
}

pub(super) fn attributes_text(attributes: &Map<String, Value>) -> String {
    Value::Object(attributes.clone()).to_string()
}

fn object(text: Option<String>) -> Option<Map<String, Value>> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// Keeps what a token has proved of a person; what it leaves out stays as it was, and what is known already is not written
/// again, for devices come back with the same token all the time. Their name goes to all devices at which they are proven, and
/// to what is open of theirs: answers with the conversations that say something else than before.
pub(super) async fn learn(
    session: &mut Session<'_>,
    app_id: &AppId,
    user: &User,
    now: Timestamp,
) -> Result<Vec<ConversationId>, Error> {
    const LEARN: &str = "INSERT INTO people (app_id, user_id, name, email, attributes, proven_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (app_id, user_id) DO UPDATE SET \
        name = COALESCE(excluded.name, people.name), email = COALESCE(excluded.email, people.email), \
        attributes = COALESCE(excluded.attributes, people.attributes), proven_at = excluded.proven_at, \
        updated_at = excluded.updated_at \
        WHERE people.name IS DISTINCT FROM COALESCE(excluded.name, people.name) \
        OR people.email IS DISTINCT FROM COALESCE(excluded.email, people.email) \
        OR people.attributes IS DISTINCT FROM COALESCE(excluded.attributes, people.attributes) \
        OR people.proven_at IS NULL";
    const NAME_DEVICES: &str = "UPDATE devices SET \
        user_name = (SELECT p.name FROM people p WHERE p.app_id = $1 AND p.user_id = $2) \
        WHERE app_id = $1 AND user_id = $2 AND is_proven = 1 AND user_name IS DISTINCT FROM \
        (SELECT p.name FROM people p WHERE p.app_id = $1 AND p.user_id = $2)";
    const NAME_CONVERSATIONS: &str = "UPDATE conversations SET \
        user_name = (SELECT p.name FROM people p WHERE p.app_id = $1 AND p.user_id = $2) \
        WHERE app_id = $1 AND user_id = $2 AND is_proven = 1 AND status = 'open' AND user_name IS DISTINCT FROM \
        (SELECT p.name FROM people p WHERE p.app_id = $1 AND p.user_id = $2) RETURNING id";
    let attributes = user.attributes.as_ref().map(attributes_text);
    let params = [
        Param::Text(app_id),
        Param::Text(&user.id),
        Param::OptionalText(user.name.as_deref()),
        Param::OptionalText(user.email.as_deref()),
        Param::OptionalText(attributes.as_deref()),
        Param::Integer(now.epoch_ms()),
    ];
    if session.execute(LEARN, &params).await? > 0 {
        search_requests::request(session, &Requested::Person(app_id.clone(), user.id.to_string())).await?;
    }
    let person = [Param::Text(app_id), Param::Text(&user.id)];
    session.execute(NAME_DEVICES, &person).await?;
    session.query(NAME_CONVERSATIONS, &person, |row| row.id()).await
}

/// Who writes in a conversation, if it is within the scope.
#[derive(Debug, Clone)]
pub struct FindPerson {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// How many of their conversations are wanted, at most.
    pub limit: u32,
}

impl Operation for FindPerson {
    type Out = Option<PersonCard>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, conversation_id, limit } = self;
        let Some(stored) = conversations::find(session, scope, conversation_id).await? else {
            return Ok(None);
        };
        let person = person_of(session, &stored).await?;
        let about = about(session, &stored).await?;
        let devices = devices_of(session, &stored).await?;
        let rows = conversations_of(session, &stored, *limit).await?;
        let mut conversations = Vec::with_capacity(rows.len());
        for mut row in rows {
            row.conversation.last_message = conversations::last_message(session, &row).await?;
            conversations.push(row.into_inbox());
        }
        Ok(Some(PersonCard { person, about, devices, conversations }))
    }
}

impl Read for FindPerson {}

/// Under which name it is kept what the team knows of whoever wrote a conversation: a proven person's by who they are, and else
/// by the device and whoever it says is there.
fn whom(stored: &Stored) -> Result<String, Error> {
    let Conversation { device_id, user_id, .. } = &stored.conversation;
    let device_id = (!stored.is_proven).then_some(device_id);
    place(device_id, user_id.as_deref())
}

fn place(device_id: Option<&DeviceId>, user_id: Option<&str>) -> Result<String, Error> {
    serde_json::to_string(&(device_id, user_id))
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

async fn about(session: &mut Session<'_>, stored: &Stored) -> Result<Option<String>, Error> {
    const SQL: &str = "SELECT about FROM people_notes WHERE app_id = $1 AND whom = $2";
    let params = [Param::Text(&stored.conversation.app_id), Param::Text(&whom(stored)?)];
    session.query_one(SQL, &params, |row| row.text()).await
}

/// What the team knows of nobody at a device is known of the one whose conversations those become, unless more is known of them
/// already.
pub(super) async fn carry_over(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user_id: &str,
    is_proven: bool,
) -> Result<(), Error> {
    const CARRY: &str = "UPDATE people_notes SET whom = $1 WHERE app_id = $2 AND whom = $3 \
        AND NOT EXISTS (SELECT 1 FROM people_notes p WHERE p.app_id = $2 AND p.whom = $1)";
    let from = place(Some(device_id), None)?;
    let to = place((!is_proven).then_some(device_id), Some(user_id))?;
    session.lock(&format!("about {app_id} {to}")).await?;
    session.execute(CARRY, &[Param::Text(&to), Param::Text(app_id), Param::Text(&from)]).await.map(drop)
}

/// Keeps what the team has written about the person of a conversation, and records that in it.
#[derive(Debug, Clone)]
pub struct DescribePerson {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// The text, in the place of what there was; empty is nothing.
    pub about: String,
    /// Who does it.
    pub by: Actor,
    /// The record of it.
    pub act: Act,
}

impl Operation for DescribePerson {
    type Out = Option<Vec<Activity>>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const KEEP: &str = "INSERT INTO people_notes (app_id, whom, about, updated_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (app_id, whom) DO UPDATE SET about = excluded.about, updated_at = excluded.updated_at";
        const DROP: &str = "DELETE FROM people_notes WHERE app_id = $1 AND whom = $2";
        let Self { scope, id, about: text, by, act } = self;
        session.lock_conversation(id).await?;
        let Some(stored) = conversations::find(session, scope, id).await? else { return Ok(None) };
        let whom = whom(&stored)?;
        session.lock(&format!("about {} {whom}", scope.app_id)).await?;
        if about(session, &stored).await?.unwrap_or_default() == *text {
            return Ok(Some(Vec::new()));
        }
        let mut params = vec![Param::Text(&scope.app_id), Param::Text(&whom)];
        if text.is_empty() {
            session.execute(DROP, &params).await?;
        } else {
            params.extend([Param::Text(text), Param::Integer(act.at.epoch_ms())]);
            session.execute(KEEP, &params).await?;
        }
        let happening = Happening {
            body: Some(text.clone()),
            ..Happening::new(ActivityKind::Described, act.at, Some(by.clone()), None)
        };
        let activity = activity::append(session, id, happening).await?;
        audit::append(session, act).await?;
        Ok(Some(vec![activity]))
    }
}

impl Write for DescribePerson {
    fn key(&self) -> &str {
        &self.id
    }
}

async fn person_of(session: &mut Session<'_>, stored: &Stored) -> Result<Person, Error> {
    const PROVEN: &str = "SELECT name, email, attributes, CAST(CASE WHEN blocked_at IS NULL THEN 0 ELSE 1 END AS BIGINT) FROM people \
        WHERE app_id = $1 AND user_id = $2";
    // What another has told of themselves since at that device says nothing of this one.
    const CLAIMED: &str = "SELECT d.user_name, d.user_email, d.user_attributes, CAST(CASE WHEN p.blocked_at IS NULL THEN 0 ELSE 1 END AS BIGINT) \
        FROM (SELECT 1) AS one LEFT JOIN devices d ON d.app_id = $1 AND d.user_id = $2 AND d.device_id = $3 AND d.is_proven = 0 \
        LEFT JOIN people p ON p.app_id = $1 AND p.user_id = $2";
    let conversation = &stored.conversation;
    let Some(user_id) = &conversation.user_id else { return Ok(Person::default()) };
    let read = |row: &mut Row<'_>| {
        Ok(Person {
            user_id: Some(user_id.clone()),
            name: row.optional_text()?.or_else(|| stored.user_name.clone()),
            email: row.optional_text()?,
            attributes: object(row.optional_text()?),
            is_blocked: row.count()? != 0,
            is_verified: stored.is_proven,
        })
    };
    let (app_id, device_id) = (&conversation.app_id, &conversation.device_id);
    let found = if stored.is_proven {
        session.query_one(PROVEN, &[Param::Text(app_id), Param::Text(user_id)], read).await?
    } else {
        let params = [Param::Text(app_id), Param::Text(user_id), Param::Text(device_id)];
        session.query_one(CLAIMED, &params, read).await?
    };
    Ok(found.unwrap_or_default())
}

async fn devices_of(session: &mut Session<'_>, stored: &Stored) -> Result<Vec<KnownDevice>, Error> {
    const OWN: &str = "SELECT device_id, device_context, last_seen_at, CAST(CASE WHEN blocked_at IS NULL THEN 0 ELSE 1 END AS BIGINT), \
        CAST(CASE WHEN is_proven = 1 AND user_id = CAST($1 AS TEXT) THEN 1 ELSE 0 END AS BIGINT) FROM devices \
        WHERE app_id = $2 AND device_id = $3";
    const PROVEN: &str = "SELECT device_id, device_context, last_seen_at, CAST(CASE WHEN blocked_at IS NULL THEN 0 ELSE 1 END AS BIGINT), CAST(1 AS BIGINT) \
        FROM devices WHERE app_id = $1 AND user_id = $2 AND is_proven = 1 AND device_id <> $3 ORDER BY device_id LIMIT $4";
    let conversation = &stored.conversation;
    let (app_id, device_id) = (&conversation.app_id, &conversation.device_id);
    let read = |row: &mut Row<'_>| {
        Ok(KnownDevice {
            device_id: row.id()?,
            context: object(row.optional_text()?),
            last_seen_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
            is_blocked: row.count()? != 0,
            is_bound: row.count()? != 0,
        })
    };
    let user_id = conversation.user_id.as_deref();
    let params = [Param::OptionalText(user_id), Param::Text(app_id), Param::Text(device_id)];
    let own = session.query_one(OWN, &params, read).await?;
    let unknown = || KnownDevice {
        device_id: device_id.clone(),
        context: None,
        last_seen_at: None,
        is_blocked: false,
        is_bound: false,
    };
    let mut devices = vec![own.unwrap_or_else(unknown)];
    if let Some(user_id) = user_id.filter(|_| stored.is_proven) {
        let params =
            [Param::Text(app_id), Param::Text(user_id), Param::Text(device_id), Param::Integer(DEVICES)];
        devices.extend(session.query(PROVEN, &params, read).await?);
    }
    Ok(devices)
}

async fn conversations_of(
    session: &mut Session<'_>,
    stored: &Stored,
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let conversation = &stored.conversation;
    let (app_id, limit) = (Param::Text(&conversation.app_id), Param::Integer(limit.into()));
    let user_id = conversation.user_id.as_deref();
    if let Some(user_id) = user_id.filter(|_| stored.is_proven) {
        let params = [app_id, Param::Text(user_id), limit];
        return session.query(conversations::OF_PERSON, &params, conversations::read).await;
    }
    let params = [app_id, Param::Text(&conversation.device_id), Param::OptionalText(user_id), limit];
    session.query(conversations::OF_CLAIM, &params, conversations::read).await
}

/// `$1` as rows (device), and who is there.
macro_rules! at_devices {
    ($devices:literal) => {
        concat!(
            "SELECT d.device_id, d.user_id, d.user_name FROM ",
            $devices,
            " JOIN devices d ON d.app_id = $2 AND d.device_id = v.device_id WHERE d.user_id IS NOT NULL"
        )
    };
}

const AT_DEVICES_SQLITE: &str = at_devices!("(SELECT value AS device_id FROM json_each($1)) AS v");
const AT_DEVICES_POSTGRES: &str =
    at_devices!("(SELECT jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS jsonb)) AS device_id) AS v");

/// Who is at each of those devices; one question for all. Those at which nobody is are left out.
#[derive(Debug, Clone)]
pub struct NameDevices {
    /// The app.
    pub app_id: AppId,
    /// The devices.
    pub devices: Vec<DeviceId>,
}

impl Operation for NameDevices {
    type Out = HashMap<DeviceId, UserInfo>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let devices = serde_json::to_string(&self.devices)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let sql = match session {
            Session::Sqlite(_) => AT_DEVICES_SQLITE,
            Session::Postgres(_) => AT_DEVICES_POSTGRES,
        };
        let params = [Param::Text(&devices), Param::Text(&self.app_id)];
        let named = |row: &mut Row<'_>| {
            let device_id = row.id()?;
            Ok((device_id, UserInfo { user_id: row.id()?, name: row.optional_text()? }))
        };
        Ok(session.query(sql, &params, named).await?.into_iter().collect())
    }
}

impl Read for NameDevices {}

/// Whom to block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// A device.
    Device(DeviceId),
    /// A person, wherever they are.
    Person(UserId),
}

/// What came of [`Block`].
#[derive(Debug, Clone, Default)]
pub struct BlockedNow {
    /// Whether anything is known of them.
    pub is_known: bool,
    /// What happened by it, in the newest conversation of theirs.
    pub activity: Option<Box<Activity>>,
}

/// Blocks a device or a person, or no longer.
#[derive(Debug, Clone)]
pub struct Block {
    /// The app.
    pub app_id: AppId,
    /// Whom.
    pub whom: Blocked,
    /// Whether they are blocked from now on.
    pub is_blocked: bool,
    /// Who does it.
    pub by: Actor,
    /// The record of it.
    pub act: Act,
}

impl Operation for Block {
    type Out = BlockedNow;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, whom, is_blocked, by, act } = self;
        revocations::lock(session).await?;
        let changed = match whom {
            Blocked::Device(device_id) => {
                block_device(session, app_id, device_id, *is_blocked, act.at).await?
            }
            Blocked::Person(user_id) => block_person(session, app_id, user_id, *is_blocked, act.at).await?,
        };
        let mut blocked = BlockedNow { is_known: changed.is_some(), activity: None };
        if changed == Some(true) {
            let newest = match whom {
                Blocked::Device(device_id) => newest_of_device(session, app_id, device_id).await?,
                Blocked::Person(user_id) => newest_of_person(session, app_id, user_id).await?,
            };
            if let Some((id, name)) = newest {
                let kind = if *is_blocked { ActivityKind::Blocked } else { ActivityKind::Unblocked };
                let whom = match whom {
                    Blocked::Device(device_id) => Actor { id: SenderId::from(device_id.as_str()), name },
                    Blocked::Person(user_id) => Actor { id: SenderId::from(user_id.as_str()), name },
                };
                let happening = Happening::new(kind, act.at, Some(by.clone()), Some(whom));
                blocked.activity = Some(Box::new(activity::append(session, &id, happening).await?));
            }
            audit::append(session, act).await?;
        }
        Ok(blocked)
    }
}

impl Write for Block {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// The newest conversation at a device, and whose name it has.
async fn newest_of_device(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
) -> Result<Option<(ConversationId, Option<String>)>, Error> {
    const SQL: &str = "SELECT id, user_name FROM conversations WHERE app_id = $1 AND device_id = $2 ORDER BY id DESC LIMIT 1";
    let device = [Param::Text(app_id), Param::Text(device_id)];
    session.query_one(SQL, &device, |row| Ok((row.id()?, row.optional_text()?))).await
}

/// The newest conversation of a person, and their name there.
async fn newest_of_person(
    session: &mut Session<'_>,
    app_id: &AppId,
    user_id: &UserId,
) -> Result<Option<(ConversationId, Option<String>)>, Error> {
    const SQL: &str =
        "SELECT id, user_name FROM conversations WHERE app_id = $1 AND user_id = $2 ORDER BY id DESC LIMIT 1";
    let person = [Param::Text(app_id), Param::Text(user_id)];
    session.query_one(SQL, &person, |row| Ok((row.id()?, row.optional_text()?))).await
}

/// Whether that changed anything; `None` if there is no such device.
async fn block_device(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    is_blocked: bool,
    now: Timestamp,
) -> Result<Option<bool>, Error> {
    const KNOWN: &str = "SELECT 1 FROM conversations WHERE app_id = $1 AND device_id = $2 \
        UNION ALL SELECT 1 FROM devices WHERE app_id = $1 AND device_id = $2 LIMIT 1";
    const ADD: &str = "INSERT INTO devices (app_id, device_id, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (app_id, device_id) DO NOTHING";
    const BLOCK: &str = "UPDATE devices SET blocked_at = $1 WHERE app_id = $2 AND device_id = $3 \
        AND CASE WHEN blocked_at IS NULL THEN 0 ELSE 1 END <> CASE WHEN CAST($1 AS BIGINT) IS NULL THEN 0 ELSE 1 END";
    let device = [Param::Text(app_id), Param::Text(device_id)];
    if session.query_one(KNOWN, &device, |_| Ok(())).await?.is_none() {
        return Ok(None);
    }
    let params = [Param::Text(app_id), Param::Text(device_id), Param::Integer(now.epoch_ms())];
    session.execute(ADD, &params).await?;
    let at = is_blocked.then_some(now.epoch_ms());
    let params = [Param::OptionalInteger(at), Param::Text(app_id), Param::Text(device_id)];
    let has_changed = session.execute(BLOCK, &params).await? > 0;
    if has_changed && is_blocked {
        revocations::revoke(session, app_id, device_id, Code::Blocked, now).await?;
    }
    Ok(Some(has_changed))
}

/// Whether that changed anything; `None` if there is no such person.
async fn block_person(
    session: &mut Session<'_>,
    app_id: &AppId,
    user_id: &UserId,
    is_blocked: bool,
    now: Timestamp,
) -> Result<Option<bool>, Error> {
    const KNOWN: &str = "SELECT 1 FROM conversations WHERE app_id = $1 AND user_id = $2 \
        UNION ALL SELECT 1 FROM devices WHERE app_id = $1 AND user_id = $2 \
        UNION ALL SELECT 1 FROM people WHERE app_id = $1 AND user_id = $2 LIMIT 1";
    const ADD: &str = "INSERT INTO people (app_id, user_id, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (app_id, user_id) DO NOTHING";
    const BLOCK: &str = "UPDATE people SET blocked_at = $1 WHERE app_id = $2 AND user_id = $3 \
        AND CASE WHEN blocked_at IS NULL THEN 0 ELSE 1 END <> CASE WHEN CAST($1 AS BIGINT) IS NULL THEN 0 ELSE 1 END";
    let person = [Param::Text(app_id), Param::Text(user_id)];
    if session.query_one(KNOWN, &person, |_| Ok(())).await?.is_none() {
        return Ok(None);
    }
    let params = [Param::Text(app_id), Param::Text(user_id), Param::Integer(now.epoch_ms())];
    session.execute(ADD, &params).await?;
    let at = is_blocked.then_some(now.epoch_ms());
    let params = [Param::OptionalInteger(at), Param::Text(app_id), Param::Text(user_id)];
    let has_changed = session.execute(BLOCK, &params).await? > 0;
    if has_changed && is_blocked {
        revocations::revoke_person(session, app_id, user_id, Code::Blocked, now).await?;
    }
    Ok(Some(has_changed))
}
