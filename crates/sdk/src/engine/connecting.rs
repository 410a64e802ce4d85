//! The live connection as the engine sees it: opening and closing, the login, and what the server says by itself.

use protocol::event::{
    AgentTyping, ConversationJoined, ConversationOpened, Named, ServerShutdown, StatusChange,
};
use protocol::{Code, Failure, Message, MessageStatus, Side};
use serde::de::DeserializeOwned;
use socketio::{CloseReason, Event, Outgoing};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::effect::Effect;
use super::report::Report;
use super::{Engine, Errand, Probe, Task};
use crate::connection::Input;
use crate::local::{Error, Marks};
use crate::outbox::Bar;
use crate::sync::Sync;
use crate::wire::link::{Link, Told};
use crate::{LogLevel, WaitReason, limits};

/// A link's task. Ends with this, unless it is let go.
pub(super) struct LinkHandle(Option<JoinHandle<()>>);

impl LinkHandle {
    /// Lets the task end by itself: it has been asked to, and says goodbye.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Engine {
    /// Tells the state machine, and does what it says once all before is committed.
    pub(super) fn step(&mut self, input: Input) {
        let before = self.connection;
        let (after, action) = before.after(input, Instant::now(), self.chance());
        self.connection = after;
        if before.phase != after.phase {
            self.views.change_state();
            self.log(LogLevel::Info, &format!("connection: {}", after.phase));
        }
        if let Some(action) = action {
            // What an ending connection still says does not count from here on.
            self.generation += 1;
            self.effects.push(Effect::Connect(action));
        }
    }

    pub(super) fn open_link(&mut self) {
        self.generation += 1;
        let (tell, generation) = (self.tell.clone(), self.generation);
        let link = Link {
            dialer: self.dialer.clone(),
            credentials: self.credentials(),
            config: self.socket_config.clone(),
            platform: self.platform.clone(),
        };
        // The server shows agents who a connection is only if it knows before.
        let first = self.identify_first();
        let platform = self.platform.clone();
        let live: Task = Box::pin(async move {
            if let Some(told) = first {
                // Some networks swallow a POST and let a socket through, and an app's backend may take its time: it goes on beside
                // the connection then.
                let _ = tokio::time::timeout(limits::IDENTIFY_FIRST, told).await;
            }
            let frozen = super::report::watch_the_clock(&platform, tell.clone(), generation);
            let tell = |told| {
                let tell = tell.clone();
                async move { drop(tell.send(Report::Link { generation, told }).await) }
            };
            tokio::select! {
                () = link.run(tell) => {}
                () = frozen => {}
            }
        });
        self.link = Some(LinkHandle(Some(tokio::spawn(live))));
    }

    /// There is reason to think that the connection is dead: it is asked for a sign of life. What was said before the reason
    /// came up proves nothing.
    pub(super) fn doubt(&mut self) {
        let Some(outgoing) = self.outgoing.clone() else { return };
        if self.probe != Probe::None {
            self.probe = Probe::Again;
            return;
        }
        self.probe = Probe::UnderWay;
        let (tell, generation) = (self.tell.clone(), self.generation);
        self.spawn(Box::pin(async move {
            let is_alive = outgoing.probe(limits::PROBE).await;
            // The client is closed where nobody listens.
            let _ = tell.send(Report::Probed { generation, is_alive }).await;
        }));
    }

    pub(super) fn probed(&mut self, is_alive: bool) {
        let is_wanted_again = std::mem::replace(&mut self.probe, Probe::None) == Probe::Again;
        if !is_alive {
            self.log(LogLevel::Info, "the connection is dead: nothing came back");
            self.trouble = WaitReason::TimedOut;
            self.step(Input::Silent);
        } else if is_wanted_again {
            self.doubt();
        }
    }

    /// Ends the connection. Politely where there is one; what the network has swallowed is not waited for.
    pub(super) fn close_link(&mut self) {
        self.generation += 1;
        let link = self.link.take();
        if let Some(outgoing) = self.outgoing.take() {
            outgoing.close(CloseReason::ClientClosed);
            if let Some(link) = link {
                link.let_go();
            }
            let outcome = self.connection_is_gone();
            if let Err(error) = outcome {
                self.store.roll_back();
                self.log(LogLevel::Error, &format!("the local file can't be used: {error}"));
            }
        }
    }

    /// What was under way on the connection is under way no more.
    fn connection_is_gone(&mut self) -> Result<(), Error> {
        self.probe = Probe::None;
        self.outbox.connection_lost();
        self.receipts.connection_lost();
        self.syncs.clear();
        for conversation in self.typing.connection_lost() {
            self.views.change(&conversation);
        }
        self.identifying = Errand::default();
        self.listing = Errand::default();
        self.describing = Errand::default();
        self.leaving = Errand::default();
        self.sought.clear();
        self.views.change_all();
        self.store.end_attempts()
    }

    pub(super) fn link_told(&mut self, told: Told) -> Result<(), Error> {
        match told {
            Told::Connected(outgoing) => self.connected(outgoing),
            Told::Refused { code, message } => self.refused(&code, &message),
            Told::Ended(trouble) => {
                self.log(LogLevel::Info, &format!("the connection ended: {trouble}"));
                // A server that leaves has said why before it hung up.
                if self.outgoing.is_none() || self.trouble != WaitReason::ServerLeft {
                    self.trouble = trouble.reason;
                }
                self.lost()
            }
            Told::Event(event) => self.event(&event),
        }
    }

    fn lost(&mut self) -> Result<(), Error> {
        self.link = None;
        let was_online = self.outgoing.take().is_some();
        self.step(Input::Lost);
        if was_online { self.connection_is_gone() } else { Ok(()) }
    }

    fn connected(&mut self, outgoing: Outgoing) -> Result<(), Error> {
        let now = Instant::now();
        self.step(Input::Connected);
        self.outgoing = Some(outgoing);
        self.trouble = WaitReason::Lost;
        self.outbox.kick();
        self.listing.want();
        self.describing.want();
        // What has just failed waits for its turn.
        if !self.store.identified()?.is_told && self.identifying.is_done() {
            self.identifying.want();
        }
        let conversations = self.store.conversations()?;
        for conversation in conversations.iter().take(protocol::limits::ROOMS_PER_DEVICE_CONNECTION) {
            self.syncs.insert(conversation.id.clone(), Sync::new(now));
            self.note_receipts(&conversation.id)?;
        }
        Ok(())
    }

    /// Whether the server has refused the key, or only cannot take the device now.
    fn refused(&mut self, code: &str, message: &str) -> Result<(), Error> {
        self.log(LogLevel::Warn, &format!("the server refused the connection: {code} {message}"));
        let for_good =
            [Code::InvalidCredentials, Code::Forbidden, Code::MissingParams, Code::ValidationError];
        if for_good.iter().any(|known| known.as_str() == code) {
            self.link = None;
            self.step(Input::Refused);
            Ok(())
        } else if code == Code::Blocked.as_str() {
            self.link = None;
            self.barred(Bar::Blocked)
        } else {
            self.trouble = WaitReason::ServerBusy;
            self.lost()
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        match event.name.as_str() {
            Message::NAME => match parsed::<Message>(event) {
                Some(message) => self.message_came(message),
                None => self.senseless(event),
            },
            StatusChange::NAME => match parsed::<StatusChange>(event) {
                Some(change) => self.status_came(&change),
                None => self.senseless(event),
            },
            // Opened here, or at another device of the same person: either says which.
            ConversationJoined::NAME | ConversationOpened::NAME => {
                match parsed::<ConversationOpened>(event) {
                    Some(known) => self.know(&known.conversation_id),
                    None => self.senseless(event),
                }
            }
            AgentTyping::NAME => {
                if let Some(typing) = parsed::<AgentTyping>(event)
                    && self.syncs.contains_key(&typing.conversation_id)
                    && self.typing.agent(&typing.conversation_id, typing.is_typing, Instant::now())
                {
                    self.views.change(&typing.conversation_id);
                }
                Ok(())
            }
            ServerShutdown::NAME => {
                if let Some(leaving) = parsed::<ServerShutdown>(event) {
                    let delay = std::time::Duration::from_millis(leaving.reconnect_delay_ms);
                    self.trouble = WaitReason::ServerLeft;
                    self.step(Input::Leaving(delay));
                }
                Ok(())
            }
            Failure::NAME => {
                match parsed::<Failure>(event).map(|failure| failure.code) {
                    // The server hangs up now. Back at once, this one would only push another one out.
                    Some(Code::TooManyConnections) => {
                        self.step(Input::Leaving(limits::RECONNECT.1));
                        Ok(())
                    }
                    Some(Code::IdentityRequired) => self.barred(Bar::Identity),
                    Some(Code::Blocked) => self.barred(Bar::Blocked),
                    _ => Ok(()),
                }
            }
            // `connected` holds nothing that is needed, other devices' typing is not shown, and later servers may say
            // more.
            _ => Ok(()),
        }
    }

    /// Something that can't be understood may have been a message: what is missed is asked for.
    fn senseless(&mut self, event: &Event) -> Result<(), Error> {
        self.log(LogLevel::Warn, &format!("{} is not of its form", event.name));
        let now = Instant::now();
        for sync in self.syncs.values_mut() {
            sync.ask_again(now);
        }
        Ok(())
    }

    fn status_came(&mut self, change: &StatusChange) -> Result<(), Error> {
        let seq = change.up_to_seq;
        let read = if change.status == MessageStatus::Read { seq } else { 0 };
        let marks = match change.by {
            Side::Agent => Marks { agent_delivered: seq, agent_read: read, ..Marks::default() },
            Side::User => {
                Marks { delivered: seq, delivered_told: seq, read, read_told: read, ..Marks::default() }
            }
        };
        let known = self.store.conversation(&change.conversation_id)?.map_or(0, |stored| stored.marks.read);
        if change.by == Side::User && read > known {
            // Not what was read here: on another connection of the device's: what is left of it, the server knows.
            self.store.forget_unread(&change.conversation_id)?;
            self.listing.want();
        }
        self.store.raise(&change.conversation_id, marks)?;
        self.views.change(&change.conversation_id);
        Ok(())
    }
}

fn parsed<T: DeserializeOwned>(event: &Event) -> Option<T> {
    event.args.parse(0).ok()
}
