//! Acknowledged durable sends per second, in rooms of two: each agent keeps so many sends in flight.

use crate::{
    bench::Bench,
    meter::Meter,
    metric::{Aim, Outcome},
    pair::{self, Writer},
};
use anyhow::Result;
use std::rc::Rc;
use tokio::task::JoinSet;

/// One measurement for each window.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for window in &bench.options.window {
        run_window(bench, *window, &mut outcome).await?;
    }
    Ok(outcome)
}

async fn run_window(bench: &Bench<'_>, window: u64, outcome: &mut Outcome) -> Result<()> {
    let meter = Rc::new(Meter::new()?);
    let mut rooms = Vec::new();
    let mut tasks = JoinSet::new();
    for pair in pair::connect(bench, &format!("sends{window}"), &meter).await? {
        rooms.push(Rc::clone(&pair.room));
        let reading = Rc::clone(&meter);
        tasks.spawn_local(async move {
            if let Err(error) = pair.room.read(pair.device, &reading).await {
                reading.fail(&error);
            }
        });
        let writing = Rc::clone(&meter);
        tasks.spawn_local(async move {
            if let Err(error) = write(pair.agent, window, &writing).await {
                writing.fail(&error);
            }
        });
    }
    let work = bench.measure(&meter).await?;
    outcome.faults += pair::settle(&rooms, &meter).await;
    outcome.complaint = outcome.complaint.take().or_else(|| meter.complaint());
    tasks.shutdown().await;

    let group = &format!("sends, {window} in flight");
    let rate = work.done as f64 / work.elapsed;
    outcome.aim(group, "acknowledged sends", "/s", rate, Aim::TimesAtLeast(5.0));
    outcome.latency(group, ["ack p50", "ack p95", "ack p99"], &meter.ack);
    outcome.latency(group, ["delivery p50", "delivery p95", "delivery p99"], &meter.delivery);
    let per_hundred_thousand = 100_000.0 / work.done as f64;
    let server = work.server * per_hundred_thousand;
    outcome.aim(group, "server CPU per 100,000 sends", "s", server, Aim::AtMost(5.0));
    let all = (work.server + work.services) * per_hundred_thousand;
    outcome.add(group, "… with Postgres and Redis", "s", all);
    outcome.add(group, "bytes to the server per send", "", work.sent as f64 / work.done as f64);
    outcome.add(group, "bytes from it, to all", "", work.received as f64 / work.done as f64);
    outcome.shares(group, &work);
    Ok(())
}

async fn write(mut agent: Writer, window: u64, meter: &Meter) -> Result<()> {
    for _ in 0..window {
        agent.send(meter.now()).await?;
    }
    loop {
        let text = agent.socket.wait().await?;
        if agent.note(&agent.socket.packet(text))? && !meter.stopped() {
            agent.send(meter.now()).await?;
        }
    }
}
