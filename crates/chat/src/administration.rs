//! Apps, keys, tokens, and the record of what was done with them.

use std::time::Duration;

use protocol::limits::Action;
use protocol::rest::AuditPage;
use protocol::{AgentId, AppId, AuditEntry, Code, Failure, Permission, Permissions, Timestamp, TokenId};
use store::{
    Act, App, AppChange, ChangeApp, CreateApp, CreateToken, EndOldKey, FindApp, FindToken, IdentityPolicy,
    ListActs, ListApps, ListTokens, RevokeToken, RotateKey, Rotated, Token,
};

use crate::{Agent, Chat, Page, Principal, credential, input};

/// Who the command line is in the audit log.
const COMMAND_LINE: &str = "cli";

/// By whom something is administered.
#[derive(Debug, Clone)]
pub enum By {
    /// Whoever runs the server.
    CommandLine,
    /// An agent, within their own app.
    Agent(Agent),
}

impl By {
    /// Whether an app is any business of theirs.
    pub(crate) fn may_touch(&self, app_id: &AppId) -> bool {
        match self {
            Self::CommandLine => true,
            Self::Agent(agent) => agent.app_id == *app_id,
        }
    }
}

/// A new app, with its key, which is not to be had again.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// The app.
    pub app_id: AppId,
    /// Its key.
    pub api_key: String,
}

/// What a new token is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewTokenWish<'a> {
    /// Its name, which people see as `sender_name` where no agent answers for it.
    pub name: &'a str,
    /// What it may do.
    pub permissions: Permissions,
    /// How long it is good; for ever, if nothing is said.
    pub expires_in: Option<Duration>,
    /// The agent who answers for it.
    pub owner: Option<&'a AgentId>,
}

/// A new admin token, with its secret, which is not to be had again.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name in lists.
    pub id: TokenId,
    /// The secret.
    pub admin_token: String,
}

/// An app's new key, which is not to be had again.
#[derive(Debug, Clone)]
pub struct RotatedKey {
    /// The key.
    pub api_key: String,
    /// Until when the key before it is good, if it was kept.
    pub old_key_until: Option<Timestamp>,
}

impl Chat {
    /// # Errors
    /// `FORBIDDEN`, or `RATE_LIMITED`: an agent needs the permission to manage.
    pub(crate) fn may_manage(&self, by: &By) -> Result<(), Failure> {
        match by {
            By::CommandLine => Ok(()),
            By::Agent(agent) => {
                agent.require(Permission::Manage)?;
                self.limit(Action::Change, &Principal::Agent(agent.clone()))
            }
        }
    }

    /// The record of an act that is about to be done.
    pub(crate) fn act_by(&self, by: &By, app_id: &AppId, action: &'static str, target: &str) -> Act {
        Act {
            app_id: app_id.clone(),
            at: self.ambient.now(),
            actor: match by {
                By::CommandLine => COMMAND_LINE.into(),
                By::Agent(agent) => agent.actor().into(),
            },
            action,
            target: target.into(),
            details: None,
        }
    }

    /// Makes an app.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `VALIDATION_ERROR`, `SERVER_ERROR`.
    pub async fn create_app(&self, name: &str) -> Result<NewApp, Failure> {
        let app_id = AppId::new(self.ambient.now(), self.ambient.chance());
        let api_key = credential::generate(credential::APP_KEY_PREFIX, &self.ambient);
        let details = serde_json::json!({ "name": name });
        self.store_app(name, app_id, api_key, details).await
    }

    /// Makes an app of one that was on another system, with the id and the key that apps have compiled in which people have
    /// installed.
    ///
    /// # Errors
    /// `MISSING_PARAMS`; `VALIDATION_ERROR` for an id or a key of another form, and for an id that is taken; `SERVER_ERROR`.
    pub async fn take_over_app(&self, name: &str, app_id: &str, api_key: &str) -> Result<NewApp, Failure> {
        input::foreign_app_id(app_id)?;
        input::foreign_key(api_key)?;
        let details = serde_json::json!({ "name": name, "taken_over": true });
        self.store_app(name, app_id.into(), api_key.to_owned(), details).await
    }

    async fn store_app(
        &self,
        name: &str,
        app_id: AppId,
        api_key: String,
        details: serde_json::Value,
    ) -> Result<NewApp, Failure> {
        input::name("name", name)?;
        let app = App {
            id: app_id.clone(),
            name: name.into(),
            api_key_hash: credential::hash(&api_key),
            old_key: None,
            created_at: self.ambient.now(),
            allowed_origins: Vec::new(),
            identity: IdentityPolicy::Claimed,
            requires_device_secret: false,
        };
        let mut act = self.act_by(&By::CommandLine, &app_id, "app.create", &app_id);
        act.details = Some(details);
        if !self.write(CreateApp { app, act }).await? {
            return Err(Failure::invalid(format!("there is an app {app_id} already")));
        }
        Ok(NewApp { app_id, api_key })
    }

    /// All apps of this installation.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn apps(&self) -> Result<Vec<App>, Failure> {
        self.read(ListApps).await
    }

    /// Gives an app another key. The present one is good for so long beside it, or void at once, and every older one with
    /// it. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`; `VALIDATION_ERROR` if the present one is to be kept and an older one is still good; `RATE_LIMITED`,
    /// `SERVER_ERROR`.
    pub async fn rotate_key(
        &self,
        by: &By,
        app_id: &AppId,
        keep_old_for: Option<Duration>,
    ) -> Result<Option<RotatedKey>, Failure> {
        self.may_manage(by)?;
        let api_key = credential::generate(credential::APP_KEY_PREFIX, &self.ambient);
        let mut act = self.act_by(by, app_id, "app.rotate_key", app_id);
        let old_key_until = keep_old_for.map(|time| act.at.plus(time));
        act.details = old_key_until.map(|until| serde_json::json!({ "old_key_until": until }));
        let (id, api_key_hash) = (app_id.clone(), credential::hash(&api_key));
        let rotated = self.write(RotateKey { id, api_key_hash, keep_until: old_key_until, act }).await?;
        self.apps.forget(app_id);
        match rotated {
            Rotated::NoApp => Ok(None),
            Rotated::Done => Ok(Some(RotatedKey { api_key, old_key_until })),
            Rotated::OlderIsGood(until) => Err(Failure::invalid(format!(
                "this app has an old key already, which is good until {until}, and only one may be beside the present \
                 one: end that one first, or rotate without keeping any"
            ))),
        }
    }

    /// Ends an app's old key now. False if it has none that is good; `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn end_old_key(&self, by: &By, app_id: &AppId) -> Result<Option<bool>, Failure> {
        self.may_manage(by)?;
        let act = self.act_by(by, app_id, "app.end_old_key", app_id);
        let ended = self.write(EndOldKey { id: app_id.clone(), act }).await?;
        self.apps.forget(app_id);
        Ok(if ended || self.app_exists(app_id).await? { Some(ended) } else { None })
    }

    /// Changes an app: its name, whose word it takes for who somebody is, whether devices have to show a secret, and the
    /// origins of the pages that may use its key (none is any). `None` if there is no such app, else the app as it is then.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`, `VALIDATION_ERROR`, `SERVER_ERROR`.
    pub async fn change_app(
        &self,
        by: &By,
        app_id: &AppId,
        mut change: AppChange,
    ) -> Result<Option<App>, Failure> {
        self.may_manage(by)?;
        if let Some(name) = &change.name {
            input::name("name", name)?;
        }
        if let Some(origins) = &mut change.allowed_origins {
            *origins = origins.iter().map(|origin| input::origin(origin)).collect::<Result<_, _>>()?;
        }
        let mut act = self.act_by(by, app_id, "app.change", app_id);
        let mut details = serde_json::Map::new();
        let mut tell = |field: &str, value: Option<serde_json::Value>| {
            details.extend(value.map(|value| (field.to_owned(), value)));
        };
        tell("name", change.name.as_ref().map(|name| name.as_str().into()));
        tell("identity", change.identity.map(|identity| identity.as_str().into()));
        tell("require_device_secret", change.requires_device_secret.map(Into::into));
        tell("allowed_origins", change.allowed_origins.as_ref().map(|origins| serde_json::json!(origins)));
        act.details = Some(details.into());
        let changed = self.write(ChangeApp { id: app_id.clone(), change, act }).await?;
        self.apps.forget(app_id);
        Ok(changed)
    }

    /// The agent's app.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn app_of(&self, agent: &Agent) -> Result<App, Failure> {
        agent.require(Permission::Manage)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let found = self.read(FindApp { id: agent.app_id.clone() }).await?;
        found.ok_or_else(|| Failure::new(Code::NotFound, "there is no such app"))
    }

    /// Makes an admin token for a program. With an owner, who is an agent of the app, it acts as them, may do no more than they,
    /// and ends with them. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`, also for a permission that whoever asks has not; `MISSING_PARAMS`, `VALIDATION_ERROR`, `RATE_LIMITED`,
    /// `SERVER_ERROR`.
    pub async fn create_token(
        &self,
        by: &By,
        app_id: &AppId,
        wish: NewTokenWish<'_>,
    ) -> Result<Option<NewToken>, Failure> {
        self.may_manage(by)?;
        let NewTokenWish { name, permissions, expires_in, owner } = wish;
        input::name("name", name)?;
        if let By::Agent(agent) = by {
            // Nobody hands on what they don't have.
            permissions.iter().try_for_each(|permission| agent.require(permission))?;
        }
        if !self.app_exists(app_id).await? {
            return Ok(None);
        }
        let now = self.ambient.now();
        let id = TokenId::new(now, self.ambient.chance());
        let admin_token = credential::generate(credential::ADMIN_TOKEN_PREFIX, &self.ambient);
        let token = Token {
            id: id.clone(),
            app_id: app_id.clone(),
            name: name.into(),
            permissions,
            token_hash: credential::hash(&admin_token),
            created_at: now,
            expires_at: expires_in.map(|duration| now.plus(duration)),
            last_used_at: None,
            revoked_at: None,
            agent_id: owner.cloned(),
            idle_ms: None,
            user_agent: None,
            agent: None,
        };
        let mut act = self.act_by(by, app_id, "token.create", &id);
        act.details = Some(serde_json::json!({
            "name": name, "permissions": permissions.to_text(), "owner": owner,
        }));
        self.write(CreateToken { token, act }).await?;
        Ok(Some(NewToken { id, admin_token }))
    }

    /// An app's tokens, without their secrets. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn tokens(&self, by: &By, app_id: &AppId) -> Result<Option<Vec<Token>>, Failure> {
        self.may_manage(by)?;
        if !self.app_exists(app_id).await? {
            return Ok(None);
        }
        self.read(ListTokens { app_id: app_id.clone() }).await.map(Some)
    }

    /// Revokes a token; its open connections are closed by the servers within seconds. `None` if there is no such
    /// token, false if it was revoked before. An agent's session is none of another agent's.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn revoke_token(&self, by: &By, id: &TokenId) -> Result<Option<bool>, Failure> {
        self.may_manage(by)?;
        let found = self.read(FindToken { id: id.clone() }).await?;
        let is_theirs = |token: &Token| {
            by.may_touch(&token.app_id) && (matches!(by, By::CommandLine) || !token.is_session())
        };
        let Some(token) = found.filter(is_theirs) else { return Ok(None) };
        let act = self.act_by(by, &token.app_id, "token.revoke", id);
        let revoked = self.write(RevokeToken { id: id.clone(), act }).await?;
        // Here at once; elsewhere it is not remembered for long.
        self.tokens.forget(&token.token_hash);
        Ok(Some(revoked))
    }

    /// The app's audit log, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn audit(&self, agent: &Agent, before: Option<u64>, page: Page) -> Result<AuditPage, Failure> {
        agent.require(Permission::Manage)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let entries = self.audit_rows(Some(agent.app_id.clone()), before, page.rows() + 1).await?;
        let (entries, has_more) = page.cut(entries);
        Ok(AuditPage { entries, has_more })
    }

    /// The audit log for the operator: of one app or of all, newest first.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn audit_rows(
        &self,
        app_id: Option<AppId>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, Failure> {
        self.read(ListActs { app_id, before, limit }).await
    }
}
