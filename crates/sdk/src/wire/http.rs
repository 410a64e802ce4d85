//! REST: one request, one connection. Every answer is bounded in size and time.

use std::pin::Pin;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use protocol::Code;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::tls::Dialer;
use crate::limits;
use crate::outbox::Failed;

/// What the SDK calls itself.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("replyhq-sdk/", env!("CARGO_PKG_VERSION")));

/// The credentials of a device.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) app_id: String,
    pub(crate) device_id: String,
    pub(crate) api_key: String,
    pub(crate) device_secret: Option<String>,
}

type Requesting<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Failed>> + Send + 'a>>;

/// REST as one device.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) dialer: Dialer,
    pub(crate) credentials: Credentials,
}

impl Rest {
    /// Asks, and reads the answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        read(&self.request(Method::GET, path, Bytes::new()).await?)
    }

    /// Tells, and reads the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failed> {
        let body = serde_json::to_vec(body).map_err(|error| Failed::ForGood {
            code: "VALIDATION_ERROR".into(),
            message: error.to_string(),
        })?;
        read(&self.request(Method::POST, path, body.into()).await?)
    }

    /// The body of an answer that is a success. Boxed, so that the code of it is there once, and not for each kind of answer.
    fn request<'a>(&'a self, method: Method, path: &'a str, body: Bytes) -> Requesting<'a> {
        Box::pin(async move {
            let (status, retry_after, body) =
                tokio::time::timeout(limits::REQUEST_TIMEOUT, self.exchange(method, path, body))
                    .await
                    .map_err(|_| Failed::TRANSPORT)?
                    .map_err(|_| Failed::TRANSPORT)?;
            if (200..300).contains(&status) { Ok(body) } else { Err(refusal(&body, retry_after)) }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Option<Duration>, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.dialer.dial().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let endpoint = self.dialer.endpoint();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", endpoint.base_path))
            .header(HOST, &endpoint.authority)
            .header(USER_AGENT, AGENT)
            .header("X-App-Id", &self.credentials.app_id)
            .header("X-Device-Id", &self.credentials.device_id)
            .header("X-Api-Key", &self.credentials.api_key);
        if let Some(secret) = &self.credentials.device_secret {
            request = request.header("X-Device-Secret", secret);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, limits::ANSWER_BYTES).collect().await?.to_bytes();
            Ok((head.status.as_u16(), retry_after(&head.headers), body))
        };
        // The connection moves only while it is polled; an upgrade is never asked for here.
        tokio::select! {
            answer = exchange => answer,
            Err(error) = connection => Err(error.into()),
        }
    }
}

/// Whatever answers a success with something else is not our server: a captive portal, most likely.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|_| Failed::TRANSPORT)
}

/// What an answer means that is no success. Only what our server says is believed: anybody may stand between, an ingress
/// during a deployment, a firewall, a captive portal, and be gone a minute later, whatever they answer with.
fn refusal(body: &[u8], retry_after: Option<Duration>) -> Failed {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        message: String,
        retry_after_ms: Option<u64>,
        request_id: Option<String>,
    }

    let said = serde_json::from_slice::<Refusal>(body).ok().filter(|said| {
        let is_known = || serde_json::from_value::<Code>(said.code.as_str().into()).is_ok();
        // A later server may have more codes. It names each request, as the one of today does.
        let is_like_ours = || said.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        is_known() || said.request_id.is_some() && !said.code.is_empty() && is_like_ours()
    });
    match said {
        Some(Refusal { code, message, retry_after_ms, .. }) => {
            let asked_ms = retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Failed::with_code(&code, &message, retry_after_ms.or(asked_ms))
        }
        None => Failed::ForNow { retry_after },
    }
}

/// The header in seconds. The form with a date is not for clients whose clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_servers_refusals_are_believed() {
        let wait = Some(Duration::from_secs(7));
        for body in [
            "",
            "null",
            "[]",
            "<html>404</html>",
            r#"{"code":404,"message":"no"}"#,
            r#"{"message":"no Route matched with those values","request_id":"a1"}"#,
            r#"{"code":"NotFound","message":"no"}"#,
            r#"{"code":"NotFound","message":"no","request_id":"a1"}"#,
            r#"{"code":"NO_SUCH_ROUTE","message":"no"}"#,
            r#"{"code":"","message":"no","request_id":"a1"}"#,
            r#"{"code":"VALIDATION_ERROR"}"#,
        ] {
            assert_eq!(refusal(body.as_bytes(), wait), Failed::ForNow { retry_after: wait }, "{body}");
        }
        for (body, code) in [
            (r#"{"code":"VALIDATION_ERROR","message":"no"}"#, "VALIDATION_ERROR"),
            (
                r#"{"code":"CONVERSATION_NOT_FOUND","message":"no","request_id":"req_1"}"#,
                "CONVERSATION_NOT_FOUND",
            ),
            (r#"{"code":"PERSON_BLOCKED","message":"no","request_id":"req_1","more":[]}"#, "PERSON_BLOCKED"),
        ] {
            let for_good = Failed::ForGood { code: code.into(), message: "no".into() };
            assert_eq!(refusal(body.as_bytes(), None), for_good, "{body}");
        }
        let limited = br#"{"code":"RATE_LIMITED","message":"slower"}"#;
        assert_eq!(refusal(limited, wait), Failed::ForNow { retry_after: wait });
        let limited = br#"{"code":"RATE_LIMITED","message":"slower","retry_after_ms":1500}"#;
        let exactly = Some(Duration::from_millis(1_500));
        assert_eq!(refusal(limited, wait), Failed::ForNow { retry_after: exactly });
    }
}
