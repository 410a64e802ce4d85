//! Apps and their keys.

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
}

fn read(row: &mut crate::session::Row<'_>) -> Result<App, Error> {
    Ok(App {
        id: row.id()?,
        name: row.text()?,
        api_key_hash: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
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
    const SQL: &str = "SELECT id, name, api_key_hash, created_at FROM apps ORDER BY id";
    session.query(SQL, &[], read).await
}

pub(crate) async fn find(session: &mut Session<'_>, id: &AppId) -> Result<Option<App>, Error> {
    const SQL: &str = "SELECT id, name, api_key_hash, created_at FROM apps WHERE id = $1";
    session.query_one(SQL, &[Param::Text(id)], read).await
}

pub(crate) async fn rotate_key(session: &mut Session<'_>, id: &AppId, hash: &str) -> Result<bool, Error> {
    let changed = session
        .execute("UPDATE apps SET api_key_hash = $1 WHERE id = $2", &[Param::Text(hash), Param::Text(id)])
        .await?;
    Ok(changed > 0)
}
