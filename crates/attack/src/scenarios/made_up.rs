//! Made-up ids: connections that are another device with each request.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::frame;
use crate::hostile::Hostile;
use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::socket::Login;
use crate::trial::Trial;
use crate::usage;

/// By how many MiB the memory may grow, in ten seconds or more; in less time it is less, but a database has its cache.
const GROWTH: f64 = 64.0;
const LEAST_GROWTH: f64 = 20.0;
/// By how many MiB the data may grow in ten seconds.
const DATA: f64 = 20.0;
const CONNECTIONS: usize = 10;
/// Requests that are written at a time.
const BATCH: u64 = 32;
/// What a page of a database's log is made of: 7 KiB of attributes, within what is accepted.
const ATTRIBUTES: usize = 7 * 1024;

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("made-up-ids/sends", |trial| Box::pin(grow(trial, |hostile| flood(hostile, send)))),
        Scenario::new("made-up-ids/sends-by-socket", |trial| Box::pin(grow(trial, sends_by_socket))).long(),
        Scenario::new("made-up-ids/identify", |trial| {
            Box::pin(grow(trial, |hostile| flood(hostile, identify)))
        }),
        Scenario::new("made-up-ids/conversations", |trial| Box::pin(grow(trial, open_conversations))),
    ]
}

/// A few attackers; judges what the server's memory and its data grow by.
async fn grow<Attack>(trial: &mut Trial, attack: fn(Hostile) -> Attack) -> Result<()>
where
    Attack: Future<Output = Result<()>> + Send + 'static,
{
    trial.baseline().await?;
    let (pid, data) = (trial.server.pid(), trial.server.data());
    let (folder, written) = (usage::folder(&data)?, usage::written(pid)?);
    let began = std::time::Instant::now();
    trial.crowd(CONNECTIONS, attack);
    trial.last().await;
    let seconds = began.elapsed().as_secs_f64();
    trial.end()?;
    let folder = usage::folder(&data)? - folder;
    let written = usage::written(pid)? - written;
    trial.figure("the data grew by", format!("{folder:.1} MiB, {:.1} MiB/s", folder / seconds));
    trial.figure("written", format!("{:.1} MiB/s", written / seconds));
    let most = (GROWTH * trial.pace.attack.as_secs_f64() / 10.0).clamp(LEAST_GROWTH, GROWTH);
    let growth = trial.growth();
    trial.record.judge(growth <= most, format!("the memory grew by {growth:.0} MiB (at most {most:.0})"));
    trial.record.judge(
        folder <= DATA,
        format!("the data grew by {folder:.1} MiB in {seconds:.0} s (at most {DATA:.0})"),
    );
    trial.leave().await
}

/// A device that nobody has heard of, with a name as long as it may be.
fn made_up(batch: u64, number: u64) -> String {
    let name = format!("{batch}-{number}-");
    let rest = 128 - name.len();
    name + &"m".repeat(rest)
}

fn send(hostile: &Hostile, device_id: &str) -> String {
    let headers = http::device(&hostile.app, device_id);
    http::text(
        "POST",
        "/v1/conversations/conv_nowhere/messages",
        &headers,
        r#"{"local_id":"1","body":"Hello"}"#,
    )
}

fn identify(hostile: &Hostile, device_id: &str) -> String {
    let attributes = json!({ "what": "a".repeat(ATTRIBUTES) });
    let body = json!({ "user": { "id": device_id, "attributes": attributes } });
    http::text("POST", "/v1/identify", &http::device(&hostile.app, device_id), &body.to_string())
}

fn open(hostile: &Hostile, device_id: &str) -> String {
    http::text("POST", "/v1/conversations", &http::device(&hostile.app, device_id), "{}")
}

/// Opens conversations, each for another device.
pub(super) async fn open_conversations(hostile: Hostile) -> Result<()> {
    flood(hostile, open).await
}

/// Requests behind one another on one connection, each of another device; the answers are read and forgotten.
async fn flood(hostile: Hostile, request: fn(&Hostile, &str) -> String) -> Result<()> {
    let line = hostile.line(Window::Usual).await?;
    let first = hostile.tally.opened() * 1_000_000;
    let writing = async {
        for batch in first.. {
            let requests: String =
                (0..BATCH).map(|number| request(&hostile, &made_up(batch, number))).collect();
            hostile.write(&line, requests.as_bytes()).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    tokio::select! {
        ended = writing => ended,
        error = line.skim() => Err(error).context("reading"),
    }
}

/// A socket that logs in, sends to a conversation that does not exist, leaves, and is another device then. What it sends
/// before it is let in would be the end of it.
async fn sends_by_socket(hostile: Hostile) -> Result<()> {
    let mut socket = hostile.upgraded(Window::Usual).await?;
    let first = hostile.tally.opened() * 1_000_000;
    let message = json!({ "conversation_id": "conv_nowhere", "local_id": "1", "body": "Hello" });
    let frames =
        [frame::text(&format!("42/client,[\"message:send\",{message}]")), frame::text("41/client,")].concat();
    for number in first.. {
        let login = Login::device(&hostile.app, &made_up(hostile.index as u64, number));
        socket.connect(&login).await?;
        socket.send_raw(&frames).await?;
        hostile.count((login.packet().len() + frames.len()) as u64);
        hostile.did();
        tokio::task::yield_now().await;
    }
    Ok(())
}
