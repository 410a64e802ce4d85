//! Whether a credential is good.

use std::sync::Arc;

use cluster::Signal;
use protocol::limits::Action;
use protocol::{AppId, Code, ConnectionId, Failure, Timestamp, UserInfo};
use store::{
    App, ClaimDevice, Credential, DeviceLogin, DeviceStanding, FindApp, FindDevice, FindDeviceLogin,
    FindTokenByHash, FindVoid, KeyId, LatestConversation, Token, TouchOldKey, TouchToken, Void,
};

use crate::{Address, Agent, Chat, Device, Principal, Restrictions, blocked, credential, input};

/// How stale `last_used_at` may be, so that a busy token does not cost a write for each use.
const TOUCH_EVERY_MS: i64 = 60_000;

/// What a device shows.
#[derive(Debug, Clone, Copy)]
pub struct DeviceCredentials<'a> {
    /// The app.
    pub app_id: &'a str,
    /// The device's own name.
    pub device_id: &'a str,
    /// The app's key.
    pub api_key: &'a str,
    /// The device's secret, if it has one.
    pub device_secret: Option<&'a str>,
    /// Where it is, if that is known.
    pub address: Option<Address>,
    /// The origin of the page that asks, if it is one: apps send none.
    pub origin: Option<&'a str>,
}

/// What a device with a good credential gets to know.
#[derive(Debug, Clone)]
pub struct DeviceAccess {
    /// Who it is.
    pub device: Device,
    /// Who uses it.
    pub user_info: Option<UserInfo>,
    /// Its newest conversation.
    pub latest: Option<LatestConversation>,
    /// What let it in.
    pub credential: Credential,
}

impl Chat {
    /// Checks a device's credential, for a connection.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `VALIDATION_ERROR`, `INVALID_CREDENTIALS`, `FORBIDDEN` for a page of an origin that the app does
    /// not take, `BLOCKED`, `RATE_LIMITED`, or `AUTH_ERROR` if it could not be checked.
    pub async fn authenticate_device(&self, shown: DeviceCredentials<'_>) -> Result<DeviceAccess, Failure> {
        let named = form(shown)?;
        let (app_id, device_id) = (named.app_id.clone(), named.device_id.clone());
        let login = self.store.read(FindDeviceLogin { app_id, device_id }).await;
        let DeviceLogin { app, standing, latest } =
            login.map_err(|error| self.not_checked(&error))?.ok_or_else(invalid)?;
        let credential = self.check_key(&shown, &app).await?;
        let standing = self.check_owner(&shown, &named, &app, standing).await?;
        let device = named.standing(&standing);
        if standing.is_blocked {
            return Err(blocked());
        }
        let latest = latest.filter(|_| !standing.needs_identity);
        Ok(DeviceAccess { device, user_info: standing.user_info, latest, credential })
    }

    /// As [`authenticate_device`](Self::authenticate_device), where nothing is wanted but a yes, and a blocked device may
    /// still read. A key that was withdrawn may be good for a second more, and what the device may do may be a second old.
    ///
    /// # Errors
    /// The same, but for `BLOCKED`.
    pub async fn check_device(&self, shown: DeviceCredentials<'_>) -> Result<Device, Failure> {
        let named = form(shown)?;
        let key = (named.app_id.clone(), named.device_id.clone());
        let asked_at = self.ambient.elapsed();
        // Only a yes is believed: another key, page or secret may be good since.
        if let Some(app) = self.apps.get(&named.app_id, asked_at)
            && let Some(standing) = self.devices.get(&key, asked_at)
            && self.check_key(&shown, &app).await.is_ok()
            && is_owner(&shown, &app, &standing) == Owns::Yes
        {
            return Ok(named.standing(&standing));
        }
        let (app_id, device_id) = key.clone();
        let app = self.store.read(FindApp { id: app_id.clone() }).await;
        let app = Arc::new(app.map_err(|error| self.not_checked(&error))?.ok_or_else(invalid)?);
        self.apps.put(app_id.clone(), Arc::clone(&app), asked_at);
        self.check_key(&shown, &app).await?;
        let standing = self.store.read(FindDevice { app_id, device_id }).await;
        let standing = standing.map_err(|error| self.not_checked(&error))?;
        let standing = self.check_owner(&shown, &named, &app, standing).await?;
        let device = named.standing(&standing);
        self.devices.put(key, Arc::new(standing), asked_at);
        Ok(device)
    }

    /// Whether whoever names the device may: they have its secret, or it has none. Who shows the first one has it from then
    /// on. Answers how the device stands then.
    async fn check_owner(
        &self,
        shown: &DeviceCredentials<'_>,
        device: &Device,
        app: &App,
        standing: DeviceStanding,
    ) -> Result<DeviceStanding, Failure> {
        let secret = match is_owner(shown, app, &standing) {
            Owns::Yes => return Ok(standing),
            Owns::No => return Err(invalid()),
            Owns::HasToShow => return Err(Failure::missing("device_secret")),
            Owns::Claims(secret) => secret,
        };
        input::device_secret(secret)?;
        let principal = Principal::Device(device.clone());
        self.told_of(Action::Claim, self.limiter.check(Action::Claim, &principal))?;
        let (app_id, device_id) = (device.app_id.clone(), device.device_id.clone());
        let secret_hash = credential::hash(secret);
        let claim = ClaimDevice { app_id, device_id, secret_hash, now: self.ambient.now() };
        let standing = self.store.write(claim).await.map_err(|error| self.not_checked(&error))?;
        self.publish(device.app_id.clone(), Signal::Revoked {});
        // Of two who come first at once, one is told.
        if is_owner(shown, app, &standing) == Owns::Yes { Ok(standing) } else { Err(invalid()) }
    }

    /// Which of the app's keys was shown, if it is good and may be used from there.
    async fn check_key(&self, shown: &DeviceCredentials<'_>, app: &App) -> Result<Credential, Failure> {
        let now = self.ambient.now();
        let old = app.old_key.as_ref().filter(|old| now < old.until);
        let (hash, old) = if credential::matches(shown.api_key, &app.api_key_hash) {
            (&app.api_key_hash, None)
        } else {
            let old = old.filter(|old| credential::matches(shown.api_key, &old.hash)).ok_or_else(invalid)?;
            (&old.hash, Some(old))
        };
        check_origin(shown.origin, &app.allowed_origins)?;
        if let Some(old) = old
            && !is_fresh(old.last_used_at, now)
        {
            self.apps.change(&app.id, |app| {
                if let Some(old) = &mut Arc::make_mut(app).old_key {
                    old.last_used_at = Some(now);
                }
            });
            // The key is as good on a full disk: that the note of its use is missing is worth no more than a log line.
            if let Err(error) = self.store.write(TouchOldKey { id: app.id.clone(), now }).await {
                self.store_failed(&error);
            }
        }
        Ok(Credential::Key(app.id.clone(), KeyId::of(hash)))
    }

    /// Checks an admin token. `app_id` is the app that the agent means, where the transport lets them say it. Where there is no
    /// connection, and so a check for each request, a token that was withdrawn may be good for a second more.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `INVALID_CREDENTIALS` (expired and revoked ones too), or `AUTH_ERROR` if it could not be
    /// checked.
    pub async fn authenticate_agent(
        &self,
        app_id: Option<&str>,
        admin_token: &str,
        connection_id: Option<ConnectionId>,
    ) -> Result<Agent, Failure> {
        if admin_token.is_empty() {
            return Err(Failure::missing("admin_token"));
        }
        let hash = credential::hash(admin_token);
        let asked_at = self.ambient.elapsed();
        let recent = if connection_id.is_none() { self.tokens.get(&hash, asked_at) } else { None };
        let token = match recent {
            Some(token) => token,
            None => {
                let found = self.store.read(FindTokenByHash { hash: hash.clone() }).await;
                let token = Arc::new(found.map_err(|error| self.not_checked(&error))?.ok_or_else(invalid)?);
                self.tokens.put(hash, Arc::clone(&token), asked_at);
                token
            }
        };
        let is_meant = app_id.is_none_or(|app_id| token.app_id.as_str() == app_id);
        if !token.is_valid_at(self.ambient.now()) || !is_meant {
            return Err(invalid());
        }
        self.touch(&token).await;
        Ok(Agent {
            app_id: token.app_id.clone(),
            token_id: token.id.clone(),
            agent_id: token.agent_id.clone(),
            is_session: token.is_session(),
            version: token.agent.as_ref().map_or(0, |agent| agent.version),
            name: token.agent.as_ref().map_or(&token.name, |agent| &agent.name).clone(),
            permissions: token.allows(),
            expires_at: token.expires_at,
            connection_id,
        })
    }

    /// Those of the credentials that open nothing any more, however they were withdrawn, or something else than they did. `None` if that can't be told just
    /// now.
    pub async fn void_credentials(&self, shown: Vec<Credential>) -> Option<Vec<(Credential, Void)>> {
        self.read(FindVoid { shown, now: self.ambient.now() }).await.ok()
    }

    async fn touch(&self, token: &Token) {
        let now = self.ambient.now();
        if is_fresh(token.last_used_at, now) {
            return;
        }
        self.tokens.change(&token.token_hash, |token| Arc::make_mut(token).last_used_at = Some(now));
        // A session lasts from its last use.
        // A token is as good on a full disk: that the note of its use is missing is worth no more than a log line.
        if let Err(error) = self.store.write(TouchToken { id: token.id.clone(), now }).await {
            self.store_failed(&error);
        }
    }

    /// Notes that a session is used, and lasts from now on. Nobody waits for it.
    pub fn note_use(&self, agent: &Agent) {
        let touching = TouchToken { id: agent.token_id.clone(), now: self.ambient.now() };
        self.store.submit(touching, |noted| {
            if let Err(error) = noted {
                tracing::debug!(%error, "that a session is used could not be noted");
            }
        });
    }

    pub(crate) fn not_checked(&self, error: &store::Error) -> Failure {
        let failure = self.store_failed(error);
        Failure {
            code: Code::AuthError,
            message: "the credential could not be checked just now; try again".into(),
            ..failure
        }
    }

    /// Whether there is such an app.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn app_exists(&self, app_id: &AppId) -> Result<bool, Failure> {
        Ok(self.read(FindApp { id: app_id.clone() }).await?.is_some())
    }
}

/// Whether the note of a credential's last use is new enough.
fn is_fresh(last_used_at: Option<Timestamp>, now: Timestamp) -> bool {
    last_used_at.is_some_and(|last| now.epoch_ms() - last.epoch_ms() < TOUCH_EVERY_MS)
}

/// Whether somebody owns the name of a device.
#[derive(Debug, PartialEq, Eq)]
enum Owns<'a> {
    Yes,
    No,
    /// They would, with this secret: nobody does yet.
    Claims(&'a str),
    /// Nobody does, and the app wants somebody to.
    HasToShow,
}

fn is_owner<'a>(shown: &DeviceCredentials<'a>, app: &App, standing: &DeviceStanding) -> Owns<'a> {
    match (shown.device_secret, &standing.secret_hash) {
        (Some(secret), Some(hash)) if credential::matches(secret, hash) => Owns::Yes,
        (_, Some(_)) => Owns::No,
        (Some(secret), None) => Owns::Claims(secret),
        (None, None) if app.requires_device_secret => Owns::HasToShow,
        (None, None) => Owns::Yes,
    }
}

/// The device that a credential of the right form names.
fn form(shown: DeviceCredentials<'_>) -> Result<Device, Failure> {
    for (name, value) in
        [("app_id", shown.app_id), ("device_id", shown.device_id), ("api_key", shown.api_key)]
    {
        if value.is_empty() {
            return Err(Failure::missing(name));
        }
    }
    input::device_id(shown.device_id)?;
    Ok(Device {
        app_id: shown.app_id.into(),
        device_id: shown.device_id.into(),
        address: shown.address,
        person: None,
        restrictions: Restrictions::default(),
    })
}

/// A browser says which page asks, and pages can't make it lie. Where the app has a list, only those on it may.
fn check_origin(origin: Option<&str>, allowed: &[String]) -> Result<(), Failure> {
    match origin {
        Some(origin) if !allowed.is_empty() && !allowed.iter().any(|known| known == origin) => {
            Err(Failure::new(Code::Forbidden, "this app takes no requests of that page's origin"))
        }
        _ => Ok(()),
    }
}

fn invalid() -> Failure {
    Failure::new(Code::InvalidCredentials, "the credential is wrong, expired or revoked")
}
