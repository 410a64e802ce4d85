//! How agents come in and go: by a password or a code, and out again.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use chat::{Address, Place};
use http::header::USER_AGENT;
use http::request::Parts;
use protocol::rest::{Done, SignIn, SignedIn, UseCode};

use super::error::Answer;
use super::extract::{AsAgent, Body};
use crate::shared::Shared;

/// From where somebody asks, and with what.
pub(super) struct From {
    address: Option<Address>,
    user_agent: Option<String>,
}

impl FromRequestParts<Arc<Shared>> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(USER_AGENT).and_then(|text| text.to_str().ok()).map(str::to_owned);
        Ok(Self { address: parts.extensions.get().copied(), user_agent })
    }
}

impl From {
    fn place(&self) -> Place<'_> {
        Place { address: self.address, user_agent: self.user_agent.as_deref() }
    }
}

fn answer(signed_in: chat::SignedIn) -> Json<SignedIn> {
    let chat::SignedIn { admin_token, expires_at, agent, app_id, api_key } = signed_in;
    Json(SignedIn { admin_token, expires_at, agent, app_id, api_key })
}

/// Signs an agent in by their password
///
/// The answer to a wrong address, a wrong password and an account that there is not is the same, and takes as long. Each
/// wrong try has the next one wait longer, by account and by address.
#[utoipa::path(post, path = "/v1/auth/sign-in", tag = "agent", request_body = SignIn,
    responses((status = 200, body = SignedIn)))]
pub(super) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    from: From,
    Body(given): Body<SignIn>,
) -> Answer<SignedIn> {
    Ok(answer(shared.chat.sign_in(given, from.place()).await?))
}

/// Uses a code that is good once: an invitation, a link for a new password or of the demo, or that of the first run
///
/// What is missing or too short is told, and the code stays good then.
#[utoipa::path(post, path = "/v1/auth/code", tag = "agent", request_body = UseCode,
    responses((status = 200, body = SignedIn)))]
pub(super) async fn use_code(
    State(shared): State<Arc<Shared>>,
    from: From,
    Body(given): Body<UseCode>,
) -> Answer<SignedIn> {
    Ok(answer(shared.chat.use_code(given, from.place()).await?))
}

/// Ends the session that asks
#[utoipa::path(post, path = "/v1/auth/sign-out", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Done)))]
pub(super) async fn sign_out(AsAgent(agent): AsAgent, State(shared): State<Arc<Shared>>) -> Answer<Done> {
    shared.chat.sign_out(&agent).await?;
    Ok(Json(Done { success: true }))
}
