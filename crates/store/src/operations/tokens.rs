//! Admin tokens.

use protocol::{AgentId, AppId, Permissions, Role, Timestamp, TokenId};

use super::agents;
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
    /// The name that people see as `sender_name`, where no agent answers for it.
    pub name: String,
    /// What it may do. A session may do what its agent may.
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
    /// The agent whose session it is, or who answers for it.
    pub agent_id: Option<AgentId>,
    /// A session's: for how many milliseconds it lasts from its last use.
    pub idle_ms: Option<i64>,
    /// A session's: by what program it was made, in that one's own words.
    pub user_agent: Option<String>,
    /// The agent as they are. Read with it, and never written.
    pub agent: Option<TokensAgent>,
}

/// The agent of a token, as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokensAgent {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may do nothing any more.
    pub is_disabled: bool,
    /// Rises whenever what they may do has changed.
    pub version: u64,
}

impl Token {
    /// Whether it opens anything at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        let has_agent = match (&self.agent_id, &self.agent) {
            (None, _) => true,
            (Some(_), agent) => agent.as_ref().is_some_and(|agent| !agent.is_disabled),
        };
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end) && has_agent
    }

    /// Whether it is an agent's session, and not a program's.
    pub fn is_session(&self) -> bool {
        self.idle_ms.is_some()
    }

    /// What it allows: a session all that its agent may, a program's no more than the one who answers for it.
    pub fn allows(&self) -> Permissions {
        match &self.agent {
            None => self.permissions,
            Some(agent) if self.is_session() => agent.role.permissions(),
            Some(agent) => self.permissions.and(agent.role.permissions()),
        }
    }
}

macro_rules! columns {
    () => {
        "SELECT t.id, t.app_id, t.name, t.permissions, t.token_hash, t.created_at, t.expires_at, t.last_used_at, \
         t.revoked_at, t.agent_id, t.idle_ms, t.user_agent, a.name, a.role, a.is_disabled, a.version \
         FROM admin_tokens t LEFT JOIN agents a ON a.id = t.agent_id "
    };
}

fn read(row: &mut Row<'_>) -> Result<Token, Error> {
    let mut token = Token {
        id: row.id()?,
        app_id: row.id()?,
        name: row.text()?,
        permissions: Permissions::from_text(&row.text()?),
        token_hash: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        expires_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        last_used_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        revoked_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        agent_id: row.optional_text()?.map(AgentId::from),
        idle_ms: row.optional_integer()?,
        user_agent: row.optional_text()?,
        agent: None,
    };
    if let Some(name) = row.optional_text()? {
        let role = agents::role(&row.text()?)?;
        token.agent =
            Some(TokensAgent { name, role, is_disabled: row.integer()? != 0, version: row.count()? });
    }
    Ok(token)
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
        insert(session, &self.token).await?;
        audit::append(session, &self.act).await
    }
}

pub(super) async fn insert(session: &mut Session<'_>, token: &Token) -> Result<(), Error> {
    let permissions = token.permissions.to_text();
    session
        .execute(
            "INSERT INTO admin_tokens (id, app_id, name, permissions, token_hash, created_at, expires_at, \
             last_used_at, agent_id, idle_ms, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                Param::Text(&token.id),
                Param::Text(&token.app_id),
                Param::Text(&token.name),
                Param::Text(&permissions),
                Param::Text(&token.token_hash),
                Param::Integer(token.created_at.epoch_ms()),
                Param::OptionalInteger(token.expires_at.map(Timestamp::epoch_ms)),
                Param::OptionalInteger(token.last_used_at.map(Timestamp::epoch_ms)),
                Param::OptionalText(token.agent_id.as_deref()),
                Param::OptionalInteger(token.idle_ms),
                Param::OptionalText(token.user_agent.as_deref()),
            ],
        )
        .await
        .map(drop)
}

impl Write for CreateToken {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Ends an agent's sessions, but for one.
pub(super) async fn end_sessions(
    session: &mut Session<'_>,
    agent_id: &AgentId,
    except: Option<&TokenId>,
    now: Timestamp,
) -> Result<(), Error> {
    const END: &str = "UPDATE admin_tokens SET revoked_at = $1 WHERE agent_id = $2 AND idle_ms IS NOT NULL \
        AND revoked_at IS NULL AND id <> $3";
    let params = [
        Param::Integer(now.epoch_ms()),
        Param::Text(agent_id),
        Param::Text(except.map_or("", |id| id.as_str())),
    ];
    session.execute(END, &params).await.map(drop)
}

/// An agent's sessions that are good, the newest first.
#[derive(Debug, Clone)]
pub struct ListSignIns {
    /// The agent.
    pub agent_id: AgentId,
    /// When.
    pub now: Timestamp,
}

impl Operation for ListSignIns {
    type Out = Vec<Token>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = concat!(
            columns!(),
            "WHERE t.agent_id = $1 AND t.idle_ms IS NOT NULL AND t.revoked_at IS NULL AND t.expires_at > $2 \
             ORDER BY t.id DESC"
        );
        session.query(SQL, &[Param::Text(&self.agent_id), Param::Integer(self.now.epoch_ms())], read).await
    }
}

impl Read for ListSignIns {}

/// Ends all sessions of an agent but one.
#[derive(Debug, Clone)]
pub struct EndSignIns {
    /// The agent.
    pub agent_id: AgentId,
    /// The session that goes on, if one does.
    pub except: Option<TokenId>,
    /// The record of it.
    pub act: Act,
}

impl Operation for EndSignIns {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        end_sessions(session, &self.agent_id, self.except.as_ref(), self.act.at).await?;
        audit::append(session, &self.act).await
    }
}

impl Write for EndSignIns {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// All tokens of an app that are programs'.
#[derive(Debug, Clone)]
pub struct ListTokens {
    /// The app.
    pub app_id: AppId,
}

impl Operation for ListTokens {
    type Out = Vec<Token>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = concat!(columns!(), "WHERE t.app_id = $1 AND t.idle_ms IS NULL ORDER BY t.id");
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
        const SQL: &str = concat!(columns!(), "WHERE t.id = $1");
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
        const SQL: &str = concat!(columns!(), "WHERE t.token_hash = $1");
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

/// Remembers that a token was used; a session lasts longer by that.
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
        const SQL: &str = "UPDATE admin_tokens SET last_used_at = $1, \
            expires_at = CASE WHEN idle_ms IS NULL THEN expires_at ELSE $1 + idle_ms END \
            WHERE id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)";
        const SEEN: &str = "UPDATE agents SET last_seen_at = $1 \
            WHERE id = (SELECT agent_id FROM admin_tokens WHERE id = $2 AND idle_ms IS NOT NULL)";
        let params = || [Param::Integer(self.now.epoch_ms()), Param::Text(&self.id)];
        session.execute(SQL, &params()).await?;
        session.execute(SEEN, &params()).await?;
        Ok(())
    }
}

impl Write for TouchToken {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
