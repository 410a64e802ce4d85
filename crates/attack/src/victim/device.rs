//! Ordinary devices: those that write all the time, and those that log in anew.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::{Circle, DEVICES, DRAIN_LIMIT, Phase, address};
use crate::line::{Line, Window};
use crate::socket::{Login, Socket};

const BETWEEN_MESSAGES: Duration = Duration::from_millis(50);
const BETWEEN_LOGINS: Duration = Duration::from_millis(250);
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
const BEFORE_NEXT_TRY: Duration = Duration::from_millis(200);
/// What a household needs; above that, some of them share a name.
const LOGIN_NAMES: u64 = 40;

/// The name of the device with this number.
pub(super) fn name(index: usize) -> String {
    format!("victim-{index}")
}

/// A device that writes.
pub(super) struct Device {
    circle: Circle,
    index: usize,
    conversation: String,
    socket: Socket,
    ticks: Interval,
    next: u64,
    open: HashMap<u64, (Instant, Phase)>,
}

enum Step {
    Due,
    Heard(Result<Option<(u64, Value)>>),
    Phase,
}

impl Device {
    /// Logs in.
    pub(super) async fn connect(circle: &Circle, index: usize, conversation: String) -> Result<Self> {
        let socket = log_in(circle, index).await.context("a victim's login")?;
        let first = Instant::now() + BETWEEN_MESSAGES * index as u32;
        let mut ticks = interval_at(first, BETWEEN_MESSAGES * DEVICES as u32);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        circle.shared.lock().devices_at_work += 1;
        Ok(Self { circle: circle.clone(), index, conversation, socket, ticks, next: 0, open: HashMap::new() })
    }

    /// Writes, until it is over and everything is answered.
    pub(super) async fn write(mut self) {
        let mut until = None;
        while until.is_none_or(|until| Instant::now() < until && !self.open.is_empty()) {
            let is_over = until.is_some();
            let step = tokio::select! {
                _ = self.ticks.tick() => Step::Due,
                text = self.socket.next() => Step::Heard(text.map(answer)),
                _ = self.circle.next_phase(), if !is_over => Step::Phase,
            };
            let outcome = match step {
                Step::Due if is_over => Ok(()),
                Step::Due => self.send().await,
                Step::Phase => Ok(()),
                Step::Heard(Ok(heard)) => {
                    if let Some((id, answer)) = heard {
                        self.take(id, &answer);
                    }
                    Ok(())
                }
                Step::Heard(Err(error)) => Err(error),
            };
            if self.circle.phase() == Phase::Over {
                until.get_or_insert_with(|| Instant::now() + DRAIN_LIMIT);
            }
            if let Err(error) = outcome {
                self.come_back(&error, is_over).await;
            }
        }
        let mut findings = self.circle.shared.lock();
        findings.unanswered += self.open.len() as u64;
        findings.devices_at_work -= 1;
    }

    async fn send(&mut self) -> Result<()> {
        let id = self.next;
        self.next += 1;
        let message = json!({
            "conversation_id": self.conversation,
            "local_id": format!("{}-{id}", self.index),
            "body": format!("My order has not come yet, number {id}."),
        });
        self.open.insert(id, (Instant::now(), self.circle.phase()));
        self.circle.shared.lock().sent += 1;
        self.socket.send(&format!("42/client,{id}[\"message:send\",{message}]")).await
    }

    fn take(&mut self, id: u64, answer: &Value) {
        let Some((since, phase)) = self.open.remove(&id) else { return };
        let seq = answer.pointer("/message/seq").and_then(Value::as_u64);
        let mut findings = self.circle.shared.lock();
        findings.ack(phase, since.elapsed(), &self.conversation, seq);
        if seq.is_none() {
            findings.complain(format!("a victim's message was refused: {answer}"));
        }
    }

    /// After it was thrown out. What was under way may be stored or not: nobody told.
    async fn come_back(&mut self, error: &anyhow::Error, is_over: bool) {
        {
            let mut findings = self.circle.shared.lock();
            findings.devices_out += 1;
            findings.unanswered += self.open.len() as u64;
            findings.complain(format!("a victim was thrown out: {error:#}"));
            self.open.clear();
        }
        while !is_over && self.circle.phase() != Phase::Over {
            sleep(BEFORE_NEXT_TRY).await;
            if let Ok(socket) = log_in(&self.circle, self.index).await {
                self.socket = socket;
                return;
            }
        }
    }
}

async fn log_in(circle: &Circle, index: usize) -> Result<Socket> {
    let line = Line::open(circle.server, address(1, index), Window::Usual).await?;
    Socket::log_in(line, &Login::device(&circle.app, &name(index))).await
}

/// The ack in a message, if it is one.
fn answer(text: &str) -> Option<(u64, Value)> {
    let rest = text.strip_prefix("43/client,")?;
    let (id, answer) = rest.split_at(rest.find('[')?);
    let answers: Vec<Value> = serde_json::from_str(answer).ok()?;
    Some((id.parse().ok()?, answers.into_iter().next()?))
}

/// Somebody comes, is greeted and leaves, every 250 ms, whatever became of those before.
pub(super) async fn log_in_again_and_again(mut circle: Circle) {
    let mut logins = JoinSet::new();
    let mut ticks = interval_at(Instant::now(), BETWEEN_LOGINS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while circle.phase() != Phase::Over {
        tokio::select! {
            _ = ticks.tick() => {
                logins.spawn(log_in_once(circle.clone(), number));
                number += 1;
            }
            _ = circle.next_phase() => {}
            Some(_) = logins.join_next() => {}
        }
    }
    while logins.join_next().await.is_some() {}
}

async fn log_in_once(circle: Circle, number: u64) {
    let (phase, since) = (circle.phase(), Instant::now());
    let login = async {
        let line = Line::open(circle.server, address(3, number as usize), Window::Usual).await?;
        let name = format!("newcomer-{}", number % LOGIN_NAMES);
        let socket = Socket::log_in(line, &Login::device(&circle.app, &name)).await?;
        let took = since.elapsed();
        // It has been greeted: that the goodbye is heard is of no interest.
        let _ = socket.close().await;
        ensure!(took < LOGIN_LIMIT, "a login took {took:?}");
        Ok(took)
    };
    let outcome = timeout(LOGIN_LIMIT, login).await.context("no greeting in time").flatten();
    let mut findings = circle.shared.lock();
    match outcome {
        Ok(took) => {
            if let Some(times) = findings.times(phase) {
                times.login.record(took);
            }
        }
        Err(error) => {
            findings.failed_logins += 1;
            findings.complain(format!("a victim's login: {error:#}"));
        }
    }
}
