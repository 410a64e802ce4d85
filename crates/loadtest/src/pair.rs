//! Rooms of two: one agent who writes, one device that reads.

use crate::{
    bench::{Bench, Envelope},
    ledger::{Faults, Ledger, Tracker},
    meter::Meter,
    packet::{self, Packet},
    socket::Socket,
};
use anyhow::{Result, bail};
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Longer than a message may take that was stored just before its node lost Redis.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What is known of a pair's conversation.
#[derive(Debug, Default)]
pub(crate) struct Room {
    ledger: RefCell<Ledger>,
    device: RefCell<Tracker>,
    agent: RefCell<Tracker>,
}

/// A connected pair.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Their conversation.
    pub(crate) room: Rc<Room>,
    /// The one who reads.
    pub(crate) device: Socket,
    /// The one who writes.
    pub(crate) agent: Writer,
}

/// The agent's side.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The connection.
    pub(crate) socket: Socket,
    room: Rc<Room>,
    meter: Rc<Meter>,
    envelope: Envelope,
}

/// Connects all pairs, each to a conversation of its own.
pub(crate) async fn connect(bench: &Bench<'_>, kind: &str, meter: &Rc<Meter>) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for index in 0..bench.options.pairs {
        let app = &bench.apps[index / bench.options.pairs_per_app.max(1)];
        let (device, agent) = (bench.device(app, kind, index), bench.agent(app));
        let conversation = bench.conversation(index, &device).await?;
        let device = bench.joined_device(bench.far_route(index), &device).await?;
        let socket = bench.joined_agent(index, &agent, &conversation).await?;
        let room = Rc::new(Room::default());
        let envelope =
            Envelope::new(agent.namespace(), &conversation, bench.running.start, bench.options.body);
        let agent = Writer { socket, room: Rc::clone(&room), meter: Rc::clone(meter), envelope };
        pairs.push(Pair { room, device, agent });
    }
    Ok(pairs)
}

impl Writer {
    /// Sends the next message, which was due at `due`.
    pub(crate) async fn send(&mut self, due: u64) -> Result<()> {
        let number = self.room.ledger.borrow_mut().send(due);
        self.socket.send(&self.envelope.packet(number)).await
    }

    /// Takes note of a packet. True if it answered a send.
    pub(crate) fn note(&self, packet: &Packet<'_>) -> Result<bool> {
        match *packet {
            Packet::Ack(number, data) => {
                let mut ledger = self.room.ledger.borrow_mut();
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
                return Ok(true);
            }
            Packet::Event(b"message:new", data) => {
                if let Some(seq) = packet::seq(data) {
                    self.room.agent.borrow_mut().receive(seq);
                }
            }
            Packet::Closed => bail!("the server let go of an agent"),
            _ => {}
        }
        Ok(false)
    }
}

impl Room {
    /// Reads what comes to the device, for ever.
    pub(crate) async fn read(&self, mut socket: Socket, meter: &Meter) -> Result<()> {
        loop {
            match socket.next().await? {
                Packet::Event(b"message:new", data) => {
                    let (Some(seq), Some(number)) = (packet::seq(data), packet::body_number(data)) else {
                        bail!("not a message of ours: {}", String::from_utf8_lossy(data));
                    };
                    if self.device.borrow_mut().receive(seq) {
                        let mut ledger = self.ledger.borrow_mut();
                        ledger.place(number, seq);
                        meter.deliver(ledger.sent_at(number).unwrap_or_default());
                    }
                }
                Packet::Closed => bail!("the server let go of a device"),
                _ => {}
            }
        }
    }

    fn settled(&self) -> bool {
        let ledger = self.ledger.borrow();
        let highest = ledger.highest_acked();
        ledger.open() == 0 && self.device.borrow().complete(highest) && self.agent.borrow().complete(highest)
    }

    fn faults(&self) -> Faults {
        let ledger = self.ledger.borrow();
        let mut faults = ledger.faults();
        faults += self.device.borrow().faults(ledger.highest_acked());
        faults += self.agent.borrow().faults(ledger.highest_acked());
        faults
    }
}

/// Waits until everything that was sent is answered and delivered, or long enough, and counts what went wrong.
pub(crate) async fn settle(rooms: &[Rc<Room>], meter: &Meter) -> Faults {
    let until = Instant::now() + DRAIN_LIMIT;
    while Instant::now() < until && !rooms.iter().all(|room| room.settled()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut faults = Faults { broken: meter.broken(), ..Faults::default() };
    for room in rooms {
        faults += room.faults();
    }
    faults
}
