//! The device's routes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{Device, Page, Principal, Receipt, Sending, Sent, cursor};
use http::{HeaderMap, StatusCode};
use protocol::limits::Action;
use protocol::rest::{
    ConversationAnswer, ConversationPage, Done, Identify, MessageAnswer, MessagePage, OpenConversation,
    Receipt as ReceiptBody, SendMessage,
};
use protocol::{Failure, MessageStatus};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::error::Refused;
use super::extract::{AsDevice, Asked, Body, MessageQuery, Named, header};
use crate::shared::Shared;

type Answer<T> = Result<Json<T>, Refused>;

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
    store(&shared, &Principal::Device(device), id, &headers, send).await
}

/// What serves where `local_id` is missing.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// What both sides' routes for sending do.
pub(super) async fn store(
    shared: &Arc<Shared>,
    principal: &Principal,
    conversation_id: String,
    headers: &HeaderMap,
    send: SendMessage,
) -> Result<(StatusCode, Json<MessageAnswer>), Refused> {
    let started = std::time::Instant::now();
    let local_id = match send.local_id {
        Some(local_id) => local_id,
        None if headers.contains_key(IDEMPOTENCY_KEY) => header(headers, IDEMPOTENCY_KEY)?.into_owned(),
        None => return Err(Failure::missing("local_id").into()),
    };
    let sending = Sending { conversation_id, local_id, body: send.body };
    let (tell, told) = oneshot::channel();
    shared.chat.send(principal, sending, |outcome| {
        // Nobody waits any more where this fails.
        let _ = tell.send(outcome);
    });
    let gone =
        || Failure::new(protocol::Code::ServerError, "the server could not do that just now; try again");
    let Sent { message, is_new } = told.await.map_err(|_| gone())??;
    shared.metrics.answered("rest", started.elapsed());
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(MessageAnswer { message })))
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
    page(&shared, &Principal::Device(device), &id, &query).await
}

/// What both sides' routes for reading do.
pub(super) async fn page(
    shared: &Shared,
    principal: &Principal,
    conversation_id: &str,
    query: &MessageQuery,
) -> Answer<MessagePage> {
    let cursor = cursor(query.after.as_deref(), query.before.as_deref())?;
    let page = Page::of(query.limit)?;
    let history =
        shared.chat.history(principal, &conversation_id.into(), Some(cursor), page, Action::Read).await?;
    Ok(Json(MessagePage { messages: history.messages, has_more: history.has_more }))
}

/// The device has received up to there
#[utoipa::path(post, path = "/v1/conversations/{id}/messages/delivered", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    params(("id" = String, Path)), request_body = ReceiptBody,
    responses((status = 200, body = Done)))]
pub(super) async fn delivered(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(receipt): Body<ReceiptBody>,
) -> Answer<Done> {
    acknowledge(&shared, device, &id, receipt, MessageStatus::Delivered).await
}

/// The user has read up to there
#[utoipa::path(post, path = "/v1/conversations/{id}/messages/read", tag = "device", security(("app" = [], "device" = [], "key" = [])),
    params(("id" = String, Path)), request_body = ReceiptBody,
    responses((status = 200, body = Done)))]
pub(super) async fn read(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(receipt): Body<ReceiptBody>,
) -> Answer<Done> {
    acknowledge(&shared, device, &id, receipt, MessageStatus::Read).await
}

async fn acknowledge(
    shared: &Arc<Shared>,
    device: Device,
    id: &str,
    receipt: ReceiptBody,
    status: MessageStatus,
) -> Answer<Done> {
    let receipt =
        Receipt { up_to: receipt.up_to_message_id.into(), conversation_id: Some(id.into()), status };
    shared.chat.acknowledge(&Principal::Device(device), receipt).await?;
    Ok(Json(Done { success: true }))
}

/// Who uses this device
#[utoipa::path(post, path = "/v1/identify", tag = "device", security(("app" = [], "device" = [], "key" = [])), request_body = Identify,
    responses((status = 200, body = Done)))]
pub(super) async fn identify(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Body(identify): Body<Identify>,
) -> Answer<Done> {
    shared.chat.identify(&device, identify.user).await?;
    Ok(Json(Done { success: true }))
}
