//! Admin tokens.

use protocol::{AppId, Permissions, Timestamp, TokenId};

use crate::error::Error;
use crate::session::{Param, Row, Session};

/// An admin token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The one app it is for.
    pub app_id: AppId,
    /// The agent's name: what people see as `sender_name`.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// SHA-256 of the secret, in hexadecimal.
    pub token_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is void, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it opens anything at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

fn read(row: &mut Row<'_>) -> Result<Token, Error> {
    Ok(Token {
        id: row.id()?,
        app_id: row.id()?,
        name: row.text()?,
        permissions: Permissions::from_text(&row.text()?),
        token_hash: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        expires_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        last_used_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        revoked_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
    })
}

pub(crate) async fn create(session: &mut Session<'_>, token: &Token) -> Result<(), Error> {
    let permissions = token.permissions.to_text();
    session
        .execute(
            "INSERT INTO admin_tokens (id, app_id, name, permissions, token_hash, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                Param::Text(&token.id),
                Param::Text(&token.app_id),
                Param::Text(&token.name),
                Param::Text(&permissions),
                Param::Text(&token.token_hash),
                Param::Integer(token.created_at.epoch_ms()),
                Param::OptionalInteger(token.expires_at.map(Timestamp::epoch_ms)),
            ],
        )
        .await?;
    Ok(())
}

pub(crate) async fn list(session: &mut Session<'_>, app_id: &AppId) -> Result<Vec<Token>, Error> {
    const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
        revoked_at FROM admin_tokens WHERE app_id = $1 ORDER BY id";
    session.query(SQL, &[Param::Text(app_id)], read).await
}

pub(crate) async fn find(session: &mut Session<'_>, id: &TokenId) -> Result<Option<Token>, Error> {
    const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
        revoked_at FROM admin_tokens WHERE id = $1";
    session.query_one(SQL, &[Param::Text(id)], read).await
}

pub(crate) async fn find_by_hash(session: &mut Session<'_>, hash: &str) -> Result<Option<Token>, Error> {
    const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
        revoked_at FROM admin_tokens WHERE token_hash = $1";
    session.query_one(SQL, &[Param::Text(hash)], read).await
}

pub(crate) async fn revoke(session: &mut Session<'_>, id: &TokenId, now: Timestamp) -> Result<bool, Error> {
    const SQL: &str = "UPDATE admin_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
    let changed = session.execute(SQL, &[Param::Integer(now.epoch_ms()), Param::Text(id)]).await?;
    Ok(changed > 0)
}

pub(crate) async fn touch(session: &mut Session<'_>, id: &TokenId, now: Timestamp) -> Result<(), Error> {
    const SQL: &str = "UPDATE admin_tokens SET last_used_at = $1 WHERE id = $2";
    session.execute(SQL, &[Param::Integer(now.epoch_ms()), Param::Text(id)]).await?;
    Ok(())
}
