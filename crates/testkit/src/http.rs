//! A REST client: one request, one connection.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::patiently;

/// Requests to one server, with the same headers.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if it is no JSON.
    pub json: Value,
    /// Its body as text.
    pub text: String,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Panics
    /// If it is none.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json
    }

    /// Status and code of a failure, whose shape is checked.
    ///
    /// # Panics
    /// If it is none, or not of the one shape.
    pub fn failure(&self) -> (u16, &str) {
        assert!(self.status >= 400, "{} {}", self.status, self.text);
        assert!(self.json["message"].is_string(), "{}", self.text);
        let request_id = self.json["request_id"].as_str().expect("a request id in the body");
        let header = self.headers["x-request-id"].to_str().expect("a request id in the header");
        assert_eq!(request_id, header);
        (self.status, self.json["code"].as_str().expect("a code"))
    }
}

impl Http {
    /// Without headers.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, body.to_string().into()).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Vec::new()).await
    }

    /// Any request.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Answer {
        self.try_send(method, path, body).await.expect("an answer")
    }

    /// Any request.
    ///
    /// # Errors
    /// If the server is not there, or goes away before it has answered.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        patiently(path, async {
            let stream = TcpStream::connect(self.address).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let mut request =
                Request::builder().method(method).uri(path).header("Host", self.address.to_string());
            if !body.is_empty() {
                request = request.header("Content-Type", "application/json");
            }
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await?.to_bytes();
            Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                json: serde_json::from_slice(&bytes).unwrap_or_default(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        })
        .await
    }
}
