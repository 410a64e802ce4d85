//! Deliveries per second from one conversation to many connections, and how late they are at a modest rate.

use crate::{
    bench::Bench,
    crowd::{self, Pace, Plan},
    metric::{Aim, Outcome},
};
use anyhow::Result;

/// First as fast as the readers get it, then at a rate.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let options = bench.options;
    let mut outcome = Outcome::default();

    let pace = Pace::Window(options.fanout_window);
    let plan = Plan { kind: "fanout", pace, body: options.body, stalled: false };
    let reading = crowd::run(bench, plan).await?;
    let group = &format!("fanout to {}", options.subscribers);
    let work = reading.work;
    let rate = work.delivered as f64 / work.elapsed;
    outcome.aim(group, "deliveries", "/s", rate, Aim::TimesAtLeast(4.0));
    outcome.latency(group, ["delivery p50", "delivery p95", "delivery p99"], &reading.meter.delivery);
    let per_million = 1_000_000.0 / work.delivered as f64;
    outcome.add(group, "server CPU per 1,000,000 deliveries", "s", work.server * per_million);
    outcome.add(group, "bytes per delivery", "", work.received as f64 / work.delivered as f64);
    outcome.shares(group, &work);
    outcome.faults += reading.faults;
    outcome.complaint = reading.meter.complaint();

    let plan = Plan { kind: "fanout-paced", pace: Pace::Rate(options.fanout_rate), ..plan };
    let reading = crowd::run(bench, plan).await?;
    let group = &format!("fanout to {}, {} messages/s", options.subscribers, options.fanout_rate);
    outcome.latency(group, ["delivery p50", "delivery p95", "delivery p99"], &reading.meter.delivery);
    outcome.shares(group, &reading.work);
    outcome.faults += reading.faults;
    outcome.complaint = outcome.complaint.or_else(|| reading.meter.complaint());
    Ok(outcome)
}
