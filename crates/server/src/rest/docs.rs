//! The OpenAPI document, and a page that shows it to people.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "ReplyHQ", description = "Self-hosted realtime support chat. Live events are on Socket.IO at /v1/socket.io."),
    tags((name = "device", description = "For apps: X-App-Id, X-Device-Id, X-Api-Key"),
        (name = "agent", description = "For agents: Authorization: Bearer ADMIN_TOKEN")),
    modifiers(&Credentials)
)]
pub(super) struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = ApiKeyValue::with_description("X-Api-Key", "With X-App-Id and X-Device-Id beside it");
        components.add_security_scheme("device", SecurityScheme::ApiKey(ApiKey::Header(key)));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("agent", SecurityScheme::Http(bearer));
    }
}

pub(super) async fn document(document: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// The page; it loads `/openapi.json` and nothing else.
pub(super) async fn page() -> Response {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
        script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("docs.html")).into_response()
}
