//! Agents as people: how they come in, what they are, and who may change that.

use protocol::limits::{
    Action, DEMO_CODE_LIFETIME, FIRST_RUN_CODE_LIFETIME, INVITATION_LIFETIME, RESET_LIFETIME, SESSION_IDLE,
    SESSION_IDLE_STAY, USER_AGENT_CHARS,
};
use protocol::rest::{
    ChangeAgent as AgentWish, ChangeMe, Me, SignIn as Credentials, SignInInfo, UseCode as CodeUse,
};
use protocol::{
    AgentId, AgentStatus, AppId, Availability, Code, Colleague, Failure, Permission, Permissions, Role,
    Timestamp, TokenId,
};
use serde_json::json;
use store::{
    Act, AgentChange, AgentChanged, App, BeginFirstRun, ChangeAgent, CodeKind, EndFirstRun, EndSignIns,
    FindAccounts, FindAgent, FindCode, FindToken, GiveCode, GoodCode, IdentityPolicy, InviteAgent, Invited,
    ListAgents, ListSignIns, NewCode, RevokeToken, SignIn, StoredAgent, Token, UseCode,
};

use crate::administration::By;
use crate::{Address, Agent, Chat, Principal, credential, input, password};

/// Begins every code that opens an account once.
const CODE_PREFIX: &str = "rhq_code_";

/// Who signs in, in the audit log, before they are known.
const BY_A_CODE: &str = "code";

/// From where somebody signs in, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Where they are, if that is known.
    pub address: Option<Address>,
    /// What their program calls itself.
    pub user_agent: Option<&'a str>,
}

/// An agent who has signed in, with their session's secret, which is not to be had again.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The secret.
    pub admin_token: String,
    /// When it ends, if it is not used before.
    pub expires_at: Timestamp,
    /// The agent.
    pub agent: protocol::Agent,
    /// Their app.
    pub app_id: AppId,
    /// The key of an app that was just made, which is not to be had again.
    pub api_key: Option<String>,
}

/// An agent and a code that lets them in, which is not to be had again.
#[derive(Debug, Clone)]
pub struct LetIn {
    /// The agent.
    pub agent: protocol::Agent,
    /// The code.
    pub code: String,
}

/// The agent as others see them.
pub fn shown(agent: &StoredAgent) -> protocol::Agent {
    // An agent of the demo has come without a password.
    let has_come = agent.password_hash.is_some() || agent.last_seen_at.is_some();
    let status = match (agent.is_disabled, has_come) {
        (true, _) => AgentStatus::Disabled,
        (false, false) => AgentStatus::Invited,
        (false, true) => AgentStatus::Active,
    };
    protocol::Agent {
        id: agent.id.clone(),
        name: agent.name.clone(),
        email: agent.email.clone(),
        role: agent.role,
        status,
        availability: agent.availability,
        created_at: agent.created_at,
        last_seen_at: agent.last_seen_at,
    }
}

fn no_agent() -> Failure {
    Failure::new(Code::NotFound, "there is no such agent")
}

/// One answer for whatever is wrong: nobody learns from it which accounts there are.
fn wrong() -> Failure {
    let message = "the e-mail address or the password is wrong, or the app has to be named";
    Failure::new(Code::InvalidCredentials, message)
}

fn void_code() -> Failure {
    Failure::new(Code::InvalidCredentials, "the code is wrong, was used, or is too old: ask for another")
}

impl Chat {
    /// Signs an agent in by their password.
    ///
    /// # Errors
    /// `MISSING_PARAMS`; `INVALID_CREDENTIALS`, one answer for whatever is wrong; `RATE_LIMITED`; `AUTH_ERROR` if it could
    /// not be checked.
    pub async fn sign_in(&self, given: Credentials, place: Place<'_>) -> Result<SignedIn, Failure> {
        let Credentials { email, password, app_id, stay } = given;
        for (name, value) in [("email", &email), ("password", &password)] {
            if value.is_empty() {
                return Err(Failure::missing(name));
            }
        }
        let email = email.trim().to_lowercase();
        // It is remembered with each wrong try: what nobody can have as an address is not worth the memory.
        input::name("email", &email)?;
        self.limit_sign_in(place.address)?;
        self.try_once(Some(&email), place.address)?;
        let app_id = app_id.filter(|id| !id.is_empty()).map(AppId::from);
        let find = FindAccounts { email: email.clone(), app_id };
        let accounts = self.store.read(find).await.map_err(|error| self.not_checked(&error))?;
        // One check, whatever is found: how long it takes says nothing of what there is.
        let account =
            accounts.into_iter().find(|account| !account.is_disabled && account.password_hash.is_some());
        let kept = account.as_ref().and_then(|account| account.password_hash.clone());
        if password.len() > protocol::limits::PASSWORD_BYTES {
            return Err(wrong());
        }
        let is_right = self.hashers.matches(password, kept).await?;
        let Some(account) = account.filter(|_| is_right) else { return Err(wrong()) };
        let (session, admin_token) = self.new_session(&account, stay, place);
        let act = Act {
            target: session.id.to_string(),
            ..self.act_as(account.id.as_str(), &account.app_id, "agent.sign_in")
        };
        let expires_at = session.expires_at.unwrap_or(session.created_at);
        let signing = SignIn { agent: account.clone(), session, act };
        if !self.store.write(signing).await.map_err(|error| self.not_checked(&error))? {
            return Err(wrong());
        }
        self.attempts.succeeded(Some(&email), place.address);
        let agent = protocol::Agent { last_seen_at: Some(self.ambient.now()), ..shown(&account) };
        Ok(SignedIn { admin_token, expires_at, agent, app_id: account.app_id, api_key: None })
    }

    fn limit_sign_in(&self, address: Option<Address>) -> Result<(), Failure> {
        self.told_of(Action::SignIn, self.limiter.check_address(Action::SignIn, address))
    }

    fn try_once(&self, account: Option<&str>, address: Option<Address>) -> Result<(), Failure> {
        self.attempts
            .begin(account, address, self.ambient.elapsed())
            .inspect_err(|_| self.observer.limited(Action::SignIn))
    }

    fn act_as(&self, actor: &str, app_id: &AppId, action: &'static str) -> Act {
        Act {
            app_id: app_id.clone(),
            at: self.ambient.now(),
            actor: actor.into(),
            action,
            target: actor.into(),
            details: None,
        }
    }

    fn new_session(&self, agent: &StoredAgent, stay: bool, place: Place<'_>) -> (Token, String) {
        let now = self.ambient.now();
        let idle = if stay { SESSION_IDLE_STAY } else { SESSION_IDLE };
        let admin_token = credential::generate(credential::ADMIN_TOKEN_PREFIX, &self.ambient);
        let user_agent = place
            .user_agent
            .map(|text| text.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARS).collect::<String>());
        let token = Token {
            id: TokenId::new(now, self.ambient.chance()),
            app_id: agent.app_id.clone(),
            name: agent.name.clone(),
            permissions: Permissions::default(),
            token_hash: credential::hash(&admin_token),
            created_at: now,
            expires_at: Some(now.plus(idle)),
            last_used_at: Some(now),
            revoked_at: None,
            agent_id: Some(agent.id.clone()),
            idle_ms: i64::try_from(idle.as_millis()).ok(),
            user_agent,
            agent: None,
        };
        (token, admin_token)
    }

    fn new_code(&self, kind: CodeKind, lifetime: std::time::Duration) -> (NewCode, String) {
        let code = credential::generate(CODE_PREFIX, &self.ambient);
        let now = self.ambient.now();
        let new =
            NewCode { hash: credential::hash(&code), kind, created_at: now, expires_at: now.plus(lifetime) };
        (new, code)
    }

    /// Uses a code: an invitation, a link for a new password or of the demo, or that of the first run. Signs in whom it lets
    /// in.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `VALIDATION_ERROR`, with which the code stays good; `INVALID_CREDENTIALS` for one that is not;
    /// `RATE_LIMITED`; `SERVER_ERROR`.
    pub async fn use_code(&self, given: CodeUse, place: Place<'_>) -> Result<SignedIn, Failure> {
        if given.code.is_empty() {
            return Err(Failure::missing("code"));
        }
        self.limit_sign_in(place.address)?;
        self.try_once(None, place.address)?;
        let hash = credential::hash(&given.code);
        let found = self.read(FindCode { hash: hash.clone(), now: self.ambient.now() }).await?;
        let GoodCode { kind, agent } = found.ok_or_else(void_code)?;
        // Whoever has a code that is good has guessed nothing.
        self.attempts.succeeded(None, place.address);
        if let Some(name) = &given.name {
            input::name("name", name)?;
        }
        let needs_password = kind != CodeKind::Demo;
        let password_hash = match &given.password {
            Some(password) if needs_password => {
                password::check_form(password)?;
                Some(password.clone())
            }
            None if needs_password => return Err(Failure::missing("password")),
            _ => None,
        };
        let password_hash = match password_hash {
            Some(password) => Some(self.hashers.hash(password, self.ambient.salt()).await?),
            None => None,
        };
        match agent {
            None => self.end_first_run(given, hash, password_hash, place).await,
            Some(agent) => {
                let (session, admin_token) = self.new_session(&agent, given.stay, place);
                let expires_at = session.expires_at.unwrap_or(session.created_at);
                let act = Act {
                    actor: BY_A_CODE.into(),
                    details: Some(json!({ "session": session.id })),
                    ..self.act_as(agent.id.as_str(), &agent.app_id, "agent.use_code")
                };
                let using = UseCode { hash, password_hash, name: given.name, session, act };
                let agent = self.write(using).await?.ok_or_else(void_code)?;
                self.attempts.succeeded(Some(&agent.email), None);
                let app_id = agent.app_id.clone();
                Ok(SignedIn { admin_token, expires_at, agent: shown(&agent), app_id, api_key: None })
            }
        }
    }

    async fn end_first_run(
        &self,
        given: CodeUse,
        hash: String,
        password_hash: Option<String>,
        place: Place<'_>,
    ) -> Result<SignedIn, Failure> {
        let named = |name: &str, value: Option<String>| value.ok_or_else(|| Failure::missing(name));
        let app_name = named("app_name", given.app_name)?;
        let name = named("name", given.name)?;
        let email = input::email(&named("email", given.email)?)?;
        input::name("app_name", &app_name)?;
        let now = self.ambient.now();
        let app_id = AppId::new(now, self.ambient.chance());
        let api_key = credential::generate(credential::APP_KEY_PREFIX, &self.ambient);
        let app = App {
            id: app_id.clone(),
            name: app_name,
            api_key_hash: credential::hash(&api_key),
            old_key: None,
            created_at: now,
            allowed_origins: Vec::new(),
            identity: IdentityPolicy::Claimed,
            requires_device_secret: false,
        };
        let agent = StoredAgent { password_hash, ..self.new_agent(&app_id, name, email, Role::Admin) };
        let (session, admin_token) = self.new_session(&agent, given.stay, place);
        let expires_at = session.expires_at.unwrap_or(now);
        let acts = ["app.create", "agent.use_code"].map(|action| Act {
            actor: BY_A_CODE.into(),
            details: Some(json!({ "first_run": true })),
            ..self.act_as(agent.id.as_str(), &app_id, action)
        });
        let ending = EndFirstRun { hash, app, agent: agent.clone(), session, acts: acts.to_vec() };
        if !self.write(ending).await? {
            return Err(void_code());
        }
        Ok(SignedIn { admin_token, expires_at, agent: shown(&agent), app_id, api_key: Some(api_key) })
    }

    fn new_agent(&self, app_id: &AppId, name: String, email: String, role: Role) -> StoredAgent {
        let now = self.ambient.now();
        StoredAgent {
            id: AgentId::new(now, self.ambient.chance()),
            app_id: app_id.clone(),
            name,
            email,
            role,
            is_disabled: false,
            availability: Availability::Online,
            password_hash: None,
            created_at: now,
            last_seen_at: None,
            version: 0,
        }
    }

    /// A code that makes the first app and its first admin, where there is no app yet.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn begin_first_run(&self) -> Result<Option<String>, Failure> {
        let (new, code) = self.new_code(CodeKind::FirstRun, FIRST_RUN_CODE_LIFETIME);
        Ok(self.write(BeginFirstRun { code: new }).await?.then_some(code))
    }

    /// Invites somebody to an app, or invites them anew who has not come. `None` if there is no such app.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`; `VALIDATION_ERROR`, also for somebody who is an agent of it already; `SERVER_ERROR`.
    pub async fn invite_agent(
        &self,
        by: &By,
        app_id: &AppId,
        name: &str,
        email: &str,
        role: Role,
    ) -> Result<Option<LetIn>, Failure> {
        self.invite(by, app_id, name, email, role, (CodeKind::Account, INVITATION_LIFETIME)).await
    }

    /// An agent of the demo, and a code by which they come in without a password.
    ///
    /// # Errors
    /// As for [`invite_agent`](Self::invite_agent).
    pub async fn demo_agent(
        &self,
        app_id: &AppId,
        name: &str,
        email: &str,
        role: Role,
    ) -> Result<Option<LetIn>, Failure> {
        let code = (CodeKind::Demo, DEMO_CODE_LIFETIME);
        self.invite(&By::CommandLine, app_id, name, email, role, code).await
    }

    async fn invite(
        &self,
        by: &By,
        app_id: &AppId,
        name: &str,
        email: &str,
        role: Role,
        (kind, lifetime): (CodeKind, std::time::Duration),
    ) -> Result<Option<LetIn>, Failure> {
        self.may_manage(by)?;
        input::name("name", name)?;
        let email = input::email(email)?;
        let agent = self.new_agent(app_id, name.to_owned(), email, role);
        let (new, code) = self.new_code(kind, lifetime);
        let mut act = self.act_by(by, app_id, "agent.invite", &agent.id);
        act.details = Some(json!({ "name": name, "email": agent.email, "role": role }));
        match self.write(InviteAgent { agent, code: new, act }).await? {
            Invited::Done(agent) => Ok(Some(LetIn { agent: shown(&agent), code })),
            Invited::Exists => {
                Err(Failure::invalid("somebody with that e-mail address is an agent of this app already"))
            }
            Invited::NoApp => Ok(None),
        }
    }

    /// A code by which an agent sets another password. It takes the place of any before.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` if there is none such, or they are disabled; `SERVER_ERROR`.
    pub async fn reset_agent(&self, by: &By, id: &AgentId) -> Result<LetIn, Failure> {
        self.may_manage(by)?;
        let agent = self.agent_for(by, id).await?;
        let (new, code) = self.new_code(CodeKind::Account, RESET_LIFETIME);
        let act = self.act_by(by, &agent.app_id, "agent.reset", id);
        let giving = GiveCode { app_id: agent.app_id, id: id.clone(), code: new, act };
        let agent = self.write(giving).await?.ok_or_else(no_agent)?;
        Ok(LetIn { agent: shown(&agent), code })
    }

    async fn agent_for(&self, by: &By, id: &AgentId) -> Result<StoredAgent, Failure> {
        let found = self.read(FindAgent { id: id.clone() }).await?;
        found.filter(|agent| by.may_touch(&agent.app_id)).ok_or_else(no_agent)
    }

    /// The agents of one's app: everybody who sees conversations knows whom they are with, and who manages the app knows all.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn colleagues(&self, agent: &Agent) -> Result<Vec<Colleague>, Failure> {
        let is_manager = agent.permissions.has(Permission::Manage);
        if !is_manager {
            agent.require(Permission::ViewConversations)?;
        }
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let agents = self.read(ListAgents { app_id: agent.app_id.clone() }).await?;
        let colleague = |stored: &StoredAgent| {
            let protocol::Agent { id, name, email, role, status, availability, created_at, last_seen_at } =
                shown(stored);
            Colleague {
                id,
                name,
                role,
                status,
                availability,
                email: is_manager.then_some(email),
                created_at: is_manager.then_some(created_at),
                last_seen_at: last_seen_at.filter(|_| is_manager),
            }
        };
        Ok(agents.iter().map(colleague).collect())
    }

    /// An app's agents, for an operator. `None` if there is no such app.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn agents(&self, app_id: &AppId) -> Result<Option<Vec<protocol::Agent>>, Failure> {
        if !self.app_exists(app_id).await? {
            return Ok(None);
        }
        let agents = self.read(ListAgents { app_id: app_id.clone() }).await?;
        Ok(Some(agents.iter().map(shown).collect()))
    }

    /// The agent of an app with this e-mail address or id.
    ///
    /// # Errors
    /// `NOT_FOUND`, `SERVER_ERROR`.
    pub async fn agent_named(&self, app_id: &AppId, name: &str) -> Result<AgentId, Failure> {
        let agents = self.read(ListAgents { app_id: app_id.clone() }).await?;
        let email = name.trim().to_lowercase();
        let found = agents.into_iter().find(|agent| agent.id.as_str() == name || agent.email == email);
        found.map(|agent| agent.id).ok_or_else(no_agent)
    }

    /// Changes an agent: their name, their role, or whether they are disabled. Their open connections are closed within
    /// seconds, where what they may do is other then.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`; `VALIDATION_ERROR`, also for the last admin; `SERVER_ERROR`.
    pub async fn change_agent(
        &self,
        by: &By,
        id: &AgentId,
        wish: AgentWish,
    ) -> Result<protocol::Agent, Failure> {
        self.may_manage(by)?;
        let AgentWish { name, role, status } = wish;
        if let Some(name) = &name {
            input::name("name", name)?;
        }
        let is_disabled = match status {
            None => None,
            Some(AgentStatus::Disabled) => Some(true),
            Some(AgentStatus::Active) => Some(false),
            Some(AgentStatus::Invited) => {
                return Err(Failure::invalid(
                    "status is set to active or disabled; invite the agent for the other",
                ));
            }
        };
        let agent = self.agent_for(by, id).await?;
        let action = match is_disabled {
            Some(true) => "agent.disable",
            Some(false) => "agent.enable",
            None => "agent.change",
        };
        let mut act = self.act_by(by, &agent.app_id, action, id);
        act.details = Some(json!({ "name": name, "role": role }));
        let change = AgentChange { name, role, is_disabled, ..AgentChange::default() };
        self.apply(agent.app_id, id, change, None, Some(act)).await
    }

    async fn apply(
        &self,
        app_id: AppId,
        id: &AgentId,
        change: AgentChange,
        except: Option<TokenId>,
        act: Option<Act>,
    ) -> Result<protocol::Agent, Failure> {
        let now = self.ambient.now();
        let changed = self.write(ChangeAgent { app_id, id: id.clone(), change, except, act, now }).await?;
        self.tokens.clear();
        match changed {
            AgentChanged::Done(agent) => Ok(shown(&agent)),
            AgentChanged::NotFound => Err(no_agent()),
            AgentChanged::LastAdmin => {
                Err(Failure::invalid("this is the app's last admin, without whom nobody could manage it"))
            }
        }
    }

    /// Who is asking, and what they may do.
    ///
    /// # Errors
    /// `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn me(&self, agent: &Agent) -> Result<Me, Failure> {
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let stored = match &agent.agent_id {
            Some(id) => self.read(FindAgent { id: id.clone() }).await?,
            None => None,
        };
        Ok(Me {
            app_id: agent.app_id.clone(),
            name: agent.name.clone(),
            permissions: agent.permissions.iter().collect(),
            agent: stored.as_ref().map(shown),
            expires_at: agent.expires_at,
        })
    }

    /// What an agent says of themselves: their name, whether they take part, another password.
    ///
    /// # Errors
    /// `FORBIDDEN` for a program; `MISSING_PARAMS`; `VALIDATION_ERROR`, also if the present password is wrong;
    /// `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn change_me(&self, agent: &Agent, wish: ChangeMe) -> Result<protocol::Agent, Failure> {
        let id = agent.require_person()?.clone();
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let ChangeMe { name, availability, password, current_password } = wish;
        if let Some(name) = &name {
            input::name("name", name)?;
        }
        let mut act = None;
        let password_hash = match password {
            None => None,
            Some(password) => {
                password::check_form(&password)?;
                let current = current_password.ok_or_else(|| Failure::missing("current_password"))?;
                let stored = self.read(FindAgent { id: id.clone() }).await?.ok_or_else(no_agent)?;
                self.try_once(Some(&stored.email), None)?;
                if !self.hashers.matches(current, stored.password_hash).await? {
                    // The session that asks is good, and whoever hears `INVALID_CREDENTIALS` takes it to be over.
                    return Err(Failure::invalid("current_password is not the present password"));
                }
                self.attempts.succeeded(Some(&stored.email), None);
                act =
                    Some(self.act_by(&By::Agent(agent.clone()), &agent.app_id, "agent.change_password", &id));
                Some(self.hashers.hash(password, self.ambient.salt()).await?)
            }
        };
        let change = AgentChange { name, availability, password_hash, ..AgentChange::default() };
        self.apply(agent.app_id.clone(), &id, change, Some(agent.token_id.clone()), act).await
    }

    /// Ends the session that asks.
    ///
    /// # Errors
    /// `FORBIDDEN` for a program, whose token is revoked by an operator; `SERVER_ERROR`.
    pub async fn sign_out(&self, agent: &Agent) -> Result<(), Failure> {
        agent.require_session()?;
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "agent.sign_out", &agent.token_id);
        self.write(RevokeToken { id: agent.token_id.clone(), act }).await?;
        self.tokens.clear();
        Ok(())
    }

    /// The sessions of an agent: one's own, or with the permission to manage another's.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn sign_ins(&self, agent: &Agent, of: Option<AgentId>) -> Result<Vec<SignInInfo>, Failure> {
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let agent_id = self.whose(agent, of).await?;
        let tokens = self.read(ListSignIns { agent_id, now: self.ambient.now() }).await?;
        let info = |token: Token| SignInInfo {
            is_current: token.id == agent.token_id,
            id: token.id,
            created_at: token.created_at,
            last_used_at: token.last_used_at.unwrap_or(token.created_at),
            expires_at: token.expires_at.unwrap_or(token.created_at),
            user_agent: token.user_agent,
        };
        Ok(tokens.into_iter().map(info).collect())
    }

    /// Ends all sessions of an agent but the one that asks: one's own, or with the permission to manage another's.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn end_sign_ins(&self, agent: &Agent, of: Option<AgentId>) -> Result<(), Failure> {
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let agent_id = self.whose(agent, of).await?;
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "agent.end_sign_ins", &agent_id);
        self.write(EndSignIns { agent_id, except: Some(agent.token_id.clone()), act }).await?;
        self.tokens.clear();
        Ok(())
    }

    /// Ends one session: one's own, or with the permission to manage another's.
    ///
    /// # Errors
    /// `NOT_FOUND`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn end_sign_in(&self, agent: &Agent, id: &TokenId) -> Result<(), Failure> {
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let found = self.read(FindToken { id: id.clone() }).await?;
        let is_theirs = |token: &Token| {
            token.is_session()
                && token.app_id == agent.app_id
                && (agent.permissions.has(Permission::Manage)
                    || (token.agent_id.is_some() && token.agent_id == agent.agent_id))
        };
        if !found.as_ref().is_some_and(is_theirs) {
            return Err(Failure::new(Code::NotFound, "there is no such sign-in"));
        }
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "agent.end_sign_in", id);
        self.write(RevokeToken { id: id.clone(), act }).await?;
        self.tokens.clear();
        Ok(())
    }

    /// Whose sessions are meant.
    async fn whose(&self, agent: &Agent, of: Option<AgentId>) -> Result<AgentId, Failure> {
        match of {
            Some(id) if agent.agent_id.as_ref() != Some(&id) => {
                agent.require(Permission::Manage)?;
                Ok(self.agent_for(&By::Agent(agent.clone()), &id).await?.id)
            }
            _ => agent.require_person().cloned(),
        }
    }
}
