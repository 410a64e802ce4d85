//! Messages: what both sides of a conversation send and read, and how.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use chat::{Page, Principal, Sending, Sent, cursor};
use http::{HeaderMap, StatusCode};
use protocol::rest::{MessageAnswer, MessagePage, SendMessage};
use protocol::{Code, Failure};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::error::{Answer, Refused};
use super::extract::{AsAgent, AsDevice, Asked, Body, Named, header};
use crate::shared::Shared;

/// Send a message; a retry with the same local_id returns the stored one
#[utoipa::path(post, path = "/v1/conversations/{id}/messages", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Serves where local_id is missing")),
    request_body = SendMessage,
    responses((status = 201, description = "Stored now", body = MessageAnswer),
        (status = 200, description = "Stored before", body = MessageAnswer)))]
pub(super) async fn send_message(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(send): Body<SendMessage>,
) -> Result<(StatusCode, Json<MessageAnswer>), Refused> {
    store_message(&shared, &Principal::Device(device), id, &headers, send).await
}

/// Send a message as the agent; a retry with the same local_id returns the stored one
#[utoipa::path(post, path = "/v1/admin/conversations/{id}/messages", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Serves where local_id is missing")),
    request_body = SendMessage,
    responses((status = 201, description = "Stored now", body = MessageAnswer),
        (status = 200, description = "Stored before", body = MessageAnswer)))]
pub(super) async fn admin_send_message(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(send): Body<SendMessage>,
) -> Result<(StatusCode, Json<MessageAnswer>), Refused> {
    store_message(&shared, &Principal::Agent(agent), id, &headers, send).await
}

/// What serves where `local_id` is missing.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The writer's name for what they write: in the body, or in a header.
pub(super) fn local_id_of(in_body: Option<String>, headers: &HeaderMap) -> Result<String, Failure> {
    match in_body {
        Some(local_id) => Ok(local_id),
        None if headers.contains_key(IDEMPOTENCY_KEY) => Ok(header(headers, IDEMPOTENCY_KEY)?.into_owned()),
        None => Err(Failure::missing("local_id")),
    }
}

/// What both sides' routes for sending do.
pub(crate) async fn store_message(
    shared: &Arc<Shared>,
    principal: &Principal,
    conversation_id: String,
    headers: &HeaderMap,
    send: SendMessage,
) -> Result<(StatusCode, Json<MessageAnswer>), Refused> {
    let started = Instant::now();
    let local_id = local_id_of(send.local_id, headers)?;
    let sending = Sending { conversation_id, local_id, body: send.body };
    let (tell, told) = oneshot::channel();
    shared.chat.send(principal, sending, |outcome| {
        // Nobody waits any more where this fails.
        let _ = tell.send(outcome);
    });
    let gone = || Failure::new(Code::ServerError, "the server could not do that just now; try again");
    let Sent { message, is_new } = told.await.map_err(|_| gone())??;
    shared.metrics.answered("rest", started.elapsed());
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(MessageAnswer { message })))
}

/// `?after=&before=&limit=`
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageQuery {
    /// Messages strictly after this one; empty is from the first on.
    pub(crate) after: Option<String>,
    /// Messages strictly before this one; empty is the newest ones.
    before: Option<String>,
    /// How many, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// A conversation's messages, ascending by seq
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    params(("id" = String, Path), MessageQuery),
    responses((status = 200, body = MessagePage)))]
pub(super) async fn list_messages(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<MessageQuery>,
) -> Answer<MessagePage> {
    message_page(&shared, &Principal::Device(device), &id, &query).await
}

/// A conversation's messages, ascending by seq
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/messages", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), MessageQuery),
    responses((status = 200, body = MessagePage)))]
pub(super) async fn admin_list_messages(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<MessageQuery>,
) -> Answer<MessagePage> {
    message_page(&shared, &Principal::Agent(agent), &id, &query).await
}

/// What both sides' routes for reading do.
pub(crate) async fn message_page(
    shared: &Shared,
    principal: &Principal,
    conversation_id: &str,
    query: &MessageQuery,
) -> Answer<MessagePage> {
    let cursor = cursor(query.after.as_deref(), query.before.as_deref())?;
    let page = Page::of(query.limit)?;
    let history = shared.chat.history(principal, &conversation_id.into(), cursor, page).await?;
    Ok(Json(MessagePage { messages: history.messages, has_more: history.has_more }))
}
