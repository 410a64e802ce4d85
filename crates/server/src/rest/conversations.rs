//! Conversations: a device's own, and an app's inbox.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{InboxView, Page};
use protocol::rest::{
    ChangeConversation, ConversationAnswer, ConversationPage, InboxConversationAnswer, InboxCounts,
    InboxPage, OpenConversation, Unread,
};
use protocol::{ConversationStatus, Failure};
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, AsDevice, Asked, Body, Named};
use crate::shared::Shared;

/// The device's open conversation, or a new one
#[utoipa::path(post, path = "/v1/conversations", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    request_body = OpenConversation,
    responses((status = 200, body = ConversationAnswer)))]
pub(super) async fn open_conversation(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<OpenConversation>,
) -> Answer<ConversationAnswer> {
    let conversation = shared.chat.open_conversation(&device, wish).await?;
    Ok(Json(ConversationAnswer { conversation }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// The device's conversations, newest activity first
#[utoipa::path(get, path = "/v1/conversations", tag = "device", security(("app" = [], "device" = [], "key" = [])), params(ListQuery),
    responses((status = 200, body = ConversationPage)))]
pub(super) async fn list_conversations(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<ListQuery>,
) -> Answer<ConversationPage> {
    Ok(Json(shared.chat.conversations_of(&device, Page::of(query.limit)?).await?))
}

/// What a badge shows: agents' messages that the person has not read
///
/// One number, for a program that wakes up for it while there is no connection.
#[utoipa::path(get, path = "/v1/unread", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    responses((status = 200, body = Unread)))]
pub(super) async fn unread(AsDevice(device): AsDevice, State(shared): State<Arc<Shared>>) -> Answer<Unread> {
    Ok(Json(Unread { unread_count: shared.chat.unread_of(&device).await? }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxQuery {
    /// `all`, `mine` (with the agent who asks), `unassigned`, or `waiting` for an answer; `all` if not given.
    view: Option<String>,
    /// Only those with this status. If not given: those of both in `all`, and the open ones in the other views.
    #[param(value_type = Option<ConversationStatus>)]
    status: Option<String>,
    /// Only those with this tag; goes with no other view than `all`, and is of the open ones where no status is given.
    tag: Option<String>,
    /// The `next_cursor` of the page before; empty is none.
    after: Option<String>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// The app's conversations, newest activity first
///
/// In the view `waiting`, who has waited longest first.
#[utoipa::path(get, path = "/v1/admin/conversations", tag = "agent", security(("agent" = [])), params(InboxQuery),
    responses((status = 200, body = InboxPage)))]
pub(super) async fn admin_inbox(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<InboxQuery>,
) -> Answer<InboxPage> {
    let parse = |text: &str| {
        ConversationStatus::parse(text).ok_or_else(|| Failure::invalid("status must be open or resolved"))
    };
    let status = query.status.as_deref().filter(|text| !text.is_empty()).map(parse).transpose()?;
    let view = |text: &str| {
        let names = "view must be all, mine, unassigned or waiting";
        InboxView::parse(text).ok_or_else(|| Failure::invalid(names))
    };
    let view = query.view.as_deref().filter(|text| !text.is_empty()).map(view).transpose()?;
    let view = match (view.unwrap_or(InboxView::All), query.tag.filter(|tag| !tag.is_empty())) {
        (InboxView::All, Some(tag)) => InboxView::Tagged(tag),
        (view, None) => view,
        (_, Some(_)) => return Err(Failure::invalid("tag goes with no other view than all").into()),
    };
    let page = Page::of(query.limit)?;
    Ok(Json(shared.chat.inbox(&agent, view, status, query.after.as_deref(), page).await?))
}

/// How many open conversations each view has
///
/// The same comes by itself as `inbox:counts` on a socket, at most once a second, whenever it may have changed.
#[utoipa::path(get, path = "/v1/admin/conversations/counts", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = InboxCounts)))]
pub(super) async fn admin_counts(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<InboxCounts> {
    Ok(Json(shared.chat.counts(&agent).await?))
}

/// One conversation
#[utoipa::path(get, path = "/v1/admin/conversations/{id}", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = InboxConversationAnswer)))]
pub(super) async fn admin_conversation(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<InboxConversationAnswer> {
    let conversation = shared.chat.inbox_conversation(&agent, &id).await?;
    Ok(Json(InboxConversationAnswer { conversation }))
}

/// Resolve or reopen, take, give or release, tag, mark as unread
///
/// `{ "assignee_id": ME, "if_assignee_id": null }` takes a conversation that is with nobody: of two who do so at once one gets
/// it, and the other is told who has it (`ASSIGNEE_CHANGED`).
#[utoipa::path(patch, path = "/v1/admin/conversations/{id}", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path)), request_body = ChangeConversation,
    responses((status = 200, body = InboxConversationAnswer)))]
pub(super) async fn admin_change_conversation(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(change): Body<ChangeConversation>,
) -> Answer<InboxConversationAnswer> {
    let conversation = shared.chat.change_conversation(&agent, &id, change).await?;
    Ok(Json(InboxConversationAnswer { conversation }))
}
