//! Apps, their keys, and what the installation itself keeps secret.

use protocol::{AppId, Timestamp};

use crate::error::Error;
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
        "SELECT id, name, api_key_hash, created_at, allowed_origins, old_key_hash, old_key_until, old_key_used_at FROM apps "
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
    Ok(App { id, name, api_key_hash, old_key, created_at, allowed_origins })
}

/// Stores the app; false if there is one with this id.
pub(crate) async fn create(session: &mut Session<'_>, app: &App) -> Result<bool, Error> {
    let created = session
        .execute(
            "INSERT INTO apps (id, name, api_key_hash, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
            &[
                Param::Text(&app.id),
                Param::Text(&app.name),
                Param::Text(&app.api_key_hash),
                Param::Integer(app.created_at.epoch_ms()),
            ],
        )
        .await?;
    Ok(created > 0)
}

pub(crate) async fn list(session: &mut Session<'_>) -> Result<Vec<App>, Error> {
    const SQL: &str = concat!(columns!(), "ORDER BY id");
    session.query(SQL, &[], read).await
}

pub(crate) async fn find(session: &mut Session<'_>, id: &AppId) -> Result<Option<App>, Error> {
    const SQL: &str = concat!(columns!(), "WHERE id = $1");
    session.query_one(SQL, &[Param::Text(id)], read).await
}

/// Gives the app another key. The present one is kept until then, or ends now, and every older one with it.
pub(crate) async fn rotate_key(
    session: &mut Session<'_>,
    id: &AppId,
    hash: &str,
    keep_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Rotated, Error> {
    session.lock(id).await?;
    let Some(app) = find(session, id).await? else { return Ok(Rotated::NoApp) };
    if let (Some(_), Some(older)) = (keep_until, app.old_key.filter(|older| now < older.until)) {
        return Ok(Rotated::OlderIsGood(older.until));
    }
    const SQL: &str = "UPDATE apps SET old_key_hash = api_key_hash, old_key_until = $1, old_key_used_at = NULL, \
         api_key_hash = $2 WHERE id = $3";
    let until = keep_until.unwrap_or(now);
    session.execute(SQL, &[Param::Integer(until.epoch_ms()), Param::Text(hash), Param::Text(id)]).await?;
    Ok(Rotated::Done)
}

/// Ends the app's old key now; false if there is no such app, or none that is good.
pub(crate) async fn end_old_key(
    session: &mut Session<'_>,
    id: &AppId,
    now: Timestamp,
) -> Result<bool, Error> {
    const SQL: &str = "UPDATE apps SET old_key_until = $1 WHERE id = $2 AND old_key_until > $1";
    Ok(session.execute(SQL, &[Param::Integer(now.epoch_ms()), Param::Text(id)]).await? > 0)
}

/// Notes that the app's old key was used.
pub(crate) async fn touch_old_key(
    session: &mut Session<'_>,
    id: &AppId,
    now: Timestamp,
) -> Result<(), Error> {
    const SQL: &str = "UPDATE apps SET old_key_used_at = $1 WHERE id = $2";
    session.execute(SQL, &[Param::Integer(now.epoch_ms()), Param::Text(id)]).await?;
    Ok(())
}

/// Takes the pages that may use the app's key; false if there is no such app.
pub(crate) async fn allow_origins(
    session: &mut Session<'_>,
    id: &AppId,
    origins: &[String],
) -> Result<bool, Error> {
    const SQL: &str = "UPDATE apps SET allowed_origins = $1 WHERE id = $2";
    let origins = origins.join(" ");
    Ok(session.execute(SQL, &[Param::Text(&origins), Param::Text(id)]).await? > 0)
}

/// The installation's secret of that name: the one that is there, else this one from now on.
pub(crate) async fn secret(session: &mut Session<'_>, name: &str, new: &str) -> Result<String, Error> {
    const KEEP: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    session.execute(KEEP, &[Param::Text(name), Param::Text(new)]).await?;
    const FIND: &str = "SELECT value FROM secrets WHERE name = $1";
    let found = session.query_one(FIND, &[Param::Text(name)], |row| row.text()).await?;
    Ok(found.unwrap_or_else(|| new.to_owned()))
}
