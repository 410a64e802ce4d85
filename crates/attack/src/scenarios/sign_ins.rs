//! Sign-ins: wrong passwords, from many addresses and for many accounts, at a rate that is held.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::trial::Trial;

/// Attackers, each from an address of its own, and how often each of them tries in a second: a thousand together.
const ATTACKERS: usize = 250;
const TRIES_PER_SECOND: u32 = 4;

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("sign-ins/wrong-1000", |trial| Box::pin(wrong(trial)))]
}

/// Each try is for an account that nobody has tried before, so that none has to wait for that.
async fn wrong(trial: &mut Trial) -> Result<()> {
    trial.baseline().await?;
    let attackers = trial.sized(ATTACKERS, ATTACKERS);
    trial.crowd(attackers, |hostile| async move {
        let line = hostile.line(Window::Usual).await?;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / TRIES_PER_SECOND);
        let trying = async {
            for number in 0_u64.. {
                ticks.tick().await;
                let email = format!("{}-{number}@example.com", hostile.index);
                let body = json!({ "email": email, "password": "a wrong password" }).to_string();
                let request = http::text("POST", "/v1/auth/sign-in", "", &body);
                hostile.write(&line, request.as_bytes()).await?;
            }
            Ok(())
        };
        tokio::select! {
            ended = trying => ended,
            error = line.skim() => Err(error).context("reading"),
        }
    });
    trial.last().await;
    trial.leave().await
}
