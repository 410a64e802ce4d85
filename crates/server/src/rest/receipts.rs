//! Receipts without a socket.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{Device, Principal, Receipt};
use protocol::MessageStatus;
use protocol::rest::{Done, Receipt as ReceiptBody};

use super::error::Answer;
use super::extract::{AsDevice, Body, Named};
use crate::shared::Shared;

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
