//! Devices: who owns their names, and the people at them.

use protocol::rest::User;
use protocol::{
    Activity, ActivityKind, Actor, AppId, Code, ConversationId, DeviceId, IdentityKeyId, MessageId, SenderId,
    Timestamp, UserId, UserInfo,
};

use super::activity::{self, Happening};
use super::apps::{App, IdentityPolicy};
use super::audit::{self, Act};
use super::search_requests::{self, Requested};
use super::{apps, conversations, messages, people, revocations};
use crate::error::Error;
use crate::operation::{Operation, Read, Write};
use crate::session::{Param, Row, Session};

/// How a device stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceStanding {
    /// Who is at the device.
    pub user_info: Option<UserInfo>,
    /// Whether that was proven, and holds.
    pub is_proven: bool,
    /// SHA-256 of the secret that its name is owned by, in hexadecimal.
    pub secret_hash: Option<String>,
    /// What proved who is at it holds no longer, and nobody has been named since.
    pub needs_identity: bool,
    /// The agents have blocked it, or the person at it.
    pub is_blocked: bool,
    /// Rises whenever what was let in before has to go.
    pub version: u64,
}

/// All that a device's handshake needs to know.
#[derive(Debug, Clone)]
pub struct DeviceLogin {
    /// Its app, with the keys and the pages that may use them.
    pub app: App,
    /// How it stands.
    pub standing: DeviceStanding,
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
        let Self { app_id, device_id } = self;
        let Some(app) = apps::find(session, app_id).await? else { return Ok(None) };
        let standing = standing(session, app_id, device_id).await?;
        let latest = conversations::latest_at(session, app_id, device_id, standing.is_proven).await?;
        let latest = named(session, latest).await?;
        Ok(Some(DeviceLogin { app, standing, latest }))
    }
}

impl Read for FindDeviceLogin {}

/// The newest conversation that the device shows.
#[derive(Debug, Clone)]
pub struct FindLatest {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
}

impl Operation for FindLatest {
    type Out = Option<LatestConversation>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let latest = conversations::latest(session, &self.app_id, &self.device_id, false).await?;
        named(session, latest).await
    }
}

impl Read for FindLatest {}

/// The conversation with its newest message's name.
async fn named(
    session: &mut Session<'_>,
    latest: Option<conversations::Stored>,
) -> Result<Option<LatestConversation>, Error> {
    let Some(stored) = latest else { return Ok(None) };
    let (id, last_seq) = (stored.conversation.id, stored.conversation.last_seq);
    let last_message_id = messages::id_at(session, &id, last_seq).await?;
    Ok(Some(LatestConversation { id, last_seq, last_message_id }))
}

/// How a device stands. One of which nothing is known stands as any that has just been installed.
#[derive(Debug, Clone)]
pub struct FindDevice {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
}

impl Operation for FindDevice {
    type Out = DeviceStanding;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        standing(session, &self.app_id, &self.device_id).await
    }
}

impl Read for FindDevice {}

pub(super) async fn standing(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
) -> Result<DeviceStanding, Error> {
    const SQL: &str = "SELECT d.user_id, d.user_name, d.is_proven, d.secret_hash, d.needs_identity, \
        CAST(CASE WHEN d.blocked_at IS NULL AND p.blocked_at IS NULL THEN 0 ELSE 1 END AS BIGINT), d.version \
        FROM devices d LEFT JOIN people p ON p.app_id = d.app_id AND p.user_id = d.user_id \
        WHERE d.app_id = $1 AND d.device_id = $2";
    let read = |row: &mut Row<'_>| {
        let (user_id, name) = (row.optional_text()?, row.optional_text()?);
        Ok(DeviceStanding {
            user_info: user_id.map(|user_id| UserInfo { user_id: user_id.into(), name }),
            is_proven: row.integer()? != 0,
            secret_hash: row.optional_text()?,
            needs_identity: row.integer()? != 0,
            is_blocked: row.count()? != 0,
            version: row.count()?,
        })
    };
    let found = session.query_one(SQL, &[Param::Text(app_id), Param::Text(device_id)], read).await?;
    Ok(found.unwrap_or_default())
}

/// Two who open, identify or claim at once must not each act on what the other is about to change.
pub(super) async fn lock(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
) -> Result<(), Error> {
    session.lock(&format!("device {app_id} {device_id}")).await
}

/// Gives the device's name to whoever has this secret, unless it has an owner. Answers how it stands then: whose it is, its
/// `secret_hash` says.
#[derive(Debug, Clone)]
pub struct ClaimDevice {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// SHA-256 of the secret, in hexadecimal.
    pub secret_hash: String,
    /// When.
    pub now: Timestamp,
}

impl Operation for ClaimDevice {
    type Out = DeviceStanding;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const CLAIM: &str = "INSERT INTO devices (app_id, device_id, secret_hash, updated_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (app_id, device_id) DO UPDATE SET secret_hash = excluded.secret_hash, \
            updated_at = excluded.updated_at WHERE devices.secret_hash IS NULL";
        let Self { app_id, device_id, secret_hash, now } = self;
        lock(session, app_id, device_id).await?;
        let before = standing(session, app_id, device_id).await?;
        if before.secret_hash.is_some() {
            return Ok(before);
        }
        revocations::lock(session).await?;
        let params = [
            Param::Text(app_id),
            Param::Text(device_id),
            Param::Text(secret_hash),
            Param::Integer(now.epoch_ms()),
        ];
        if session.execute(CLAIM, &params).await? > 0 {
            // Whoever was let in by the name alone has to go.
            revocations::revoke(session, app_id, device_id, Code::InvalidCredentials, *now).await?;
        }
        standing(session, app_id, device_id).await
    }
}

impl Write for ClaimDevice {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// Lets the device's name be claimed anew, by whoever comes first; nobody is at it until then. False if there is no such
/// device.
#[derive(Debug, Clone)]
pub struct ResetDevice {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The record of it.
    pub act: Act,
}

impl Operation for ResetDevice {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const RESET: &str =
            "UPDATE devices SET secret_hash = NULL, updated_at = $1 WHERE app_id = $2 AND device_id = $3";
        let Self { app_id, device_id, act } = self;
        lock(session, app_id, device_id).await?;
        revocations::lock(session).await?;
        let params = [Param::Integer(act.at.epoch_ms()), Param::Text(app_id), Param::Text(device_id)];
        if session.execute(RESET, &params).await? == 0 {
            return Ok(false);
        }
        unbind(session, app_id, device_id, act.at).await?;
        revocations::revoke(session, app_id, device_id, Code::InvalidCredentials, act.at).await?;
        audit::append(session, act).await?;
        Ok(true)
    }
}

impl Write for ResetDevice {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// Ends the binding of a device to its proven person: it asks its app who is there. False if there is none.
#[derive(Debug, Clone)]
pub struct Unbind {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The record of it.
    pub act: Act,
}

impl Operation for Unbind {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, device_id, act } = self;
        lock(session, app_id, device_id).await?;
        let was_bound = unbind(session, app_id, device_id, act.at).await?;
        if was_bound {
            audit::append(session, act).await?;
        }
        Ok(was_bound)
    }
}

impl Write for Unbind {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// Ends a binding, if there is one: nobody is at the device, and it is asked who is.
pub(super) async fn unbind(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    now: Timestamp,
) -> Result<bool, Error> {
    const UNBIND: &str = "UPDATE devices SET user_id = NULL, user_name = NULL, user_email = NULL, user_attributes = NULL, \
        is_proven = 0, proven_by = NULL, proven_until = NULL, needs_identity = 1, updated_at = $1 \
        WHERE app_id = $2 AND device_id = $3 AND is_proven = 1";
    revocations::lock(session).await?;
    let params = [Param::Integer(now.epoch_ms()), Param::Text(app_id), Param::Text(device_id)];
    let was_bound = session.execute(UNBIND, &params).await? > 0;
    if was_bound {
        show(session, app_id, device_id, None).await?;
        revocations::revoke(session, app_id, device_id, Code::IdentityRequired, now).await?;
    }
    Ok(was_bound)
}

/// Ends the bindings that have lasted as long as they may; at most so many at once. Answers how many there were.
#[derive(Debug, Clone)]
pub struct EndBindings {
    /// When.
    pub now: Timestamp,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for EndBindings {
    type Out = u64;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        revocations::lock(session).await?;
        const ENDED: &str =
            "SELECT app_id, device_id FROM devices WHERE proven_until <= $1 ORDER BY proven_until LIMIT $2";
        let Self { now, limit } = self;
        let params = [Param::Integer(now.epoch_ms()), Param::Integer((*limit).into())];
        let ended =
            session.query(ENDED, &params, |row| Ok((row.id::<AppId>()?, row.id::<DeviceId>()?))).await?;
        for (app_id, device_id) in &ended {
            unbind(session, app_id, device_id, *now).await?;
        }
        Ok(ended.len() as u64)
    }
}

impl Write for EndBindings {
    fn key(&self) -> &str {
        crate::operation::ADMINISTRATION
    }
}

/// Whether any binding has lasted as long as it may.
#[derive(Debug, Clone)]
pub struct HasEndedBindings {
    /// When.
    pub now: Timestamp,
}

impl Operation for HasEndedBindings {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT 1 FROM devices WHERE proven_until <= $1 ORDER BY proven_until LIMIT 1";
        let found = session.query_one(SQL, &[Param::Integer(self.now.epoch_ms())], |_| Ok(())).await?;
        Ok(found.is_some())
    }
}

impl Read for HasEndedBindings {}

/// Remembers that a device was here, where anything is known of it.
#[derive(Debug, Clone)]
pub struct TouchDevice {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// When it was last here.
    pub now: Timestamp,
}

impl Operation for TouchDevice {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE devices SET last_seen_at = $1 WHERE app_id = $2 AND device_id = $3";
        let Self { app_id, device_id, now } = self;
        let params = [Param::Integer(now.epoch_ms()), Param::Text(app_id), Param::Text(device_id)];
        session.execute(SQL, &params).await.map(drop)
    }
}

impl Write for TouchDevice {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// By what somebody is known to be who they say they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key that their token was signed by.
    pub key_id: IdentityKeyId,
    /// Until when it binds a device that has no secret. One that has is bound for good.
    pub until: Timestamp,
}

/// Who is at a device from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum NowAt {
    /// Nobody.
    Nobody,
    /// Somebody, by the app's word.
    Claimed(User),
    /// Somebody, by a proof.
    Proven(User, Proof),
}

impl NowAt {
    fn user(&self) -> Option<&User> {
        match self {
            Self::Nobody => None,
            Self::Claimed(user) | Self::Proven(user, _) => Some(user),
        }
    }

    fn proof(&self) -> Option<&Proof> {
        match self {
            Self::Nobody | Self::Claimed(_) => None,
            Self::Proven(_, proof) => Some(proof),
        }
    }
}

/// What came of telling who is at a device.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// They are there.
    Done(Done),
    /// The app takes nobody's word for who they are.
    NotProven,
    /// The key has been retired since.
    KeyRetired,
}

/// What is other than before, now that it is told who is at a device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// The conversations of the one who is there now that say something else than before.
    pub(crate) changed: Vec<ConversationId>,
    /// What happened in those of them that have become theirs.
    pub(crate) activity: Vec<Activity>,
    /// Whether somebody else was there before, who has left.
    pub(crate) has_left: bool,
}

/// Who was at a device.
#[derive(Debug, Default)]
struct Before {
    user_id: Option<String>,
    is_proven: bool,
    needs_identity: bool,
    has_secret: bool,
}

/// Remembers who uses the device: a person, or nobody. What nobody has written becomes theirs, and the device shows what is
/// theirs and nothing else; their name goes to their open conversations. Who says the same again writes nothing, and the app's
/// word for somebody who is proven already is no news.
pub(crate) async fn identify(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    who: &NowAt,
    now: Timestamp,
) -> Result<Told, Error> {
    const BEFORE: &str = "SELECT user_id, is_proven, needs_identity, CAST(CASE WHEN secret_hash IS NULL THEN 0 ELSE 1 END AS BIGINT) \
        FROM devices WHERE app_id = $1 AND device_id = $2";
    let device = [Param::Text(app_id), Param::Text(device_id)];
    let before = |row: &mut Row<'_>| {
        Ok(Before {
            user_id: row.optional_text()?,
            is_proven: row.integer()? != 0,
            needs_identity: row.integer()? != 0,
            has_secret: row.count()? != 0,
        })
    };
    let before = session.query_one(BEFORE, &device, before).await?.unwrap_or_default();
    let user_id = who.user().map(|user| user.id.as_str());
    let is_same = before.user_id.as_deref() == user_id;
    match who {
        NowAt::Nobody if is_same && !before.needs_identity => return Ok(Told::Done(Done::default())),
        NowAt::Claimed(_) if is_same && before.is_proven => return Ok(Told::Done(Done::default())),
        NowAt::Claimed(_) if apps::policy(session, app_id).await? == IdentityPolicy::Verified => {
            return Ok(Told::NotProven);
        }
        NowAt::Proven(_, proof) if !super::identity_keys::is_live(session, app_id, &proof.key_id).await? => {
            return Ok(Told::KeyRetired);
        }
        NowAt::Nobody | NowAt::Claimed(_) | NowAt::Proven(..) => {}
    }
    let has_left = (before.user_id.is_some() && !is_same) || before.needs_identity;
    if has_left {
        revocations::lock(session).await?;
    }
    let until = who.proof().filter(|_| !before.has_secret).map(|proof| proof.until);
    if remember(session, app_id, device_id, who, until, now).await? {
        search_requests::request(session, &Requested::Device(app_id.clone(), device_id.to_string())).await?;
    }
    let mut changed = match who {
        NowAt::Nobody => Vec::new(),
        NowAt::Claimed(user) => rename(session, app_id, device_id, user).await?,
        NowAt::Proven(user, _) => people::learn(session, app_id, user, now).await?,
    };
    let mut activity = Vec::new();
    if let Some(user) = who.user() {
        let whom = Actor { id: SenderId::from(user.id.as_str()), name: user.name.clone() };
        let owned = own(session, app_id, device_id, user, who.proof().is_some()).await?;
        if !owned.is_empty() {
            people::carry_over(session, app_id, device_id, &user.id, who.proof().is_some()).await?;
        }
        for id in owned {
            let happening = Happening::new(ActivityKind::Identified, now, None, Some(whom.clone()));
            activity.push(activity::append(session, &id, happening).await?);
            changed.push(id);
        }
    }
    if !is_same {
        show(session, app_id, device_id, user_id).await?;
    }
    if has_left {
        revocations::revoke(session, app_id, device_id, Code::IdentityChanged, now).await?;
    }
    Ok(Told::Done(Done { changed, activity, has_left }))
}

/// Has the device show what this person, or nobody, has written there, and nothing else. What a proven person has written is
/// shown by who is proven, and not by this.
async fn show(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user_id: Option<&str>,
) -> Result<(), Error> {
    const SHOW: &str = "UPDATE conversations SET is_shown = 1 - is_shown \
        WHERE app_id = $1 AND device_id = $2 AND is_proven = 0 \
        AND is_shown <> CASE WHEN user_id IS NOT DISTINCT FROM CAST($3 AS TEXT) THEN 1 ELSE 0 END";
    let params = [Param::Text(app_id), Param::Text(device_id), Param::OptionalText(user_id)];
    session.execute(SHOW, &params).await.map(drop)
}

/// Gives the person what nobody has written here.
async fn own(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: &User,
    is_proven: bool,
) -> Result<Vec<ConversationId>, Error> {
    const CLAIM: &str = "UPDATE conversations SET user_id = $1, is_proven = CAST($2 AS BIGINT), \
        is_shown = CASE WHEN CAST($2 AS BIGINT) = 1 THEN 0 ELSE is_shown END, \
        user_name = (SELECT user_name FROM devices WHERE app_id = $3 AND device_id = $4) \
        WHERE app_id = $3 AND device_id = $4 AND user_id IS NULL RETURNING id";
    let params = [
        Param::Text(&user.id),
        Param::Integer(is_proven.into()),
        Param::Text(app_id),
        Param::Text(device_id),
    ];
    session.query(CLAIM, &params, |row| row.id()).await
}

/// Gives their present name to what is open of theirs here.
async fn rename(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    user: &User,
) -> Result<Vec<ConversationId>, Error> {
    const RENAME: &str = "UPDATE conversations SET user_name = $1 WHERE user_id = $2 AND app_id = $3 AND device_id = $4 \
        AND is_proven = 0 AND status = 'open' AND user_name IS DISTINCT FROM $1 RETURNING id";
    let params = [
        Param::OptionalText(user.name.as_deref()),
        Param::Text(&user.id),
        Param::Text(app_id),
        Param::Text(device_id),
    ];
    session.query(RENAME, &params, |row| row.id()).await
}

/// Whether that is anything new.
async fn remember(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    who: &NowAt,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, Error> {
    let user = who.user();
    let attributes = user.and_then(|user| user.attributes.as_ref()).map(people::attributes_text);
    let proven_by = who.proof().map(|proof| proof.key_id.as_str());
    let changed = session
        .execute(
            "INSERT INTO devices (app_id, device_id, user_id, user_name, user_email, user_attributes, updated_at, \
             is_proven, proven_by, proven_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (app_id, device_id) DO UPDATE SET user_id = excluded.user_id, \
             user_name = excluded.user_name, user_email = excluded.user_email, \
             user_attributes = excluded.user_attributes, updated_at = excluded.updated_at, needs_identity = 0, \
             is_proven = excluded.is_proven, proven_by = excluded.proven_by, proven_until = excluded.proven_until \
             WHERE devices.user_id IS DISTINCT FROM excluded.user_id \
             OR devices.user_name IS DISTINCT FROM excluded.user_name \
             OR devices.user_email IS DISTINCT FROM excluded.user_email \
             OR devices.user_attributes IS DISTINCT FROM excluded.user_attributes \
             OR devices.is_proven <> excluded.is_proven OR devices.proven_by IS DISTINCT FROM excluded.proven_by \
             OR devices.proven_until IS DISTINCT FROM excluded.proven_until OR devices.needs_identity <> 0",
            &[
                Param::Text(app_id),
                Param::Text(device_id),
                Param::OptionalText(user.map(|user| user.id.as_str())),
                Param::OptionalText(user.and_then(|user| user.name.as_deref())),
                Param::OptionalText(user.and_then(|user| user.email.as_deref())),
                Param::OptionalText(attributes.as_deref()),
                Param::Integer(now.epoch_ms()),
                Param::Integer(proven_by.is_some().into()),
                Param::OptionalText(proven_by),
                Param::OptionalInteger(until.map(Timestamp::epoch_ms)),
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// Who is proven to be at a device, if anybody is.
pub(super) async fn proven_at(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
) -> Result<Option<UserId>, Error> {
    const SQL: &str = "SELECT user_id FROM devices WHERE app_id = $1 AND device_id = $2 AND is_proven = 1";
    let device = [Param::Text(app_id), Param::Text(device_id)];
    let found = session.query_one(SQL, &device, |row| row.optional_text()).await?;
    Ok(found.flatten().map(UserId::from))
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
