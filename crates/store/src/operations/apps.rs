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
    /// When it was made.
    pub created_at: Timestamp,
    /// The origins of the pages that may use its key, as browsers write them; none is any.
    pub allowed_origins: Vec<String>,
}

fn read(row: &mut crate::session::Row<'_>) -> Result<App, Error> {
    Ok(App {
        id: row.id()?,
        name: row.text()?,
        api_key_hash: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        allowed_origins: row.text()?.split_whitespace().map(str::to_owned).collect(),
    })
}

pub(crate) async fn create(session: &mut Session<'_>, app: &App) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO apps (id, name, api_key_hash, created_at) VALUES ($1, $2, $3, $4)",
            &[
                Param::Text(&app.id),
                Param::Text(&app.name),
                Param::Text(&app.api_key_hash),
                Param::Integer(app.created_at.epoch_ms()),
            ],
        )
        .await?;
    Ok(())
}

pub(crate) async fn list(session: &mut Session<'_>) -> Result<Vec<App>, Error> {
    const SQL: &str = "SELECT id, name, api_key_hash, created_at, allowed_origins FROM apps ORDER BY id";
    session.query(SQL, &[], read).await
}

pub(crate) async fn find(session: &mut Session<'_>, id: &AppId) -> Result<Option<App>, Error> {
    const SQL: &str = "SELECT id, name, api_key_hash, created_at, allowed_origins FROM apps WHERE id = $1";
    session.query_one(SQL, &[Param::Text(id)], read).await
}

pub(crate) async fn rotate_key(session: &mut Session<'_>, id: &AppId, hash: &str) -> Result<bool, Error> {
    let changed = session
        .execute("UPDATE apps SET api_key_hash = $1 WHERE id = $2", &[Param::Text(hash), Param::Text(id)])
        .await?;
    Ok(changed > 0)
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
