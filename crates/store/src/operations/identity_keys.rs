//! By what apps prove who their people are.

use protocol::{AppId, IdentityKeyId, Timestamp};

use super::audit::{self, Act};
use super::{devices, revocations};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session, integer};

/// A key by which an app's own backend signs who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityKey {
    /// Its id.
    pub id: IdentityKeyId,
    /// The app.
    pub app_id: AppId,
    /// The one algorithm that it is for, in the words of JWT: `HS256`, `ES256`, `EdDSA`, `RS256`.
    pub algorithm: String,
    /// The secret itself, which a signature can't be checked without, or a public key as PEM.
    pub key: String,
    /// When it was made or uploaded.
    pub created_at: Timestamp,
    /// When it was retired, if it was.
    pub retired_at: Option<Timestamp>,
}

fn read(row: &mut Row<'_>) -> Result<IdentityKey, Error> {
    Ok(IdentityKey {
        id: row.id()?,
        app_id: row.id()?,
        algorithm: row.text()?,
        key: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        retired_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
    })
}

/// What came of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAdded {
    /// It is there.
    Done,
    /// There is no such app.
    NoApp,
    /// As many are live as may be.
    TooMany,
}

/// Stores a new key, if no more than so many are live then.
#[derive(Debug, Clone)]
pub struct AddIdentityKey {
    /// The key.
    pub key: IdentityKey,
    /// How many may be live at once.
    pub most: u64,
    /// The record of it.
    pub act: Act,
}

impl Operation for AddIdentityKey {
    type Out = KeyAdded;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const LIVE: &str = "SELECT COUNT(*) FROM identity_keys WHERE app_id = $1 AND retired_at IS NULL";
        const ADD: &str =
            "INSERT INTO identity_keys (id, app_id, algorithm, key, created_at) VALUES ($1, $2, $3, $4, $5)";
        let Self { key, most, act } = self;
        session.lock(&format!("identity keys {}", key.app_id)).await?;
        if super::apps::find(session, &key.app_id).await?.is_none() {
            return Ok(KeyAdded::NoApp);
        }
        let live = session.query_one(LIVE, &[Param::Text(&key.app_id)], |row| row.count()).await?;
        if live.unwrap_or_default() >= *most {
            return Ok(KeyAdded::TooMany);
        }
        let params = [
            Param::Text(&key.id),
            Param::Text(&key.app_id),
            Param::Text(&key.algorithm),
            Param::Text(&key.key),
            Param::Integer(key.created_at.epoch_ms()),
        ];
        session.execute(ADD, &params).await?;
        audit::append(session, act).await?;
        Ok(KeyAdded::Done)
    }
}

impl Write for AddIdentityKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// An app's keys, the retired ones too.
#[derive(Debug, Clone)]
pub struct ListIdentityKeys {
    /// The app.
    pub app_id: AppId,
}

impl Operation for ListIdentityKeys {
    type Out = Vec<IdentityKey>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT id, app_id, algorithm, key, created_at, retired_at FROM identity_keys \
            WHERE app_id = $1 ORDER BY id";
        session.query(SQL, &[Param::Text(&self.app_id)], read).await
    }
}

impl Read for ListIdentityKeys {}

/// One key.
#[derive(Debug, Clone)]
pub struct FindIdentityKey {
    /// The key.
    pub id: IdentityKeyId,
}

impl Operation for FindIdentityKey {
    type Out = Option<IdentityKey>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str =
            "SELECT id, app_id, algorithm, key, created_at, retired_at FROM identity_keys WHERE id = $1";
        session.query_one(SQL, &[Param::Text(&self.id)], read).await
    }
}

impl Read for FindIdentityKey {}

/// Whether the key proves anything. Asked in the transaction that believes it, so that a retired one proves nothing more.
pub(super) async fn is_live(
    session: &mut Session<'_>,
    app_id: &AppId,
    id: &IdentityKeyId,
) -> Result<bool, Error> {
    const SQL: &str = "SELECT 1 FROM identity_keys WHERE id = $1 AND app_id = $2 AND retired_at IS NULL";
    // Who retires it waits for who has seen it live: its bindings are ended with the others.
    session.lock(&format!("identity keys {app_id}")).await?;
    Ok(session.query_one(SQL, &[Param::Text(id), Param::Text(app_id)], |_| Ok(())).await?.is_some())
}

/// Retires a key of the app: it proves nothing more. False if it was retired before.
#[derive(Debug, Clone)]
pub struct RetireIdentityKey {
    /// The key.
    pub id: IdentityKeyId,
    /// The app.
    pub app_id: AppId,
    /// The record of it.
    pub act: Act,
}

impl Operation for RetireIdentityKey {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str =
            "UPDATE identity_keys SET retired_at = $1 WHERE id = $2 AND app_id = $3 AND retired_at IS NULL";
        let Self { id, app_id, act } = self;
        session.lock(&format!("identity keys {app_id}")).await?;
        let params = [Param::Integer(act.at.epoch_ms()), Param::Text(id), Param::Text(app_id)];
        let has_changed = session.execute(SQL, &params).await? > 0;
        if has_changed {
            audit::append(session, act).await?;
        }
        Ok(has_changed)
    }
}

impl Write for RetireIdentityKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Ends bindings that a key has proved, so many at once; answers with how many these were. None is left if they were fewer
/// than asked for.
#[derive(Debug, Clone)]
pub struct EndBindingsOfKey {
    /// The key.
    pub id: IdentityKeyId,
    /// How many, at most.
    pub limit: u32,
    /// When.
    pub now: Timestamp,
}

impl Operation for EndBindingsOfKey {
    type Out = u64;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        revocations::lock(session).await?;
        const BOUND: &str =
            "SELECT app_id, device_id FROM devices WHERE proven_by = $1 ORDER BY app_id, device_id LIMIT $2";
        let Self { id, limit, now } = self;
        let params = [Param::Text(id), Param::Integer(integer(u64::from(*limit)))];
        let bound = session.query(BOUND, &params, |row| Ok((row.id()?, row.id()?))).await?;
        for (app_id, device_id) in &bound {
            devices::unbind(session, app_id, device_id, *now).await?;
        }
        Ok(bound.len() as u64)
    }
}

impl Write for EndBindingsOfKey {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
