//! An app's list of tags.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::rest::{AddTag, Done, TagList};

use super::error::Answer;
use super::extract::{AsAgent, Body, Named};
use crate::shared::Shared;

/// The app's list of tags, with how many open conversations have each
#[utoipa::path(get, path = "/v1/admin/tags", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = TagList)))]
pub(super) async fn admin_tags(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<TagList> {
    Ok(Json(shared.chat.tags(&agent).await?))
}

/// Adds a tag to the list
///
/// Needs `manage`. A tag that agents put on a conversation goes on the list by itself.
#[utoipa::path(post, path = "/v1/admin/tags", tag = "agent", security(("agent" = [])), request_body = AddTag,
    responses((status = 200, body = TagList)))]
pub(super) async fn admin_add_tag(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<AddTag>,
) -> Answer<TagList> {
    Ok(Json(shared.chat.add_tag(&agent, &wish.tag).await?))
}

/// Takes a tag off the list
///
/// Needs `manage`. Conversations that have it keep it; it is offered no longer.
#[utoipa::path(delete, path = "/v1/admin/tags/{tag}", tag = "agent", security(("agent" = [])),
    params(("tag" = String, Path, description = "Which")), responses((status = 200, body = Done)))]
pub(super) async fn admin_remove_tag(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(tag): Named,
) -> Answer<Done> {
    shared.chat.remove_tag(&agent, &tag).await?;
    Ok(Json(Done { success: true }))
}
