//! The search of the agents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{Asking, Page};
use protocol::rest::SearchPage;
use protocol::{ConversationStatus, Failure};
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, Asked};
use crate::shared::Shared;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Words, or beginnings of words, that all have to be there; at most 256 characters and 32 words.
    #[param(value_type = String, required = true)]
    q: Option<String>,
    /// Only in conversations with this status.
    #[param(value_type = Option<ConversationStatus>)]
    status: Option<String>,
    /// Only in conversations that are with this agent.
    assignee_id: Option<String>,
    /// The `next_cursor` of the page before; empty is none.
    after: Option<String>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// Find messages, notes and people, newest first
///
/// Of messages and notes the text, and of people the name, e-mail address and id, and the id of their device. Case and marks on letters don't
/// matter. E-mail addresses are found by their parts; Chinese, Japanese and Korean by any of their characters. What was just
/// sent is found within two seconds.
#[utoipa::path(get, path = "/v1/admin/search", tag = "agent", security(("agent" = [])), params(SearchQuery),
    responses((status = 200, body = SearchPage)))]
pub(super) async fn admin_search(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<SearchQuery>,
) -> Answer<SearchPage> {
    let parse = |text: &str| {
        ConversationStatus::parse(text).ok_or_else(|| Failure::invalid("status must be open or resolved"))
    };
    let asking = Asking {
        words: query.q.as_deref().ok_or_else(|| Failure::missing("q"))?,
        status: query.status.as_deref().filter(|text| !text.is_empty()).map(parse).transpose()?,
        assignee_id: query.assignee_id.filter(|id| !id.is_empty()).map(Into::into),
        after: query.after.as_deref(),
    };
    Ok(Json(shared.chat.search(&agent, asking, Page::of(query.limit)?).await?))
}
