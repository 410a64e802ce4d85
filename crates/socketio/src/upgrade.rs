//! The HTTP side of the handshake: what to answer to a request for an Engine.IO connection, what to request, and
//! whether the answer to that will do. Does no I/O and keeps nothing of the request; the upgrade itself is up to
//! whoever speaks HTTP.

use data_encoding::BASE64;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, response};
use tungstenite::handshake::derive_accept_key;

/// Engine.IO's own numbers and words.
#[derive(Clone, Copy)]
enum Refusal {
    UnknownTransport,
    UnknownSid,
    BadMethod,
    BadRequest,
    UnsupportedVersion,
}

/// The answer to a request on the Socket.IO path: the `101` after which the stream belongs to a
/// [`Connection`](crate::Connection).
///
/// # Errors
///
/// When the request is not for Engine.IO v4 over WebSocket: a `400` with Engine.IO's JSON error as its body.
/// Polling is `{"code":0,"message":"Transport unknown"}`, as from an Engine.IO server without it.
pub fn respond(request: &Parts) -> Result<Response<()>, Box<Response<String>>> {
    let key = check(request).map_err(refuse)?;
    let mut response = switch(key).map_err(refuse)?;
    // Clients that name protocols of their own give up where none of them is chosen. Socket.IO's server takes the first.
    if let Some(protocol) = first_protocol(&request.headers) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// The answer to the WebSocket handshake that has this key.
fn switch(key: &HeaderValue) -> Result<Response<()>, Refusal> {
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| Refusal::BadRequest)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The answer to a request for a WebSocket without Engine.IO on it: the `101` after which the stream belongs to a
/// [`PlainConnection`](crate::PlainConnection). `None` if it is no request for a WebSocket.
pub fn respond_plain(request: &Parts) -> Option<Response<()>> {
    switch(websocket_key(request).ok()?).ok()
}

/// Why the answer to a request for a connection is none to begin with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The server did not upgrade; its status says why.
    #[error("the server answered {0} instead of upgrading")]
    Status(StatusCode),
    /// The server upgraded to something else, or is none of WebSocket: this header of its answer is missing, or
    /// wrong, or was not asked for.
    #[error("the server's answer has a wrong {0} header, or none")]
    Header(HeaderName),
}

/// The request after whose acceptance the stream belongs to a [`ClientConnection`](crate::ClientConnection).
/// `authority` is the server's host, with its port where that is not the scheme's; `path` is where Socket.IO is
/// there, commonly `/socket.io/`, and may have a query but no fragment. `chance` is 16 bytes that nobody can foresee.
///
/// # Errors
///
/// When the authority or the path cannot be in a request.
pub fn request(authority: &str, path: &str, chance: [u8; 16]) -> Result<Request<()>, http::Error> {
    let separator = if path.contains('?') { '&' } else { '?' };
    Request::get(format!("{path}{separator}EIO=4&transport=websocket"))
        .header(HOST, authority)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_KEY, BASE64.encode(&chance))
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(())
}

/// Checks the answer to what [`request`] made: that it is `101`, to WebSocket, from a server that has read this very
/// request, and without extensions and protocols that were not asked for.
///
/// # Errors
///
/// When it is not. Nothing may be read from the stream then but the answer's body.
pub fn accepted(request: &Request<()>, response: &response::Parts) -> Result<(), UpgradeError> {
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpgradeError::Status(response.status));
    }
    let headers = &response.headers;
    for (header, token) in [(UPGRADE, "websocket"), (CONNECTION, "upgrade")] {
        if !names(headers, &header, token) {
            return Err(UpgradeError::Header(header));
        }
    }
    let expected = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
    if accept.zip(expected).is_none_or(|(accept, expected)| accept.as_bytes() != expected.as_bytes()) {
        return Err(UpgradeError::Header(SEC_WEBSOCKET_ACCEPT));
    }
    for header in [SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL] {
        if headers.contains_key(&header) {
            return Err(UpgradeError::Header(header));
        }
    }
    Ok(())
}

fn check(request: &Parts) -> Result<&HeaderValue, Refusal> {
    let query = request.uri.query().unwrap_or_default();
    if parameter(query, "transport") != Some("websocket") {
        return Err(Refusal::UnknownTransport);
    }
    // An id belongs to a session that began with polling, and there are none.
    if parameter(query, "sid").is_some_and(|sid| !sid.is_empty()) {
        return Err(Refusal::UnknownSid);
    }
    let key = websocket_key(request);
    if key.is_ok() && parameter(query, "EIO") != Some("4") {
        return Err(Refusal::UnsupportedVersion);
    }
    key
}

/// The key of a WebSocket handshake.
fn websocket_key(request: &Parts) -> Result<&HeaderValue, Refusal> {
    if request.method != Method::GET {
        return Err(Refusal::BadMethod);
    }
    let headers = &request.headers;
    // HTTP before 1.1 knows no upgrade: what is in between may not pass it on.
    if request.version < Version::HTTP_11 {
        return Err(Refusal::BadRequest);
    }
    if !names(headers, &CONNECTION, "upgrade") || !names(headers, &UPGRADE, "websocket") {
        return Err(Refusal::BadRequest);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::BadRequest);
    }
    // 16 bytes in base64.
    headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24).ok_or(Refusal::BadRequest)
}

/// The first of the protocols that the client speaks, if it names any.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = named.split(',').map(str::trim).find(|protocol| !protocol.is_empty())?;
    HeaderValue::from_str(first).ok()
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|pair| pair.1)
}

/// Whether a header that is a list has the token in it.
fn names(headers: &HeaderMap, header: &HeaderName, token: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn refuse(refusal: Refusal) -> Box<Response<String>> {
    let (code, message) = match refusal {
        Refusal::UnknownTransport => (0, "Transport unknown"),
        Refusal::UnknownSid => (1, "Session ID unknown"),
        Refusal::BadMethod => (2, "Bad handshake method"),
        Refusal::BadRequest => (3, "Bad request"),
        Refusal::UnsupportedVersion => (5, "Unsupported protocol version"),
    };
    let mut response = Response::new(format!(r#"{{"code":{code},"message":"{message}"}}"#));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Box::new(response)
}
