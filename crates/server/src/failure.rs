//! The one shape of a failure over HTTP, whoever refuses: the door, an upgrade, a route.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use protocol::Failure;

/// A failure as a response.
pub(crate) fn failure_response(failure: &Failure, status: StatusCode) -> Response {
    let mut response = (status, Json(failure)).into_response();
    if let Some(wait_ms) = failure.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000)));
    }
    response.extensions_mut().insert(failure.clone());
    response
}
