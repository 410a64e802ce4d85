//! REST requests, each on a connection of its own and with a limit.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::site::App;

const LIMIT: Duration = Duration::from_secs(10);

/// One page of an agent's list.
pub(crate) async fn as_agent(address: SocketAddr, app: &App, path: &str) -> Result<Value> {
    let request = Request::get(path).header("Authorization", format!("Bearer {}", app.admin_token));
    send(address, request.body(Full::default())?).await.with_context(|| format!("GET {path}"))
}

/// Writes a note, as an agent.
pub(crate) async fn add_note(
    address: SocketAddr,
    app: &App,
    conversation: &str,
    note: &Value,
) -> Result<Value> {
    as_agent_with(address, app, Method::POST, &format!("/v1/admin/conversations/{conversation}/notes"), note)
        .await
}

/// Resolves a conversation, as an agent.
pub(crate) async fn resolve(address: SocketAddr, app: &App, conversation: &str) -> Result<Value> {
    let path = format!("/v1/admin/conversations/{conversation}");
    as_agent_with(address, app, Method::PATCH, &path, &json!({ "status": "resolved" })).await
}

async fn as_agent_with(
    address: SocketAddr,
    app: &App,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Authorization", format!("Bearer {}", app.admin_token))
        .header("Content-Type", "application/json");
    send(address, request.body(Full::from(body.to_string()))?).await
}

/// The device's open conversation: its id.
pub(crate) async fn open_conversation(address: SocketAddr, app: &App, device_id: &str) -> Result<String> {
    let request = Request::post("/v1/conversations")
        .header("X-App-Id", &app.app_id)
        .header("X-Api-Key", &app.api_key)
        .header("X-Device-Id", device_id)
        .header("Content-Type", "application/json");
    let answer = send(address, request.body(Full::from(json!({}).to_string()))?).await?;
    let id = answer["conversation"]["id"].as_str();
    Ok(id.with_context(|| format!("no conversation in {answer}"))?.to_owned())
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Value> {
    tokio::time::timeout(LIMIT, async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = request.into_parts();
        let mut request = Request::from_parts(head, body);
        request.headers_mut().insert("Host", address.to_string().parse()?);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    })
    .await
    .context("no answer in time")?
}
