//! The rules: who may do what, and in which order things happen. One door for every transport.
//!
//! A handler hands in its [`Principal`] and makes one call. Here it is decided whether that may be, checked against
//! the limits, stored, published, and then answered, in this order. Nothing here knows of sockets or HTTP.

mod activity;
mod administration;
mod agents;
mod ambient;
mod attempts;
mod authentication;
mod canned_replies;
mod conversations;
mod credential;
mod crowd;
mod handle;
mod identity;
mod identity_keys;
mod identity_token;
mod in_flight;
mod inbox;
mod input;
mod messages;
mod observer;
mod password;
mod people;
mod presence;
mod principal;
mod rate_limit;
mod receipts;
mod recent;
mod revocations;
mod round;
mod search;
mod standing;
mod tags;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use cluster::{Cluster, Envelope, Signal};
use protocol::limits::Action;
use protocol::{AppId, Code, ConnectionId, DeviceId, Failure};
use store::{App, CheckWritable, DeviceStanding, Read, Store, Token, Write};
pub use store::{Credential, Void};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use self::activity::{Written, activity_cursor};
pub use self::administration::{By, NewApp, NewToken, NewTokenWish, RotatedKey};
pub use self::agents::{LetIn, Place, SignedIn, shown};
pub use self::ambient::Ambient;
use self::attempts::Attempts;
pub use self::authentication::{DeviceAccess, DeviceCredentials};
use self::crowd::Crowds;
pub use self::crowd::crowded_out;
pub use self::handle::Handles;
pub use self::identity_keys::{NewIdentitySecret, identity_key};
pub use self::in_flight::{Entered, InFlight};
pub use self::inbox::InboxView;
pub use self::input::Page;
pub use self::messages::{Sending, Sent, Wanted, cursor};
pub use self::observer::{Observer, SendResult};
use self::password::Hashers;
pub use self::principal::{Address, Agent, Device, Principal, Restrictions, blocked};
use self::rate_limit::Limiter;
pub use self::rate_limit::Rates;
pub use self::receipts::Receipt;
use self::recent::Recent;
pub use self::revocations::{Revoked, RevokedDevices};
pub use self::round::Rounds;
pub use self::search::Asking;

/// The rules, with all they need. Shared by every handler.
pub struct Chat {
    store: Arc<Store>,
    cluster: Cluster,
    ambient: Ambient,
    limiter: Limiter,
    handles: Arc<Handles>,
    rounds: Arc<Rounds>,
    crowds: Crowds,
    connections_per_device: u32,
    observer: Observer,
    /// By id, and by the SHA-256 of the secret.
    apps: Recent<AppId, Arc<App>>,
    tokens: Recent<String, Arc<Token>>,
    devices: Recent<(AppId, DeviceId), Arc<DeviceStanding>>,
    hashers: Hashers,
    attempts: Attempts,
    /// Where that is done which no caller waits for.
    runtime: Handle,
    in_flight: InFlight,
    is_draining: AtomicBool,
    /// When the database was last tried, and whether it took a write.
    writable: tokio::sync::Mutex<Option<(Duration, bool)>>,
}

/// How long an answer about the database is good.
const WRITABLE_FOR: Duration = Duration::from_secs(1);

/// What an operator can set of the rules.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often what may be done.
    pub rates: Rates,
    /// Connections per device; 0 is no limit.
    pub connections_per_device: u32,
}

/// What the rules stand on.
pub struct Parts {
    /// What lasts.
    pub store: Arc<Store>,
    /// What is live.
    pub cluster: Cluster,
    /// What stands in the place of devices' ids.
    pub handles: Arc<Handles>,
    /// The questions to all nodes; whoever hears the nodes hands their answers in.
    pub rounds: Arc<Rounds>,
    /// Time and chance.
    pub ambient: Ambient,
    /// What an operator can set.
    pub limits: Limits,
    /// Is told what happens.
    pub observer: Observer,
}

impl Parts {
    /// Those of a process to which nobody connects: it tells nobody anything, and has no limits.
    pub fn alone(store: Arc<Store>, ambient: Ambient) -> Self {
        Self {
            store,
            cluster: Cluster::single_node(Arc::new(|_| None)),
            handles: Arc::default(),
            rounds: Arc::default(),
            ambient,
            limits: Limits { rates: Rates::none(), connections_per_device: 0 },
            observer: Observer::none(),
        }
    }
}

impl Chat {
    /// The rules over what is given.
    ///
    /// # Panics
    /// If it is not called on a tokio runtime, on which it does later what its callers don't wait for.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, cluster, handles, rounds, ambient, limits, observer } = parts;
        Arc::new(Self {
            store,
            cluster,
            handles,
            rounds,
            limiter: Limiter::new(&limits.rates, ambient.clone()),
            ambient,
            crowds: Crowds::default(),
            connections_per_device: limits.connections_per_device,
            observer,
            apps: Recent::default(),
            tokens: Recent::default(),
            devices: Recent::default(),
            hashers: Hashers::default(),
            attempts: Attempts::default(),
            in_flight: InFlight::default(),
            runtime: Handle::current(),
            is_draining: AtomicBool::new(false),
            writable: tokio::sync::Mutex::new(None),
        })
    }

    /// A name for a question to all nodes, as unique as a connection's.
    fn round_name(&self) -> String {
        ConnectionId::new(self.ambient.now(), self.ambient.chance()).to_string()
    }

    /// Time and chance.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// From here on new writes are refused with `SHUTTING_DOWN`; those accepted before are still answered.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        // Whoever has seen that nobody drains yet is counted from here on: see `accepting`.
        fence(Ordering::SeqCst);
        self.hashers.leave();
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Writes that were accepted and not yet answered.
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Counts one act against the limits.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    fn limit(&self, action: Action, principal: &Principal) -> Result<(), Failure> {
        self.told_of(action, self.limiter.check(action, principal))
    }

    /// Counts one connection that somebody makes who is not known yet.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, if that is one too many.
    pub fn limit_connecting(&self, address: Option<Address>) -> Result<(), Failure> {
        self.told_of(Action::Connect, self.limiter.check_address(Action::Connect, address))
    }

    /// Counts one event of a connection, by the transport's own number for it. Returns how long to wait before the next
    /// one is read, where there were too many.
    pub fn slow_down(&self, connection: u64) -> Option<Duration> {
        let wait = self.limiter.event(connection)?;
        self.observer.limited(Action::Event);
        Some(wait)
    }

    /// Tells the observer what the limiter has said.
    fn told_of(&self, action: Action, said: Result<Option<IpAddr>, Failure>) -> Result<(), Failure> {
        match said {
            Ok(Some(shared)) => self.observer.address_shared(shared),
            Ok(None) => {}
            Err(failure) => {
                self.observer.limited(action);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Whether the database takes writes just now. It is tried at most once in a second, because anyone may ask.
    pub async fn is_writable(&self) -> bool {
        let mut checked = self.writable.lock().await;
        let now = self.ambient.elapsed();
        match *checked {
            Some((at, is_writable)) if now < at + WRITABLE_FOR => is_writable,
            _ => {
                let is_writable = self.store.write(CheckWritable { now: self.ambient.now() }).await.is_ok();
                *checked = Some((now, is_writable));
                is_writable
            }
        }
    }

    /// Whether another process serves from the same database and hears nothing of this one.
    pub fn is_disputed(&self) -> bool {
        self.store.is_disputed()
    }

    /// A write may begin, and is waited for until what is returned is dropped. Counted first and asked then: else one that
    /// was let in just before the server leaves would be stored, and its connection closed without an answer.
    fn accepting(&self) -> Result<Entered, Failure> {
        let entered = self.in_flight.enter();
        fence(Ordering::SeqCst);
        if self.is_draining() {
            return Err(Failure::new(Code::ShuttingDown, "the server is shutting down; try again"));
        }
        Ok(entered)
    }

    async fn read<O: Read>(&self, operation: O) -> Result<O::Out, Failure> {
        self.store.read(operation).await.map_err(|error| self.store_failed(&error))
    }

    async fn write<O: Write>(&self, operation: O) -> Result<O::Out, Failure> {
        self.store.write(operation).await.map_err(|error| self.store_failed(&error))
    }

    /// As [`write`](Self::write), where the others are to be told: `settle` is called in commit order, so what it publishes is
    /// in that order too.
    async fn written<O: Write, R: Send + 'static>(
        self: &Arc<Self>,
        operation: O,
        settle: impl FnOnce(&Self, O::Out) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let (tell, told) = oneshot::channel();
        // As long as it takes, though whoever asked may have gone.
        let entered = self.in_flight.enter();
        let chat = Arc::clone(self);
        let request = tracing::Span::current();
        self.store.submit(operation, move |outcome| {
            let settled = request.in_scope(|| {
                let out = outcome.map_err(|error| chat.store_failed(&error))?;
                settle(&chat, out)
            });
            // Nobody waits any more where this fails.
            let _ = tell.send(settled);
            drop(entered);
        });
        told.await.unwrap_or_else(|_| Err(Failure::new(Code::ServerError, "the server is gone")))
    }

    fn publish(&self, app_id: AppId, signal: Signal) {
        self.cluster.bus.publish(&Envelope { app_id, signal });
    }

    /// Logs the cause; the caller learns whether to try again.
    fn store_failed(&self, error: &store::Error) -> Failure {
        self.observer.database_failed(error.kind());
        tracing::error!(%error, "the database failed");
        if error.kind() == store::ErrorKind::Unstorable {
            return Failure::new(Code::ValidationError, "the database can't hold what was given");
        }
        Failure::new(Code::ServerError, "the server could not do that just now; try again")
    }
}
