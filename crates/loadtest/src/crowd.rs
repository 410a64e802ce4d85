//! One conversation with many subscribers: all connections of one device, and an agent who writes.

use crate::{
    bench::{Bench, Envelope, Work},
    ledger::{Faults, Ledger, Tracker},
    meter::Meter,
    pacer::{self, Due},
    packet::{self, Packet},
    socket::{Route, Socket},
};
use anyhow::{Result, bail};
use std::{
    cell::{Cell, RefCell},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    task::JoinSet,
};

const DRAIN_LIMIT: Duration = Duration::from_secs(20);
const PREFIX_PATIENCE: Duration = Duration::from_secs(2);

/// How the agent writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many messages are under way at a time, each until its last reader has it.
    Window(u64),
    /// So many messages per second.
    Rate(u64),
}

/// What such a room is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Makes the device's name.
    pub(crate) kind: &'static str,
    /// How the agent writes.
    pub(crate) pace: Pace,
    /// Characters per message.
    pub(crate) body: usize,
    /// Whether one of the subscribers stops reading.
    pub(crate) stalled: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The latencies.
    pub(crate) meter: Rc<Meter>,
    /// The interval.
    pub(crate) work: Work,
    /// What went wrong.
    pub(crate) faults: Faults,
}

struct Crowd {
    meter: Rc<Meter>,
    ledger: RefCell<Ledger>,
    readers: Vec<RefCell<Tracker>>,
    /// For each message, how many readers do not have it yet.
    waiting: RefCell<Vec<usize>>,
    finished: Cell<u64>,
    progress: Notify,
}

/// Fills the room, lets the agent write, and measures the readers.
pub(crate) async fn run(bench: &Bench<'_>, plan: Plan) -> Result<Reading> {
    let app = &bench.apps[0];
    let device = bench.device(app, plan.kind, 0);
    let conversation = bench.conversation(0, &device).await?;
    let readers = bench.options.subscribers - usize::from(plan.stalled);
    let crowd = Rc::new(Crowd {
        meter: Rc::new(Meter::new()?),
        ledger: RefCell::default(),
        readers: (0..readers).map(|_| RefCell::default()).collect(),
        waiting: RefCell::default(),
        finished: Cell::new(0),
        progress: Notify::new(),
    });
    // The stalled one is amid the others, so that a server that goes through them in order meets it early.
    let mut stalled = None;
    let mut tasks = JoinSet::new();
    for index in 0..readers {
        if plan.stalled && index == readers / 10 {
            let route = Route { narrow: true, ..bench.route(index) };
            stalled = Some(bench.joined_device(route, &device).await?);
        }
        let socket = bench.joined_device(bench.route(index), &device).await?;
        let crowd = Rc::clone(&crowd);
        tasks.spawn_local(async move {
            if let Err(error) = crowd.read(socket, index).await {
                crowd.meter.fail(&error);
            }
        });
    }
    let login = bench.agent(app);
    let agent = bench.joined_agent(0, &login, &conversation).await?;
    let envelope = Envelope::new(login.namespace(), &conversation, bench.running.start, plan.body);
    let writing = Rc::clone(&crowd);
    tasks.spawn_local(async move {
        if let Err(error) = writing.write(agent, &envelope, plan.pace).await {
            writing.meter.fail(&error);
        }
    });
    let work = bench.measure(&crowd.meter).await?;
    let mut faults = crowd.settle().await;
    if let Some(socket) = stalled {
        faults += prefix_faults(socket).await;
    }
    tasks.shutdown().await;
    Ok(Reading { meter: Rc::clone(&crowd.meter), work, faults })
}

impl Crowd {
    async fn read(&self, mut socket: Socket, index: usize) -> Result<()> {
        loop {
            match socket.next().await? {
                Packet::Event(b"message:new", data) => {
                    let (Some(seq), Some(number)) = (packet::seq(data), packet::body_number(data)) else {
                        bail!("not a message of ours: {}", String::from_utf8_lossy(data));
                    };
                    if self.readers[index].borrow_mut().receive(seq) {
                        self.arrived(number, seq);
                    }
                }
                Packet::Closed => bail!("the server let go of a reader"),
                _ => {}
            }
        }
    }

    fn arrived(&self, number: u64, seq: u64) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.place(number, seq);
        self.meter.deliver(ledger.sent_at(number).unwrap_or_default());
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(number as usize) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.finished.set(self.finished.get() + 1);
                self.progress.notify_one();
            }
        }
    }

    async fn write(&self, mut socket: Socket, envelope: &Envelope, pace: Pace) -> Result<()> {
        enum Step {
            Send(u64),
            Look,
            Read(Range<usize>),
        }
        let mut due = match pace {
            Pace::Rate(rate) => Some(pacer::start(self.meter.began(), rate)),
            Pace::Window(_) => None,
        };
        loop {
            if let Pace::Window(window) = pace {
                let under_way = self.ledger.borrow().sent() - self.finished.get();
                for _ in under_way..window {
                    self.send(&mut socket, envelope, self.meter.now()).await?;
                }
            }
            let step = tokio::select! {
                Some(next) = next_due(&mut due) => Step::Send(next.at),
                () = self.progress.notified() => Step::Look,
                text = socket.wait() => Step::Read(text?),
            };
            match step {
                Step::Send(at) => self.send(&mut socket, envelope, at).await?,
                Step::Look => {}
                Step::Read(text) => self.note(&socket.packet(text))?,
            }
        }
    }

    /// Sends the next message, if the measurement is not over.
    async fn send(&self, socket: &mut Socket, envelope: &Envelope, at: u64) -> Result<()> {
        if self.meter.stopped() {
            return Ok(());
        }
        let number = self.ledger.borrow_mut().send(at);
        self.waiting.borrow_mut().push(self.readers.len());
        socket.send(&envelope.packet(number)).await
    }

    fn note(&self, packet: &Packet<'_>) -> Result<()> {
        match *packet {
            Packet::Ack(number, data) => {
                let mut ledger = self.ledger.borrow_mut();
                match packet::seq(data).filter(|_| packet::succeeded(data)) {
                    Some(seq) => {
                        ledger.ack(number, seq);
                        self.meter.finish(ledger.sent_at(number).unwrap_or_default());
                    }
                    None => {
                        ledger.refuse();
                        self.meter.complain(&String::from_utf8_lossy(data));
                    }
                }
            }
            Packet::Closed => bail!("the server let go of the agent"),
            _ => {}
        }
        Ok(())
    }

    async fn settle(&self) -> Faults {
        let until = Instant::now() + DRAIN_LIMIT;
        let settled = || {
            let ledger = self.ledger.borrow();
            let highest = ledger.highest_acked();
            ledger.open() == 0 && self.readers.iter().all(|reader| reader.borrow().complete(highest))
        };
        while Instant::now() < until && !settled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ledger = self.ledger.borrow();
        let mut faults = Faults { broken: self.meter.broken(), ..ledger.faults() };
        for reader in &self.readers {
            faults += reader.borrow().faults(ledger.highest_acked());
        }
        faults
    }
}

async fn next_due(due: &mut Option<UnboundedReceiver<Due>>) -> Option<Due> {
    due.as_mut()?.recv().await
}

/// The stalled reader may be cut off, but what it finds in its buffers has no holes.
async fn prefix_faults(mut socket: Socket) -> Faults {
    let mut tracker = Tracker::default();
    while let Ok(Ok(packet)) = tokio::time::timeout(PREFIX_PATIENCE, socket.next()).await {
        if let Packet::Event(b"message:new", data) = packet
            && let Some(seq) = packet::seq(data)
        {
            tracker.receive(seq);
        }
    }
    tracker.faults(0)
}
