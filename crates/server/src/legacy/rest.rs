//! The dialect of REST that old clients speak, told by a header. Four calls are answered here; all others, and everybody
//! else's, as ever.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chat::{Page, Principal};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httpdate::fmt_http_date;
use protocol::limits::PAGE_MAX;
use protocol::rest::{ConversationAnswer, MessagePage, OpenConversation, SendMessage, User};
use protocol::{Message, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Cursor;
use tower_service::Service as _;

use super::moved;
use super::wire::in_dialect;
use crate::rest::{
    AsDevice, Asked, Body, MessageQuery, Named, Refused, alive, message_page, store_message, with_request_id,
};
use crate::shared::Shared;

/// As old load balancers ask whether the process lives.
pub(crate) const HEALTH: &str = "/health";

/// How old clients name themselves.
const VERSION: (HeaderName, &str) = (HeaderName::from_static("x-sdk-version"), "1.0.0");

/// When this protocol was declared old, in the form of RFC 9745: 2026-11-27.
const DEPRECATED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("deprecation"), HeaderValue::from_static("@1795737600"));

/// See RFC 8594.
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// By how much a device's clock may be wrong: what is sent twice for it, old clients know.
const CLOCK_SLACK_MS: i64 = 60 * 60 * 1_000;

/// All that is served, where old clients are: they get their dialect, everybody else `api`.
pub(crate) fn beside(api: Router, shared: &Arc<Shared>) -> Router {
    let named = from_fn_with_state(Arc::clone(shared), with_request_id);
    let old = Router::new()
        .route("/v1/conversations", post(open).layer(named.clone()).fallback_service(api.clone()))
        .route(
            "/v1/conversations/{id}/messages",
            post(send).get(list).layer(named.clone()).fallback_service(api.clone()),
        )
        .route("/v1/push-token", post(push_token).layer(named))
        .fallback_service(api.clone())
        .layer(from_fn_with_state(shared.legacy.legacy_sunset, told_that_it_is_old))
        .with_state(Arc::clone(shared));
    Router::new().route(HEALTH, get(alive)).fallback(by_version).with_state(Dialects { old, api })
}

#[derive(Clone)]
struct Dialects {
    old: Router,
    api: Router,
}

async fn by_version(State(Dialects { old, api }): State<Dialects>, request: Request) -> Response {
    let (name, version) = VERSION;
    let is_old = request.headers().get(name).is_some_and(|named| named == version);
    let mut router = if is_old { old } else { api };
    let Ok(response) = router.call(request).await;
    response
}

async fn told_that_it_is_old(
    State(sunset): State<Option<SystemTime>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let (name, since) = DEPRECATED;
    response.headers_mut().insert(name, since);
    if let Some(Ok(until)) = sunset.map(|until| HeaderValue::try_from(fmt_http_date(until))) {
        response.headers_mut().insert(SUNSET, until);
    }
    response
}

/// An answer in the dialect.
type Answer = Result<Response, Refused>;

fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => (status, Json(in_dialect(value))).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// As [`OpenConversation`], with a person that may be nobody.
#[derive(Deserialize)]
struct Open {
    user: Option<OldUser>,
    device_context: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct OldUser {
    id: Option<String>,
    name: Option<String>,
    email: Option<String>,
    attributes: Option<Map<String, Value>>,
}

impl OldUser {
    /// The person, if one is named. A name or an address that is empty says nothing.
    fn named(self) -> Option<User> {
        let Self { id, name, email, attributes } = self;
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        Some(User { id: said(id)?.into(), name: said(name), email: said(email), attributes })
    }
}

/// The device's open conversation, or a new one.
async fn open(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Body(wish): Body<Open>,
) -> Answer {
    shared.metrics.legacy_used(&device.app_id, "call");
    let Open { user, device_context } = wish;
    let wish = OpenConversation { user: user.and_then(OldUser::named), device_context };
    let conversation = shared.chat.open_conversation(&device, wish).await?;
    Ok(answer(StatusCode::OK, &ConversationAnswer { conversation }))
}

/// Stores a message, once.
async fn send(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    headers: HeaderMap,
    Body(send): Body<SendMessage>,
) -> Answer {
    shared.metrics.legacy_used(&device.app_id, "call");
    let id = moved::conversation(&shared, &device, id.into()).await?.to_string();
    let (status, Json(stored)) =
        store_message(&shared, &Principal::Device(device), id, &headers, send).await?;
    Ok(answer(status, &stored))
}

/// What was said since a time on the device's clock, or the newest that was said, ascending. Whoever asks has no second page,
/// and so gets as much as one may have, whatever their limit.
async fn list(
    AsDevice(device): AsDevice,
    State(shared): State<Arc<Shared>>,
    Named(id): Named,
    Asked(query): Asked<MessageQuery>,
) -> Answer {
    shared.metrics.legacy_used(&device.app_id, "call");
    let id = moved::conversation(&shared, &device, id.into()).await?;
    let principal = Principal::Device(device);
    let since = match query.after.as_deref().unwrap_or_default() {
        "" => None,
        time if time.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than a number has are far in the future.
            Some(Timestamp::from_epoch_ms(time.parse().unwrap_or(i64::MAX).saturating_sub(CLOCK_SLACK_MS)))
        }
        _ => {
            let Json(page) = message_page(&shared, &principal, id.as_str(), &query).await?;
            return Ok(answer(StatusCode::OK, &page));
        }
    };
    let page = Page::of(Some(PAGE_MAX))?;
    let history = shared.chat.history(&principal, &id, Cursor::Before(None), page).await?;
    let is_since = |message: &Message| since.is_none_or(|since| message.created_at >= since);
    // Time never goes back within a conversation.
    let messages: Vec<_> = history.messages.into_iter().skip_while(|message| !is_since(message)).collect();
    Ok(answer(StatusCode::OK, &MessagePage { messages, has_more: false }))
}

/// Taken, and not kept: nothing pushes yet.
async fn push_token(AsDevice(device): AsDevice, State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.metrics.legacy_used(&device.app_id, "call");
    StatusCode::NO_CONTENT
}
