//! REST: a handler extracts, makes one call, answers.

mod activity;
mod agents;
mod app;
mod audit;
mod auth;
mod canned_replies;
mod conversations;
mod docs;
mod error;
mod extract;
mod headers;
mod health;
mod messages;
mod people;
mod presence;
mod receipts;
mod search;
mod tags;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::error::{Refused, unauthorized_response, with_request_id};
pub(crate) use self::extract::{AsDevice, Asked, Body, Named};
pub(crate) use self::headers::secured;
pub(crate) use self::health::{alive, is_health};
pub(crate) use self::messages::{MessageQuery, message_page, store_message};
use crate::shared::Shared;
use crate::{legacy, web};

/// For how long a browser need not ask again what it may send: as long as any of them remembers.
const PREFLIGHT_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// What is served where.
pub(crate) struct Routers {
    /// To everybody.
    pub(crate) public: Router,
    /// To those who run the server, where they have a listener of their own.
    pub(crate) internal: Option<Router>,
}

/// All routes. The OpenAPI document is made of the same handlers. With `has_internal`, what only those need who run the
/// server is not for everybody.
pub(crate) fn routers(shared: &Arc<Shared>, has_internal: bool) -> Routers {
    let (api, document) = OpenApiRouter::with_openapi(docs::Document::openapi())
        .routes(routes!(conversations::open_conversation, conversations::list_conversations))
        .routes(routes!(conversations::unread))
        .routes(routes!(messages::send_message, messages::list_messages))
        .routes(routes!(receipts::delivered))
        .routes(routes!(receipts::read))
        .routes(routes!(people::identify))
        .routes(routes!(people::tell_context))
        .routes(routes!(people::admin_person, people::admin_describe_person))
        .routes(routes!(people::admin_block_device))
        .routes(routes!(people::admin_block_person))
        .routes(routes!(people::admin_unbind_device))
        .routes(routes!(people::admin_reset_device))
        .routes(routes!(auth::sign_in))
        .routes(routes!(auth::use_code))
        .routes(routes!(auth::sign_out))
        .routes(routes!(agents::admin_me, agents::admin_change_me))
        .routes(routes!(agents::admin_agents, agents::admin_invite_agent))
        .routes(routes!(agents::admin_change_agent))
        .routes(routes!(agents::admin_reset_agent))
        .routes(routes!(agents::admin_sign_ins, agents::admin_end_sign_ins))
        .routes(routes!(agents::admin_end_sign_in))
        .routes(routes!(app::admin_app, app::admin_change_app))
        .routes(routes!(app::admin_rotate_key))
        .routes(routes!(app::admin_end_old_key))
        .routes(routes!(tokens::admin_tokens, tokens::admin_add_token))
        .routes(routes!(tokens::admin_revoke_token))
        .routes(routes!(app::admin_identity_keys, app::admin_add_identity_key))
        .routes(routes!(app::admin_retire_identity_key))
        .routes(routes!(conversations::admin_inbox))
        .routes(routes!(conversations::admin_counts))
        .routes(routes!(tags::admin_tags, tags::admin_add_tag))
        .routes(routes!(tags::admin_remove_tag))
        .routes(routes!(conversations::admin_conversation, conversations::admin_change_conversation))
        .routes(routes!(messages::admin_list_messages, messages::admin_send_message))
        .routes(routes!(activity::admin_activity))
        .routes(routes!(activity::admin_add_note))
        .routes(routes!(presence::admin_sessions))
        .routes(routes!(presence::admin_presence))
        .routes(routes!(presence::admin_stats))
        .routes(routes!(canned_replies::admin_canned_replies, canned_replies::admin_add_canned_reply))
        .routes(routes!(canned_replies::admin_change_canned_reply, canned_replies::admin_remove_canned_reply))
        .routes(routes!(search::admin_search))
        .routes(routes!(audit::admin_audit))
        .split_for_parts();
    // Ready bytes: anybody may ask for it, again and again.
    let document =
        docs::complete(&document).map(|document| Bytes::from(document.to_string())).unwrap_or_default();
    let events = protocol::schema::socket().map(|schema| Bytes::from(schema.to_string())).unwrap_or_default();
    // Credentials travel in headers, never in cookies, so a page of any origin may ask: a widget lives on such pages.
    // Which origins an app takes is looked at where the app is known.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        // By name: a browser's `*` does not cover `Authorization`.
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("x-app-id"),
            HeaderName::from_static("x-device-id"),
            HeaderName::from_static("x-device-secret"),
            error::REQUEST_ID,
        ])
        .max_age(PREFLIGHT_LIFETIME)
        .expose_headers([error::REQUEST_ID, http::header::RETRY_AFTER]);
    let api = api
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(shared), with_request_id))
        .layer(cors);
    let health = Router::new().route(health::ALIVE, get(alive)).route(health::READY, get(health::ready));
    let operators = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(move || docs::document(document.clone())))
        .route("/socket.schema.json", get(move || docs::document(events.clone())))
        .route("/docs", get(docs::page));
    let with_state = |router: Router<Arc<Shared>>| router.with_state(Arc::clone(shared));
    if has_internal {
        let internal = operators.merge(health.clone()).fallback(error::no_route);
        let public = beside_old(with_state(api.merge(health)).merge(web::router()), shared);
        return Routers { public, internal: Some(with_state(internal)) };
    }
    let all = with_state(api.merge(health).merge(operators)).merge(web::router());
    Routers { public: beside_old(all, shared), internal: None }
}

/// With what old clients need, where they are served.
fn beside_old(api: Router, shared: &Arc<Shared>) -> Router {
    if shared.legacy.legacy { legacy::beside(api, shared) } else { api }
}
