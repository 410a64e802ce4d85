//! Memory: what is asked and never read, and what is begun and never finished, before a login and after it.

use anyhow::Result;

use crate::frame;
use crate::hostile::Hostile;
use crate::http;
use crate::line::{Line, Window};
use crate::scenario::Scenario;
use crate::trial::Trial;

const CONNECTIONS: usize = 50;
/// What a connection may cost before its login, in KiB.
const STRANGER: f64 = 256.0;
/// And after it: 1.5 times what may wait for one (`--max-queue-bytes`).
const DEVICE: f64 = 1_536.0;
/// Written at a time.
const CHUNK: usize = 64 * 1024;
/// A message is refused beyond 64 KiB; this stays below with all that surrounds it.
const NEARLY_A_MESSAGE: usize = 64 * 1024 - 256;

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pings/empty", |trial| Box::pin(pings(trial, b""))),
        Scenario::new("pings/payload", |trial| Box::pin(pings(trial, &[b'p'; 125]))),
        Scenario::new("pings/logged-in", |trial| Box::pin(pings_of_devices(trial))),
        Scenario::new("pings/namespaces", |trial| Box::pin(namespaces(trial))),
        Scenario::new("pings/auth", |trial| Box::pin(auth(trial))),
        Scenario::new("pings/probes", |trial| Box::pin(probes(trial))).long(),
        Scenario::new("pings/http", |trial| Box::pin(pipelined(trial))),
        Scenario::new("pings/fragments", |trial| Box::pin(fragments(trial))),
        Scenario::new("pings/attachments", |trial| Box::pin(attachments(trial))),
        Scenario::new("pings/events", |trial| Box::pin(events(trial, "42/client,1[\"ping\"]"))),
        Scenario::new("pings/unknown-events", |trial| {
            Box::pin(events(trial, "42/client,1[\"nothing\",{\"much\":1}]"))
        })
        .long(),
    ]
}

fn repeated(frame: &[u8]) -> Vec<u8> {
    frame.repeat((CHUNK / frame.len()).max(1))
}

fn ping(payload: &[u8]) -> Vec<u8> {
    let mut ping = Vec::new();
    frame::encode(frame::PING, true, payload, &mut ping);
    repeated(&ping)
}

/// Attacks, leaves, and judges both what it took and what stays.
async fn conclude(trial: &mut Trial, most: f64) -> Result<()> {
    trial.last().await;
    trial.end()?;
    trial.judge_growth(CONNECTIONS, most, 0.0);
    trial.leave_and_judge_memory().await
}

/// Strangers flood WebSocket pings.
async fn pings(trial: &mut Trial, payload: &[u8]) -> Result<()> {
    flood_strangers(trial, ping(payload)).await
}

/// Strangers ask for namespaces that do not exist. Each has a name of its own: who asks for one twice before the answer
/// is let go, and that would be the end of the attack.
async fn namespaces(trial: &mut Trial) -> Result<()> {
    ask_for_namespaces(trial, |number| format!("40/nowhere-{number},")).await
}

/// Strangers probe the connection, as an upgrade from long polling does.
async fn probes(trial: &mut Trial) -> Result<()> {
    flood_strangers(trial, repeated(&frame::text("2probe"))).await
}

/// Strangers present credentials as long as a message may be, each for another namespace.
async fn auth(trial: &mut Trial) -> Result<()> {
    ask_for_namespaces(trial, |number| {
        let long = "k".repeat(60 * 1024);
        format!("40/nowhere-{number},{{\"api_key\":\"{long}\"}}")
    })
    .await
}

async fn ask_for_namespaces(trial: &mut Trial, packet: fn(u64) -> String) -> Result<()> {
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, move |hostile| async move {
        let line = hostile.upgraded(Window::Usual).await?.into_line();
        let mut number = 0;
        loop {
            let mut frames = Vec::new();
            while frames.len() < CHUNK {
                frames.extend(frame::text(&packet(number)));
                number += 1;
            }
            hostile.write(&line, &frames).await?;
            tokio::task::yield_now().await;
        }
    });
    conclude(trial, STRANGER).await
}

async fn flood_strangers(trial: &mut Trial, bytes: Vec<u8>) -> Result<()> {
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, move |hostile| {
        let bytes = bytes.clone();
        async move { hostile.flood(&hostile.upgraded(Window::Usual).await?.into_line(), &bytes).await }
    });
    conclude(trial, STRANGER).await
}

/// The same pings, from those who have logged in.
async fn pings_of_devices(trial: &mut Trial) -> Result<()> {
    flood_devices(trial, ping(b"")).await
}

/// Devices ask again and again and read no answer.
async fn events(trial: &mut Trial, packet: &str) -> Result<()> {
    flood_devices(trial, repeated(&frame::text(packet))).await
}

async fn flood_devices(trial: &mut Trial, bytes: Vec<u8>) -> Result<()> {
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, move |hostile| {
        let bytes = bytes.clone();
        async move { hostile.flood(&device(&hostile).await?, &bytes).await }
    });
    conclude(trial, DEVICE).await
}

async fn device(hostile: &Hostile) -> Result<Line> {
    Ok(hostile.device(&hostile.device_id(), Window::Usual).await?.into_line())
}

/// HTTP requests behind one another, of which no answer is read.
async fn pipelined(trial: &mut Trial) -> Result<()> {
    trial.baseline().await?;
    let requests = repeated(http::text("GET", "/openapi.json", "", "").as_bytes());
    trial.crowd(CONNECTIONS, move |hostile| {
        let requests = requests.clone();
        async move { hostile.flood(&hostile.line(Window::Usual).await?, &requests).await }
    });
    conclude(trial, STRANGER).await
}

/// A message in parts, of which the last never comes.
async fn fragments(trial: &mut Trial) -> Result<()> {
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, |hostile| async move {
        let line = hostile.upgraded(Window::Usual).await?.into_line();
        let mut parts = Vec::new();
        frame::encode(frame::TEXT, false, &vec![b'4'; NEARLY_A_MESSAGE], &mut parts);
        hostile.write(&line, &parts).await?;
        let skimmed = line.skim().await;
        Err(skimmed.into())
    });
    conclude(trial, STRANGER).await
}

/// An event with ten attachments, of which the last never comes.
async fn attachments(trial: &mut Trial) -> Result<()> {
    const PROMISED: usize = 10;
    trial.baseline().await?;
    trial.crowd(CONNECTIONS, |hostile| async move {
        let line = device(&hostile).await?;
        let holders: Vec<String> =
            (0..PROMISED).map(|number| format!("{{\"_placeholder\":true,\"num\":{number}}}")).collect();
        let head = format!("45{PROMISED}-/client,[\"message:send\",{}]", holders.join(","));
        hostile.write(&line, &frame::text(&head)).await?;
        let mut attachment = Vec::new();
        // All together they are no longer than one message may be.
        frame::encode(frame::BINARY, true, &[0; NEARLY_A_MESSAGE / PROMISED], &mut attachment);
        for _ in 1..PROMISED {
            hostile.write(&line, &attachment).await?;
        }
        Err(line.skim().await.into())
    });
    conclude(trial, DEVICE).await
}
