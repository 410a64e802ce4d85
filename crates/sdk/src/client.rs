//! The handle that an app holds. Every call is a message to the client's own task, which answers it.

use std::sync::Arc;
use std::time::Duration;

use protocol::rest::User;
use protocol::{ConversationId, LocalId, input};
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{Command, Engine, Task};
use crate::subscription::{EventSubscription, Shown, StateSubscription, TimelineSubscription};
use crate::{ClientError, ClientState, Config, Identity, Platform, limits};

/// Support chat in an app: what is written is on the device before [`send`](Self::send) returns, and reaches the server
/// once, in order, whatever happens.
///
/// A conversation is named by its id; `None` names the person's current one: the one with the newest activity, or, as
/// long as there is none, the one that the server opens for the first message.
///
/// Cloning gives another handle to the same client. The client goes on until [`close`](Self::close), or until the last
/// handle is dropped.
#[derive(Debug, Clone)]
pub struct ChatClient {
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<Arc<ClientState>>,
}

impl ChatClient {
    /// Opens the client on its folder, without needing a network, and begins to connect. Its work runs on the tokio
    /// runtime that this is called on, with short writes to the disk among it.
    ///
    /// # Errors
    /// [`ClientError::InvalidConfig`], [`ClientError::AlreadyOpen`] where another client has the folder for the same app,
    /// [`ClientError::Storage`].
    pub async fn open(config: Config, platform: Arc<dyn Platform>) -> Result<Self, ClientError> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (engine, state) = Engine::open(config, platform)?;
        let running: Task = Box::pin(engine.run(inbox));
        tokio::spawn(running);
        Ok(Self { commands, state })
    }

    /// How many messages the person who was there last has not read, by the server's count: a badge, for a program that wakes up
    /// for it. Opens the folder for that and closes it again.
    ///
    /// # Errors
    /// As [`open`](Self::open), which says `ALREADY_OPEN` where a client is open, whose state has the number; and
    /// [`ClientError::Offline`], [`ClientError::Server`].
    pub async fn fetch_unread(config: Config, platform: Arc<dyn Platform>) -> Result<u64, ClientError> {
        let (engine, _) = Engine::open(config, platform)?;
        engine.fetch_unread().await
    }

    /// Says who uses the app: a [`User`], by the app's word, or somebody by tokens of the app's backend, see [`Identity`]. What was
    /// written without a name becomes theirs: all of it, or, where they have a file here already, what waits to be sent. What
    /// waits for the person before waits until they are back. The server is told when it can be.
    ///
    /// By tokens, the person's devices share what they have written. A token is fetched when the server has to be told, now or
    /// later, and not while the app is in the background. Where only a token names the person, one is fetched now, and this
    /// returns when it is there; until then nothing changes.
    ///
    /// # Errors
    /// [`ClientError::InvalidUser`], [`ClientError::Token`], [`ClientError::NotPossible`] where somebody else was named before the
    /// token came, [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn identify(&self, identity: impl Into<Identity>) -> Result<(), ClientError> {
        let identity = identity.into();
        let checked = match &identity {
            Identity::Claimed(user) => input::user(user),
            Identity::Proven { user_id: Some(id), .. } => {
                input::user(&User { id: id.clone(), name: None, email: None, attributes: None })
            }
            Identity::Proven { user_id: None, .. } => Ok(()),
        };
        checked.map_err(|failure| ClientError::InvalidUser(failure.message))?;
        self.ask(|reply| Command::Identify { identity, reply }).await
    }

    /// Removes all that is stored here of the person, what waits to be sent included, and goes on as a new device
    /// without a name. The server is told that the person is gone from the device that it was, now or when it can be. To send
    /// first what waits, call [`drain`](Self::drain) before.
    ///
    /// # Errors
    /// [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn logout(&self) -> Result<(), ClientError> {
        self.ask(|reply| Command::Logout { reply }).await
    }

    /// Queues a message; it is on the disk when this returns. Returns its name, which never changes.
    ///
    /// # Errors
    /// [`ClientError::EmptyBody`], [`ClientError::BodyTooLong`], [`ClientError::InvalidBody`],
    /// [`ClientError::QueueFull`], [`ClientError::UnknownConversation`], [`ClientError::Storage`],
    /// [`ClientError::Closed`].
    pub async fn send(
        &self,
        conversation: Option<ConversationId>,
        body: &str,
    ) -> Result<LocalId, ClientError> {
        let body = checked(body)?;
        self.ask(|reply| Command::Send { conversation, body, reply }).await
    }

    /// Queues a message again that was set aside, at its old place.
    ///
    /// # Errors
    /// [`ClientError::UnknownMessage`], [`ClientError::NotPossible`] for one that is not wedged,
    /// [`ClientError::QueueFull`], [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn retry(&self, local_id: &LocalId) -> Result<(), ClientError> {
        let local_id = local_id.clone();
        self.ask(|reply| Command::Retry { local_id, reply }).await
    }

    /// Takes a message back that waits or was set aside. One that was on its way before may have reached the server
    /// although no answer came; then it shows up again as sent.
    ///
    /// # Errors
    /// [`ClientError::UnknownMessage`], [`ClientError::NotPossible`] for one that is on its way or sent,
    /// [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn cancel(&self, local_id: &LocalId) -> Result<(), ClientError> {
        let local_id = local_id.clone();
        self.ask(|reply| Command::Cancel { local_id, reply }).await
    }

    /// Makes the conversation's timeline show up to 50 older messages more, which are fetched where they are not stored.
    /// Returns whether there are still older ones.
    ///
    /// # Errors
    /// [`ClientError::UnknownConversation`], [`ClientError::Offline`] where they would have to be fetched,
    /// [`ClientError::Server`], [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn load_older(&self, conversation: Option<ConversationId>) -> Result<bool, ClientError> {
        self.ask(|reply| Command::LoadOlder { conversation, reply }).await
    }

    /// The person has read all that is there. The agents are told when they can be.
    ///
    /// # Errors
    /// [`ClientError::UnknownConversation`], [`ClientError::Storage`], [`ClientError::Closed`].
    pub async fn mark_read(&self, conversation: Option<ConversationId>) -> Result<(), ClientError> {
        self.ask(|reply| Command::MarkRead { conversation, reply }).await
    }

    /// Call it with `true` at each key that the person presses, and with `false` when they leave the field. The agents
    /// are told no more often than needed, and never later.
    ///
    /// # Errors
    /// [`ClientError::UnknownConversation`], [`ClientError::Closed`].
    pub async fn typing(
        &self,
        conversation: Option<ConversationId>,
        is_typing: bool,
    ) -> Result<(), ClientError> {
        self.ask(|reply| Command::Typing { conversation, is_typing, reply }).await
    }

    /// Says what the system knows of the network. Without one the connection is closed at once and nothing is tried;
    /// when it is back, a connection is tried at once. Said again that it is there, a connection is asked for a sign of life,
    /// and given up after 4 s without one: what the system calls available may be another network than before.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_network(&self, is_available: bool) -> Result<(), ClientError> {
        self.ask(|reply| Command::SetNetwork { is_available, reply }).await
    }

    /// Says that the device is on another network than before, as when it leaves Wi-Fi: what is open or begun on the old one is
    /// given up, and a connection tried at once.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn network_changed(&self) -> Result<(), ClientError> {
        self.ask(|reply| Command::NetworkChanged { reply }).await
    }

    /// Says whether the app is in front. In the background the queue is emptied for up to 10 s, then the connection is
    /// closed.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_foreground(&self, is_foreground: bool) -> Result<(), ClientError> {
        self.ask(|reply| Command::SetForeground { is_foreground, reply }).await
    }

    /// Goes on with another key, after [`AuthFailed`](crate::ConnectionState::AuthFailed) or before.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_api_key(&self, api_key: String) -> Result<(), ClientError> {
        self.ask(|reply| Command::SetApiKey { api_key, reply }).await
    }

    /// The client's state, now and whenever it changes.
    pub fn subscribe_state(&self) -> StateSubscription {
        StateSubscription::new(self.state.clone())
    }

    /// A conversation's timeline, now and whenever it changes. `None` follows the current conversation.
    pub fn subscribe_timeline(&self, conversation: Option<ConversationId>) -> TimelineSubscription {
        let (show, shown) = watch::channel(Shown::Nothing);
        // A closed client shows nothing: the subscription ends at once.
        let _ = self.commands.send(Command::Watch { conversation, show });
        TimelineSubscription::new(shown)
    }

    /// What happens from here on. That the file was damaged when the client was opened is told to the first who asks.
    pub fn subscribe_events(&self) -> EventSubscription {
        let (tell, told) = mpsc::channel(limits::EVENTS);
        // A closed client tells nothing: the subscription ends at once.
        let _ = self.commands.send(Command::Listen { tell });
        EventSubscription::new(told)
    }

    /// Waits until nothing waits to be sent and the receipts that can be told are told, or `timeout` is over. Returns how many messages still wait.
    ///
    /// # Errors
    /// [`ClientError::Closed`], [`ClientError::Storage`].
    pub async fn drain(&self, timeout: Duration) -> Result<u64, ClientError> {
        self.ask(|reply| Command::Drain { timeout, reply }).await
    }

    /// Closes the connection and the file. What waits to be sent is sent after the next [`open`](Self::open). Returns
    /// when the folder is free; further calls do nothing.
    pub async fn close(&self) {
        let (done, is_done) = oneshot::channel();
        if self.commands.send(Command::Close { done }).is_ok() {
            // Gone without an answer is closed, too.
            let _ = is_done.await;
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ClientError>>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| ClientError::Closed)?;
        answer.await.unwrap_or(Err(ClientError::Closed))
    }
}

/// The text of a message, by the server's own rules.
fn checked(body: &str) -> Result<String, ClientError> {
    match input::body(body) {
        Ok(()) => Ok(body.to_owned()),
        Err(failure) => Err(match failure.code {
            protocol::Code::MissingParams => ClientError::EmptyBody,
            protocol::Code::MessageTooLong => ClientError::BodyTooLong,
            _ => ClientError::InvalidBody,
        }),
    }
}
