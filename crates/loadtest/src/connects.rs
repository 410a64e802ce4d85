//! Authenticated connects per second.

use crate::{
    bench::{Bench, device},
    meter::Meter,
    metric::{Aim, Outcome},
    socket::{Route, Socket},
};
use anyhow::Result;
use std::{cell::Cell, rc::Rc};
use tokio::task::JoinSet;

const PATIENCE: u64 = 200;

/// New devices connect and leave, so many at a time.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    const GROUP: &str = "connects";
    let meter = Rc::new(Meter::new()?);
    let next = Rc::new(Cell::new(0_usize));
    let mut drivers = JoinSet::new();
    for _ in 0..bench.options.in_flight {
        let (meter, next) = (Rc::clone(&meter), Rc::clone(&next));
        let (server, start) = (bench.running.address, bench.running.start);
        let app = bench.apps[0].clone();
        drivers.spawn_local(async move {
            while !meter.stopped() && meter.broken() < PATIENCE {
                let index = next.replace(next.get() + 1);
                let route = Route::nth(server, index);
                let login = device(&app, "connect", start, index);
                let began = meter.now();
                let connected = async {
                    let socket = Socket::connect(route, &login).await?;
                    meter.finish(began);
                    socket.close().await
                };
                if let Err(error) = connected.await {
                    meter.fail(&error);
                }
            }
        });
    }
    let work = bench.measure(&meter).await?;
    while drivers.join_next().await.is_some() {}
    let mut outcome = Outcome { complaint: meter.complaint(), ..Outcome::default() };
    outcome.faults.broken = meter.broken();
    let rate = work.done as f64 / work.elapsed;
    outcome.aim(GROUP, "authenticated connects", "/s", rate, Aim::TimesAtLeast(5.0));
    outcome.latency(GROUP, ["connect p50", "connect p95", "connect p99"], &meter.ack);
    let per_ten_thousand = 10_000.0 / work.done as f64;
    outcome.add(GROUP, "server CPU per 10,000 connects", "s", work.server * per_ten_thousand);
    outcome.add(GROUP, "… with Postgres and Redis", "s", (work.server + work.services) * per_ten_thousand);
    outcome.shares(GROUP, &work);
    Ok(outcome)
}
