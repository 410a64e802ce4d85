//! What is answered to an upgrade request.

use http::{Request, StatusCode};
use socketio::upgrade::respond;

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
