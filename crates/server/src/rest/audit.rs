//! The record of administrative acts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::Page;
use protocol::rest::AuditPage;
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, Asked};
use crate::shared::Shared;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Entries older than the one with this id.
    before: Option<u64>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// The app's record of administrative acts, newest first
#[utoipa::path(get, path = "/v1/admin/audit", tag = "agent", security(("agent" = [])), params(AuditQuery),
    responses((status = 200, body = AuditPage)))]
pub(super) async fn admin_audit(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<AuditQuery>,
) -> Answer<AuditPage> {
    Ok(Json(shared.chat.audit(&agent, query.before, Page::of(query.limit)?).await?))
}
