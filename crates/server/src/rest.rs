//! REST: a handler extracts, makes one call, answers.

mod agent;
mod device;
mod docs;
mod error;
mod extract;
mod health;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::error::failure_response;
use crate::app::Shared;

/// All routes. The OpenAPI document is made of the same handlers.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(docs::Document::openapi())
        .routes(routes!(device::open_conversation, device::list_conversations))
        .routes(routes!(device::send_message, device::list_messages))
        .routes(routes!(device::delivered))
        .routes(routes!(device::read))
        .routes(routes!(device::identify))
        .routes(routes!(agent::inbox))
        .routes(routes!(agent::conversation, agent::change_conversation))
        .routes(routes!(agent::list_messages, agent::send_message))
        .routes(routes!(agent::sessions))
        .routes(routes!(agent::presence))
        .routes(routes!(agent::stats))
        .routes(routes!(agent::audit))
        .split_for_parts();
    // Credentials travel in headers, never in cookies, so a page of any origin may ask: a widget lives on such pages.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(Any)
        .expose_headers([error::REQUEST_ID, http::header::RETRY_AFTER]);
    api.fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), error::with_request_id))
        .layer(cors)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(move || docs::document(document.clone())))
        .route("/docs", get(docs::page))
        .with_state(shared)
}
