//! Limits: what they leave room for when they are reached, and what is told of refusals.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::http;
use crate::line::Window;
use crate::scenario::Scenario;
use crate::server::INTERNAL;
use crate::socket::Login;
use crate::trial::Trial;

const HEALTH: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const HEALTH_LIMIT: Duration = Duration::from_secs(4);
const QUESTIONS: usize = 3;
const LOG_LINES: usize = 3;
const WRONG_LOGINS: usize = 300;
const WRONG_KEY: &str = "rhq_key_nobodyhasthisone0000000000000000000000000";
/// A summary may come some time after what it is about.
const SUMMARY_LIMIT: Duration = Duration::from_secs(15);

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        // With the usual time for a handshake, waiting for its end would be an answer.
        Scenario::new("full-house/strangers", |trial| Box::pin(full_house(trial, 20, false)))
            .flags(&["--max-connections 20", "--handshake-timeout 60s"])
            .alone(),
        Scenario::new("full-house/devices", |trial| Box::pin(full_house(trial, 20, true)))
            .flags(&["--max-connections 20"])
            .alone()
            .long(),
        Scenario::new("full-house/descriptors", |trial| Box::pin(full_house(trial, 400, false)))
            .descriptors(256)
            .alone(),
        Scenario::new("refused-logins", |trial| Box::pin(refused_logins(trial))).flags(&[INTERNAL]),
        Scenario::new("no-namespace", |trial| Box::pin(no_namespace(trial)))
            .flags(&["--handshake-timeout 2s"]),
    ]
}

/// All places are taken by sockets that do nothing, and taken again where one is lost.
async fn full_house(trial: &mut Trial, count: usize, as_devices: bool) -> Result<()> {
    trial.baseline().await?;
    let quiet = trial.server.log().lines().count();
    trial.crowd(count, move |hostile| async move {
        let mut socket = hostile.upgraded(Window::Usual).await?;
        if as_devices {
            socket.connect(&Login::device(&hostile.app, &hostile.device_id())).await?;
        }
        hostile.count(1);
        Err(socket.into_line().skim().await.into())
    });
    let all = count as u64;
    // Where there is no place for more, some stay outside; the attack begins with those who could come in.
    trial.wait(Duration::from_secs(2), |trial| trial.tally.opened() >= all).await;
    sleep(Duration::from_millis(500)).await;
    let mut answered = 0;
    let request = http::text("GET", "/healthz", "", "");
    for _ in 0..QUESTIONS {
        let asked = http::ask(trial.server.address, HEALTH, HEALTH_LIMIT, &request).await;
        answered += usize::from(asked.is_ok_and(|(status, _)| status == 200));
    }
    trial.last().await;
    trial.end()?;
    trial
        .record
        .judge(answered == QUESTIONS, format!("/healthz was answered {answered} times of {QUESTIONS}"));
    let lines = trial.server.log().lines().count() - quiet;
    trial.figure("log lines", lines.to_string());
    trial
        .record
        .judge(lines <= LOG_LINES, format!("the log has {lines} lines about it (at most {LOG_LINES})"));
    trial.leave().await
}

/// Logins with a key that nobody has, half over REST and half by sockets.
async fn refused_logins(trial: &mut Trial) -> Result<()> {
    trial.baseline().await?;
    let before = refusals(trial).await;
    let quiet = trial.server.log().len();
    trial.wave(10, |hostile| async move {
        let mut app = hostile.app.clone();
        app.api_key = WRONG_KEY.to_owned();
        for number in 0..WRONG_LOGINS / 10 {
            let name = hostile.device_id();
            if number % 2 == 0 {
                let request = http::text("GET", "/v1/conversations", &http::device(&app, &name), "");
                let (status, _) = hostile.request(&request).await?;
                ensure!((400..500).contains(&status), "a wrong key was answered {status}");
            } else {
                let mut socket = hostile.upgraded(Window::Usual).await?;
                ensure!(
                    socket.connect(&Login::device(&app, &name)).await.is_err(),
                    "a wrong key was accepted"
                );
            }
            hostile.did();
            hostile.count(1);
        }
        Ok(())
    });
    trial.last_until_done(Duration::from_secs(20)).await;
    let done = trial.tally.done();
    trial
        .record
        .judge(done == WRONG_LOGINS as u64, format!("{done} of {WRONG_LOGINS} wrong logins were refused"));
    trial.wait(SUMMARY_LIMIT, |trial| about_refusals(&trial.server.log()[quiet..]) > 0).await;
    // Were there a line for each, they would be here by now.
    sleep(Duration::from_millis(500)).await;
    let log = trial.server.log();
    let lines = about_refusals(&log[quiet..]);
    trial.record.judge((1..=5).contains(&lines), format!("the log has {lines} lines about it (1 to 5)"));
    trial.record.judge(!log.contains(WRONG_KEY), "the log does not have the key".to_owned());
    match (before, refusals(trial).await) {
        (Some(before), Some(after)) => trial.record.judge(
            after - before >= WRONG_LOGINS as f64,
            format!("/metrics counts {} refusals", after - before),
        ),
        _ => trial.figure("refusals", "not judged: /metrics has no such counter".to_owned()),
    }
    trial.end()?;
    trial.leave().await
}

fn about_refusals(log: &str) -> usize {
    let is_about = |line: &&str| {
        let line = line.to_ascii_lowercase();
        ["refus", "credential", "login", "log in"].iter().any(|word| line.contains(word))
    };
    log.lines().filter(is_about).count()
}

/// The sum of all counters of refusals.
async fn refusals(trial: &Trial) -> Option<f64> {
    let request = http::text("GET", "/metrics", "", "");
    let (_, text) = http::ask(trial.server.internal, HEALTH, HEALTH_LIMIT, &request).await.ok()?;
    sum_of_refusals(&text)
}

fn sum_of_refusals(text: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let is_counter = !line.starts_with('#') && name.split('{').next()?.contains("refused");
        is_counter.then(|| value.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// Sockets of one device that log in, leave the namespace and stay: more than a device may have.
async fn no_namespace(trial: &mut Trial) -> Result<()> {
    const SOCKETS: usize = 60;
    const GONE_LIMIT: Duration = Duration::from_secs(12);
    trial.baseline().await?;
    // Some at a time, so that the limit of one device does not keep the others out.
    trial.wave(10, |hostile| async move {
        let mut lines = Vec::new();
        for _ in 0..SOCKETS / 10 {
            let line = hostile.device("everywhere", Window::Usual).await?.into_line();
            hostile.write(&line, &crate::frame::text("41/client,")).await?;
            hostile.did();
            lines.push(line);
        }
        std::future::pending::<Result<()>>().await?;
        drop(lines);
        Ok(())
    });
    trial.wait(Duration::from_secs(10), |trial| trial.tally.done() == SOCKETS as u64).await;
    let stayed = trial.tally.done();
    trial.last().await;
    let gone = trial.until_gone(GONE_LIMIT).await;
    trial.end()?;
    trial.figure("sockets", stayed.to_string());
    trial.record.judge(gone, format!("of {stayed} sockets that left their namespace all are gone: {gone}"));
    trial.leave().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_of_refusals_are_summed() {
        let text = "# HELP replyhq_refused x\nreplyhq_refused_logins_total{by=\"rest\"} 3\n\
            replyhq_refused_logins_total{by=\"socket\"} 4\nreplyhq_other{code=\"refused\"} 9\n";
        assert_eq!(sum_of_refusals(text), Some(7.0));
        assert_eq!(sum_of_refusals("replyhq_other 1\n"), None);
    }
}
