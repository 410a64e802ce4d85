//! What is true right now, as the clients know it: who is connected, what was acknowledged, how far everyone is.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::site::App;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They send, come and go.
    Busy,
    /// They only bring to its end what they have begun.
    Settling,
    /// They leave for good.
    Over,
}

/// A conversation, by its place in [`Board::conversations`] everywhere in this program.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    pub(crate) app: usize,
    pub(crate) device_id: String,
}

/// What all clients share.
pub(crate) struct Board {
    pub(crate) apps: Vec<App>,
    pub(crate) conversations: Vec<Conversation>,
    /// Where clients reach each node.
    pub(crate) fronts: Vec<SocketAddr>,
    /// Whether it is ReplyHQ: receipts are sent and looked at, and agents write notes.
    pub(crate) is_replyhq: bool,
    phase: watch::Sender<Phase>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: Vec<Client>,
    /// By history: the highest number that was acknowledged, and when it was sent for the first time.
    acknowledged: HashMap<usize, (u64, Instant)>,
    /// By conversation: up to where its device has read, and when it began to say so.
    read: HashMap<usize, (u64, Instant)>,
}

/// What is known of one client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Its app.
    pub(crate) app: usize,
    /// Its device; an agent has none.
    pub(crate) device_id: Option<String>,
    /// Its connection's id, and since when it has it.
    pub(crate) connection: Option<(String, Instant)>,
    /// Since when it has caught up in all of its conversations on this connection.
    pub(crate) joined_at: Option<Instant>,
    /// Sends that are not acknowledged yet.
    pub(crate) waiting: usize,
    /// By history: the last that it has of it.
    pub(crate) last: HashMap<usize, u64>,
    /// By conversation: the newest message that its inbox has shown on this connection.
    pub(crate) inbox: HashMap<usize, u64>,
    /// By conversation: up to where it was told on this connection that the device has read.
    pub(crate) read: HashMap<usize, u64>,
    /// By device: what it was told last on this connection.
    pub(crate) presence: HashMap<String, bool>,
}

impl Board {
    pub(crate) fn new(
        apps: Vec<App>,
        conversations: Vec<Conversation>,
        fronts: Vec<SocketAddr>,
        is_replyhq: bool,
    ) -> Self {
        let phase = watch::Sender::new(Phase::Settling);
        Self { apps, conversations, fronts, is_replyhq, phase, state: Mutex::default() }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// A new client's number.
    pub(crate) fn enter(&self, app: usize, device_id: Option<String>) -> usize {
        let mut state = self.state();
        state.clients.push(Client { app, device_id, ..Client::default() });
        state.clients.len() - 1
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.state().clients.len()
    }

    /// What happens in a conversation beside its messages has a history of its own, which is checked as that of a conversation
    /// is: under this number.
    pub(crate) fn beside(&self, conversation: usize) -> usize {
        conversation + self.conversations.len()
    }

    /// A history's name.
    fn name(&self, history: usize) -> String {
        match self.conversations.get(history) {
            Some(conversation) => conversation.id.clone(),
            None => format!("the activity of {}", self.conversations[history - self.conversations.len()].id),
        }
    }

    /// Changes what is known of a client.
    pub(crate) fn update(&self, client: usize, change: impl FnOnce(&mut Client)) {
        change(&mut self.state().clients[client]);
    }

    pub(crate) fn acknowledged(&self, conversation: usize, seq: u64, sent_at: Instant) {
        let mut state = self.state();
        let highest = state.acknowledged.entry(conversation).or_insert((seq, sent_at));
        if seq > highest.0 {
            *highest = (seq, sent_at);
        }
    }

    pub(crate) fn read(&self, conversation: usize, seq: u64, asked_at: Instant) {
        let mut state = self.state();
        let highest = state.read.entry(conversation).or_insert((seq, asked_at));
        if seq > highest.0 {
            *highest = (seq, asked_at);
        }
    }

    /// The connections that devices of this app have.
    pub(crate) fn connections(&self, app: usize) -> BTreeSet<String> {
        let state = self.state();
        let devices = state.clients.iter().filter(|client| client.app == app && client.device_id.is_some());
        devices.filter_map(|client| Some(client.connection.as_ref()?.0.clone())).collect()
    }

    /// How many connections each device of this app has.
    pub(crate) fn devices(&self, app: usize) -> HashMap<String, u64> {
        let mut devices = HashMap::new();
        for client in self.state().clients.iter().filter(|client| client.app == app) {
            if let Some(device_id) = &client.device_id {
                *devices.entry(device_id.clone()).or_insert(0) += u64::from(client.connection.is_some());
            }
        }
        devices
    }

    /// What is still missing until everybody has everything; the first of it, if there is any.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let state = self.state();
        for (number, client) in state.clients.iter().enumerate() {
            let whom = match &client.device_id {
                Some(device_id) => format!("client {number} ({device_id})"),
                None => format!("client {number} (an agent)"),
            };
            let Some((_, since)) = &client.connection else {
                return Some(format!("{whom} is not connected"));
            };
            let Some(joined_at) = &client.joined_at else {
                return Some(format!("{whom} has not caught up"));
            };
            if client.waiting > 0 {
                return Some(format!("{whom} waits for {} acks", client.waiting));
            }
            for (conversation, last) in &client.last {
                if let Some((seq, _)) = state.acknowledged.get(conversation)
                    && last < seq
                {
                    let name = self.name(*conversation);
                    return Some(format!("{whom} has {name} up to {last} of {seq}"));
                }
            }
            if client.device_id.is_some() {
                continue;
            }
            for (conversation, (seq, sent_at)) in &state.acknowledged {
                // An inbox shows nothing of what is beside the messages.
                let is_of_app =
                    self.conversations.get(*conversation).is_some_and(|shown| shown.app == client.app);
                let shown = client.inbox.get(conversation).copied().unwrap_or(0);
                if is_of_app && sent_at > since && shown < *seq {
                    let name = &self.conversations[*conversation].id;
                    return Some(format!("{whom} sees {name} up to {shown} of {seq} in the inbox"));
                }
            }
            for (conversation, (seq, asked_at)) in &state.read {
                let is_of_app = self.conversations[*conversation].app == client.app;
                let told = client.read.get(conversation).copied().unwrap_or(0);
                if is_of_app && asked_at > joined_at && told < *seq {
                    let name = &self.conversations[*conversation].id;
                    return Some(format!("{whom} knows {name} as read up to {told} of {seq}"));
                }
            }
        }
        None
    }

    /// What agents were told of devices of this app and is not so.
    pub(crate) fn wrongly_told(&self, app: usize) -> Option<String> {
        let devices = self.devices(app);
        let state = self.state();
        for (number, client) in state.clients.iter().enumerate().filter(|(_, client)| client.app == app) {
            for (device_id, told) in &client.presence {
                let is_online = devices.get(device_id).is_some_and(|count| *count > 0);
                if *told != is_online && devices.contains_key(device_id) {
                    return Some(format!("client {number} was told last that {device_id} is online: {told}"));
                }
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
