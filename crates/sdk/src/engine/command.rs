//! What the app asks for.

use std::time::Duration;

use protocol::{ConversationId, LocalId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Drain, Engine, Errand};
use crate::connection::Input;
use crate::local::{Error, State, UNOPENED};
use crate::subscription::Shown;
use crate::{ChatEvent, ClientError, Identity, limits, random};

type Reply<T> = oneshot::Sender<Result<T, ClientError>>;

/// A call of the app's. `conversation: None` is the current one.
pub(crate) enum Command {
    Identify { identity: Identity, reply: Reply<()> },
    Logout { reply: Reply<()> },
    Send { conversation: Option<ConversationId>, body: String, reply: Reply<LocalId> },
    Retry { local_id: LocalId, reply: Reply<()> },
    Cancel { local_id: LocalId, reply: Reply<()> },
    LoadOlder { conversation: Option<ConversationId>, reply: Reply<bool> },
    MarkRead { conversation: Option<ConversationId>, reply: Reply<()> },
    Typing { conversation: Option<ConversationId>, is_typing: bool, reply: Reply<()> },
    SetNetwork { is_available: bool, reply: Reply<()> },
    NetworkChanged { reply: Reply<()> },
    SetForeground { is_foreground: bool, reply: Reply<()> },
    SetApiKey { api_key: String, reply: Reply<()> },
    Watch { conversation: Option<ConversationId>, show: watch::Sender<Shown> },
    Listen { tell: mpsc::Sender<ChatEvent> },
    Drain { timeout: Duration, reply: Reply<u64> },
    Close { done: oneshot::Sender<()> },
}

impl Engine {
    pub(super) fn command(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Send { conversation, body, reply } => self.send(conversation, &body, reply),
            Command::Retry { local_id, reply } => self.retry(&local_id, reply),
            Command::Cancel { local_id, reply } => self.cancel(&local_id, reply),
            Command::LoadOlder { conversation, reply } => self.load_older(conversation, reply),
            Command::MarkRead { conversation, reply } => {
                self.in_conversation(conversation, reply, |engine, conversation| {
                    engine.read_all(conversation)
                })
            }
            Command::Typing { conversation, is_typing, reply } => {
                self.in_conversation(conversation, reply, |engine, conversation| {
                    engine.person_types(conversation, is_typing);
                    Ok(())
                })
            }
            Command::Identify { identity, reply } => self.identify(identity, reply),
            Command::Logout { reply } => self.log_out(reply),
            Command::SetNetwork { is_available, reply } => {
                if is_available {
                    self.outbox.kick();
                    self.doubt();
                }
                self.step(Input::Network(is_available));
                self.reply(reply, ());
                Ok(())
            }
            Command::NetworkChanged { reply } => {
                self.outbox.kick();
                self.step(Input::NetworkChanged);
                self.reply(reply, ());
                Ok(())
            }
            Command::SetForeground { is_foreground, reply } => {
                let input = if is_foreground {
                    self.outbox.kick();
                    self.doubt();
                    Input::Foreground
                } else {
                    Input::Background { has_work: !self.is_done()? }
                };
                self.step(input);
                self.reply(reply, ());
                if is_foreground { self.identify_in_the_foreground() } else { Ok(()) }
            }
            Command::SetApiKey { api_key, reply } => self.set_api_key(api_key, reply),
            Command::Watch { conversation, show } => {
                self.views.add(conversation, show);
                Ok(())
            }
            Command::Listen { tell } => {
                self.listen(tell);
                Ok(())
            }
            Command::Drain { timeout, reply } => {
                let until = Instant::now() + timeout.min(limits::LONGEST_DRAIN);
                self.drains.push(Drain { until, reply });
                Ok(())
            }
            Command::Close { done } => {
                self.close(Some(done));
                Ok(())
            }
        }
    }

    /// Ends the client after this turn.
    pub(super) fn close(&mut self, done: Option<oneshot::Sender<()>>) {
        self.step(Input::Close);
        self.is_closing = done;
        self.is_closed = true;
    }

    /// The conversation that is meant; answers where there is no such one.
    fn meant<T>(
        &mut self,
        conversation: Option<ConversationId>,
        reply: Reply<T>,
    ) -> Result<Option<(ConversationId, Reply<T>)>, Error> {
        let Some(conversation) = conversation else { return Ok(Some((self.current_conversation()?, reply))) };
        if conversation.is_empty() || self.store.conversation(&conversation)?.is_none() {
            refuse(reply, ClientError::UnknownConversation);
            return Ok(None);
        }
        Ok(Some((conversation, reply)))
    }

    fn in_conversation(
        &mut self,
        conversation: Option<ConversationId>,
        reply: Reply<()>,
        work: impl FnOnce(&mut Self, &ConversationId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some((conversation, reply)) = self.meant(conversation, reply)? else { return Ok(()) };
        self.reply(reply, ());
        work(self, &conversation)
    }

    fn send(
        &mut self,
        conversation: Option<ConversationId>,
        body: &str,
        reply: Reply<LocalId>,
    ) -> Result<(), Error> {
        let Some((conversation, reply)) = self.meant(conversation, reply)? else { return Ok(()) };
        if self.store.counts()?.queued >= limits::QUEUED_MESSAGES {
            refuse(reply, ClientError::QueueFull);
            return Ok(());
        }
        let local_id = LocalId::from(format!("m_{}", random::name(&*self.platform)?));
        // From here on the answer is the transaction's.
        self.reply(reply, local_id.clone());
        self.store.enqueue(&conversation, &local_id, body, self.platform.now())?;
        self.person_types(&conversation, false);
        self.views.change(&conversation);
        Ok(())
    }

    fn retry(&mut self, local_id: &LocalId, reply: Reply<()>) -> Result<(), Error> {
        match self.store.waiting(local_id)? {
            None => refuse(reply, ClientError::UnknownMessage),
            Some(message) if message.state == State::Wedged => {
                if self.store.counts()?.queued >= limits::QUEUED_MESSAGES {
                    refuse(reply, ClientError::QueueFull);
                    return Ok(());
                }
                self.reply(reply, ());
                self.store.requeue(local_id)?;
                self.outbox.kick();
                self.views.change(&message.conversation_id);
            }
            Some(message) => refuse(reply, ClientError::NotPossible(named(message.state).into())),
        }
        Ok(())
    }

    fn cancel(&mut self, local_id: &LocalId, reply: Reply<()>) -> Result<(), Error> {
        match self.store.waiting(local_id)? {
            None => refuse(reply, ClientError::UnknownMessage),
            Some(message)
                if self.outbox.is_in_flight(local_id) && message.conversation_id.as_str() != UNOPENED =>
            {
                refuse(reply, ClientError::NotPossible(named(State::Sending).into()));
            }
            Some(message) if matches!(message.state, State::Queued | State::Wedged) => {
                self.reply(reply, ());
                self.store.cancel(local_id)?;
                self.views.change(&message.conversation_id);
            }
            Some(message) => refuse(reply, ClientError::NotPossible(named(message.state).into())),
        }
        Ok(())
    }

    fn load_older(&mut self, conversation: Option<ConversationId>, reply: Reply<bool>) -> Result<(), Error> {
        let Some((conversation, reply)) = self.meant(conversation, reply)? else { return Ok(()) };
        if self.has_older_stored(&conversation)? {
            self.views.widen(&conversation);
            let has_older = self.has_older(&conversation)?;
            self.reply(reply, has_older);
            return Ok(());
        }
        match self.store.newest_gap(&conversation)? {
            Some(gap) => self.fetch_older(conversation, gap, reply),
            None => {
                self.reply(reply, false);
                Ok(())
            }
        }
    }

    /// There is another file now: somebody else's, of another device, or the same person's where the one before was damaged.
    pub(super) fn begin_anew(&mut self) {
        self.epoch += 1;
        self.tasks.abort_all();
        self.close_link();
        self.outbox = crate::outbox::Outbox::default();
        self.receipts = crate::receipts::Receipts::default();
        self.typing = crate::typing::Typing::default();
        self.syncs.clear();
        self.identifying = Errand::default();
        self.listing = Errand::default();
        self.describing = Errand::default();
        self.leaving = Errand::default();
        self.sought.clear();
        self.views.begin_anew();
        self.step(Input::NewPerson);
    }

    fn set_api_key(&mut self, api_key: String, reply: Reply<()>) -> Result<(), Error> {
        if api_key.is_empty() || http::HeaderValue::from_str(&api_key).is_err() {
            refuse(
                reply,
                ClientError::InvalidConfig("api_key has a character that is none, or none at all".into()),
            );
            return Ok(());
        }
        let is_news = api_key != self.api_key;
        self.api_key = api_key;
        if is_news || self.connection.phase == crate::connection::Phase::Refused {
            self.step(Input::NewKey);
        }
        self.reply(reply, ());
        Ok(())
    }
}

fn refuse<T>(reply: Reply<T>, error: ClientError) {
    // Who does not wait does not need to know.
    let _ = reply.send(Err(error));
}

fn named(state: State) -> &'static str {
    match state {
        State::Stored => "the message is sent",
        State::Queued => "the message waits to be sent",
        State::Sending => "the message is on its way",
        State::Wedged => "the message was set aside",
        State::Cancelled => "the message was cancelled",
    }
}
