//! What a team writes again and again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::Page;
use protocol::rest::{AddCannedReply, CannedReplyAnswer, CannedReplyPage, ChangeCannedReply, Done};
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, Asked, Body, Named};
use crate::shared::Shared;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CannedQuery {
    /// Those behind this shortcut; empty is from the first on.
    after: Option<String>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// The app's canned replies, by their shortcuts
#[utoipa::path(get, path = "/v1/admin/canned-replies", tag = "agent", security(("agent" = [])), params(CannedQuery),
    responses((status = 200, body = CannedReplyPage)))]
pub(super) async fn admin_canned_replies(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<CannedQuery>,
) -> Answer<CannedReplyPage> {
    let page = Page::of(query.limit)?;
    Ok(Json(shared.chat.canned_replies(&agent, query.after.as_deref(), page).await?))
}

/// Adds a canned reply
///
/// Needs `manage`, as changing and removing one does.
#[utoipa::path(post, path = "/v1/admin/canned-replies", tag = "agent", security(("agent" = [])),
    request_body = AddCannedReply, responses((status = 200, body = CannedReplyAnswer)))]
pub(super) async fn admin_add_canned_reply(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<AddCannedReply>,
) -> Answer<CannedReplyAnswer> {
    Ok(Json(CannedReplyAnswer { canned_reply: shared.chat.add_canned_reply(&agent, wish).await? }))
}

/// Changes a canned reply; what is left out stays
#[utoipa::path(patch, path = "/v1/admin/canned-replies/{canned_reply_id}", tag = "agent", security(("agent" = [])),
    params(("canned_reply_id" = String, Path, description = "Which")), request_body = ChangeCannedReply,
    responses((status = 200, body = CannedReplyAnswer)))]
pub(super) async fn admin_change_canned_reply(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(change): Body<ChangeCannedReply>,
) -> Answer<CannedReplyAnswer> {
    let canned_reply = shared.chat.change_canned_reply(&agent, &id, change).await?;
    Ok(Json(CannedReplyAnswer { canned_reply }))
}

/// Removes a canned reply
#[utoipa::path(delete, path = "/v1/admin/canned-replies/{canned_reply_id}", tag = "agent", security(("agent" = [])),
    params(("canned_reply_id" = String, Path, description = "Which")), responses((status = 200, body = Done)))]
pub(super) async fn admin_remove_canned_reply(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<Done> {
    shared.chat.remove_canned_reply(&agent, &id).await?;
    Ok(Json(Done { success: true }))
}
