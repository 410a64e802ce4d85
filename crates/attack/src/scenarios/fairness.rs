//! Fairness: a few connections that keep the server as busy as they can, and read what it answers.

use anyhow::Result;
use serde_json::json;

use crate::frame;
use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::trial::Trial;

/// What is written at a time, about.
const CHUNK: usize = 16 * 1024;

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("fairness/no-ops-2", |trial| Box::pin(no_ops(trial, 2))).long(),
        Scenario::new("fairness/no-ops-10", |trial| Box::pin(no_ops(trial, 10))),
        Scenario::new("fairness/fragments-2", |trial| Box::pin(fragments(trial, 2))).long(),
        Scenario::new("fairness/fragments-10", |trial| Box::pin(fragments(trial, 10))),
        Scenario::new("fairness/refused-sends-2", |trial| Box::pin(refused_sends(trial, 2))).long(),
        Scenario::new("fairness/refused-sends-10", |trial| Box::pin(refused_sends(trial, 10))),
        Scenario::new("fairness/typing-2", |trial| Box::pin(typing(trial, 2))).long(),
        Scenario::new("fairness/typing-10", |trial| Box::pin(typing(trial, 10))).long(),
        Scenario::new("fairness/rest-2", |trial| Box::pin(rest(trial, 2))).long(),
        Scenario::new("fairness/rest-10", |trial| Box::pin(rest(trial, 10))),
        Scenario::new("fairness/openapi-2", |trial| Box::pin(openapi(trial, 2))).long(),
        Scenario::new("fairness/openapi-10", |trial| Box::pin(openapi(trial, 10))).long(),
    ]
}

/// Frames or requests that are the same each time, from devices that are logged in.
async fn devices(trial: &mut Trial, count: usize, packet: Vec<u8>) -> Result<()> {
    trial.baseline().await?;
    let chunk = packet.repeat((CHUNK / packet.len()).max(1));
    trial.crowd(count, move |hostile| {
        let chunk = chunk.clone();
        async move {
            let line = hostile.device(&hostile.device_id(), Window::Usual).await?.into_line();
            hostile.flood_and_skim(&line, &chunk).await
        }
    });
    trial.last().await;
    trial.leave().await
}

/// Engine.IO's packet that says nothing.
async fn no_ops(trial: &mut Trial, count: usize) -> Result<()> {
    devices(trial, count, frame::text("6")).await
}

/// Messages in as many parts as they have bytes; with more than a thousand parts they would be refused.
async fn fragments(trial: &mut Trial, count: usize) -> Result<()> {
    let message = format!("42/client,[\"nothing\",\"{}\"]", "x".repeat(900));
    let bytes = message.as_bytes();
    let mut parts = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        let opcode = if index == 0 { frame::TEXT } else { frame::CONTINUATION };
        frame::encode(opcode, index + 1 == bytes.len(), &[*byte], &mut parts);
    }
    devices(trial, count, parts).await
}

/// Messages to a conversation that does not exist.
async fn refused_sends(trial: &mut Trial, count: usize) -> Result<()> {
    let message = json!({ "conversation_id": "conv_nowhere", "local_id": "1", "body": "Hello" });
    devices(trial, count, frame::text(&format!("42/client,1[\"message:send\",{message}]"))).await
}

/// Typing without end, each in a conversation of its own.
async fn typing(trial: &mut Trial, count: usize) -> Result<()> {
    trial.baseline().await?;
    trial.crowd(count, |hostile| async move {
        let name = hostile.device_id();
        let conversation = hostile.conversation(&name).await?;
        let line = hostile.device(&name, Window::Usual).await?.into_line();
        let typing = ["start", "stop"].map(|what| {
            frame::text(&format!("42/client,[\"typing:{what}\",{{\"conversation_id\":\"{conversation}\"}}]"))
        });
        hostile.flood_and_skim(&line, &typing.concat().repeat(100)).await
    });
    trial.last().await;
    trial.leave().await
}

/// REST requests behind one another.
async fn rest(trial: &mut Trial, count: usize) -> Result<()> {
    let author = trial.author();
    author.conversation("owner").await?;
    let request = http::text("GET", "/v1/conversations", &http::device(&author.app, "owner"), "");
    pipelined(trial, count, &request).await
}

/// The document, which is long.
async fn openapi(trial: &mut Trial, count: usize) -> Result<()> {
    pipelined(trial, count, &http::text("GET", "/openapi.json", "", "")).await
}

async fn pipelined(trial: &mut Trial, count: usize, request: &str) -> Result<()> {
    trial.baseline().await?;
    let chunk = request.repeat((CHUNK / request.len()).max(1)).into_bytes();
    trial.crowd(count, move |hostile| {
        let chunk = chunk.clone();
        async move { hostile.flood_and_skim(&hostile.line(Window::Usual).await?, &chunk).await }
    });
    trial.last().await;
    trial.leave().await
}
