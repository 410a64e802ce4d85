//! Who is at a device, and what it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::rest::{Done, Identify, TellContext};

use super::error::Answer;
use super::extract::{AsDevice, Body};
use crate::shared::Shared;

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

/// What this device is
#[utoipa::path(post, path = "/v1/device-context", tag = "device", security(("app" = [], "device" = [], "key" = [])), request_body = TellContext,
    responses((status = 200, body = Done)))]
pub(super) async fn tell_context(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Body(told): Body<TellContext>,
) -> Answer<Done> {
    shared.chat.tell_context(&device, &told.device_context).await?;
    Ok(Json(Done { success: true }))
}
