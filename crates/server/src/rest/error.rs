//! The one shape of a failure, and the name under which a request stands in the log.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use protocol::{Code, Failure};
use tracing::Instrument as _;

use crate::failure::failure_response;
use crate::shared::Shared;

/// The header that carries a request's name, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's own request id that are taken over.
const REQUEST_ID_CHARS: usize = 64;

/// What a handler answers.
pub(super) type Answer<T> = Result<Json<T>, Refused>;

/// A failure on its way out. The middleware gives it the request's id.
#[derive(Debug)]
pub(crate) struct Refused(Failure, StatusCode);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = status(failure.code);
        Self(failure, status)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        failure_response(&self.0, self.1)
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::MissingParams | Code::ValidationError => StatusCode::BAD_REQUEST,
        Code::InvalidCredentials | Code::IdentityRequired => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::VerificationRequired | Code::Blocked => StatusCode::FORBIDDEN,
        Code::ConversationNotFound | Code::MessageNotFound | Code::ActivityNotFound | Code::NotFound => {
            StatusCode::NOT_FOUND
        }
        Code::MessageTooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Code::LocalIdConflict | Code::IdentityChanged | Code::HistoryChanged | Code::AssigneeChanged => {
            StatusCode::CONFLICT
        }
        Code::RateLimited | Code::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
        Code::AuthError | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A credential that is missing or wrong: 401 whatever the code.
pub(super) fn unauthorized(failure: Failure) -> Refused {
    let status = match failure.code {
        Code::AuthError => StatusCode::SERVICE_UNAVAILABLE,
        Code::Forbidden | Code::Blocked => StatusCode::FORBIDDEN,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNAUTHORIZED,
    };
    Refused(failure, status)
}

/// As [`unauthorized`], for who refuses before there is a route.
pub(crate) fn unauthorized_response(failure: Failure) -> Response {
    unauthorized(failure).into_response()
}

pub(super) async fn no_route() -> Refused {
    Refused(Failure::invalid("there is no such route; see /docs"), StatusCode::NOT_FOUND)
}

pub(super) async fn no_method() -> Refused {
    Refused(
        Failure::invalid("this route does not take that method; see /docs"),
        StatusCode::METHOD_NOT_ALLOWED,
    )
}

/// Names the request, in the answer, in a failure's body and in the log.
pub(crate) async fn with_request_id(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = given_id(&request).unwrap_or_else(|| new_id(&shared));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    // What is logged on the way carries the request's name.
    let span = tracing::info_span!("request", request_id);
    let mut response = next.run(request).instrument(span).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        let failure = Failure { request_id: Some(request_id.clone()), ..failure };
        response = failure_response(&failure, response.status());
    }
    shared.metrics.requested(response.status().as_u16());
    tracing::debug!(
        request_id,
        %method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        took_ms = started.elapsed().as_millis(),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn given_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (is_plain && !id.is_empty() && id.len() <= REQUEST_ID_CHARS).then(|| id.to_owned())
}

fn new_id(shared: &Shared) -> String {
    format!("req_{:016x}", shared.chat.ambient().chance())
}
