//! Devices that try to have the agents thrown out who watch the app.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::readers::{expensive_body, fill};
use crate::frame;
use crate::hostile::Hostile;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::trial::Trial;
use crate::victim::Reading;

const MADE_UP: usize = 8;
const MESSAGES: usize = 10;
const BODY_CHARS: usize = 5_000;
/// Who owns the conversation that all agents have open.
const OWNER: &str = "owner";
const TYPING_BYTES_PER_SECOND: f64 = 2e6;

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("agents-out/control", |trial| Box::pin(long_messages(trial, expensive_body()))),
        Scenario::new("agents-out/quotes", |trial| Box::pin(long_messages(trial, "\"".repeat(BODY_CHARS))))
            .long(),
        Scenario::new("agents-out/emoji", |trial| Box::pin(long_messages(trial, "😀".repeat(BODY_CHARS)))),
        Scenario::new("agents-out/typing", |trial| Box::pin(typing(trial))),
        Scenario::new("agents-out/receipts", |trial| Box::pin(receipts(trial))),
        Scenario::new("agents-out/comings", |trial| Box::pin(comings(trial))),
        Scenario::new("agents-out/conversations", |trial| Box::pin(conversations(trial))),
        Scenario::new("agents-out/sessions", |trial| Box::pin(sessions(trial))),
    ]
}

/// Beside the agent who reads as fast as it can.
fn slow_agents() -> Vec<Reading> {
    vec![Reading::Watching("at 1 MB/s", 1_000_000), Reading::Slow("at 8 Mbit/s", 1_000_000)]
}

/// The agents, with a conversation open that belongs to [`OWNER`]; and that conversation.
async fn watched(trial: &mut Trial) -> Result<String> {
    let conversation = trial.author().conversation(OWNER).await?;
    trial.baseline_with(slow_agents(), std::slice::from_ref(&conversation)).await?;
    Ok(conversation)
}

/// Who is there is asked for while the attackers still are.
async fn conclude(trial: &mut Trial) -> Result<()> {
    trial.ask_sessions().await;
    trial.end()?;
    trial.leave().await
}

/// Eight made-up devices send what one may send at once, each message as long as it may be.
async fn long_messages(trial: &mut Trial, body: String) -> Result<()> {
    watched(trial).await?;
    trial.wave(MADE_UP, move |hostile| {
        let body = body.clone();
        async move {
            let name = hostile.device_id();
            let conversation = hostile.conversation(&name).await?;
            let mut socket = hostile.device(&name, Window::Usual).await?;
            let mut packets = Vec::new();
            for number in 0..MESSAGES {
                let message =
                    json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": body });
                packets.extend(frame::text(&format!("42/client,{number}[\"message:send\",{message}]")));
            }
            hostile.count(packets.len() as u64);
            socket.send_raw(&packets).await?;
            let mut answers = 0;
            while answers < MESSAGES {
                let text = socket.next().await?;
                if text.starts_with("43/client,") {
                    ensure!(text.contains("\"success\":true"), "a message was refused: {text}");
                    hostile.did();
                    answers += 1;
                }
            }
            let line = socket.into_line();
            Err(line.skim().await.into())
        }
    });
    let all = (MADE_UP * MESSAGES) as u64;
    trial.wait(Duration::from_secs(20), |trial| trial.tally.done() == all).await;
    trial.last().await;
    let done = trial.tally.done();
    trial.figure("messages", done.to_string());
    conclude(trial).await
}

/// The owner of the conversation types and stops typing at two megabytes a second.
async fn typing(trial: &mut Trial) -> Result<()> {
    let conversation = watched(trial).await?;
    trial.crowd(1, move |hostile| {
        let both: Vec<u8> = ["start", "stop"]
            .iter()
            .flat_map(|what| {
                frame::text(&format!(
                    "42/client,[\"typing:{what}\",{{\"conversation_id\":\"{conversation}\"}}]"
                ))
            })
            .collect();
        let chunk = both.repeat(100);
        async move {
            let line = hostile.device(OWNER, Window::Usual).await?.into_line();
            let pause = Duration::from_secs_f64(chunk.len() as f64 / TYPING_BYTES_PER_SECOND);
            let typing = async {
                let mut ticks = tokio::time::interval(pause);
                loop {
                    ticks.tick().await;
                    hostile.write(&line, &chunk).await?;
                }
            };
            tokio::select! {
                ended = typing => ended,
                error = line.skim() => Err(error.into()),
            }
        }
    });
    trial.last().await;
    conclude(trial).await
}

/// The owner acknowledges the agents' messages, one after the other, delivered and read.
async fn receipts(trial: &mut Trial) -> Result<()> {
    let author = trial.author();
    let conversation = author.conversation(OWNER).await?;
    let mut agent = author.agent().await?;
    let count = trial.sized(600, 150);
    let messages = fill(&mut agent, &conversation, count, "Hello").await?;
    agent.close().await?;
    let packets = receipt_packets(&conversation, &messages);
    trial.baseline_with(slow_agents(), &[conversation]).await?;
    trial.crowd(1, move |hostile| {
        let packets = packets.clone();
        async move {
            let line = hostile.device(OWNER, Window::Usual).await?.into_line();
            hostile.flood_and_skim(&line, &packets).await
        }
    });
    trial.last().await;
    conclude(trial).await
}

/// Both receipts of each message, in order.
pub(super) fn receipt_packets(conversation: &str, messages: &[Value]) -> Vec<u8> {
    let packets = messages.iter().flat_map(|message| {
        let receipt = json!({ "conversation_id": conversation, "up_to_message_id": message["id"] });
        ["delivery:receipt", "message:read"]
            .map(|name| frame::text(&format!("42/client,1[\"{name}\",{receipt}]")))
    });
    packets.flatten().collect()
}

/// Devices come and leave without end.
async fn comings(trial: &mut Trial) -> Result<()> {
    watched(trial).await?;
    let count = trial.sized(10, 4);
    trial.wave(count, |hostile| async move {
        for number in 0_u64.. {
            let name = format!("{}-{number}", hostile.device_id());
            let socket = hostile.device(&name, Window::Usual).await?;
            socket.close().await?;
            hostile.did();
            hostile.count(1);
        }
        Ok(())
    });
    trial.last().await;
    let done = trial.tally.done();
    trial.figure("comings", done.to_string());
    conclude(trial).await
}

/// Made-up devices open conversations without end.
async fn conversations(trial: &mut Trial) -> Result<()> {
    watched(trial).await?;
    let count = trial.sized(4, 2);
    trial.crowd(count, super::made_up::open_conversations);
    trial.last().await;
    conclude(trial).await
}

/// Three hundred connections whose names are as long as the server takes them, and longer still in JSON.
async fn sessions(trial: &mut Trial) -> Result<()> {
    watched(trial).await?;
    let count = trial.sized(300, 300);
    trial.wave(count, |hostile| async move {
        let name = identified(&hostile).await?;
        let line = hostile.device(&name, Window::Usual).await?.into_line();
        hostile.did();
        hostile.count(1);
        Err(line.skim().await.into())
    });
    let all = count as u64;
    trial.wait(Duration::from_secs(20), |trial| trial.tally.done() == all).await;
    trial.last().await;
    let done = trial.tally.done();
    trial.figure("sessions", done.to_string());
    conclude(trial).await
}

/// A device that the app has named, with the most expensive names that are accepted. A header can't carry control
/// characters, so the device's own name is of quotes.
async fn identified(hostile: &Hostile) -> Result<String> {
    let wanted = [("\u{1}", 256), ("\u{1}", 128), ("\"", 256), ("\"", 128)];
    for device_chars in [256, 128] {
        let number = format!("{}", hostile.index);
        let device = format!("{number}{}", "\"".repeat(device_chars - number.len()));
        for (letter, chars) in wanted {
            let text = letter.repeat(chars);
            let user = json!({ "user": { "id": text, "name": text, "email": text } });
            if hostile.ask("POST", "/v1/identify", &device, &user.to_string()).await.is_ok() {
                return Ok(device);
            }
        }
    }
    anyhow::bail!("no long name is accepted")
}
