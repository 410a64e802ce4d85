//! A large team at work: many agents with the inbox open, people who write, people who come and go.

use crate::{
    bench::{Bench, Envelope, Work, device},
    ledger::{Faults, Ledger, Tracker},
    meter::Meter,
    metric::{Aim, Outcome},
    pacer,
    packet::{self, Packet},
    page::Page,
    socket::{Route, Socket},
};
use anyhow::{Context, Result, bail};
use std::{
    cell::{Cell, RefCell},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

/// Conversations that each agent has open.
const JOINED: usize = 3;
/// Devices that come and go: each is online for a moment, again and again.
const VISITORS: usize = 2_000;
/// A message's number says in which room it was sent.
const NUMBERS_PER_ROOM: u64 = 1_000_000;
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// One person's conversation, and the agents who have it open.
#[derive(Default)]
struct Room {
    ledger: RefCell<Ledger>,
    /// By their place among those of the room.
    agents: [RefCell<Tracker>; JOINED],
}

/// What the agents have heard.
#[derive(Default)]
struct Heard {
    inbox: Cell<u64>,
    presence: Cell<u64>,
    bytes: Cell<u64>,
}

impl Heard {
    fn reading(&self) -> [u64; 3] {
        [&self.inbox, &self.presence, &self.bytes].map(Cell::get)
    }
}

fn count(of: &Cell<u64>, more: u64) {
    of.set(of.get() + more);
}

/// The agents listen, people write, and people come and go.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let options = bench.options;
    let (meter, heard) = (Rc::new(Meter::new()?), Rc::new(Heard::default()));
    let app = &bench.apps[0];
    let rooms: Rc<Vec<Room>> = Rc::new((0..options.agents).map(|_| Room::default()).collect());
    let mut tasks = JoinSet::new();

    let (mut conversations, mut people) = (Vec::new(), Vec::new());
    for index in 0..options.agents {
        let person = bench.device(app, "person", index);
        let conversation = bench.conversation(index, &person).await?;
        let socket = bench.joined_device(bench.route(index), &person).await?;
        let envelope = Envelope::new(person.namespace(), &conversation, bench.running.start, options.body);
        let (sender, due) = unbounded_channel();
        people.push(sender);
        conversations.push(conversation);
        let (rooms, meter) = (Rc::clone(&rooms), Rc::clone(&meter));
        tasks.spawn_local(async move {
            if let Err(error) = write(socket, &envelope, index, &rooms[index], &meter, due).await {
                meter.fail(&error);
            }
        });
    }
    for index in 0..options.agents {
        let login = bench.agent(app);
        let mut socket = Socket::connect(bench.route(index), &login).await.context("an agent")?;
        for place in 0..JOINED {
            let conversation = &conversations[(index + place) % conversations.len()];
            socket.ask("conversation:join", &format!("{{\"conversation_id\":\"{conversation}\"}}")).await?;
        }
        let (rooms, meter, heard) = (Rc::clone(&rooms), Rc::clone(&meter), Rc::clone(&heard));
        tasks.spawn_local(async move {
            if let Err(error) = listen(socket, index, &rooms, &meter, &heard).await {
                meter.fail(&error);
            }
        });
    }
    let page = match options.page {
        true => Some(Page::open(options, bench.running.address, app).await?),
        false => None,
    };

    let pacing = Rc::clone(&meter);
    let mut due = pacer::start(meter.began(), options.team_messages);
    tasks.spawn_local(async move {
        while let Some(next) = due.recv().await {
            if pacing.stopped() {
                return;
            }
            // A person whose connection broke is counted as such.
            let _ = people[next.index as usize % people.len()].send(next.at);
        }
    });
    let (coming, start) = (Rc::clone(&meter), bench.running.start);
    let (address, visited) = (bench.running.address, app.clone());
    // Each visit is two changes: online, and offline again.
    let mut visits = pacer::start(meter.began(), options.team_presence / 2);
    tasks.spawn_local(async move {
        let mut under_way = JoinSet::new();
        while let Some(next) = visits.recv().await {
            if coming.stopped() {
                return;
            }
            let route = Route::nth(address, next.index as usize);
            let login = device(&visited, "visitor", start, next.index as usize % VISITORS);
            let meter = Rc::clone(&coming);
            under_way.spawn_local(async move {
                let visit = async { Socket::connect(route, &login).await?.close().await };
                if let Err(error) = visit.await {
                    meter.fail(&error);
                }
            });
            while under_way.try_join_next().is_some() {}
        }
    });

    tokio::time::sleep(Duration::from_secs(options.warmup)).await;
    let (before, told_before) = (bench.reading(&meter)?, heard.reading());
    meter.record();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (after, told) = (bench.reading(&meter)?, heard.reading());
    meter.stop();
    let work = after.since(&before);
    let faults = settle(&rooms, &meter).await;
    tasks.shutdown().await;

    let told: Vec<f64> =
        told.iter().zip(told_before).map(|(after, before)| (after - before) as f64).collect();
    let mut outcome =
        outcome(options.agents, options.team_messages, options.team_presence, &meter, &work, &told);
    outcome.faults = faults;
    outcome.complaint = meter.complaint();
    if let Some(page) = page {
        let group = &outcome.metrics[0].group.clone();
        let longest = page.longest_task().await?;
        outcome.aim(group, "longest task of a dashboard beside it", "ms", longest, Aim::AtMost(100.0));
    }
    Ok(outcome)
}

fn outcome(agents: usize, messages: u64, presence: u64, meter: &Meter, work: &Work, told: &[f64]) -> Outcome {
    let mut outcome = Outcome::default();
    let group = &format!("team of {agents}, {messages} messages/s, {presence} presence changes/s");
    for (name, quantile) in [("delivery p50", 0.50), ("delivery p95", 0.95)] {
        outcome.add(group, name, "ms", meter.delivery.quantile(quantile));
    }
    outcome.aim(group, "delivery p99", "ms", meter.delivery.quantile(0.99), Aim::AtMost(100.0));
    outcome.latency(group, ["ack p50", "ack p95", "ack p99"], &meter.ack);
    outcome.add(group, "messages", "/s", work.done as f64 / work.elapsed);
    let each = |count: f64| count / work.elapsed / agents as f64;
    outcome.add(group, "inbox events to each agent", "/s", each(told[0]));
    outcome.add(group, "presence events to each agent", "/s", each(told[1]));
    outcome.add(group, "bytes to each agent", "KiB/s", each(told[2]) / 1024.0);
    outcome.shares(group, work);
    outcome
}

/// Writes what is due, and takes note of the answers.
async fn write(
    mut socket: Socket,
    envelope: &Envelope,
    index: usize,
    room: &Room,
    meter: &Meter,
    mut due: UnboundedReceiver<u64>,
) -> Result<()> {
    enum Step {
        Send(u64),
        Read(Range<usize>),
    }
    loop {
        let step = tokio::select! {
            Some(at) = due.recv() => Step::Send(at),
            text = socket.wait() => Step::Read(text?),
        };
        match step {
            Step::Send(at) => {
                let number = room.ledger.borrow_mut().send(at);
                let marked = index as u64 * NUMBERS_PER_ROOM + number;
                socket.send(&envelope.packet_asking(number, marked)).await?;
            }
            Step::Read(text) => match socket.packet(text) {
                Packet::Ack(number, data) => {
                    let mut ledger = room.ledger.borrow_mut();
                    match packet::seq(data).filter(|_| packet::succeeded(data)) {
                        Some(seq) => {
                            ledger.ack(number, seq);
                            meter.finish(ledger.sent_at(number).unwrap_or_default());
                        }
                        None => {
                            ledger.refuse();
                            meter.complain(&String::from_utf8_lossy(data));
                        }
                    }
                }
                Packet::Closed => bail!("the server let go of somebody who writes"),
                _ => {}
            },
        }
    }
}

/// Reads what comes to an agent, for ever.
async fn listen(
    mut socket: Socket,
    index: usize,
    rooms: &[Room],
    meter: &Meter,
    heard: &Heard,
) -> Result<()> {
    loop {
        match socket.next().await? {
            Packet::Event(name, data) => {
                count(&heard.bytes, (name.len() + data.len()) as u64);
                match name {
                    b"message:new" => arrived(index, rooms, meter, data)?,
                    b"conversation:updated" => count(&heard.inbox, 1),
                    b"presence:change" => count(&heard.presence, 1),
                    _ => {}
                }
            }
            Packet::Closed => bail!("the server let go of an agent"),
            _ => {}
        }
    }
}

fn arrived(agent: usize, rooms: &[Room], meter: &Meter, data: &[u8]) -> Result<()> {
    let (Some(seq), Some(marked)) = (packet::seq(data), packet::body_number(data)) else {
        bail!("not a message of ours: {}", String::from_utf8_lossy(data));
    };
    let (room, number) = ((marked / NUMBERS_PER_ROOM) as usize, marked % NUMBERS_PER_ROOM);
    let place = (room + rooms.len() - agent) % rooms.len();
    let room =
        rooms.get(room).filter(|_| place < JOINED).context("a message of a room that was not joined")?;
    if room.agents[place].borrow_mut().receive(seq) {
        let mut ledger = room.ledger.borrow_mut();
        ledger.place(number, seq);
        meter.deliver(ledger.sent_at(number).unwrap_or_default());
    }
    Ok(())
}

async fn settle(rooms: &[Room], meter: &Meter) -> Faults {
    let is_settled = |room: &Room| {
        let ledger = room.ledger.borrow();
        let highest = ledger.highest_acked();
        ledger.open() == 0 && room.agents.iter().all(|agent| agent.borrow().complete(highest))
    };
    let until = Instant::now() + DRAIN_LIMIT;
    while Instant::now() < until && !rooms.iter().all(is_settled) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut faults = Faults { broken: meter.broken(), ..Faults::default() };
    for room in rooms {
        let ledger = room.ledger.borrow();
        faults += ledger.faults();
        for agent in &room.agents {
            faults += agent.borrow().faults(ledger.highest_acked());
        }
    }
    faults
}
