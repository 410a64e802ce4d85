//! What machines ask about the server.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::legacy;
use crate::shared::Shared;

/// Whether the process lives.
pub(super) const ALIVE: &str = "/healthz";
/// Whether it takes work.
pub(super) const READY: &str = "/readyz";

/// Whether a request with this path is about health: it is answered also where there is no room for more connections.
pub(crate) fn is_health(path: &str) -> bool {
    path == ALIVE || path == READY || path == legacy::HEALTH
}

/// The process lives.
pub(crate) async fn alive() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

/// It takes work: the database is migrated and writable, and the server is not leaving. Without Redis a node among many
/// is degraded and still takes work: it serves its own clients, and a load balancer must not take all nodes away.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let status = if shared.chat.is_draining() {
        "draining"
    } else if shared.chat.is_writable().await {
        if shared.chat.is_in_touch() && !shared.chat.is_disputed() { "ok" } else { "degraded" }
    } else {
        "database_unavailable"
    };
    let takes_work = matches!(status, "ok" | "degraded");
    let code = if takes_work { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(serde_json::json!({ "status": status }))).into_response()
}

/// Numbers for Prometheus.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let connections = shared.open.count();
    let rendered = shared.metrics.render(shared.chat.totals(), shared.chat.is_in_touch(), connections);
    ([(CONTENT_TYPE, FORMAT)], rendered).into_response()
}
