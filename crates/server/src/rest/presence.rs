//! Who is connected.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::Page;
use protocol::rest::{Presence, SessionPage, Stats};
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, Asked, Named};
use crate::shared::Shared;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionQuery {
    /// The last `connection_id` of the page before; empty is none.
    after: Option<String>,
    /// How many, at most 1,000, which is also what is given if nothing is said.
    limit: Option<u32>,
}

/// Who is connected
#[utoipa::path(get, path = "/v1/admin/sessions", tag = "agent", security(("agent" = [])), params(SessionQuery),
    responses((status = 200, body = SessionPage)))]
pub(super) async fn admin_sessions(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<SessionQuery>,
) -> Answer<SessionPage> {
    let page = Page::of_sessions(query.limit)?;
    Ok(Json(shared.chat.sessions(&agent, query.after.as_deref(), page).await?))
}

/// Whether a device is online
#[utoipa::path(get, path = "/v1/admin/devices/{device_id}/presence", tag = "agent", security(("agent" = [])),
    params(("device_id" = String, Path)),
    responses((status = 200, body = Presence)))]
pub(super) async fn admin_presence(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(device_id): Named,
) -> Answer<Presence> {
    Ok(Json(shared.chat.presence(&agent, &device_id).await?))
}

/// How many are connected, on all nodes
#[utoipa::path(get, path = "/v1/admin/stats", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Stats)))]
pub(super) async fn admin_stats(AsAgent(agent): AsAgent, State(shared): State<Arc<Shared>>) -> Answer<Stats> {
    Ok(Json(shared.chat.stats(&agent).await?))
}
