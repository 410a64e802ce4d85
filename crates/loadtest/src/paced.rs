//! Latency at a given rate. It counts from when a send was due, so a server that stalls is not spared.

use crate::{
    bench::{Bench, Work},
    ledger::Faults,
    meter::Meter,
    metric::{Aim, Outcome},
    pacer,
    pair::{self, Writer},
};
use anyhow::Result;
use std::rc::Rc;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

/// What came of sending at the given rate.
#[derive(Debug)]
pub(crate) struct Paced {
    /// The latencies.
    pub(crate) meter: Rc<Meter>,
    /// What it took.
    pub(crate) work: Work,
    /// What went wrong.
    pub(crate) faults: Faults,
}

/// The pairs send in turn. Their devices are of this kind, so that each measurement has new ones.
pub(crate) async fn send(bench: &Bench<'_>, kind: &str) -> Result<Paced> {
    let meter = Rc::new(Meter::new()?);
    let mut rooms = Vec::new();
    let mut agents = Vec::new();
    let mut tasks = JoinSet::new();
    for pair in pair::connect(bench, kind, &meter).await? {
        rooms.push(Rc::clone(&pair.room));
        let reading = Rc::clone(&meter);
        tasks.spawn_local(async move {
            if let Err(error) = pair.room.read(pair.device, &reading).await {
                reading.fail(&error);
            }
        });
        let writing = Rc::clone(&meter);
        let (sender, due) = unbounded_channel();
        agents.push(sender);
        tasks.spawn_local(async move {
            if let Err(error) = write(pair.agent, due).await {
                writing.fail(&error);
            }
        });
    }
    let pacing = Rc::clone(&meter);
    let mut due = pacer::start(meter.began(), bench.options.rate);
    tasks.spawn_local(async move {
        while let Some(next) = due.recv().await {
            if pacing.stopped() {
                return;
            }
            // An agent whose connection broke is counted as such.
            let _ = agents[next.index as usize % agents.len()].send(next.at);
        }
    });
    let work = bench.measure(&meter).await?;
    let faults = pair::settle(&rooms, &meter).await;
    tasks.shutdown().await;
    Ok(Paced { meter, work, faults })
}

/// The latencies of acks and deliveries.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let Paced { meter, work, faults } = send(bench, "paced").await?;
    let mut outcome = Outcome { faults, complaint: meter.complaint(), ..Outcome::default() };
    let group = &format!("paced, {} sends/s", bench.options.rate);
    outcome.add(group, "acknowledged sends", "/s", work.done as f64 / work.elapsed);
    for (name, quantile) in [("ack p50", 0.50), ("ack p95", 0.95)] {
        outcome.add(group, name, "ms", meter.ack.quantile(quantile));
    }
    outcome.aim(group, "ack p99", "ms", meter.ack.quantile(0.99), Aim::TimesAtMost(0.2));
    outcome.add(group, "ack max", "ms", meter.ack.max());
    for (name, quantile) in [("delivery p50", 0.50), ("delivery p95", 0.95)] {
        outcome.add(group, name, "ms", meter.delivery.quantile(quantile));
    }
    outcome.aim(group, "delivery p99", "ms", meter.delivery.quantile(0.99), Aim::TimesAtMost(0.2));
    outcome.add(group, "delivery max", "ms", meter.delivery.max());
    outcome.shares(group, &work);
    Ok(outcome)
}

async fn write(mut agent: Writer, mut due: UnboundedReceiver<u64>) -> Result<()> {
    enum Step {
        Send(u64),
        Read(std::ops::Range<usize>),
    }
    loop {
        let step = tokio::select! {
            Some(at) = due.recv() => Step::Send(at),
            text = agent.socket.wait() => Step::Read(text?),
        };
        match step {
            Step::Send(at) => agent.send(at).await?,
            Step::Read(text) => {
                agent.note(&agent.socket.packet(text))?;
            }
        }
    }
}
