//! The memory of an idle server, and of idle connections.

use crate::{
    bench::Bench,
    meter::Meter,
    metric::{Aim, Outcome},
    socket::Socket,
    usage::Memory,
};
use anyhow::Result;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

const SETTLE: Duration = Duration::from_secs(3);

/// Opens the connections, holds them, and reads the server's memory before and after.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    const GROUP: &str = "idle";
    tokio::time::sleep(SETTLE).await;
    let before = Memory::of(bench.running.pid())?;
    let meter = Rc::new(Meter::new()?);
    let gate = Arc::new(Semaphore::new(bench.options.in_flight));
    let mut held = JoinSet::new();
    let count = bench.options.connections;
    for index in 0..count {
        let permit = Arc::clone(&gate).acquire_owned().await?;
        let (route, login) = (bench.route(index), bench.device(&bench.apps[0], "idle", index));
        let meter = Rc::clone(&meter);
        held.spawn_local(async move {
            let connected = Socket::connect(route, &login).await;
            drop(permit);
            if let Err(error) = hold(connected, &meter).await {
                meter.fail(&error);
            }
        });
    }
    while meter.done() + meter.broken() < count as u64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let after = Memory::of(bench.running.pid())?;
    let mut outcome = Outcome { complaint: meter.complaint(), ..Outcome::default() };
    outcome.faults.broken = meter.broken();
    let each = |after: u64, before: u64| (after as f64 - before as f64) / count as f64;
    outcome.aim(GROUP, "RSS of the idle server", "MiB", before.rss as f64 / 1024.0, Aim::AtMost(20.0));
    outcome.add(GROUP, "PSS of the idle server", "MiB", before.pss as f64 / 1024.0);
    outcome.add(GROUP, "RSS with all connections", "MiB", after.rss as f64 / 1024.0);
    outcome.aim(GROUP, "RSS per idle connection", "KiB", each(after.rss, before.rss), Aim::AtMost(8.0));
    outcome.add(GROUP, "PSS per idle connection", "KiB", each(after.pss, before.pss));
    Ok(outcome)
}

/// Reads, so that pings are answered.
async fn hold(connected: Result<Socket>, meter: &Meter) -> Result<()> {
    let mut socket = connected?;
    meter.finish(meter.now());
    loop {
        socket.next().await?;
    }
}
