//! Who is at a device, and what it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::By;
use protocol::rest::{
    BlockedAnswer, ChangeBlocked, DescribePerson, Done, Identify, Identity, PersonAnswer, TellContext,
};
use protocol::{Code, Failure};

use super::error::Answer;
use super::extract::{AsAgent, AsDevice, Body, Named};
use crate::shared::Shared;

/// Who uses this device
#[utoipa::path(post, path = "/v1/identify", tag = "device", security(("app" = [], "device" = [], "key" = [])), request_body = Identify,
    responses((status = 200, body = Done)))]
pub(super) async fn identify(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Body(identify): Body<Identify>,
) -> Answer<Done> {
    shared.chat.identify(&device, Identity::try_from(identify)?, None).await?;
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

/// Who writes in a conversation
///
/// The person, with what was told or proved of them; their devices; what else they have written.
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/person", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path, description = "The conversation")), responses((status = 200, body = PersonAnswer)))]
pub(super) async fn admin_person(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<PersonAnswer> {
    Ok(Json(shared.chat.person(&agent, &id).await?))
}

/// What the team knows about who writes in a conversation
///
/// Kept with the person where they are verified, and else with the device and whoever it says is there; in the activity of this
/// conversation. Needs `send_messages` and `view_conversations`.
#[utoipa::path(patch, path = "/v1/admin/conversations/{id}/person", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path, description = "The conversation")), request_body = DescribePerson,
    responses((status = 200, body = PersonAnswer)))]
pub(super) async fn admin_describe_person(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(change): Body<DescribePerson>,
) -> Answer<PersonAnswer> {
    Ok(Json(shared.chat.describe_person(&agent, &id, &change.about).await?))
}

/// Blocks a device, or no longer
///
/// A blocked device is refused with `BLOCKED` when it connects and for all that it sends. Needs `send_messages` and
/// `view_conversations`.
#[utoipa::path(patch, path = "/v1/admin/devices/{device_id}", tag = "agent", security(("agent" = [])),
    params(("device_id" = String, Path, description = "The device")), request_body = ChangeBlocked,
    responses((status = 200, body = BlockedAnswer)))]
pub(super) async fn admin_block_device(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(device_id): Named,
    Body(change): Body<ChangeBlocked>,
) -> Answer<BlockedAnswer> {
    Ok(Json(shared.chat.block_device(&agent, &device_id, change.blocked).await?))
}

/// Blocks a person on every device, or no longer
///
/// As for a device. Needs `send_messages` and `view_conversations`.
#[utoipa::path(patch, path = "/v1/admin/people/{user_id}", tag = "agent", security(("agent" = [])),
    params(("user_id" = String, Path, description = "The app's own id for the person")), request_body = ChangeBlocked,
    responses((status = 200, body = BlockedAnswer)))]
pub(super) async fn admin_block_person(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(user_id): Named,
    Body(change): Body<ChangeBlocked>,
) -> Answer<BlockedAnswer> {
    Ok(Json(shared.chat.block_person(&agent, &user_id, change.blocked).await?))
}

/// Ends the binding of a device to its verified person
///
/// The device is told `IDENTITY_REQUIRED`, and asks its app for a fresh token. Needs `manage`.
#[utoipa::path(post, path = "/v1/admin/devices/{device_id}/unbind", tag = "agent", security(("agent" = [])),
    params(("device_id" = String, Path, description = "The device")), responses((status = 200, body = Done)))]
pub(super) async fn admin_unbind_device(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(device_id): Named,
) -> Answer<Done> {
    let app_id = agent.app_id.clone();
    let was_bound = shared.chat.unbind(&By::Agent(agent), &app_id, &device_id).await?;
    if !was_bound {
        return Err(Failure::new(Code::NotFound, "nobody is verified at such a device").into());
    }
    Ok(Json(Done { success: true }))
}

/// Lets a device's name be claimed anew
///
/// For a person who has lost the secret of their device: whoever shows one first owns the name. Needs `manage`.
#[utoipa::path(post, path = "/v1/admin/devices/{device_id}/reset", tag = "agent", security(("agent" = [])),
    params(("device_id" = String, Path, description = "The device")), responses((status = 200, body = Done)))]
pub(super) async fn admin_reset_device(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(device_id): Named,
) -> Answer<Done> {
    let app_id = agent.app_id.clone();
    if !shared.chat.reset_device(&By::Agent(agent), &app_id, &device_id).await? {
        return Err(Failure::new(Code::NotFound, "nothing is known of such a device").into());
    }
    Ok(Json(Done { success: true }))
}
