//! Readers who do not read: what waits for them, and when they are let go.

use std::future::pending;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::frame;
use crate::hostile::Hostile;
use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::socket::Socket;
use crate::trial::Trial;

const BODY_CHARS: usize = 5_000;
/// What fills a page: 128 KiB of bodies.
const PAGE_MESSAGES: usize = 27;
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    const FAST_PINGS: &[&str] =
        &["--ping-interval 1s", "--ping-timeout 2s", "--rate-limit-agent 0", "--write-timeout 3s"];
    // Without a limit for the device: who is refused has read a short answer, and keeps a connection that does nothing.
    const TIMEOUTS: &[&str] = &["--write-timeout 3s", "--answer-timeout 5s", "--rate-limit-device 0"];
    vec![
        Scenario::new("blind-pongs/narrow", |trial| Box::pin(blind_pongs(trial, Window::Bytes(4_096))))
            .flags(FAST_PINGS),
        Scenario::new("blind-pongs/wide", |trial| Box::pin(blind_pongs(trial, Window::Bytes(64 * 1024))))
            .flags(FAST_PINGS)
            .long(),
        Scenario::new("unread-answers/pages", |trial| Box::pin(unread_pages(trial, 8))).flags(TIMEOUTS),
        Scenario::new("unread-answers/one-page", |trial| Box::pin(unread_pages(trial, 1)))
            .flags(TIMEOUTS)
            .long(),
        Scenario::new("unread-answers/joins", |trial| Box::pin(unread_joins(trial))).flags(TIMEOUTS),
    ]
}

/// A body that is as long as it may be, and six times as long in JSON.
pub(super) fn expensive_body() -> String {
    // As long in JSON as a body may be, whatever the server counts.
    "\u{1f389}".repeat(BODY_CHARS)
}

/// The agent writes a message; where it is told to wait, it waits.
async fn write(agent: &mut Socket, conversation: &str, number: usize, body: &str) -> Result<Value> {
    let local_id = number.to_string();
    let message = json!({ "conversation_id": conversation, "local_id": local_id, "body": body });
    loop {
        let mut answer = agent.ask("/admin", "message:send", &message).await?;
        if answer["error"] != "RATE_LIMITED" {
            ensure!(answer["success"] == true, "the author: {answer}");
            return Ok(answer["message"].take());
        }
        sleep(Duration::from_millis(answer["retry_after_ms"].as_u64().unwrap_or(100))).await;
    }
}

/// The agent writes `count` messages into a conversation and waits for all of them.
pub(super) async fn fill(
    agent: &mut Socket,
    conversation: &str,
    count: usize,
    body: &str,
) -> Result<Vec<Value>> {
    let mut messages = Vec::new();
    for number in 0..count {
        messages.push(write(agent, conversation, number, body).await?);
    }
    Ok(messages)
}

/// Devices answer pings without having read them, while an agent writes to them: less than may wait for one, so that
/// only the pings tell.
async fn blind_pongs(trial: &mut Trial, window: Window) -> Result<()> {
    let count = trial.sized(40, 20);
    // As many as fit into what may wait for one: 30 KB each. What the kernel takes comes on top of it.
    let messages = 28;
    let body = expensive_body();
    let author = trial.author();
    let mut conversations = Vec::new();
    for index in 0..count {
        conversations.push(author.conversation(&format!("hostile-{index}")).await?);
    }
    trial.baseline().await?;
    trial.wave(count, move |hostile| async move {
        let line = hostile.device(&hostile.device_id(), window).await?.into_line();
        loop {
            sleep(Duration::from_millis(500)).await;
            hostile.write(&line, &frame::text("3")).await?;
        }
    });
    trial.wait(Duration::from_secs(5), |trial| trial.tally.sent() >= 4 * count as u64).await;
    trial.wave(1, move |_| {
        let (author, conversations, body) = (author.clone(), conversations.clone(), body.clone());
        async move {
            let mut agent = author.agent().await?;
            for number in 0..messages {
                for conversation in &conversations {
                    write(&mut agent, conversation, number, &body).await?;
                }
            }
            agent.close().await
        }
    });
    trial.last().await;
    let gone = trial.until_gone(GONE_LIMIT).await;
    trial.end()?;
    trial.record.judge(gone, format!("of {count} who answered pings blindly all are gone: {gone}"));
    trial.leave().await
}

/// Pages are asked for and never read; the server is told to end while more of these are connected.
async fn unread_pages(trial: &mut Trial, pipelined: usize) -> Result<()> {
    /// What the process may take for each, in KiB, beside an allowance in MiB for all: a page of 256 KiB, of which the
    /// system takes more or less at once, and what it is made of.
    const MOST: f64 = 320.0;
    const ALLOWANCE: f64 = 16.0;
    let count = trial.sized(1_000, 200);
    let author = trial.author();
    let conversation = prepare(&author).await?;
    let path = format!("/v1/conversations/{conversation}/messages?limit=200");
    let request = http::text("GET", &path, &http::device(&author.app, "owner"), "").repeat(pipelined);
    trial.baseline().await?;
    let wave = {
        let request = request.clone();
        move |hostile: Hostile| {
            let request = request.clone();
            async move {
                let line = hostile.line(Window::Usual).await?;
                hostile.write(&line, request.as_bytes()).await?;
                pending::<Result<()>>().await
            }
        }
    };
    trial.wave(count, wave.clone());
    trial.last().await;
    let gone = trial.until_gone(GONE_LIMIT).await;
    trial.end()?;
    trial.judge_growth(count, MOST, ALLOWANCE);
    trial.record.judge(gone, format!("of {count} who did not read their answers all are gone: {gone}"));
    trial.leave_and_judge_memory().await?;
    trial.wave(count / 4, wave);
    sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// A conversation of the device `owner` with a page of messages, as long as they come.
pub(super) async fn prepare(author: &Hostile) -> Result<String> {
    let conversation = author.conversation("owner").await?;
    let mut agent = author.agent().await.context("the author")?;
    fill(&mut agent, &conversation, PAGE_MESSAGES, &expensive_body()).await?;
    agent.close().await?;
    Ok(conversation)
}

/// A device joins again and again from the beginning and reads none of the pages.
async fn unread_joins(trial: &mut Trial) -> Result<()> {
    /// Two answers may wait: one that fits, and the one that does not.
    const MOST: f64 = 2_048.0;
    /// As many as a device may have.
    const CONNECTIONS: usize = 20;
    let author = trial.author();
    let conversation = prepare(&author).await?;
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, move |hostile| {
        let join = format!(
            "42/client,1[\"conversation:join\",{{\"conversation_id\":\"{conversation}\",\"after\":\"\"}}]"
        );
        async move {
            let line = hostile.device("owner", Window::Usual).await?.into_line();
            hostile.flood(&line, &frame::text(&join)).await
        }
    });
    trial.last().await;
    trial.end()?;
    trial.judge_growth(CONNECTIONS, MOST, 0.0);
    trial.leave_and_judge_memory().await
}
