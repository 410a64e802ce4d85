//! The client, as the languages' wrappers see it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sdk::{ChatClient, ClientError, ConversationId, StateSubscription, TimelineSubscription};
use tokio::task::{AbortHandle, JoinHandle};

use crate::delivery::{
    DeliveryThread, End, EventListener, Log, LogListener, Newest, News, StateListener, TimelineListener,
};
use crate::engine::{Engine, Work};
use crate::tokens::Tokens;
use crate::types::signed;
use crate::{ChatEvent, ClientConfig, ClientState, LogLevel, SdkError, Timeline, TokenListener, User};

/// How long the app's listeners may take with what they hear last.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// A client on a thread of its own. Apps use the wrapper of their language, which has the same methods.
///
/// All calls go on to their end even if the app stops waiting for them. Let go of without being
/// shut down, it shuts itself down.
#[derive(uniffi::Object)]
pub struct SdkClient {
    client: ChatClient,
    engine: Arc<Engine>,
    delivery: DeliveryThread,
    log: Log,
    /// What carries news to listeners.
    pumps: Mutex<Vec<JoinHandle<()>>>,
}

#[uniffi::export]
impl SdkClient {
    /// Opens the data folder and starts connecting.
    ///
    /// # Errors
    /// `INVALID_CONFIG`, `ALREADY_OPEN`, `STORAGE`.
    #[uniffi::constructor]
    pub async fn open(
        config: ClientConfig,
        logger: Option<Arc<dyn LogListener>>,
    ) -> Result<Arc<Self>, SdkError> {
        let config = sdk::Config::try_from(config)?;
        let delivery = DeliveryThread::start()?;
        let log = Log::new(logger, &delivery);
        let engine = Arc::new(Engine::start().await?);
        let client = engine.run(Box::pin(ChatClient::open(config, Arc::new(log.clone())))).await?;
        Ok(Arc::new(Self { client, engine, delivery, log, pumps: Mutex::default() }))
    }

    /// Says who uses the app. What was written without a name becomes theirs: all of it, or, where they have a file here
    /// already, what waits to be sent.
    ///
    /// # Errors
    /// `INVALID_USER`, `STORAGE`, `CLOSED`.
    pub async fn identify(&self, user: User) -> Result<(), SdkError> {
        let user = sdk::User::try_from(user)?;
        self.run(async move |client| client.identify(user).await).await
    }

    /// Says that somebody uses the app whom tokens of the app's backend name, and, where the app knows, who that is. Without an id
    /// a token is fetched now, and nothing changes before it is there.
    ///
    /// # Errors
    /// `INVALID_USER`, `TOKEN_FAILED`, `NOT_POSSIBLE` where somebody else was named before the token came, `STORAGE`, `CLOSED`.
    pub async fn identify_by_token(
        &self,
        user_id: Option<String>,
        tokens: Arc<dyn TokenListener>,
    ) -> Result<(), SdkError> {
        let tokens = Tokens::new(tokens, self.delivery.clone(), self.log.clone());
        let user_id = user_id.map(Into::into);
        let identity = sdk::Identity::Proven { user_id, tokens: Arc::new(tokens) };
        self.run(async move |client| client.identify(identity).await).await
    }

    /// Forgets the person: nothing of them stays on the device, what was not sent yet included. The server is told that they are
    /// gone from the device that it was, now or when it can be.
    ///
    /// # Errors
    /// `STORAGE`, `CLOSED`.
    pub async fn logout(&self) -> Result<(), SdkError> {
        self.run(async move |client| client.logout().await).await
    }

    /// Stores a message on the device, to be sent as soon as that is possible. Returns its local id.
    ///
    /// Without a conversation, it goes to the person's current one; the first message opens it.
    ///
    /// # Errors
    /// `EMPTY_BODY`, `BODY_TOO_LONG`, `INVALID_BODY`, `QUEUE_FULL`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
    pub async fn send(&self, conversation: Option<String>, body: String) -> Result<String, SdkError> {
        let conversation = named(conversation);
        self.run(async move |client| client.send(conversation, &body).await).await.map(|id| id.to_string())
    }

    /// Tries a wedged message again.
    ///
    /// # Errors
    /// `UNKNOWN_MESSAGE`, `NOT_POSSIBLE`, `QUEUE_FULL`, `STORAGE`, `CLOSED`.
    pub async fn retry(&self, local_id: String) -> Result<(), SdkError> {
        self.run(async move |client| client.retry(&local_id.into()).await).await
    }

    /// Takes a message back that waits or was set aside. One that was on its way before may have reached the server all
    /// the same, and then shows up again as sent.
    ///
    /// # Errors
    /// `UNKNOWN_MESSAGE`, `NOT_POSSIBLE` if it was sent, `STORAGE`, `CLOSED`.
    pub async fn cancel(&self, local_id: String) -> Result<(), SdkError> {
        self.run(async move |client| client.cancel(&local_id.into()).await).await
    }

    /// Makes the timeline show up to 50 older messages more, fetched where they are not on the device. Returns whether
    /// there are still more.
    ///
    /// # Errors
    /// `OFFLINE`, `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`, the server's.
    pub async fn load_older(&self, conversation: Option<String>) -> Result<bool, SdkError> {
        let conversation = named(conversation);
        self.run(async move |client| client.load_older(conversation).await).await
    }

    /// Says that the person has read all that is there.
    ///
    /// # Errors
    /// `UNKNOWN_CONVERSATION`, `STORAGE`, `CLOSED`.
    pub async fn mark_read(&self, conversation: Option<String>) -> Result<(), SdkError> {
        let conversation = named(conversation);
        self.run(async move |client| client.mark_read(conversation).await).await
    }

    /// Says whether the person types: true with each key, false when they leave the field.
    ///
    /// # Errors
    /// `UNKNOWN_CONVERSATION`, `CLOSED`.
    pub async fn typing(&self, conversation: Option<String>, is_typing: bool) -> Result<(), SdkError> {
        let conversation = named(conversation);
        self.run(async move |client| client.typing(conversation, is_typing).await).await
    }

    /// Says whether the device has a network. Without this, it is taken to have one.
    ///
    /// # Errors
    /// `CLOSED`.
    pub async fn set_network(&self, is_available: bool) -> Result<(), SdkError> {
        self.run(async move |client| client.set_network(is_available).await).await
    }

    /// Says that the device is on another network than before: a connection is made anew, at once.
    ///
    /// # Errors
    /// `CLOSED`.
    pub async fn network_changed(&self) -> Result<(), SdkError> {
        self.run(async move |client| client.network_changed().await).await
    }

    /// Says whether the person sees the app; without this, it is taken to be seen. In the background the queue is
    /// emptied for up to 10 s, then the connection is closed.
    ///
    /// # Errors
    /// `CLOSED`.
    pub async fn set_foreground(&self, is_foreground: bool) -> Result<(), SdkError> {
        self.run(async move |client| client.set_foreground(is_foreground).await).await
    }

    /// Goes on with another API key.
    ///
    /// # Errors
    /// `CLOSED`.
    pub async fn set_api_key(&self, api_key: String) -> Result<(), SdkError> {
        self.run(async move |client| client.set_api_key(api_key).await).await
    }

    /// Waits until nothing is queued, at most that long. Returns how many messages still are.
    ///
    /// # Errors
    /// `STORAGE`, `CLOSED`.
    pub async fn drain(&self, timeout: Duration) -> Result<i64, SdkError> {
        self.run(async move |client| client.drain(timeout).await).await.map(signed)
    }

    /// Stops everything and releases the data folder. What is queued stays there, for the next time. When it returns all
    /// listeners have heard of it and none is called any more, unless one has taken 5 s with that. Not called `close`: in Kotlin every object of ours has one
    /// already, which is not asynchronous.
    pub async fn shut_down(&self) {
        let (client, delivery, log) = (self.client.clone(), self.delivery.clone(), self.log.clone());
        let pumps = std::mem::take(&mut *self.pumps.lock().unwrap_or_else(PoisonError::into_inner));
        let close = async move {
            client.close().await;
            for pump in pumps {
                // One that was cancelled has told nobody, as it should.
                let _ = pump.await;
            }
            // One that waits for this very call, or hangs, is not waited for.
            let _ = tokio::time::timeout(LAST_CALLS, delivery.flush()).await;
            log.end();
            Ok(())
        };
        // Fails only if it is shut down already.
        let _ = self.engine.run(Box::pin(close)).await;
    }

    /// The present state.
    pub fn state(&self) -> ClientState {
        (&*self.client.subscribe_state().current()).into()
    }

    /// Calls the listener with the present state, and with the newest one whenever it has changed.
    pub fn subscribe_state(&self, listener: Arc<dyn StateListener>) -> Arc<SdkSubscription> {
        let newest = Newest::new(self.log.clone(), move |news| match news {
            News::Snapshot(state) => listener.on_state(ClientState::from(state)),
            News::Failed(_) | News::Closed => listener.on_closed(),
        });
        let _on_the_runtime = self.engine.handle().enter();
        let states = self.client.subscribe_state();
        self.subscription(newest, states)
    }

    /// Calls the listener with the present timeline of a conversation, or of the person's current one, and with the
    /// newest one whenever it has changed.
    pub fn subscribe_timeline(
        &self,
        conversation: Option<String>,
        listener: Arc<dyn TimelineListener>,
    ) -> Arc<SdkSubscription> {
        let newest = Newest::new(self.log.clone(), move |news| match news {
            News::Snapshot(timeline) => listener.on_timeline(Timeline::from(timeline)),
            News::Failed(SdkError::Failed { code, detail }) => {
                listener.on_failed(code.clone(), detail.clone())
            }
            News::Closed => listener.on_closed(),
        });
        let _on_the_runtime = self.engine.handle().enter();
        let timelines = self.client.subscribe_timeline(named(conversation));
        self.subscription(newest, timelines)
    }

    /// Calls the listener with what happens from here on: messages that have just arrived, and that what was stored had to
    /// be begun anew.
    pub fn subscribe_events(&self, listener: Arc<dyn EventListener>) -> Arc<SdkSubscription> {
        let queue = Newest::new(self.log.clone(), move |news| match news {
            News::Snapshot(event) => listener.on_event(ChatEvent::from(event)),
            News::Failed(_) | News::Closed => listener.on_closed(),
        });
        let _on_the_runtime = self.engine.handle().enter();
        let mut events = self.client.subscribe_events();
        let (delivery, offered, log) = (self.delivery.clone(), queue.clone(), self.log.clone());
        let engine = self.engine.clone();
        self.pumped(
            queue,
            Box::pin(async move {
                while let Some(event) = events.next().await {
                    if !offered.append(&delivery, Arc::new(event)) {
                        log.write(LogLevel::Warn, "a listener is too slow: an event was missed".to_owned());
                    }
                }
                offered.end(&delivery, End::Closed);
                drop(engine);
            }),
        )
    }
}

/// How many messages the person has not read, of whoever was there last in the folder: for a badge, while no client is open.
/// Asks the server once.
///
/// # Errors
/// `INVALID_CONFIG`, `ALREADY_OPEN` where a client is open, whose state has the number, `OFFLINE`, `STORAGE`, the server's.
#[uniffi::export]
pub async fn fetch_unread(config: ClientConfig) -> Result<i64, SdkError> {
    let config = sdk::Config::try_from(config)?;
    let delivery = DeliveryThread::start()?;
    let platform = Arc::new(Log::new(None, &delivery));
    let engine = Engine::start().await?;
    engine.run(Box::pin(ChatClient::fetch_unread(config, platform))).await.map(signed)
}

impl SdkClient {
    /// Runs a call of the client's on its own thread.
    fn run<T, F>(&self, call: impl FnOnce(ChatClient) -> F) -> Work<Result<T, SdkError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + Send + 'static,
    {
        self.engine.run(Box::pin(call(self.client.clone())))
    }

    /// Carries snapshots to the listener until there are no more.
    fn subscription<S: Snapshots>(
        &self,
        newest: Arc<Newest<S::Snapshot>>,
        mut snapshots: S,
    ) -> Arc<SdkSubscription> {
        let (delivery, offered) = (self.delivery.clone(), newest.clone());
        // The thread is to stay until the listener has heard that the client is closed.
        let engine = self.engine.clone();
        self.pumped(
            newest,
            Box::pin(async move {
                let end = loop {
                    match snapshots.newest().await {
                        Ok(Some(snapshot)) => offered.offer(&delivery, snapshot),
                        Ok(None) => break End::Closed,
                        Err(error) => break End::Failed(error.into()),
                    }
                };
                offered.end(&delivery, end);
                drop(engine);
            }),
        )
    }

    /// Runs what carries news to the listener.
    fn pumped<T: Send + Sync + 'static>(
        &self,
        newest: Arc<Newest<T>>,
        pump: Work<()>,
    ) -> Arc<SdkSubscription> {
        let pump = self.engine.spawn(pump);
        let handle = pump.abort_handle();
        let mut pumps = self.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        pumps.retain(|pump| !pump.is_finished());
        pumps.push(pump);
        Arc::new(SdkSubscription { pump: handle, forget: Box::new(move || newest.cancel()) })
    }
}

impl Drop for SdkClient {
    fn drop(&mut self) {
        let (client, engine) = (self.client.clone(), self.engine.clone());
        let close = async move {
            client.close().await;
            drop(engine);
        };
        self.engine.spawn(Box::pin(close));
    }
}

impl fmt::Debug for SdkClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkClient").finish_non_exhaustive()
    }
}

/// What the client gives to be listened to.
trait Snapshots: Send + 'static {
    type Snapshot: Send + Sync + 'static;

    /// The present snapshot, then the newest whenever it has changed; `None` after the last one.
    fn newest(&mut self) -> impl Future<Output = Result<Option<Arc<Self::Snapshot>>, ClientError>> + Send;
}

impl Snapshots for StateSubscription {
    type Snapshot = sdk::ClientState;

    async fn newest(&mut self) -> Result<Option<Arc<sdk::ClientState>>, ClientError> {
        Ok(self.next().await)
    }
}

impl Snapshots for TimelineSubscription {
    type Snapshot = sdk::Timeline;

    fn newest(&mut self) -> impl Future<Output = Result<Option<Arc<sdk::Timeline>>, ClientError>> + Send {
        self.next()
    }
}

/// A listener that is being called. Dropped, it is cancelled.
#[derive(uniffi::Object)]
pub struct SdkSubscription {
    pump: AbortHandle,
    forget: Box<dyn Fn() + Send + Sync>,
}

#[uniffi::export]
impl SdkSubscription {
    /// No call is begun after this returns; one that was begun may still be going on. May be called more than once, and
    /// by the listener itself.
    pub fn cancel(&self) {
        self.pump.abort();
        (self.forget)();
    }
}

impl Drop for SdkSubscription {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for SdkSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkSubscription").finish_non_exhaustive()
    }
}

fn named(conversation: Option<String>) -> Option<ConversationId> {
    conversation.map(Into::into)
}
