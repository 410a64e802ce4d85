//! What is answered to an upgrade request, what is requested, and which answers will do.

use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use socketio::upgrade::{self, UpgradeError, accepted, respond};

fn request(method: &str, uri: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn refusal(request: http::request::Builder) -> String {
    let response = respond(&request.body(()).unwrap().into_parts().0).unwrap_err();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/json");
    response.into_body()
}

#[test]
fn a_good_request_is_upgraded() {
    for uri in ["/socket.io/?EIO=4&transport=websocket", "/x?transport=websocket&t=abc&EIO=4&sid="] {
        let response = respond(&request("GET", uri).body(()).unwrap().into_parts().0).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "Upgrade");
    }
}

#[test]
fn others_get_engine_io_errors() {
    let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
    for query in ["", "?", "?EIO=4", "?EIO=4&transport=polling", "?EIO=4&transport=abc", "?EIO=4&transport="]
    {
        assert_eq!(refusal(request("GET", &format!("/socket.io/{query}"))), unknown);
    }
    let good = "/socket.io/?EIO=4&transport=websocket";
    assert_eq!(
        refusal(request("GET", &format!("{good}&sid=x"))),
        r#"{"code":1,"message":"Session ID unknown"}"#
    );
    assert_eq!(refusal(request("POST", good)), r#"{"code":2,"message":"Bad handshake method"}"#);
    for query in ["transport=websocket", "EIO=3&transport=websocket", "EIO=abc&transport=websocket"] {
        let version = r#"{"code":5,"message":"Unsupported protocol version"}"#;
        assert_eq!(refusal(request("GET", &format!("/socket.io/?{query}"))), version);
    }
    for missing in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
        let mut request = request("GET", good);
        request.headers_mut().unwrap().remove(missing);
        assert_eq!(refusal(request), r#"{"code":3,"message":"Bad request"}"#);
    }
}

/// The 16 bytes of RFC 6455's own example.
const CHANCE: [u8; 16] = *b"the sample nonce";

#[test]
fn a_request_is_what_a_server_upgrades() {
    let request = upgrade::request("chat.example:8443", "/socket.io/", CHANCE).unwrap();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.uri(), "/socket.io/?EIO=4&transport=websocket");
    assert_eq!(request.headers()["host"], "chat.example:8443");
    assert_eq!(request.headers()["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = respond(&request.clone().into_parts().0).unwrap();
    assert_eq!(accepted(&request, &answer.into_parts().0), Ok(()));
    let with_query = upgrade::request("x", "/socket.io/?app=1", CHANCE).unwrap();
    assert_eq!(with_query.uri(), "/socket.io/?app=1&EIO=4&transport=websocket");
    assert!(respond(&with_query.into_parts().0).is_ok());
    let other = upgrade::request("x", "/socket.io/", [0; 16]).unwrap();
    assert_ne!(other.headers()["sec-websocket-key"], request.headers()["sec-websocket-key"]);
}

#[test]
fn what_cannot_be_requested_is_an_error() {
    for (authority, path) in [("x\r\ny: z", "/"), ("x", "/a b"), ("x", "/\r\n"), ("x", "socket.io/")] {
        assert!(upgrade::request(authority, path, CHANCE).is_err(), "{authority} {path}");
    }
}

#[test]
fn only_an_answer_to_this_very_request_will_do() {
    let request = upgrade::request("x", "/socket.io/", CHANCE).unwrap();
    let good = [
        ("connection", "keep-alive, upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let outcome = |status: StatusCode, headers: &[(&str, &str)]| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        accepted(&request, &response.body(()).unwrap().into_parts().0)
    };
    assert_eq!(outcome(StatusCode::SWITCHING_PROTOCOLS, &good), Ok(()));
    for status in [200, 204, 301, 400, 401, 403, 404, 426, 429, 500, 502, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(outcome(status, &good), Err(UpgradeError::Status(status)));
    }
    let header = |name: HeaderName| Err(UpgradeError::Header(name));
    let without = |name: &str| {
        let rest: Vec<_> = good.into_iter().filter(|(other, _)| *other != name).collect();
        outcome(StatusCode::SWITCHING_PROTOCOLS, &rest)
    };
    let with = |name: &'static str, value: &'static str| {
        let mut headers: Vec<_> = good.into_iter().filter(|(other, _)| *other != name).collect();
        headers.push((name, value));
        outcome(StatusCode::SWITCHING_PROTOCOLS, &headers)
    };
    assert_eq!(without("connection"), header(CONNECTION));
    assert_eq!(without("upgrade"), header(UPGRADE));
    assert_eq!(without("sec-websocket-accept"), header(SEC_WEBSOCKET_ACCEPT));
    assert_eq!(with("connection", "close"), header(CONNECTION));
    assert_eq!(with("upgrade", "h2c"), header(UPGRADE));
    for accept in
        ["", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", "S3PPLMBITXAQ9KYGZZHZRBK+XOO=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    {
        assert_eq!(with("sec-websocket-accept", accept), header(SEC_WEBSOCKET_ACCEPT));
    }
    for unasked in ["sec-websocket-extensions", "sec-websocket-protocol"] {
        assert_eq!(with(unasked, "permessage-deflate"), header(HeaderName::from_static(unasked)));
    }
    let text = UpgradeError::Status(StatusCode::SERVICE_UNAVAILABLE).to_string();
    assert_eq!(text, "the server answered 503 Service Unavailable instead of upgrading");
}
