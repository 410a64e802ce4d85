//! The tokens of an app's programs, for those who manage it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::{By, NewTokenWish};
use protocol::rest::{AddToken, Done, TokenAdded, TokenInfo, TokenList};
use protocol::{Code, Failure, Permission, Permissions};
use store::Token;

use super::app::{days, no_app};
use super::error::Answer;
use super::extract::{AsAgent, Body, Named};
use crate::shared::Shared;

fn info(token: &Token) -> TokenInfo {
    TokenInfo {
        id: token.id.clone(),
        name: token.name.clone(),
        permissions: token.allows().iter().collect(),
        owner_id: token.agent_id.clone(),
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
    }
}

/// The tokens of the app's programs
///
/// Those that are good, without their secrets; agents' sessions are not among them. Needs `manage`, as all of
/// `/v1/admin/tokens` does.
#[utoipa::path(get, path = "/v1/admin/tokens", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = TokenList)))]
pub(super) async fn admin_tokens(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<TokenList> {
    let app_id = agent.app_id.clone();
    let tokens = shared.chat.tokens(&By::Agent(agent), &app_id).await?.ok_or_else(no_app)?;
    let now = shared.chat.ambient().now();
    let good = tokens.iter().filter(|token| !token.is_session() && token.is_valid_at(now));
    Ok(Json(TokenList { tokens: good.map(info).collect() }))
}

/// Makes a token for a program
///
/// The secret is answered this once. Nobody hands on a permission that they don't have.
#[utoipa::path(post, path = "/v1/admin/tokens", tag = "agent", security(("agent" = [])), request_body = AddToken,
    responses((status = 200, body = TokenAdded)))]
pub(super) async fn admin_add_token(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<AddToken>,
) -> Answer<TokenAdded> {
    // Before anything is looked up.
    agent.require(Permission::Manage)?;
    let app_id = agent.app_id.clone();
    let by = By::Agent(agent);
    let AddToken { name, permissions, expires_in_days, owner_id } = wish;
    let permissions = permissions.map_or_else(Permissions::agent, |given| given.into_iter().collect());
    if permissions == Permissions::default() {
        return Err(Failure::invalid("permissions must not be empty").into());
    }
    if expires_in_days == Some(0) {
        return Err(Failure::invalid("expires_in_days must be at least 1").into());
    }
    let owner = match owner_id {
        Some(owner) => {
            let known = shared.chat.agent_named(&app_id, &owner).await;
            Some(known.map_err(|_| Failure::invalid("owner_id names no agent of this app"))?)
        }
        None => None,
    };
    let expires_in = expires_in_days.map(days);
    let wish = NewTokenWish { name: &name, permissions, expires_in, owner: owner.as_ref() };
    let made = shared.chat.create_token(&by, &app_id, wish).await?.ok_or_else(no_app)?;
    let tokens = shared.chat.tokens(&by, &app_id).await?.ok_or_else(no_app)?;
    let token = tokens.iter().find(|token| token.id == made.id).map(info).ok_or_else(no_app)?;
    Ok(Json(TokenAdded { token, admin_token: made.admin_token }))
}

/// Revokes a program's token
///
/// Its connections are closed within seconds.
#[utoipa::path(delete, path = "/v1/admin/tokens/{token_id}", tag = "agent", security(("agent" = [])),
    params(("token_id" = String, Path, description = "Which")), responses((status = 200, body = Done)))]
pub(super) async fn admin_revoke_token(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<Done> {
    let revoked = shared.chat.revoke_token(&By::Agent(agent), &id.as_str().into()).await?;
    revoked.ok_or_else(|| Failure::new(Code::NotFound, "there is no such token"))?;
    Ok(Json(Done { success: true }))
}
