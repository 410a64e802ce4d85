//! Apps, their keys, and what the installation itself keeps secret.

use protocol::{AppId, Timestamp};

use super::audit::{self, Act};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Session};

/// An app: a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its name, for people.
    pub name: String,
    /// SHA-256 of its key, in hexadecimal.
    pub api_key_hash: String,
    /// The key before it, if that was kept. It may have ended since.
    pub old_key: Option<OldKey>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The origins of the pages that may use its key, as browsers write them; none is any.
    pub allowed_origins: Vec<String>,
    /// Whose word it takes for who somebody is.
    pub identity: IdentityPolicy,
    /// Whether a device has to show a secret of its own.
    pub requires_device_secret: bool,
}

/// Whose word an app takes for who somebody is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdentityPolicy {
    /// That of the program at the device.
    #[default]
    Claimed,
    /// Only that of its own backend, by a token.
    Verified,
}

impl IdentityPolicy {
    /// As it is written on the wire, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Verified => "verified",
        }
    }

    /// The policy that is written so, if any is.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Claimed, Self::Verified].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// A key that is good for a while beside the one after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldKey {
    /// Its SHA-256, in hexadecimal.
    pub hash: String,
    /// When it ends, or has ended.
    pub until: Timestamp,
    /// When it was last used, to the minute; `None` is never since it became the old one.
    pub last_used_at: Option<Timestamp>,
}

/// What came of another key for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// There is no such app.
    NoApp,
    /// An older key is still good until then, and only one may be beside the present one.
    OlderIsGood(Timestamp),
    /// It has the new key.
    Done,
}

macro_rules! columns {
    () => {
        "SELECT id, name, api_key_hash, created_at, allowed_origins, old_key_hash, old_key_until, old_key_used_at, \
         identity, requires_device_secret FROM apps "
    };
}

fn read(row: &mut crate::session::Row<'_>) -> Result<App, Error> {
    let (id, name, api_key_hash) = (row.id()?, row.text()?, row.text()?);
    let created_at = Timestamp::from_epoch_ms(row.integer()?);
    let allowed_origins = row.text()?.split_whitespace().map(str::to_owned).collect();
    let (hash, until, last_used_at) =
        (row.optional_text()?, row.optional_integer()?, row.optional_integer()?);
    let old_key = hash.zip(until).map(|(hash, until)| OldKey {
        hash,
        until: Timestamp::from_epoch_ms(until),
        last_used_at: last_used_at.map(Timestamp::from_epoch_ms),
    });
    // A policy of a later version is none that may be read as the weaker one.
    let identity = IdentityPolicy::parse(&row.text()?).unwrap_or(IdentityPolicy::Verified);
    let requires_device_secret = row.integer()? != 0;
    Ok(App { id, name, api_key_hash, old_key, created_at, allowed_origins, identity, requires_device_secret })
}

/// Stores a new app; false, and nothing is stored, if there is one with its id.
#[derive(Debug, Clone)]
pub struct CreateApp {
    /// The app.
    pub app: App,
    /// The record of it.
    pub act: Act,
}

impl Operation for CreateApp {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app, act } = self;
        let is_new = insert(session, app).await?;
        if is_new {
            audit::append(session, act).await?;
        }
        Ok(is_new)
    }
}

impl Write for CreateApp {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// False, and nothing is stored, if there is one with its id.
pub(super) async fn insert(session: &mut Session<'_>, app: &App) -> Result<bool, Error> {
    const SQL: &str = "INSERT INTO apps (id, name, api_key_hash, created_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (id) DO NOTHING";
    let params = [
        Param::Text(&app.id),
        Param::Text(&app.name),
        Param::Text(&app.api_key_hash),
        Param::Integer(app.created_at.epoch_ms()),
    ];
    Ok(session.execute(SQL, &params).await? > 0)
}

/// All apps.
#[derive(Debug, Clone, Copy)]
pub struct ListApps;

impl Operation for ListApps {
    type Out = Vec<App>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = concat!(columns!(), "ORDER BY id");
        session.query(SQL, &[], read).await
    }
}

impl Read for ListApps {}

/// One app.
#[derive(Debug, Clone)]
pub struct FindApp {
    /// The app.
    pub id: AppId,
}

impl Operation for FindApp {
    type Out = Option<App>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        find(session, &self.id).await
    }
}

impl Read for FindApp {}

pub(super) async fn find(session: &mut Session<'_>, id: &AppId) -> Result<Option<App>, Error> {
    const SQL: &str = concat!(columns!(), "WHERE id = $1");
    session.query_one(SQL, &[Param::Text(id)], read).await
}

/// Whose word the app takes for who somebody is, as it is now.
pub(super) async fn policy(session: &mut Session<'_>, id: &AppId) -> Result<IdentityPolicy, Error> {
    const SQL: &str = "SELECT identity FROM apps WHERE id = $1";
    let found = session.query_one(SQL, &[Param::Text(id)], |row| row.text()).await?;
    Ok(found.and_then(|text| IdentityPolicy::parse(&text)).unwrap_or(IdentityPolicy::Verified))
}

/// What is to be other of an app; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppChange {
    /// Its name.
    pub name: Option<String>,
    /// Whose word it takes for who somebody is.
    pub identity: Option<IdentityPolicy>,
    /// Whether a device has to show a secret of its own.
    pub requires_device_secret: Option<bool>,
    /// The origins of the pages that may use its key.
    pub allowed_origins: Option<Vec<String>>,
}

/// Changes an app; answers with it as it is then, or `None` if there is none.
#[derive(Debug, Clone)]
pub struct ChangeApp {
    /// The app.
    pub id: AppId,
    /// What is to be other.
    pub change: AppChange,
    /// The record of it.
    pub act: Act,
}

impl Operation for ChangeApp {
    type Out = Option<App>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE apps SET name = COALESCE($1, name), identity = COALESCE($2, identity), \
            requires_device_secret = COALESCE($3, requires_device_secret), \
            allowed_origins = COALESCE($4, allowed_origins) WHERE id = $5";
        let Self { id, change, act } = self;
        let AppChange { name, identity, requires_device_secret, allowed_origins } = change;
        let origins = allowed_origins.as_ref().map(|origins| origins.join(" "));
        let params = [
            Param::OptionalText(name.as_deref()),
            Param::OptionalText(identity.map(IdentityPolicy::as_str)),
            Param::OptionalInteger(requires_device_secret.map(i64::from)),
            Param::OptionalText(origins.as_deref()),
            Param::Text(id),
        ];
        if session.execute(SQL, &params).await? == 0 {
            return Ok(None);
        }
        audit::append(session, act).await?;
        find(session, id).await
    }
}

impl Write for ChangeApp {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Gives the app another key. The present one is kept for a while or ends now, and every older one with it.
#[derive(Debug, Clone)]
pub struct RotateKey {
    /// The app.
    pub id: AppId,
    /// SHA-256 of the new key, in hexadecimal.
    pub api_key_hash: String,
    /// Until when the present key is good beside it; `None` ends it now.
    pub keep_until: Option<Timestamp>,
    /// The record of it.
    pub act: Act,
}

impl Operation for RotateKey {
    type Out = Rotated;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE apps SET old_key_hash = api_key_hash, old_key_until = $1, old_key_used_at = NULL, \
             api_key_hash = $2 WHERE id = $3";
        let Self { id, api_key_hash, keep_until, act } = self;
        session.lock(id).await?;
        let Some(app) = find(session, id).await? else { return Ok(Rotated::NoApp) };
        if let (Some(_), Some(older)) = (keep_until, app.old_key.filter(|older| act.at < older.until)) {
            return Ok(Rotated::OlderIsGood(older.until));
        }
        let until = keep_until.unwrap_or(act.at);
        let params = [Param::Integer(until.epoch_ms()), Param::Text(api_key_hash), Param::Text(id)];
        session.execute(SQL, &params).await?;
        audit::append(session, act).await?;
        Ok(Rotated::Done)
    }
}

impl Write for RotateKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Ends an app's old key now; false if there is no such app, or no old key that is good.
#[derive(Debug, Clone)]
pub struct EndOldKey {
    /// The app.
    pub id: AppId,
    /// The record of it.
    pub act: Act,
}

impl Operation for EndOldKey {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE apps SET old_key_until = $1 WHERE id = $2 AND old_key_until > $1";
        let params = [Param::Integer(self.act.at.epoch_ms()), Param::Text(&self.id)];
        let has_ended = session.execute(SQL, &params).await? > 0;
        if has_ended {
            audit::append(session, &self.act).await?;
        }
        Ok(has_ended)
    }
}

impl Write for EndOldKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Remembers that an app's old key was used.
#[derive(Debug, Clone)]
pub struct TouchOldKey {
    /// The app.
    pub id: AppId,
    /// When it was used.
    pub now: Timestamp,
}

impl Operation for TouchOldKey {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE apps SET old_key_used_at = $1 WHERE id = $2";
        session.execute(SQL, &[Param::Integer(self.now.epoch_ms()), Param::Text(&self.id)]).await?;
        Ok(())
    }
}

impl Write for TouchOldKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// A secret of the installation: the one that is stored, else a new one, which is stored.
#[derive(Debug, Clone)]
pub struct KeepSecret {
    /// Its name.
    pub name: &'static str,
    /// What it is from now on, if there is none.
    pub new: String,
}

impl Operation for KeepSecret {
    type Out = String;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const KEEP: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        const FIND: &str = "SELECT value FROM secrets WHERE name = $1";
        let Self { name, new } = self;
        session.execute(KEEP, &[Param::Text(name), Param::Text(new)]).await?;
        let found = session.query_one(FIND, &[Param::Text(name)], |row| row.text()).await?;
        Ok(found.unwrap_or_else(|| new.clone()))
    }
}

impl Write for KeepSecret {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
