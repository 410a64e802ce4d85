//! What every answer says to browsers and caches: that it is nobody else's, and what it is not.

use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, Entry, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};

/// Nothing of an answer is run, shown in a frame, or makes a browser ask for something else.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// By what answers differ: who asks, and from which page.
const DIFFERS_BY: &str = "authorization, x-app-id, x-device-id, x-api-key, origin";

/// The answer with the headers that all answers have, unless it has its own.
pub(crate) fn secured(mut response: Response) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let headers = response.headers_mut();
    let all: [(HeaderName, &str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in all {
        if let Entry::Vacant(place) = headers.entry(name) {
            place.insert(HeaderValue::from_static(value));
        }
    }
    headers.append(VARY, HeaderValue::from_static(DIFFERS_BY));
    response
}
