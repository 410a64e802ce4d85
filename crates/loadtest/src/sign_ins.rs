//! What a flood of wrong sign-ins does to those who talk.

use crate::{
    bench::Bench,
    http::Http,
    metric::{Aim, Outcome},
    paced, pacer,
    socket::Route,
};
use anyhow::{Context, Result, anyhow};
use std::{
    cell::RefCell,
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::{runtime, sync::oneshot, task::LocalSet};

const TRIES_PER_SECOND: u64 = 1_000;
/// Each from an address of its own, so that few are refused for trying too often: most of the work that can be asked for is.
pub(crate) const ATTACKERS: usize = 5_000;

/// Latency at the given rate, once undisturbed and once beside the flood.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let quiet = paced::send(bench, "quiet").await?;
    let flood = Flood::start(bench.running.address).await?;
    let flooded = paced::send(bench, "flooded").await?;
    let tally = flood.stop()?;

    let group = &format!("sign-ins, {TRIES_PER_SECOND}/s wrong beside {} sends/s", bench.options.rate);
    let mut outcome = Outcome { faults: quiet.faults, ..Outcome::default() };
    outcome.faults += flooded.faults;
    outcome.faults.broken += tally.broken;
    outcome.complaint = quiet.meter.complaint().or_else(|| flooded.meter.complaint()).or(tally.complaint);
    outcome.latency(
        group,
        ["ack p50, undisturbed", "ack p95, undisturbed", "ack p99, undisturbed"],
        &quiet.meter.ack,
    );
    outcome.latency(group, ["ack p50, flooded", "ack p95, flooded", "ack p99, flooded"], &flooded.meter.ack);
    let ratio = flooded.meter.ack.quantile(0.99) / quiet.meter.ack.quantile(0.99);
    outcome.aim(group, "p99 flooded against undisturbed", "×", ratio, Aim::AtMost(1.2));
    outcome.add(group, "wrong passwords that were checked", "/s", tally.checked as f64 / tally.seconds);
    outcome.add(group, "tries that were turned away", "/s", tally.turned_away as f64 / tally.seconds);
    outcome.shares(group, &flooded.work);
    Ok(outcome)
}

/// What became of the tries.
#[derive(Debug, Default)]
struct Tally {
    checked: u64,
    turned_away: u64,
    broken: u64,
    complaint: Option<String>,
    seconds: f64,
}

/// Those who try, on a thread of their own: what they take from the tool's core is little, and from its other thread nothing
/// but that.
struct Flood {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Tally>>,
}

impl Flood {
    /// Connects all of them, and has them begin.
    async fn start(server: SocketAddr) -> Result<Self> {
        let ((stop, stopped), (ready, is_ready)) = (oneshot::channel(), oneshot::channel());
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, attack(server, ready, stopped))
        });
        match is_ready.await {
            Ok(()) => Ok(Self { stop, thread }),
            Err(_) => Err(joined(thread).err().unwrap_or_else(|| anyhow!("the flood gave up"))),
        }
    }

    fn stop(self) -> Result<Tally> {
        // Who has given up is joined all the same.
        let _ = self.stop.send(());
        joined(self.thread)
    }
}

fn joined(thread: JoinHandle<Result<Tally>>) -> Result<Tally> {
    thread.join().map_err(|_| anyhow!("the flood's thread panicked"))?
}

async fn attack(
    server: SocketAddr,
    ready: oneshot::Sender<()>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<Tally> {
    let idle = Rc::new(RefCell::new(VecDeque::new()));
    for index in 0..ATTACKERS {
        let attacker = Http::connect(route(server, index), String::new()).await;
        idle.borrow_mut().push_back(attacker.context("an attacker")?);
    }
    let tally = Rc::new(RefCell::new(Tally::default()));
    let began = Instant::now();
    let mut due = pacer::start(began, TRIES_PER_SECOND);
    let _ = ready.send(());
    loop {
        let next = tokio::select! {
            _ = &mut stopped => break,
            next = due.recv() => next.context("the pacer has ended")?,
        };
        let Some(mut attacker) = idle.borrow_mut().pop_front() else { continue };
        let (idle, tally) = (Rc::clone(&idle), Rc::clone(&tally));
        tokio::task::spawn_local(async move {
            // An account that nobody has tried before.
            let body = format!(r#"{{"email":"{}@example.com","password":"a wrong password"}}"#, next.index);
            match attacker.request("POST", "/v1/auth/sign-in", &body).await.map(|answer| answer.status) {
                Ok(401) => tally.borrow_mut().checked += 1,
                Ok(429) => tally.borrow_mut().turned_away += 1,
                other => {
                    let mut tally = tally.borrow_mut();
                    tally.broken += 1;
                    tally.complaint.get_or_insert_with(|| format!("a wrong sign-in: {other:?}"));
                    return;
                }
            }
            idle.borrow_mut().push_back(attacker);
        });
    }
    let mut tally = tally.take();
    tally.seconds = began.elapsed().as_secs_f64();
    Ok(tally)
}

/// Attacker number `index`'s own address, which nobody else of the tool has.
fn route(server: SocketAddr, index: usize) -> Route {
    let (street, house) = (index / 250, index % 250);
    Route { source: Ipv4Addr::new(127, 9, street as u8, 1 + house as u8), ..Route::nth(server, index) }
}
