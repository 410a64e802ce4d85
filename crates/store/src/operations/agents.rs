//! Agents: people who answer, and the codes by which they come in.

use protocol::{AgentId, AppId, Availability, Permission, Role, Timestamp};

use super::apps::{self, App};
use super::audit::{self, Act};
use super::tokens::{self, Token};
use crate::error::{Error, ErrorKind};
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session};

/// An agent, in one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAgent {
    /// Their id.
    pub id: AgentId,
    /// The app.
    pub app_id: AppId,
    /// Their name, which people see.
    pub name: String,
    /// Their e-mail address, in lower case.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may do nothing any more.
    pub is_disabled: bool,
    /// Whether they take part just now.
    pub availability: Availability,
    /// What is kept of their password, once they have set one.
    pub password_hash: Option<String>,
    /// When they were invited.
    pub created_at: Timestamp,
    /// When they last did anything, to the minute.
    pub last_seen_at: Option<Timestamp>,
    /// Rises whenever what they may do has changed.
    pub version: u64,
}

impl StoredAgent {
    /// Whether conversations may be with them: they may answer.
    pub fn may_answer(&self) -> bool {
        !self.is_disabled && self.role.permissions().has(Permission::SendMessages)
    }
}

macro_rules! columns {
    () => {
        "SELECT id, app_id, name, email, role, is_disabled, is_away, password_hash, created_at, last_seen_at, version \
         FROM agents "
    };
}

fn read(row: &mut Row<'_>) -> Result<StoredAgent, Error> {
    Ok(StoredAgent {
        id: row.id()?,
        app_id: row.id()?,
        name: row.text()?,
        email: row.text()?,
        role: role(&row.text()?)?,
        is_disabled: row.integer()? != 0,
        availability: if row.integer()? == 0 { Availability::Online } else { Availability::Away },
        password_hash: row.optional_text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        last_seen_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        version: row.count()?,
    })
}

pub(super) fn role(text: &str) -> Result<Role, Error> {
    Role::parse(text).ok_or_else(|| Error::new(ErrorKind::Internal, format!("role {text:?}")))
}

/// What a code opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// The first app and its first admin, where there is none.
    FirstRun,
    /// An agent who has been invited, or has forgotten their password.
    Account,
    /// An agent of the demo, as they are.
    Demo,
}

impl CodeKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::FirstRun => "first_run",
            Self::Account => "account",
            Self::Demo => "demo",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::FirstRun, Self::Account, Self::Demo].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A code about to be given out. It is good once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode {
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// What it opens.
    pub kind: CodeKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is void.
    pub expires_at: Timestamp,
}

/// Stores a code, in the place of those that the agent had before.
async fn give(session: &mut Session<'_>, code: &NewCode, agent_id: Option<&AgentId>) -> Result<(), Error> {
    const REPLACE: &str = "DELETE FROM codes WHERE agent_id = $1";
    const FORGET: &str = "DELETE FROM codes WHERE expires_at < $1";
    const ADD: &str =
        "INSERT INTO codes (code_hash, kind, agent_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
    if let Some(agent_id) = agent_id {
        session.execute(REPLACE, &[Param::Text(agent_id)]).await?;
    }
    session.execute(FORGET, &[Param::Integer(code.created_at.epoch_ms())]).await?;
    let params = [
        Param::Text(&code.hash),
        Param::Text(code.kind.as_str()),
        Param::OptionalText(agent_id.map(AgentId::as_str)),
        Param::Integer(code.created_at.epoch_ms()),
        Param::Integer(code.expires_at.epoch_ms()),
    ];
    session.execute(ADD, &params).await.map(drop)
}

/// What a code opens that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodCode {
    /// What it opens.
    pub kind: CodeKind,
    /// Whose account, if it is one's.
    pub agent: Option<StoredAgent>,
}

/// What a code opens; `None` if it is void, was used, or never was one.
#[derive(Debug, Clone)]
pub struct FindCode {
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// When.
    pub now: Timestamp,
}

impl Operation for FindCode {
    type Out = Option<GoodCode>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        find_code(session, &self.hash, self.now).await
    }
}

impl Read for FindCode {}

async fn find_code(session: &mut Session<'_>, hash: &str, now: Timestamp) -> Result<Option<GoodCode>, Error> {
    const FIND: &str = "SELECT kind, agent_id FROM codes WHERE code_hash = $1 AND expires_at > $2";
    let params = [Param::Text(hash), Param::Integer(now.epoch_ms())];
    let row = |row: &mut Row<'_>| Ok((row.text()?, row.optional_text()?.map(AgentId::from)));
    let Some((kind, agent_id)) = session.query_one(FIND, &params, row).await? else { return Ok(None) };
    let Some(kind) = CodeKind::parse(&kind) else { return Ok(None) };
    let agent = match agent_id {
        Some(id) => find(session, &id).await?.filter(|agent| !agent.is_disabled),
        None => None,
    };
    let is_good = match kind {
        CodeKind::FirstRun => is_empty(session).await?,
        CodeKind::Account | CodeKind::Demo => agent.is_some(),
    };
    Ok(is_good.then_some(GoodCode { kind, agent }))
}

async fn use_up(session: &mut Session<'_>, hash: &str) -> Result<bool, Error> {
    const USE_UP: &str = "DELETE FROM codes WHERE code_hash = $1";
    Ok(session.execute(USE_UP, &[Param::Text(hash)]).await? > 0)
}

pub(super) async fn find(session: &mut Session<'_>, id: &AgentId) -> Result<Option<StoredAgent>, Error> {
    const SQL: &str = concat!(columns!(), "WHERE id = $1");
    session.query_one(SQL, &[Param::Text(id)], read).await
}

async fn is_empty(session: &mut Session<'_>) -> Result<bool, Error> {
    const ANY: &str = "SELECT 1 FROM apps LIMIT 1";
    Ok(session.query_one(ANY, &[], |_| Ok(())).await?.is_none())
}

/// Gives out a code for the first run. False if there is an app already.
#[derive(Debug, Clone)]
pub struct BeginFirstRun {
    /// The code.
    pub code: NewCode,
}

impl Operation for BeginFirstRun {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        if !is_empty(session).await? {
            return Ok(false);
        }
        give(session, &self.code, None).await?;
        Ok(true)
    }
}

impl Write for BeginFirstRun {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Makes the first app and its first admin, who is signed in then. False if the code is void, or somebody was faster.
#[derive(Debug, Clone)]
pub struct EndFirstRun {
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// The app.
    pub app: App,
    /// Its admin.
    pub agent: StoredAgent,
    /// Their session.
    pub session: Token,
    /// The records of it.
    pub acts: Vec<Act>,
}

impl Operation for EndFirstRun {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { hash, app, agent, session: token, acts } = self;
        session.lock("first run").await?;
        if find_code(session, hash, token.created_at).await?.is_none() {
            return Ok(false);
        }
        use_up(session, hash).await?;
        apps::insert(session, app).await?;
        insert(session, agent).await?;
        tokens::insert(session, token).await?;
        for act in acts {
            audit::append(session, act).await?;
        }
        Ok(true)
    }
}

impl Write for EndFirstRun {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

async fn insert(session: &mut Session<'_>, agent: &StoredAgent) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO agents (id, app_id, name, email, role, password_hash, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let params = [
        Param::Text(&agent.id),
        Param::Text(&agent.app_id),
        Param::Text(&agent.name),
        Param::Text(&agent.email),
        Param::Text(agent.role.as_str()),
        Param::OptionalText(agent.password_hash.as_deref()),
        Param::Integer(agent.created_at.epoch_ms()),
    ];
    session.execute(SQL, &params).await.map(drop)
}

/// What came of an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invited {
    /// They are invited, now or again: who has not come yet keeps the id of the first time.
    Done(StoredAgent),
    /// Somebody with that address is an agent of the app already.
    Exists,
    /// There is no such app.
    NoApp,
}

/// Invites somebody to an app; who was invited before and has not come is invited anew.
#[derive(Debug, Clone)]
pub struct InviteAgent {
    /// Who.
    pub agent: StoredAgent,
    /// The code that lets them in.
    pub code: NewCode,
    /// The record of it.
    pub act: Act,
}

impl Operation for InviteAgent {
    type Out = Invited;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const FIND: &str = concat!(columns!(), "WHERE app_id = $1 AND email = $2");
        const AGAIN: &str = "UPDATE agents SET name = $1, role = $2, is_disabled = 0 WHERE id = $3";
        let Self { agent, code, act } = self;
        lock(session, &agent.app_id).await?;
        if apps::find(session, &agent.app_id).await?.is_none() {
            return Ok(Invited::NoApp);
        }
        let params = [Param::Text(&agent.app_id), Param::Text(&agent.email)];
        let id = match session.query_one(FIND, &params, read).await? {
            Some(known) if known.password_hash.is_some() => return Ok(Invited::Exists),
            Some(known) => {
                let params =
                    [Param::Text(&agent.name), Param::Text(agent.role.as_str()), Param::Text(&known.id)];
                session.execute(AGAIN, &params).await?;
                known.id
            }
            None => {
                insert(session, agent).await?;
                agent.id.clone()
            }
        };
        give(session, code, Some(&id)).await?;
        audit::append(session, &Act { target: id.to_string(), ..act.clone() }).await?;
        find(session, &id).await?.map(Invited::Done).ok_or_else(gone)
    }
}

impl Write for InviteAgent {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "an agent is gone in its own transaction")
}

/// Two who change an app's agents at once must not each leave the other as the last admin.
async fn lock(session: &mut Session<'_>, app_id: &AppId) -> Result<(), Error> {
    session.lock(&format!("agents {app_id}")).await
}

/// One agent.
#[derive(Debug, Clone)]
pub struct FindAgent {
    /// The agent.
    pub id: AgentId,
}

impl Operation for FindAgent {
    type Out = Option<StoredAgent>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        find(session, &self.id).await
    }
}

impl Read for FindAgent {}

/// All agents of an app.
#[derive(Debug, Clone)]
pub struct ListAgents {
    /// The app.
    pub app_id: AppId,
}

impl Operation for ListAgents {
    type Out = Vec<StoredAgent>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = concat!(columns!(), "WHERE app_id = $1 ORDER BY email");
        session.query(SQL, &[Param::Text(&self.app_id)], read).await
    }
}

impl Read for ListAgents {}

/// The accounts with an e-mail address, in whatever apps or in one; those first that were used last.
#[derive(Debug, Clone)]
pub struct FindAccounts {
    /// The address, in lower case.
    pub email: String,
    /// Only in this app, if set.
    pub app_id: Option<AppId>,
}

impl Operation for FindAccounts {
    type Out = Vec<StoredAgent>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = concat!(
            columns!(),
            "WHERE email = $1 AND (CAST($2 AS TEXT) IS NULL OR app_id = $2) \
             ORDER BY COALESCE(last_seen_at, 0) DESC, id"
        );
        let params = [Param::Text(&self.email), Param::OptionalText(self.app_id.as_deref())];
        session.query(SQL, &params, read).await
    }
}

impl Read for FindAccounts {}

/// What is to be other of an agent; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentChange {
    /// Their name.
    pub name: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// Whether they may do nothing any more.
    pub is_disabled: Option<bool>,
    /// Whether they take part just now.
    pub availability: Option<Availability>,
    /// What is kept of their password.
    pub password_hash: Option<String>,
}

/// What came of a change of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentChanged {
    /// They are so now.
    Done(StoredAgent),
    /// The app has no such agent.
    NotFound,
    /// They are the app's last admin who can come in, and stay that.
    LastAdmin,
}

/// Changes an agent.
#[derive(Debug, Clone)]
pub struct ChangeAgent {
    /// The app.
    pub app_id: AppId,
    /// The agent.
    pub id: AgentId,
    /// What is to be other.
    pub change: AgentChange,
    /// Their sessions end, but for this one, if the password is other or they are disabled.
    pub except: Option<protocol::TokenId>,
    /// The record of it; none for what they only say of themselves.
    pub act: Option<Act>,
    /// When.
    pub now: Timestamp,
}

impl Operation for ChangeAgent {
    type Out = AgentChanged;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const ADMINS: &str = "SELECT COUNT(*) FROM agents WHERE app_id = $1 AND role = 'admin' AND is_disabled = 0 \
            AND password_hash IS NOT NULL AND id <> $2";
        const CHANGE: &str = "UPDATE agents SET name = COALESCE($1, name), role = COALESCE($2, role), \
            is_disabled = COALESCE($3, is_disabled), is_away = COALESCE($4, is_away), \
            password_hash = COALESCE($5, password_hash), version = version + $6 WHERE id = $7";
        let Self { app_id, id, change, except, act, now } = self;
        lock(session, app_id).await?;
        let Some(before) = find(session, id).await?.filter(|agent| agent.app_id == *app_id) else {
            return Ok(AgentChanged::NotFound);
        };
        let is_admin = before.role == Role::Admin && !before.is_disabled && before.password_hash.is_some();
        let stays_admin =
            change.role.is_none_or(|role| role == Role::Admin) && change.is_disabled != Some(true);
        if is_admin && !stays_admin {
            let params = [Param::Text(app_id), Param::Text(id)];
            let others = session.query_one(ADMINS, &params, |row| row.count()).await?;
            if others.unwrap_or_default() == 0 {
                return Ok(AgentChanged::LastAdmin);
            }
        }
        let has_other_rights = change.role.is_some_and(|role| role != before.role)
            || change.is_disabled.is_some_and(|is_disabled| is_disabled != before.is_disabled);
        let params = [
            Param::OptionalText(change.name.as_deref()),
            Param::OptionalText(change.role.map(Role::as_str)),
            Param::OptionalInteger(change.is_disabled.map(i64::from)),
            Param::OptionalInteger(change.availability.map(|to| (to == Availability::Away).into())),
            Param::OptionalText(change.password_hash.as_deref()),
            Param::Integer(has_other_rights.into()),
            Param::Text(id),
        ];
        session.execute(CHANGE, &params).await?;
        if change.password_hash.is_some() || change.is_disabled == Some(true) {
            tokens::end_sessions(session, id, except.as_ref(), *now).await?;
        }
        if let Some(act) = act {
            audit::append(session, act).await?;
        }
        find(session, id).await?.map(AgentChanged::Done).ok_or_else(gone)
    }
}

impl Write for ChangeAgent {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Gives an agent a code, in the place of any before. `None` if the app has no such agent, or they are disabled.
#[derive(Debug, Clone)]
pub struct GiveCode {
    /// The app.
    pub app_id: AppId,
    /// The agent.
    pub id: AgentId,
    /// The code.
    pub code: NewCode,
    /// The record of it.
    pub act: Act,
}

impl Operation for GiveCode {
    type Out = Option<StoredAgent>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, id, code, act } = self;
        let found = find(session, id).await?;
        let Some(agent) = found.filter(|agent| agent.app_id == *app_id && !agent.is_disabled) else {
            return Ok(None);
        };
        give(session, code, Some(id)).await?;
        audit::append(session, act).await?;
        Ok(Some(agent))
    }
}

impl Write for GiveCode {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Uses a code up: the agent has this password from now on, and is signed in; their other sessions end. `None` if the code
/// is void.
#[derive(Debug, Clone)]
pub struct UseCode {
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// What is kept of their password; an agent of the demo needs none.
    pub password_hash: Option<String>,
    /// Their name, if they say another.
    pub name: Option<String>,
    /// Their session.
    pub session: Token,
    /// The record of it.
    pub act: Act,
}

impl Operation for UseCode {
    type Out = Option<StoredAgent>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SET: &str = "UPDATE agents SET name = COALESCE($1, name), password_hash = COALESCE($2, password_hash), \
            last_seen_at = $3 WHERE id = $4";
        let Self { hash, password_hash, name, session: token, act } = self;
        session.lock(hash).await?;
        let Some(GoodCode { agent: Some(agent), .. }) = find_code(session, hash, token.created_at).await?
        else {
            return Ok(None);
        };
        if !use_up(session, hash).await? {
            return Ok(None);
        }
        let params = [
            Param::OptionalText(name.as_deref()),
            Param::OptionalText(password_hash.as_deref()),
            Param::Integer(token.created_at.epoch_ms()),
            Param::Text(&agent.id),
        ];
        session.execute(SET, &params).await?;
        if password_hash.is_some() {
            tokens::end_sessions(session, &agent.id, None, token.created_at).await?;
        }
        tokens::insert(session, token).await?;
        audit::append(session, act).await?;
        find(session, &agent.id).await
    }
}

impl Write for UseCode {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Signs an agent in. False if what they may do has changed since they were looked at: look again.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The agent, as they were found.
    pub agent: StoredAgent,
    /// Their session.
    pub session: Token,
    /// The record of it.
    pub act: Act,
}

impl Operation for SignIn {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SEEN: &str =
            "UPDATE agents SET last_seen_at = $1 WHERE id = $2 AND is_disabled = 0 AND password_hash = $3";
        let Self { agent, session: token, act } = self;
        let params = [
            Param::Integer(token.created_at.epoch_ms()),
            Param::Text(&agent.id),
            Param::Text(agent.password_hash.as_deref().unwrap_or_default()),
        ];
        if session.execute(SEEN, &params).await? == 0 {
            return Ok(false);
        }
        tokens::insert(session, token).await?;
        audit::append(session, act).await?;
        Ok(true)
    }
}

impl Write for SignIn {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
