//! One client, a device's connection or an agent: it connects to any node, catches up, sends, tries again, and notes all
//! that it sees.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::board::{Board, Phase};
use crate::record::{Acknowledged, Record, happened};
use crate::rest;
use crate::socket::{Login, Packet, Socket};

/// Without an answer for so long, a send is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);

/// After an answer that says to try again.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Codes that say to try again.
const PASSING: [&str; 4] = ["SERVER_ERROR", "SHUTTING_DOWN", "AUTH_ERROR", "RATE_LIMITED"];

/// Sends that one client leaves unanswered before it stops making more.
const WINDOW: usize = 20;

pub(crate) struct Client {
    pub(crate) board: Arc<Board>,
    /// Its number on the board.
    pub(crate) number: usize,
    pub(crate) app: usize,
    pub(crate) login: Login,
    pub(crate) conversations: Vec<usize>,
    /// The mean time from one send to the next.
    pub(crate) every: Duration,
    /// Whether it comes and goes of its own will, too.
    pub(crate) is_restless: bool,
    pub(crate) random: fastrand::Rng,
}

/// A send that is not acknowledged yet.
struct Sending {
    /// A conversation, or what is beside one: then it is a note.
    history: usize,
    local_id: String,
    body: String,
    made_at: std::time::Instant,
    again_at: Instant,
}

/// What belongs to one connection.
#[derive(Default)]
struct Connection {
    joined: HashSet<usize>,
    joining: HashMap<u64, usize>,
    sends: HashMap<u64, String>,
    reads: HashMap<u64, (usize, u64, std::time::Instant)>,
    /// Notes under way, which go over REST.
    notes: JoinSet<(String, Result<Value>)>,
}

/// What belongs to the client's whole life.
struct Life {
    phase: watch::Receiver<Phase>,
    sending: Vec<Sending>,
    sent: u64,
    last: HashMap<usize, (u64, String)>,
    come_back_after: Option<Duration>,
    record: Record,
}

enum End {
    /// It wants to be away for a while.
    Left,
    Over,
}

impl Client {
    /// Lives until the board says that it is over.
    pub(crate) async fn run(mut self) -> Record {
        let phase = self.board.phase();
        let mut life = Life {
            phase,
            sending: Vec::new(),
            sent: 0,
            last: HashMap::new(),
            come_back_after: None,
            record: Record::default(),
        };
        while *life.phase.borrow() != Phase::Over {
            let node = self.random.usize(..self.board.fronts.len());
            let pause = match self.connect(node, &mut life).await {
                Ok(End::Over) => break,
                Ok(End::Left) => Duration::from_millis(self.random.u64(100..3_000)),
                // Full jitter; or what the server has asked for.
                Err(_) => life
                    .come_back_after
                    .take()
                    .unwrap_or_else(|| Duration::from_millis(self.random.u64(20..800))),
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = life.phase.wait_for(|phase| *phase == Phase::Over) => {}
            }
        }
        life.record.unsettled = life.sending.len() as u64;
        life.record
    }

    async fn connect(&mut self, node: usize, life: &mut Life) -> Result<End> {
        let app = &self.board.apps[self.app];
        let mut socket = Socket::connect(self.board.fronts[node], &self.login, app).await?;
        let now = std::time::Instant::now();
        life.record.connects.push(now);
        let connection = (socket.connection_id.clone(), now);
        self.board.update(self.number, |client| {
            client.connection = Some(connection);
            client.inbox.clear();
            client.read.clear();
            client.presence.clear();
        });
        let end = self.live(&mut socket, life).await;
        self.board.update(self.number, |client| {
            client.connection = None;
            client.joined_at = None;
        });
        if end.is_ok() {
            socket.close().await;
        }
        end
    }

    async fn live(&mut self, socket: &mut Socket, life: &mut Life) -> Result<End> {
        let mut connection = Connection::default();
        for conversation in self.conversations.clone() {
            self.join(socket, &mut connection, life, conversation).await?;
        }
        for sending in &mut life.sending {
            sending.again_at = Instant::now();
        }
        let mut next_send = Instant::now() + self.pause();
        let mut leave_at = Instant::now() + Duration::from_millis(self.random.u64(3_000..30_000));
        loop {
            let phase = *life.phase.borrow_and_update();
            if phase == Phase::Over {
                return Ok(End::Over);
            }
            let is_busy = phase == Phase::Busy;
            let again_at = life.sending.iter().map(|sending| sending.again_at).min();
            tokio::select! {
                Some(noted) = connection.notes.join_next() => {
                    let (local_id, answer) = noted?;
                    self.noted(&local_id, answer, life);
                }
                packet = socket.next() => self.take(packet?, socket, &mut connection, life).await?,
                changed = life.phase.changed() => changed?,
                () = sleep_until(next_send), if is_busy => {
                    next_send = Instant::now() + self.pause();
                    self.make(life);
                }
                () = sleep_until(leave_at), if is_busy && self.is_restless && life.sending.is_empty() => return Ok(End::Left),
                () = sleep_until(again_at.unwrap_or(leave_at)), if again_at.is_some() => {
                    self.ask(socket, &mut connection, life).await?;
                }
            }
            if leave_at < Instant::now() {
                leave_at = Instant::now() + Duration::from_millis(self.random.u64(3_000..30_000));
            }
        }
    }

    fn pause(&mut self) -> Duration {
        self.every.mul_f64(2.0 * self.random.f64())
    }

    /// Names what it has, and takes pages until it has all.
    async fn join(
        &mut self,
        socket: &mut Socket,
        connection: &mut Connection,
        life: &mut Life,
        conversation: usize,
    ) -> Result<()> {
        self.ask_to_join(socket, connection, life, conversation).await?;
        let until = Instant::now() + ANSWER_LIMIT;
        while !connection.joined.contains(&conversation) {
            let packet =
                tokio::time::timeout_at(until, socket.next()).await.context("no answer to a join")??;
            self.take(packet, socket, connection, life).await?;
        }
        Ok(())
    }

    async fn ask_to_join(
        &self,
        socket: &mut Socket,
        connection: &mut Connection,
        life: &Life,
        conversation: usize,
    ) -> Result<()> {
        let after = life.last.get(&conversation).map_or("", |(_, id)| id.as_str());
        let id = &self.board.conversations[conversation].id;
        let mut payload = json!({ "conversation_id": id, "after": after });
        if self.writes_notes() {
            let beside = self.board.beside(conversation);
            payload["after_activity"] = life.last.get(&beside).map_or(0, |(n, _)| *n).into();
        }
        let ask = socket.ask("conversation:join", &payload).await?;
        connection.joining.insert(ask, conversation);
        Ok(())
    }

    /// One more message, to be sent at once.
    fn make(&mut self, life: &mut Life) {
        if life.sending.len() >= WINDOW {
            return;
        }
        let conversation = self.conversations[self.random.usize(..self.conversations.len())];
        let is_note = self.writes_notes() && self.random.u8(..4) == 0;
        let history = if is_note { self.board.beside(conversation) } else { conversation };
        life.sent += 1;
        let local_id = format!("{}-{}", self.number, life.sent);
        let body = format!("{local_id} {:x}", self.random.u64(..));
        let again_at = Instant::now();
        life.sending.push(Sending { history, local_id, body, made_at: again_at.into_std(), again_at });
        self.note_waiting(life);
    }

    fn note_waiting(&self, life: &Life) {
        let waiting = life.sending.len();
        self.board.update(self.number, |client| client.waiting = waiting);
    }

    /// Asks what is due.
    async fn ask(&self, socket: &mut Socket, connection: &mut Connection, life: &mut Life) -> Result<()> {
        let now = Instant::now();
        for sending in life.sending.iter_mut().filter(|sending| sending.again_at <= now) {
            sending.again_at = now + ANSWER_LIMIT;
            let Some(conversation) = self.board.conversations.get(sending.history) else {
                self.ask_to_note(connection, sending);
                continue;
            };
            let id = &conversation.id;
            let payload =
                json!({ "conversation_id": id, "local_id": sending.local_id, "body": sending.body });
            let ask = socket.ask("message:send", &payload).await?;
            connection.sends.insert(ask, sending.local_id.clone());
        }
        Ok(())
    }

    /// Only agents do, and the baseline's have nowhere to.
    fn writes_notes(&self) -> bool {
        self.board.is_replyhq && matches!(self.login, Login::Agent)
    }

    /// Writes a note, at whatever node; now and then it also resolves the conversation, which the next message opens again.
    fn ask_to_note(&self, connection: &mut Connection, sending: &Sending) {
        let board = Arc::clone(&self.board);
        let (app, local_id) = (self.app, sending.local_id.clone());
        let note = json!({ "local_id": local_id, "body": sending.body });
        let conversation = board.conversations[sending.history - board.conversations.len()].id.clone();
        let front = board.fronts[fastrand::usize(..board.fronts.len())];
        connection.notes.spawn(async move {
            let app = &board.apps[app];
            let answer = rest::add_note(front, app, &conversation, &note).await;
            if fastrand::u8(..4) == 0 {
                // Whether that came to anything is seen by what is stored.
                let _ = rest::resolve(front, app, &conversation).await;
            }
            (local_id, answer)
        });
    }

    /// What came of a note. Where there was no answer, or one that says to try again, it is written again.
    fn noted(&self, local_id: &str, answer: Result<Value>, life: &mut Life) {
        match answer {
            Ok(answer) => {
                let (n, id) = happened(&answer["activity"]);
                self.settled(local_id, n, id, life);
            }
            Err(error) => {
                let text = format!("{error:#}");
                let is_answer = text.contains("\"code\"");
                if is_answer && !PASSING.iter().any(|code| text.contains(code)) {
                    life.record.refused.push(format!("a note: {text}"));
                }
                self.again(local_id, life);
            }
        }
    }

    async fn take(
        &mut self,
        packet: Packet,
        socket: &mut Socket,
        connection: &mut Connection,
        life: &mut Life,
    ) -> Result<()> {
        match packet {
            Packet::Event(name, data) => self.event(&name, &data, socket, connection, life).await,
            Packet::Ack(ask, answer) => self.answer(ask, &answer, socket, connection, life).await,
        }
    }

    async fn event(
        &mut self,
        name: &str,
        data: &Value,
        socket: &mut Socket,
        connection: &mut Connection,
        life: &mut Life,
    ) -> Result<()> {
        match name {
            "message:new" => {
                let Some(conversation) = self.conversation(&data["conversation_id"]) else { return Ok(()) };
                // Before the join is answered: the answer has it.
                if connection.joined.contains(&conversation) {
                    self.receive(conversation, data, true, life);
                    if self.board.is_replyhq
                        && matches!(self.login, Login::Device(_))
                        && self.random.u8(..8) == 0
                    {
                        self.read(conversation, data, socket, connection).await?;
                    }
                }
            }
            "activity:new" if matches!(self.login, Login::Device(_)) => {
                life.record.refused.push(format!("a device was told of {data}"));
            }
            "activity:new" => {
                let Some(conversation) = self.conversation(&data["conversation_id"]) else { return Ok(()) };
                if connection.joined.contains(&conversation) {
                    self.receive_activity(conversation, data, true, life);
                }
            }
            "conversation:updated" => {
                let Some(conversation) = self.index_of(&data["conversation"]["id"]) else { return Ok(()) };
                let seq = data["last_message"]["seq"].as_u64().unwrap_or(0);
                self.board.update(self.number, |client| {
                    let shown = client.inbox.entry(conversation).or_default();
                    *shown = seq.max(*shown);
                });
            }
            "message:status" if data["status"] == "read" && data["by"] == "user" => {
                let Some(conversation) = self.index_of(&data["conversation_id"]) else { return Ok(()) };
                let seq = data["up_to_seq"].as_u64().unwrap_or(0);
                self.board.update(self.number, |client| {
                    let told = client.read.entry(conversation).or_default();
                    *told = seq.max(*told);
                });
            }
            "presence:change" => {
                let device_id = data["device_id"].as_str().unwrap_or_default().to_owned();
                let is_online = data["is_online"] == true;
                self.board.update(self.number, |client| {
                    if client.presence.insert(device_id, is_online) == Some(is_online) {
                        life.record.presence_repeated += 1;
                    }
                });
            }
            "server:shutdown" => {
                life.come_back_after = data["reconnect_delay_ms"].as_u64().map(Duration::from_millis);
            }
            _ => {}
        }
        Ok(())
    }

    /// The device's user has read up to this message.
    async fn read(
        &self,
        conversation: usize,
        message: &Value,
        socket: &mut Socket,
        connection: &mut Connection,
    ) -> Result<()> {
        let payload = json!({
            "conversation_id": self.board.conversations[conversation].id,
            "up_to_message_id": message["id"],
        });
        let asked_at = std::time::Instant::now();
        let ask = socket.ask("message:read", &payload).await?;
        // Only what agents have said can be read: the status says up to where.
        if message["sender"] == "agent" {
            let seq = message["seq"].as_u64().unwrap_or(0);
            connection.reads.insert(ask, (conversation, seq, asked_at));
        }
        Ok(())
    }

    async fn answer(
        &mut self,
        ask: u64,
        answer: &Value,
        socket: &mut Socket,
        connection: &mut Connection,
        life: &mut Life,
    ) -> Result<()> {
        let is_done = answer["success"] == true;
        if let Some(conversation) = connection.joining.remove(&ask) {
            if !is_done {
                self.note_refusal("conversation:join", answer, life);
                anyhow::bail!("a join was refused: {answer}");
            }
            for message in answer["messages"].as_array().into_iter().flatten() {
                self.receive(conversation, message, false, life);
            }
            for activity in answer["activity"].as_array().into_iter().flatten() {
                self.receive_activity(conversation, activity, false, life);
            }
            if answer["has_more"] == true || answer["has_more_activity"] == true {
                return self.ask_to_join(socket, connection, life, conversation).await;
            }
            connection.joined.insert(conversation);
            let last = |history| life.last.get(&history).map_or(0, |(number, _)| *number);
            let beside = self.board.beside(conversation);
            let (last, last_beside) = (last(conversation), last(beside));
            let writes_notes = self.writes_notes();
            let joined_at =
                (connection.joined.len() == self.conversations.len()).then(std::time::Instant::now);
            self.board.update(self.number, |client| {
                client.last.insert(conversation, last);
                if writes_notes {
                    client.last.insert(beside, last_beside);
                }
                client.joined_at = joined_at;
            });
        } else if let Some((conversation, seq, asked_at)) = connection.reads.remove(&ask) {
            if is_done {
                self.board.read(conversation, seq, asked_at);
            } else {
                self.note_refusal("message:read", answer, life);
            }
        } else if let Some(local_id) = connection.sends.remove(&ask) {
            self.sent(&local_id, is_done, answer, life);
        }
        Ok(())
    }

    fn sent(&self, local_id: &str, is_done: bool, answer: &Value, life: &mut Life) {
        if !is_done {
            if self.again(local_id, life) {
                self.note_refusal("message:send", answer, life);
            }
            return;
        }
        let message = &answer["message"];
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        self.settled(local_id, message["seq"].as_u64().unwrap_or(0), id, life);
    }

    /// It is asked again soon. False if it has been answered already.
    fn again(&self, local_id: &str, life: &mut Life) -> bool {
        let sending = life.sending.iter_mut().find(|sending| sending.local_id == local_id);
        let Some(sending) = sending else { return false };
        sending.again_at = Instant::now() + RETRY_AFTER;
        life.record.retried += 1;
        true
    }

    /// It is acknowledged, with this number and id.
    fn settled(&self, local_id: &str, seq: u64, id: String, life: &mut Life) {
        let place = life.sending.iter().position(|sending| sending.local_id == local_id);
        // One that was asked twice may be answered twice; the first answer counts.
        let Some(place) = place else { return };
        let Sending { history, local_id, body, made_at, .. } = life.sending.swap_remove(place);
        self.board.acknowledged(history, seq, made_at);
        let at = std::time::Instant::now();
        life.record.acknowledged.push(Acknowledged { conversation: history, local_id, body, id, seq, at });
        self.note_waiting(life);
    }

    fn note_refusal(&self, what: &str, answer: &Value, life: &mut Life) {
        if !PASSING.contains(&answer["error"].as_str().unwrap_or_default()) {
            life.record.refused.push(format!("{what}: {answer}"));
        }
    }

    fn receive(&self, conversation: usize, message: &Value, is_live: bool, life: &mut Life) {
        let live_at = is_live.then(std::time::Instant::now);
        let seq = message["seq"].as_u64().unwrap_or(0);
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        life.record.receive(conversation, seq, id.clone(), live_at);
        let last = life.last.entry(conversation).or_default();
        if seq > last.0 {
            *last = (seq, id);
            self.board.update(self.number, |client| {
                client.last.insert(conversation, seq);
            });
        }
    }

    fn receive_activity(&self, conversation: usize, activity: &Value, is_live: bool, life: &mut Life) {
        let live_at = is_live.then(std::time::Instant::now);
        let beside = self.board.beside(conversation);
        let (n, id) = happened(activity);
        life.record.receive(beside, n, id.clone(), live_at);
        let last = life.last.entry(beside).or_default();
        if n > last.0 {
            *last = (n, id);
            self.board.update(self.number, |client| {
                client.last.insert(beside, n);
            });
        }
    }

    /// The conversation, if this client has joined it or means to.
    fn conversation(&self, id: &Value) -> Option<usize> {
        self.index_of(id).filter(|index| self.conversations.contains(index))
    }

    fn index_of(&self, id: &Value) -> Option<usize> {
        self.board.conversations.iter().position(|conversation| *id == conversation.id)
    }
}
