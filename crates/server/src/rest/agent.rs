//! The agent's routes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{Page, Principal};
use http::{HeaderMap, StatusCode};
use protocol::rest::{
    AuditPage, ChangeConversation, InboxConversationAnswer, InboxPage, MessageAnswer, MessagePage, Presence,
    SendMessage, SessionPage, Stats,
};
use protocol::{ConversationStatus, Failure};
use serde::Deserialize;

use super::device;
use super::error::Refused;
use super::extract::{AsAgent, Asked, Body, MessageQuery, Named};
use crate::shared::Shared;

type Answer<T> = Result<Json<T>, Refused>;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InboxQuery {
    /// Only those with this status.
    #[param(value_type = Option<ConversationStatus>)]
    status: Option<String>,
    /// The `next_cursor` of the page before; empty is none.
    after: Option<String>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// The app's conversations, newest activity first
#[utoipa::path(get, path = "/v1/admin/conversations", tag = "agent", security(("agent" = [])), params(InboxQuery),
    responses((status = 200, body = InboxPage)))]
pub(super) async fn inbox(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<InboxQuery>,
) -> Answer<InboxPage> {
    let parse = |text: &str| {
        ConversationStatus::parse(text).ok_or_else(|| Failure::invalid("status must be open or resolved"))
    };
    let status = query.status.as_deref().filter(|text| !text.is_empty()).map(parse).transpose()?;
    let page = Page::of(query.limit)?;
    Ok(Json(shared.chat.inbox(&agent, status, query.after.as_deref(), page).await?))
}

/// One conversation
#[utoipa::path(get, path = "/v1/admin/conversations/{id}", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = InboxConversationAnswer)))]
pub(super) async fn conversation(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<InboxConversationAnswer> {
    let conversation = shared.chat.inbox_conversation(&agent, &id).await?;
    Ok(Json(InboxConversationAnswer { conversation }))
}

/// Resolve or reopen
#[utoipa::path(patch, path = "/v1/admin/conversations/{id}", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path)), request_body = ChangeConversation,
    responses((status = 200, body = InboxConversationAnswer)))]
pub(super) async fn change_conversation(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(change): Body<ChangeConversation>,
) -> Answer<InboxConversationAnswer> {
    let conversation = shared.chat.set_status(&agent, &id, change.status).await?;
    Ok(Json(InboxConversationAnswer { conversation }))
}

/// A conversation's messages, ascending by seq
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/messages", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), MessageQuery),
    responses((status = 200, body = MessagePage)))]
pub(super) async fn list_messages(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<MessageQuery>,
) -> Answer<MessagePage> {
    device::page(&shared, &Principal::Agent(agent), &id, &query).await
}

/// Send a message as the agent; a retry with the same local_id returns the stored one
#[utoipa::path(post, path = "/v1/admin/conversations/{id}/messages", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Serves where local_id is missing")),
    request_body = SendMessage,
    responses((status = 201, description = "Stored now", body = MessageAnswer),
        (status = 200, description = "Stored before", body = MessageAnswer)))]
pub(super) async fn send_message(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(send): Body<SendMessage>,
) -> Result<(StatusCode, Json<MessageAnswer>), Refused> {
    device::store(&shared, &Principal::Agent(agent), id, &headers, send).await
}

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
pub(super) async fn sessions(
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
pub(super) async fn presence(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(device_id): Named,
) -> Answer<Presence> {
    Ok(Json(shared.chat.presence(&agent, &device_id).await?))
}

/// How many are connected, on all nodes
#[utoipa::path(get, path = "/v1/admin/stats", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Stats)))]
pub(super) async fn stats(AsAgent(agent): AsAgent, State(shared): State<Arc<Shared>>) -> Answer<Stats> {
    Ok(Json(shared.chat.stats(&agent).await?))
}

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
pub(super) async fn audit(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<AuditQuery>,
) -> Answer<AuditPage> {
    Ok(Json(shared.chat.audit(&agent, query.before, Page::of(query.limit)?).await?))
}
