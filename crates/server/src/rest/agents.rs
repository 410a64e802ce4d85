//! Agents: oneself, one's sessions, one's colleagues, and for those who manage an app what they may do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chat::By;
use protocol::rest::{AgentAnswer, Agents, ChangeAgent, ChangeMe, Done, InviteAgent, LetIn, Me, SignIns};
use protocol::{AgentId, Code, Failure};
use serde::Deserialize;

use super::error::Answer;
use super::extract::{AsAgent, Asked, Body, Named};
use crate::command::sign_in_link;
use crate::shared::Shared;

/// Who is asking, and what they may do
#[utoipa::path(get, path = "/v1/admin/me", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Me)))]
pub(super) async fn admin_me(AsAgent(agent): AsAgent, State(shared): State<Arc<Shared>>) -> Answer<Me> {
    Ok(Json(shared.chat.me(&agent).await?))
}

/// Changes what an agent says of themselves: their name, whether they take part, their password
#[utoipa::path(patch, path = "/v1/admin/me", tag = "agent", security(("agent" = [])), request_body = ChangeMe,
    responses((status = 200, body = AgentAnswer)))]
pub(super) async fn admin_change_me(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<ChangeMe>,
) -> Answer<AgentAnswer> {
    Ok(Json(AgentAnswer { agent: shared.chat.change_me(&agent, wish).await? }))
}

/// The app's agents
///
/// Their names, roles and whether they are there, for everybody who sees conversations; with `manage` their e-mail addresses and
/// times, too. All else of `/v1/admin/agents` needs `manage`.
#[utoipa::path(get, path = "/v1/admin/agents", tag = "agent", security(("agent" = [])),
    responses((status = 200, body = Agents)))]
pub(super) async fn admin_agents(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
) -> Answer<Agents> {
    Ok(Json(Agents { agents: shared.chat.colleagues(&agent).await? }))
}

/// Invites somebody
///
/// The link is good once and for 72 hours, and works without a mail server: it is copied and sent by whatever means. Who has
/// not come yet is invited anew, and the link before is void then.
#[utoipa::path(post, path = "/v1/admin/agents", tag = "agent", security(("agent" = [])), request_body = InviteAgent,
    responses((status = 200, body = LetIn)))]
pub(super) async fn admin_invite_agent(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Body(invitation): Body<InviteAgent>,
) -> Answer<LetIn> {
    let InviteAgent { name, email, role } = invitation;
    let role = role.ok_or_else(|| Failure::missing("role"))?;
    let app_id = agent.app_id.clone();
    let by = By::Agent(agent);
    let invited = shared.chat.invite_agent(&by, &app_id, &name, &email, role).await?;
    let invited = invited.ok_or_else(|| Failure::new(Code::NotFound, "there is no such app"))?;
    Ok(Json(let_in(&shared, invited)))
}

fn let_in(shared: &Shared, chat::LetIn { agent, code }: chat::LetIn) -> LetIn {
    let link = sign_in_link(&shared.public_url, &code);
    LetIn { agent, code, link }
}

/// Changes an agent: their name, their role, or whether they are disabled
///
/// What a disabled agent did stays theirs. The last admin stays one.
#[utoipa::path(patch, path = "/v1/admin/agents/{agent_id}", tag = "agent", security(("agent" = [])),
    params(("agent_id" = String, Path, description = "The agent")), request_body = ChangeAgent,
    responses((status = 200, body = AgentAnswer)))]
pub(super) async fn admin_change_agent(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Body(wish): Body<ChangeAgent>,
) -> Answer<AgentAnswer> {
    let agent = shared.chat.change_agent(&By::Agent(agent), &AgentId::from(id), wish).await?;
    Ok(Json(AgentAnswer { agent }))
}

/// A link by which an agent sets another password
///
/// Good once and for 24 hours. Their password is good until then, and their sessions end with it.
#[utoipa::path(post, path = "/v1/admin/agents/{agent_id}/reset", tag = "agent", security(("agent" = [])),
    params(("agent_id" = String, Path, description = "The agent")), responses((status = 200, body = LetIn)))]
pub(super) async fn admin_reset_agent(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<LetIn> {
    let reset = shared.chat.reset_agent(&By::Agent(agent), &AgentId::from(id)).await?;
    Ok(Json(let_in(&shared, reset)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SignInQuery {
    /// Another agent's, for who has `manage`.
    agent_id: Option<String>,
}

impl SignInQuery {
    fn agent(self) -> Option<AgentId> {
        self.agent_id.filter(|id| !id.is_empty()).map(AgentId::from)
    }
}

/// An agent's sessions: one's own, or another's
#[utoipa::path(get, path = "/v1/admin/sign-ins", tag = "agent", security(("agent" = [])), params(SignInQuery),
    responses((status = 200, body = SignIns)))]
pub(super) async fn admin_sign_ins(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<SignInQuery>,
) -> Answer<SignIns> {
    Ok(Json(SignIns { sign_ins: shared.chat.sign_ins(&agent, query.agent()).await? }))
}

/// Ends all sessions of an agent but the one that asks: one's own, or another's
#[utoipa::path(delete, path = "/v1/admin/sign-ins", tag = "agent", security(("agent" = [])), params(SignInQuery),
    responses((status = 200, body = Done)))]
pub(super) async fn admin_end_sign_ins(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Asked(query): Asked<SignInQuery>,
) -> Answer<Done> {
    shared.chat.end_sign_ins(&agent, query.agent()).await?;
    Ok(Json(Done { success: true }))
}

/// Ends one session: one's own, or with `manage` another's
#[utoipa::path(delete, path = "/v1/admin/sign-ins/{sign_in_id}", tag = "agent", security(("agent" = [])),
    params(("sign_in_id" = String, Path, description = "The session")), responses((status = 200, body = Done)))]
pub(super) async fn admin_end_sign_in(
    AsAgent(agent): AsAgent,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
) -> Answer<Done> {
    shared.chat.end_sign_in(&agent, &id.into()).await?;
    Ok(Json(Done { success: true }))
}
