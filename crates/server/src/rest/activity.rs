//! What happens in a conversation beside its messages, and the agents' notes. For agents alone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{Page, activity_cursor};
use http::{HeaderMap, StatusCode};
use protocol::rest::{ActivityAnswer, ActivityList, AddNote};
use serde::Deserialize;

use super::error::{Answer, Refused};
use super::extract::{AsAgent, Asked, Body, Named};
use super::messages::local_id_of;
use crate::shared::Shared;

/// `?after=&before=&limit=`
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ActivityQuery {
    /// What came after this `n`; 0 is from the first on.
    after: Option<u64>,
    /// What came before this `n`. Without it and without `after`: the newest.
    before: Option<u64>,
    /// How much, at most 200; 50 if not given.
    limit: Option<u32>,
}

/// What happened in a conversation beside its messages, ascending by n
#[utoipa::path(get, path = "/v1/admin/conversations/{id}/activity", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), ActivityQuery),
    responses((status = 200, body = ActivityList)))]
pub(super) async fn admin_activity(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<ActivityQuery>,
) -> Answer<ActivityList> {
    let cursor = activity_cursor(query.after, query.before)?;
    Ok(Json(shared.chat.activity(&agent, &id, cursor, Page::of(query.limit)?).await?))
}

/// Write a note for the team; a retry with the same local_id returns the stored one
///
/// No device ever gets it, and it changes nothing that one sees: not who waits, nor when anything was last said.
#[utoipa::path(post, path = "/v1/admin/conversations/{id}/notes", tag = "agent", security(("agent" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Serves where local_id is missing")),
    request_body = AddNote,
    responses((status = 201, description = "Stored now", body = ActivityAnswer),
        (status = 200, description = "Stored before", body = ActivityAnswer)))]
pub(super) async fn admin_add_note(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(note): Body<AddNote>,
) -> Result<(StatusCode, Json<ActivityAnswer>), Refused> {
    let local_id = local_id_of(note.local_id, &headers)?;
    let written = shared.chat.add_note(&agent, &id, &local_id, note.body).await?;
    let status = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ActivityAnswer { activity: written.activity })))
}
