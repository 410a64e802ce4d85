//! Admin tokens.

use protocol::{AppId, Permissions, Timestamp, TokenId};

use super::audit::{self, Act};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
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

/// Stores a new token.
#[derive(Debug, Clone)]
pub struct CreateToken {
    /// The token.
    pub token: Token,
    /// The record of it.
    pub act: Act,
}

impl Operation for CreateToken {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { token, act } = self;
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
        audit::append(session, act).await
    }
}

impl Write for CreateToken {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// All tokens of an app.
#[derive(Debug, Clone)]
pub struct ListTokens {
    /// The app.
    pub app_id: AppId,
}

impl Operation for ListTokens {
    type Out = Vec<Token>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
            revoked_at FROM admin_tokens WHERE app_id = $1 ORDER BY id";
        session.query(SQL, &[Param::Text(&self.app_id)], read).await
    }
}

impl Read for ListTokens {}

/// One token.
#[derive(Debug, Clone)]
pub struct FindToken {
    /// The token.
    pub id: TokenId,
}

impl Operation for FindToken {
    type Out = Option<Token>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
            revoked_at FROM admin_tokens WHERE id = $1";
        session.query_one(SQL, &[Param::Text(&self.id)], read).await
    }
}

impl Read for FindToken {}

/// The token with that secret.
#[derive(Debug, Clone)]
pub struct FindTokenByHash {
    /// SHA-256 of its secret, in hexadecimal.
    pub hash: String,
}

impl Operation for FindTokenByHash {
    type Out = Option<Token>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT id, app_id, name, permissions, token_hash, created_at, expires_at, last_used_at, \
            revoked_at FROM admin_tokens WHERE token_hash = $1";
        session.query_one(SQL, &[Param::Text(&self.hash)], read).await
    }
}

impl Read for FindTokenByHash {}

/// Revokes a token; false if it was revoked before.
#[derive(Debug, Clone)]
pub struct RevokeToken {
    /// The token.
    pub id: TokenId,
    /// The record of it.
    pub act: Act,
}

impl Operation for RevokeToken {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE admin_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
        let params = [Param::Integer(self.act.at.epoch_ms()), Param::Text(&self.id)];
        let has_changed = session.execute(SQL, &params).await? > 0;
        if has_changed {
            audit::append(session, &self.act).await?;
        }
        Ok(has_changed)
    }
}

impl Write for RevokeToken {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Remembers that a token was used.
#[derive(Debug, Clone)]
pub struct TouchToken {
    /// The token.
    pub id: TokenId,
    /// When it was used.
    pub now: Timestamp,
}

impl Operation for TouchToken {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE admin_tokens SET last_used_at = $1 WHERE id = $2";
        session.execute(SQL, &[Param::Integer(self.now.epoch_ms()), Param::Text(&self.id)]).await?;
        Ok(())
    }
}

impl Write for TouchToken {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
