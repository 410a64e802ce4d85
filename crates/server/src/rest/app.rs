//! The agent's own app, for those who manage it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chat::{By, identity_key};
use protocol::rest::{
    AddIdentityKey, AppAnswer, AppInfo, ChangeApp, Done, IdentityKeyAdded, IdentityKeys, KeyRotated,
    OldKeyInfo, RotateKey,
};
use protocol::{Code, Failure, Timestamp};
use serde::Deserialize;
use store::{App, AppChange, IdentityKey, IdentityPolicy};

use super::error::Answer;
use super::extract::{AsAgent, Asked, Body, Named};
use crate::shared::Shared;

/// That many days, as what is asked for over REST counts them.
pub(super) fn days(count: u16) -> Duration {
    Duration::from_secs(u64::from(count) * 24 * 60 * 60)
}

fn info(app: App, keys: &[IdentityKey], now: Timestamp) -> AppAnswer {
    let good = app.old_key.filter(|old| old.until > now);
    AppAnswer {
        app: AppInfo {
            id: app.id,
            name: app.name,
            identity: app.identity.as_str().into(),
            require_device_secret: app.requires_device_secret,
            allowed_origins: app.allowed_origins,
            created_at: app.created_at,
            old_key: good.map(|old| OldKeyInfo { until: old.until, last_used_at: old.last_used_at }),
            identity_keys: keys.iter().map(identity_key).collect(),
        },
    }
}

/// What an agent whose app was removed meanwhile is answered.
pub(super) fn no_app() -> Failure {
    Failure::new(Code::NotFound, "there is no such app")
}

/// The agent's app
///
/// Needs `manage`, as all of `/v1/admin/app` does.
#[utoipa::path(get, path = "/v1/admin/app", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = AppAnswer)))]
pub(super) async fn admin_app(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<AppAnswer> {
    let app = shared.chat.app_of(&agent).await?;
    let by = By::Agent(agent);
    let keys = shared.chat.identity_keys(&by, &app.id).await?.ok_or_else(no_app)?;
    Ok(Json(info(app, &keys, shared.chat.ambient().now())))
}

/// Changes the agent's app
///
/// What is left out stays as it is.
#[utoipa::path(patch, path = "/v1/admin/app", tag = "agent", security(("agent" = [])), request_body = ChangeApp,
    responses((status = 200, body = AppAnswer)))]
pub(super) async fn admin_change_app(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(change): Body<ChangeApp>,
) -> Answer<AppAnswer> {
    let policy = |text: &str| {
        IdentityPolicy::parse(text).ok_or_else(|| Failure::invalid("identity is claimed or verified"))
    };
    let change = AppChange {
        name: change.name,
        identity: change.identity.as_deref().map(policy).transpose()?,
        requires_device_secret: change.require_device_secret,
        allowed_origins: change.allowed_origins,
    };
    let app_id = agent.app_id.clone();
    let by = By::Agent(agent);
    let app = shared.chat.change_app(&by, &app_id, change).await?.ok_or_else(no_app)?;
    let keys = shared.chat.identity_keys(&by, &app_id).await?.ok_or_else(no_app)?;
    Ok(Json(info(app, &keys, shared.chat.ambient().now())))
}

/// Gives the app another key
///
/// The key is answered this once. With `keep_old_for_days` the present one is good for so long beside it, since apps that people have
/// installed show it; without, it is void at once, and its connections are closed within seconds.
#[utoipa::path(post, path = "/v1/admin/app/key", tag = "agent", security(("agent" = [])), request_body = RotateKey,
    responses((status = 200, body = KeyRotated)))]
pub(super) async fn admin_rotate_key(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<RotateKey>,
) -> Answer<KeyRotated> {
    let app_id = agent.app_id.clone();
    let keep = wish.keep_old_for_days.filter(|count| *count > 0).map(days);
    let rotated = shared.chat.rotate_key(&By::Agent(agent), &app_id, keep).await?.ok_or_else(no_app)?;
    Ok(Json(KeyRotated { api_key: rotated.api_key, old_key_until: rotated.old_key_until }))
}

/// Ends the app's old key now
#[utoipa::path(delete, path = "/v1/admin/app/old-key", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Done)))]
pub(super) async fn admin_end_old_key(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<Done> {
    let app_id = agent.app_id.clone();
    let ended = shared.chat.end_old_key(&By::Agent(agent), &app_id).await?.ok_or_else(no_app)?;
    if !ended {
        return Err(Failure::new(Code::NotFound, "the app has no old key that is good").into());
    }
    Ok(Json(Done { success: true }))
}

/// By what the app's own backend proves who its people are
#[utoipa::path(get, path = "/v1/admin/app/identity-keys", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = IdentityKeys)))]
pub(super) async fn admin_identity_keys(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<IdentityKeys> {
    let app_id = agent.app_id.clone();
    let keys = shared.chat.identity_keys(&By::Agent(agent), &app_id).await?.ok_or_else(no_app)?;
    Ok(Json(IdentityKeys { keys: keys.iter().map(identity_key).collect() }))
}

/// Adds a key: a public one, or a secret that is made
///
/// Two may be live at once, so that one can take the other's place.
#[utoipa::path(post, path = "/v1/admin/app/identity-keys", tag = "agent", security(("agent" = [])),
    request_body = AddIdentityKey, responses((status = 200, body = IdentityKeyAdded)))]
pub(super) async fn admin_add_identity_key(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(add): Body<AddIdentityKey>,
) -> Answer<IdentityKeyAdded> {
    let app_id = agent.app_id.clone();
    let by = By::Agent(agent);
    let added = match add.public_key {
        Some(pem) => {
            let key = shared.chat.add_identity_key(&by, &app_id, &pem).await?.ok_or_else(no_app)?;
            IdentityKeyAdded { id: key.id, algorithm: key.algorithm, secret: None }
        }
        None => {
            let made = shared.chat.add_identity_secret(&by, &app_id).await?.ok_or_else(no_app)?;
            IdentityKeyAdded { id: made.id, algorithm: "HS256".into(), secret: Some(made.secret) }
        }
    };
    Ok(Json(added))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RetireQuery {
    /// End what it has proved, too: devices that were bound by it are asked for a fresh token.
    #[serde(default)]
    #[param(required = false)]
    end_bindings: bool,
}

/// Retires a key: it proves nothing more
#[utoipa::path(delete, path = "/v1/admin/app/identity-keys/{key_id}", tag = "agent", security(("agent" = [])),
    params(("key_id" = String, Path, description = "The key"), RetireQuery), responses((status = 200, body = Done)))]
pub(super) async fn admin_retire_identity_key(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<RetireQuery>,
) -> Answer<Done> {
    shared.chat.retire_identity_key(&By::Agent(agent), &id.into(), query.end_bindings).await?;
    Ok(Json(Done { success: true }))
}
