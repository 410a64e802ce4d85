//! Sends per second over REST, on keep-alive connections. What was stored is read back at the end.

use crate::{
    bench::{Bench, Envelope},
    http::Http,
    ledger::{Faults, Ledger, Tracker},
    meter::Meter,
    metric::{Aim, Outcome},
    packet,
};
use anyhow::{Context, Result, ensure};
use std::rc::Rc;
use tokio::task::JoinSet;

/// Each device sends one message after the other.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    const GROUP: &str = "rest";
    let meter = Rc::new(Meter::new()?);
    let mut drivers = JoinSet::new();
    for index in 0..bench.options.pairs {
        let app = &bench.apps[index / bench.options.pairs_per_app.max(1)];
        let device = bench.device(app, "rest", index);
        let conversation = bench.conversation(index, &device).await?;
        let writer = Writer {
            http: bench.http(index, &device).await?,
            path: format!("/v1/conversations/{conversation}/messages"),
            envelope: Envelope::new(
                device.namespace(),
                &conversation,
                bench.running.start,
                bench.options.body,
            ),
            ledger: Ledger::default(),
        };
        drivers.spawn_local(writer.run(Rc::clone(&meter)));
    }
    let work = bench.measure(&meter).await?;
    let mut outcome = Outcome::default();
    while let Some(faults) = drivers.join_next().await {
        match faults? {
            Ok(faults) => outcome.faults += faults,
            Err(error) => meter.fail(&error),
        }
    }
    outcome.faults.broken = meter.broken();
    outcome.complaint = meter.complaint();
    outcome.aim(GROUP, "acknowledged sends", "/s", work.done as f64 / work.elapsed, Aim::TimesAtLeast(5.0));
    outcome.latency(GROUP, ["answer p50", "answer p95", "answer p99"], &meter.ack);
    let per_hundred_thousand = 100_000.0 / work.done as f64;
    outcome.add(GROUP, "server CPU per 100,000 sends", "s", work.server * per_hundred_thousand);
    let all = (work.server + work.services) * per_hundred_thousand;
    outcome.add(GROUP, "… with Postgres and Redis", "s", all);
    outcome.shares(GROUP, &work);
    Ok(outcome)
}

struct Writer {
    http: Http,
    path: String,
    envelope: Envelope,
    ledger: Ledger,
}

impl Writer {
    async fn run(mut self, meter: Rc<Meter>) -> Result<Faults> {
        while !meter.stopped() {
            let began = meter.now();
            let number = self.ledger.send(began);
            let answer = self.http.request("POST", &self.path, &self.envelope.json(number)).await?;
            match packet::seq(answer.body).filter(|_| answer.status == 201) {
                Some(seq) => {
                    self.ledger.ack(number, seq);
                    meter.finish(began);
                }
                None => {
                    self.ledger.refuse();
                    let body = String::from_utf8_lossy(answer.body);
                    meter.complain(&format!("{} {body}", answer.status));
                }
            }
        }
        self.read_back().await
    }

    async fn read_back(mut self) -> Result<Faults> {
        let mut stored = Tracker::default();
        let mut after = String::new();
        loop {
            let path = format!("{}?limit=200&after={after}", self.path);
            let answer = self.http.request("GET", &path, "").await?;
            ensure!(answer.status == 200, "GET {path}: {}", answer.status);
            let page: serde_json::Value = serde_json::from_slice(answer.body)?;
            let messages = page.get("messages").and_then(|list| list.as_array()).context("no messages")?;
            for message in messages {
                let seq = message.get("seq").and_then(serde_json::Value::as_u64).context("no seq")?;
                let body = message.get("body").and_then(|body| body.as_str()).context("no body")?;
                let number = packet::number_in_body(body.as_bytes()).context("not a message of ours")?;
                self.ledger.place(number, seq);
                stored.receive(seq);
                after = message.get("id").and_then(|id| id.as_str()).context("no id")?.to_owned();
            }
            if page.get("has_more").and_then(serde_json::Value::as_bool) != Some(true) {
                break;
            }
        }
        let mut faults = self.ledger.faults();
        faults += stored.faults(self.ledger.highest_acked());
        Ok(faults)
    }
}
