//! How what things cost grows with what is stored: the server is filled by its own routes, and measured at each size.

use crate::{
    http::Http,
    metric::Outcome,
    options::Options,
    packet,
    socket::{Login, Route, Socket},
    target::{App, Running, Target},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections that fill the server at a time.
const FILLERS: usize = 32;
/// One conversation in so many is open; the others are resolved.
const OPEN_ONE_IN: usize = 50;
/// Requests of each kind that are measured, one after the other.
const PROBES: usize = 500;
/// Pages before the one that is measured as a page far behind.
const FAR_BEHIND: usize = 20;

/// Fills and measures, from the smallest size to the largest.
pub(crate) async fn run(
    options: &Options,
    target: &Target,
    running: &mut Running,
    app: &App,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut filled = 0;
    for size in &options.growth {
        ensure!(*size > filled, "--growth: sizes rise");
        fill(options, running, app, filled..*size).await.with_context(|| format!("filling to {size}"))?;
        filled = *size;
        let group = format!("{size} conversations");
        lists(&mut outcome, &group, running, app, filled).await?;
        connects(&mut outcome, &group, running, app, filled).await?;
        if let Some((seconds, bytes)) = target.back_up(running)? {
            outcome.add(&group, "backup", "s", seconds);
            outcome.add(&group, "… of", "MB", bytes as f64 / 1e6);
        }
        running.kill().await?;
        let killed = Instant::now();
        target.start_again(running).await?;
        outcome.add(&group, "start until ready, after a kill", "ms", millis(killed.elapsed()));
    }
    Ok(outcome)
}

/// What devices are called: spread, so that those who come after each other are not neighbours in an index.
fn device(app: &App, number: usize) -> Login {
    let spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Login::Device {
        app_id: app.app_id.clone(),
        device_id: format!("growth-{spread:016x}"),
        api_key: app.api_key.clone(),
    }
}

async fn fill(
    options: &Options,
    running: &Running,
    app: &App,
    numbers: std::ops::Range<usize>,
) -> Result<()> {
    let mut fillers = JoinSet::new();
    for filler in 0..FILLERS {
        let (app, route) = (app.clone(), Route::nth(running.address, filler));
        let (messages, body) = (options.growth_messages, options.body);
        let share = numbers.clone().skip(filler).step_by(FILLERS);
        fillers.spawn_local(async move {
            let agent = Login::Agent { app_id: app.app_id.clone(), admin_token: app.admin_token.clone() };
            let mut agent = Http::connect(route, agent.headers()).await?;
            let mut http = Http::connect(route, String::new()).await?;
            for number in share {
                http.speak_as(device(&app, number).headers());
                let opened = ask(&mut http, "POST", "/v1/conversations", "{}").await?;
                let id = opened.pointer("/conversation/id").and_then(Value::as_str).context("no id")?;
                for message in 0..messages {
                    let text = packet::body(message, body);
                    let send = format!("{{\"local_id\":\"growth-{message}\",\"body\":\"{text}\"}}");
                    ask(&mut http, "POST", &format!("/v1/conversations/{id}/messages"), &send).await?;
                }
                if number % OPEN_ONE_IN != 0 {
                    let path = format!("/v1/admin/conversations/{id}");
                    ask(&mut agent, "PATCH", &path, "{\"status\":\"resolved\"}").await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(filler) = fillers.join_next().await {
        filler??;
    }
    Ok(())
}

async fn lists(outcome: &mut Outcome, group: &str, running: &Running, app: &App, size: usize) -> Result<()> {
    let route = Route::nth(running.address, 0);
    let mut http = Http::connect(route, String::new()).await?;
    let (mut own, mut sends) = (Times::default(), Times::default());
    for number in probed(size) {
        http.speak_as(device(app, number).headers());
        let began = Instant::now();
        let page = ask(&mut http, "GET", "/v1/conversations", "").await?;
        own.add(began);
        let id = page.pointer("/conversations/0/id").and_then(Value::as_str).context("no conversation")?;
        let send = format!("{{\"local_id\":\"probe-{size}\",\"body\":\"{}\"}}", packet::body(1, 100));
        let began = Instant::now();
        ask(&mut http, "POST", &format!("/v1/conversations/{id}/messages"), &send).await?;
        sends.add(began);
    }
    own.report(outcome, group, ["a device's list p50", "a device's list p99"]);
    sends.report(outcome, group, ["a send over REST p50", "a send over REST p99"]);

    let agent = Login::Agent { app_id: app.app_id.clone(), admin_token: app.admin_token.clone() };
    let mut http = Http::connect(route, agent.headers()).await?;
    let mut cursor = String::new();
    for _ in 0..FAR_BEHIND {
        let path = format!("/v1/admin/conversations?limit=50&after={cursor}");
        let page = ask(&mut http, "GET", &path, "").await?;
        let Some(next) = page.get("next_cursor").and_then(Value::as_str) else { break };
        next.clone_into(&mut cursor);
    }
    for (path, names) in [
        ("/v1/admin/conversations", ["an inbox p50", "an inbox p99"]),
        ("/v1/admin/conversations?status=open", ["the open ones p50", "the open ones p99"]),
        (
            &*format!("/v1/admin/conversations?after={cursor}"),
            ["1,000 conversations further p50", "1,000 conversations further p99"],
        ),
    ] {
        let mut times = Times::default();
        for _ in 0..PROBES {
            let began = Instant::now();
            ask(&mut http, "GET", path, "").await?;
            times.add(began);
        }
        times.report(outcome, group, names);
    }
    Ok(())
}

async fn connects(
    outcome: &mut Outcome,
    group: &str,
    running: &Running,
    app: &App,
    size: usize,
) -> Result<()> {
    let mut times = Times::default();
    for number in probed(size) {
        let began = Instant::now();
        let mut socket = Socket::connect(Route::nth(running.address, 0), &device(app, number)).await?;
        socket.event("conversation:joined").await?;
        times.add(began);
    }
    times.report(outcome, group, ["a connect and its join p50", "a connect and its join p99"]);
    Ok(())
}

/// Who is asked, from all over.
fn probed(size: usize) -> impl Iterator<Item = usize> {
    (0..PROBES.min(size)).map(move |probe| probe * 7_919 % size)
}

async fn ask(http: &mut Http, method: &str, path: &str, body: &str) -> Result<Value> {
    let answer = http.request(method, path, body).await?;
    let text = || String::from_utf8_lossy(answer.body).into_owned();
    ensure!(matches!(answer.status, 200 | 201), "{method} {path}: {} {}", answer.status, text());
    serde_json::from_slice(answer.body).with_context(text)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long requests took.
#[derive(Debug, Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, began: Instant) {
        self.0.push(millis(began.elapsed()));
    }

    fn report(mut self, outcome: &mut Outcome, group: &str, names: [&'static str; 2]) {
        self.0.sort_unstable_by(f64::total_cmp);
        for (name, share) in names.into_iter().zip([50, 99]) {
            let at = (self.0.len() * share / 100).min(self.0.len().saturating_sub(1));
            outcome.add(group, name, "ms", self.0.get(at).copied().unwrap_or(f64::NAN));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_times_the_middle_and_the_last_but_one_are_told() {
        let mut outcome = Outcome::default();
        Times((1..=100).rev().map(f64::from).collect()).report(&mut outcome, "g", ["p50", "p99"]);
        let values: Vec<f64> = outcome.metrics.iter().map(|metric| metric.value).collect();
        assert_eq!(values, [51.0, 100.0]);
    }
}
