//! What one connection that stops reading does to the others.

use crate::{
    bench::Bench,
    crowd::{self, Pace, Plan},
    metric::{Aim, Outcome},
};
use anyhow::Result;

/// Once with all readers well, once with one that does not read at all.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let options = bench.options;
    let group = &format!("stalled, 1 of {} at {} messages/s", options.subscribers, options.stalled_rate);
    let pace = Pace::Rate(options.stalled_rate);
    let plan = Plan { kind: "well", pace, body: options.stalled_body, stalled: false };
    let well = crowd::run(bench, plan).await?;
    let stalled = crowd::run(bench, Plan { kind: "stalled", stalled: true, ..plan }).await?;

    let mut outcome = Outcome { faults: well.faults, ..Outcome::default() };
    outcome.faults += stalled.faults;
    outcome.complaint = well.meter.complaint().or_else(|| stalled.meter.complaint());
    let (before, after) = (well.meter.delivery.quantile(0.99), stalled.meter.delivery.quantile(0.99));
    outcome.add(group, "delivery p99, all reading", "ms", before);
    outcome.add(group, "delivery p99 of the others", "ms", after);
    outcome.aim(group, "the others' p99 against all reading", "×", after / before, Aim::AtMost(1.2));
    outcome.shares(group, &stalled.work);
    Ok(outcome)
}
