//! REST: one request, one connection. Every answer is bounded in size and time.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use protocol::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
}

/// REST as one device.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) dialer: Dialer,
    pub(crate) credentials: Credentials,
}

impl Rest {
    /// Asks, and reads the answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.request(Method::GET, path, Bytes::new()).await
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
        self.request(Method::POST, path, body.into()).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failed> {
        let (status, retry_after, body) =
            tokio::time::timeout(limits::REQUEST_TIMEOUT, self.exchange(method, path, body))
                .await
                .map_err(|_| Failed::TRANSPORT)?
                .map_err(|_| Failed::TRANSPORT)?;
        if (200..300).contains(&status) {
            // Whatever answers with something else is not our server: a captive portal, most likely.
            return serde_json::from_slice(&body).map_err(|_| Failed::TRANSPORT);
        }
        Err(match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => {
                let wait_ms =
                    failure.retry_after_ms.or(retry_after.map(|wait| wait.as_secs().saturating_mul(1_000)));
                Failed::with_code(failure.code.as_str(), &failure.message, wait_ms)
            }
            Err(_) => Failed::with_status(status, retry_after),
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

/// The header in seconds. The form with a date is not for clients whose clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
