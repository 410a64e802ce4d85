//! Storms: what anybody may do, by many and again and again, bounded in count.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::agents::receipt_packets;
use super::readers::{fill, prepare};
use crate::hostile::Hostile;
use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::socket::Login;
use crate::trial::Trial;

const ATTACKERS: usize = 10;
const LIMIT: Duration = Duration::from_secs(20);
const OWNER: &str = "owner";

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("storms/logins", |trial| Box::pin(logins(trial))),
        Scenario::new("storms/wrong-logins", |trial| Box::pin(wrong_logins(trial))).long(),
        Scenario::new("storms/namespaces", |trial| Box::pin(namespaces(trial))),
        Scenario::new("storms/joins", |trial| Box::pin(joins(trial))).long(),
        Scenario::new("storms/receipts", |trial| Box::pin(receipts(trial))).long(),
        Scenario::new("storms/pages", |trial| Box::pin(pages(trial))),
    ]
}

/// How often each does it.
fn rounds(trial: &Trial) -> usize {
    trial.sized(500, 50)
}

async fn conclude(trial: &mut Trial) -> Result<()> {
    trial.last_until_done(LIMIT).await;
    let done = trial.tally.done();
    trial.figure("done", done.to_string());
    trial.leave().await
}

/// Logins, each on a connection of its own.
async fn logins(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial);
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile| async move {
        for number in 0..rounds {
            let name = format!("{}-{number}", hostile.device_id());
            hostile.device(&name, Window::Usual).await?.close().await?;
            hostile.did();
            hostile.count(1);
        }
        Ok(())
    });
    conclude(trial).await
}

/// The same with a key that is wrong.
async fn wrong_logins(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial);
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile| async move {
        let mut app = hostile.app.clone();
        app.api_key.push_str("wrong");
        for _ in 0..rounds {
            let mut socket = hostile.upgraded(Window::Usual).await?;
            let login = Login::device(&app, &hostile.device_id());
            ensure!(socket.connect(&login).await.is_err(), "a wrong key was accepted");
            hostile.did();
            hostile.count(1);
        }
        Ok(())
    });
    conclude(trial).await
}

/// Each stays on one socket, and joins and leaves the namespace.
async fn namespaces(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial) * 2;
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile| async move {
        let mut socket = hostile.upgraded(Window::Usual).await?;
        let login = Login::device(&hostile.app, &hostile.device_id());
        for _ in 0..rounds {
            socket.connect(&login).await?;
            socket.send("41/client,").await?;
            hostile.did();
            hostile.count(1);
        }
        Ok(())
    });
    conclude(trial).await
}

/// Each joins the same conversation anew and reads its first page.
async fn joins(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial);
    let conversation = prepare(&trial.author()).await?;
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile| {
        let join = json!({ "conversation_id": conversation, "after": "" });
        async move {
            let mut socket = hostile.device(OWNER, Window::Usual).await?;
            for _ in 0..rounds {
                let joined = socket.ask("/client", "conversation:join", &join).await?;
                ensure!(joined["success"] == true, "a join was refused: {joined}");
                hostile.did();
                hostile.count(1);
            }
            Ok(())
        }
    });
    conclude(trial).await
}

/// Each acknowledges the same messages again and again.
async fn receipts(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial) / 10;
    let author = trial.author();
    let conversation = author.conversation(OWNER).await?;
    let mut agent = author.agent().await?;
    let messages = fill(&mut agent, &conversation, 100, "Hello").await?;
    agent.close().await?;
    let packets = receipt_packets(&conversation, &messages);
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile| {
        let packets = packets.clone();
        async move {
            let socket = hostile.device(OWNER, Window::Usual).await?;
            let line = socket.into_line();
            let writing = async {
                for _ in 0..rounds {
                    hostile.write(&line, &packets).await?;
                    hostile.did();
                    tokio::task::yield_now().await;
                }
                Ok(())
            };
            tokio::select! {
                ended = writing => ended,
                error = line.skim() => Err(error.into()),
            }
        }
    });
    conclude(trial).await
}

/// Each asks for the largest page again and again, and reads it.
async fn pages(trial: &mut Trial) -> Result<()> {
    let rounds = rounds(trial);
    let conversation = prepare(&trial.author()).await?;
    trial.baseline().await?;
    trial.wave(ATTACKERS, move |hostile: Hostile| {
        let path = format!("/v1/conversations/{conversation}/messages?limit=200");
        let request = http::text("GET", &path, &http::device(&hostile.app, OWNER), "");
        async move {
            for _ in 0..rounds {
                let (status, _) = hostile.request(&request).await?;
                ensure!(status == 200, "a page was answered {status}");
                hostile.did();
            }
            Ok(())
        }
    });
    conclude(trial).await
}
