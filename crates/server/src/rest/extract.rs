//! What a handler needs of a request: who asks, the body, the query.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use chat::{Address, Agent, Device, DeviceCredentials};
use http::HeaderMap;
use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http_body_util::LengthLimitError;
use percent_encoding::percent_decode_str;
use protocol::{Code, Failure, limits};
use serde::de::DeserializeOwned;

use super::error::{Refused, unauthorized};
use crate::json::{in_words_of_json, parse};
use crate::metrics::REST;
use crate::shared::Shared;

/// Where a device shows its own secret.
const DEVICE_SECRET: &str = "X-Device-Secret";

/// A device with a good credential: `X-App-Id`, `X-Device-Id`, `X-Api-Key`, and `X-Device-Secret` if it has one.
pub(crate) struct AsDevice(pub(crate) Device);

impl FromRequestParts<Arc<Shared>> for AsDevice {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        let headers = &parts.headers;
        let named = (|| {
            let secret =
                headers.contains_key(DEVICE_SECRET).then(|| header(headers, DEVICE_SECRET)).transpose()?;
            let app_id = header(headers, "X-App-Id")?;
            Ok((app_id, header(headers, "X-Device-Id")?, header(headers, "X-Api-Key")?, secret))
        })();
        let device = match &named {
            Ok((app_id, device_id, api_key, secret)) => {
                let shown = DeviceCredentials {
                    app_id,
                    device_id,
                    api_key,
                    device_secret: secret.as_deref(),
                    address: parts.extensions.get().copied(),
                    origin: headers
                        .get(ORIGIN)
                        .and_then(|origin| std::str::from_utf8(origin.as_bytes()).ok()),
                };
                shared.chat.check_device(shown).await
            }
            Err(failure) => Err(Failure::clone(failure)),
        };
        device.map(Self).map_err(|failure| {
            let app = headers.get("X-App-Id").and_then(|app| app.to_str().ok());
            refused(shared, parts, app, &failure);
            unauthorized(failure)
        })
    }
}

/// An agent with a good credential: `Authorization: Bearer …`.
pub(super) struct AsAgent(pub(super) Agent);

impl FromRequestParts<Arc<Shared>> for AsAgent {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        let token = header(&parts.headers, AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
            if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
                Ok(token.trim().to_owned())
            } else {
                Err(Failure::missing("Authorization: Bearer ADMIN_TOKEN"))
            }
        });
        let agent = match token {
            Ok(token) => shared.chat.authenticate_agent(None, &token, None).await,
            Err(failure) => Err(failure),
        };
        agent.map(Self).map_err(|failure| {
            refused(shared, parts, None, &failure);
            unauthorized(failure)
        })
    }
}

/// Counts a refused credential, and tells of it in the log.
fn refused(shared: &Shared, parts: &Parts, app: Option<&str>, failure: &Failure) {
    shared.metrics.login_refused(REST, failure.code);
    let address = parts.extensions.get::<Address>().map(|address| address.ip);
    shared.refused_logins.tell(REST, failure.code.as_str(), app, address);
}

/// How a value begins that a header could not carry as it is, or not from every client: as RFC 8187 has it.
const ENCODED: &str = "UTF-8''";

/// What a header says. Ids may be in any script, as on a socket: as the bytes of UTF-8, or, for clients that can't send
/// those (browsers' `fetch`, for one), percent-encoded behind [`ENCODED`].
///
/// # Errors
/// `MISSING_PARAMS`, or `VALIDATION_ERROR` if it is neither.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Cow<'a, str>, Failure> {
    let value = headers.get(name).ok_or_else(|| Failure::missing(name))?;
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        Failure::invalid(format!("{name} is not UTF-8: write it percent-encoded, as in {ENCODED}Jos%C3%A9"))
    })?;
    match text.get(..ENCODED.len()) {
        Some(start) if start.eq_ignore_ascii_case(ENCODED) => {
            let decoded = percent_decode_str(&text[ENCODED.len()..]).decode_utf8();
            decoded.map_err(|_| Failure::invalid(format!("what {name} encodes is not UTF-8")))
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// A JSON body; whatever its `Content-Type` says. An empty one is `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refused> {
        let read = axum::body::to_bytes(request.into_body(), limits::FRAME_BYTES);
        let bytes = tokio::time::timeout(shared.handshake_timeout, read)
            .await
            .map_err(|_| Failure::invalid("the body did not arrive in time"))?
            .map_err(|error| {
                let most = limits::FRAME_BYTES;
                if error.into_inner().is::<LengthLimitError>() {
                    Failure::new(Code::MessageTooLong, format!("the body has more than {most} bytes"))
                } else {
                    Failure::invalid("the body broke off")
                }
            })?;
        let json = if bytes.is_empty() { b"{}" } else { &bytes[..] };
        Ok(Self(parse(json)?))
    }
}

/// The path's one parameter, with a failure of ours where it is not UTF-8.
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<Arc<Shared>> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        match Path::from_request_parts(parts, shared).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Failure::invalid(rejection.body_text()).into()),
        }
    }
}

/// The query, with a failure of ours where it is of another form.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Refused> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Failure::invalid(in_words_of_json(&rejection.body_text())).into()),
        }
    }
}
