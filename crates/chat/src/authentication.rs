//! Whether a credential is good.

use std::sync::Arc;

use protocol::{AppId, Code, ConnectionId, Failure, Timestamp, UserInfo};
use store::{
    App, Credential, FindApp, FindDeviceLogin, FindTokenByHash, FindVoid, KeyId, LatestConversation, Token,
    TouchOldKey, TouchToken,
};

use crate::{Address, Agent, Chat, Device, credential, input};

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
    /// Checks a device's credential.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `VALIDATION_ERROR`, `INVALID_CREDENTIALS`, `FORBIDDEN` for a page of an origin that the app does
    /// not take, or `AUTH_ERROR` if it could not be checked.
    pub async fn authenticate_device(&self, shown: DeviceCredentials<'_>) -> Result<DeviceAccess, Failure> {
        let device = form(shown)?;
        let Device { app_id, device_id, .. } = device.clone();
        let login = self.store.read(FindDeviceLogin { app_id, device_id }).await;
        let login = login.map_err(|error| self.not_checked(&error))?;
        let login = login.ok_or_else(invalid)?;
        let credential = self.check_key(&shown, &login.app).await?;
        Ok(DeviceAccess { device, user_info: login.user_info, latest: login.latest, credential })
    }

    /// As [`authenticate_device`](Self::authenticate_device), where nothing is wanted but a yes. A key that was withdrawn may
    /// be good for a second more.
    ///
    /// # Errors
    /// The same.
    pub async fn check_device(&self, shown: DeviceCredentials<'_>) -> Result<Device, Failure> {
        let device = form(shown)?;
        let id = &device.app_id;
        let asked_at = self.ambient.elapsed();
        // Only a yes is believed: another key, or another page, may be good since.
        if let Some(app) = self.apps.get(id, asked_at)
            && self.check_key(&shown, &app).await.is_ok()
        {
            return Ok(device);
        }
        let app =
            self.store.read(FindApp { id: id.clone() }).await.map_err(|error| self.not_checked(&error))?;
        let app = Arc::new(app.ok_or_else(invalid)?);
        self.apps.put(id.clone(), Arc::clone(&app), asked_at);
        self.check_key(&shown, &app).await?;
        Ok(device)
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
            name: token.name.clone(),
            permissions: token.permissions,
            expires_at: token.expires_at,
            connection_id,
        })
    }

    /// Those of the credentials that open nothing any more, however they were withdrawn. `None` if that can't be told just
    /// now.
    pub async fn void_credentials(&self, shown: Vec<Credential>) -> Option<Vec<Credential>> {
        self.read(FindVoid { shown, now: self.ambient.now() }).await.ok()
    }

    async fn touch(&self, token: &Token) {
        let now = self.ambient.now();
        if is_fresh(token.last_used_at, now) {
            return;
        }
        self.tokens.change(&token.token_hash, |token| Arc::make_mut(token).last_used_at = Some(now));
        // A token is as good on a full disk: that the note of its use is missing is worth no more than a log line.
        if let Err(error) = self.store.write(TouchToken { id: token.id.clone(), now }).await {
            self.store_failed(&error);
        }
    }

    fn not_checked(&self, error: &store::Error) -> Failure {
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
    Ok(Device { app_id: shown.app_id.into(), device_id: shown.device_id.into(), address: shown.address })
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
