//! One server: its parts put together, and its life from start to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat::{Ambient, Chat, Handles, InFlight, Limits, Observer, Parts, Rates, Rounds, crowded_out};
use cluster::{Cluster, Deliver, Envelope, Node, Signal};
use protocol::{Failure, limits};
use socketio::{Config, Meter};
use store::{Location, Purpose, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::command::sign_in_link;
use crate::connections::Connections;
use crate::demo::Demo;
use crate::fanout::{Fanout, forget_silent, look_for_missed, tell_counts};
use crate::listen::Door;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stream::Patience;
use crate::telemetry::{RefusedLogins, Sampled};
use crate::viewing::ViewingAgents;
use crate::{demo, indexing, listen, memory, rest, viewing};

/// Connections that the operators' own listener has at a time.
const INTERNAL_CONNECTIONS: usize = 64;

/// How long a server that has left waits until its database is let go of.
const LET_GO: Duration = Duration::from_secs(1);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be opened.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// The address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The settings don't go together.
    #[error("{0}")]
    Settings(&'static str),
    /// What is there at the first start could not be made.
    #[error("what is needed for the first start could not be stored: {0}")]
    Greeting(String),
}

/// A server that is set up and listens, but does not accept yet.
pub struct App {
    pub(crate) shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    internal: Option<(TcpListener, SocketAddr)>,
    settings: Settings,
    greeting: Greeting,
    store: Arc<Store>,
    stored_all: JoinHandle<()>,
}

/// What is told at the start.
enum Greeting {
    /// How to try the demo.
    Demo(Demo),
    /// How to make the first app; empty where there is one.
    FirstRun(String),
}

/// A server that runs.
pub struct Running {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    settings: Settings,
    /// Ends when the database is let go of.
    stored_all: JoinHandle<()>,
}

impl App {
    /// Opens the database and the address.
    ///
    /// # Errors
    /// If one of them can't be opened.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        if settings.redis_url.is_some() && matches!(settings.database.location(), Location::Sqlite(_)) {
            return Err(StartError::Settings(
                "a SQLite file has one node, which needs no --redis-url; several nodes share a Postgres: --database-url",
            ));
        }
        let meter = Arc::new(Meter::default());
        let metrics = Metrics::new(Arc::clone(&meter));
        let stored = Arc::clone(&metrics);
        let (store, completions) = Store::open(
            &settings.database.location(),
            Purpose::Serve { alone: settings.redis_url.is_none() },
            Arc::new(move |observation| stored.stored(observation)),
        )
        .await?;
        let stored_all = tokio::spawn(completions.run());
        let store = Arc::new(store);
        let clock = store.clock().clone();
        let ambient = Ambient::with_time(move || clock.now());
        let handles = Handles::read(&store, &ambient).await?;
        let fanout = Fanout::new(Arc::clone(&store), Arc::clone(&handles), Arc::clone(&metrics));
        let connections = Arc::new(Connections::default());
        let rounds = Arc::new(Rounds::default());
        let here = Here {
            fanout: Arc::clone(&fanout),
            connections: Arc::clone(&connections),
            rounds: Arc::clone(&rounds),
            metrics: Arc::clone(&metrics),
            connections_per_device: settings.max_connections_per_device,
        };
        let chat = Chat::new(Parts {
            store: Arc::clone(&store),
            cluster: cluster(&settings, &ambient, here),
            handles,
            rounds,
            ambient,
            limits: limits_of(&settings),
            observer: observer(&settings, &metrics),
        });
        let (listener, address) = listening(settings.listen).await?;
        let internal = match settings.internal_listen {
            Some(address) => Some(listening(address).await?),
            None => None,
        };
        let public_url = settings.public_url.clone().unwrap_or_else(|| reached_at(address));
        let greeting = if settings.demo {
            demo::set_up(&chat, &public_url).await.map(Greeting::Demo)
        } else {
            first_run(&chat, &public_url).await.map(Greeting::FirstRun)
        };
        let greeting = greeting.map_err(|failure| StartError::Greeting(failure.message))?;
        let node = format!("{:016x}", chat.ambient().chance());
        let shared = Arc::new(Shared {
            chat,
            fanout,
            metrics,
            connections,
            viewing: ViewingAgents::new(node),
            sockets: Arc::new(socket_config(&settings, meter)),
            handshake_timeout: settings.handshake_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            patience: Patience {
                head: settings.handshake_timeout,
                progress: settings.write_timeout,
                answer: Some(settings.answer_timeout),
            },
            // Pongs alone say nothing: who answers pings that were never read is not there.
            socket_progress: settings.write_timeout.min(settings.ping_timeout),
            public_url,
            proxies: settings.trusted_proxies.clone().unwrap_or_default(),
            legacy: settings.legacy.clone(),
            open: InFlight::default(),
            refused_logins: RefusedLogins::new(settings.log_addresses),
        });
        Ok(Self { shared, listener, address, internal, settings, greeting, store, stored_all })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for those who run it, if that is another address.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().map(|(_, address)| *address)
    }

    /// What to print: that it is ready, before that with `--demo` how to try it, and after it how to make the first app,
    /// where there is none yet.
    pub fn greeting(&self) -> String {
        let ready = format!("replyhq is ready on http://{}\n", self.address);
        match &self.greeting {
            Greeting::Demo(demo) => format!("{}{ready}", demo.text),
            Greeting::FirstRun(link) => format!("{ready}{link}"),
        }
    }

    /// Begins to accept.
    pub fn run(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let routers = rest::routers(&self.shared, self.internal.is_some());
        let door = Door {
            listener: self.listener,
            router: routers.public,
            takes_sockets: true,
            open: self.shared.open.clone(),
            most: listen::most_connections(self.settings.max_connections),
        };
        tasks.spawn(listen::accept(door, Arc::clone(&self.shared), stopped.clone()));
        if let Some(((listener, _), router)) = self.internal.zip(routers.internal) {
            // Counted by itself: whatever is full, those who run the server see it.
            let (open, most) = (InFlight::default(), INTERNAL_CONNECTIONS);
            let door = Door { listener, router, takes_sockets: false, open, most };
            tasks.spawn(listen::accept(door, Arc::clone(&self.shared), stopped.clone()));
        }
        let (name, metrics) = (format!("{:016x}", self.shared.chat.ambient().chance()), &self.shared.metrics);
        tasks.spawn(indexing::index(self.store, Arc::clone(metrics), name, stopped));
        let shared = Arc::clone(&self.shared);
        tasks.spawn(async move { shared.connections.watch_credentials(&shared.chat).await });
        let shared = Arc::clone(&self.shared);
        tasks.spawn(async move { shared.connections.watch_revocations(&shared.chat).await });
        tasks.spawn(viewing::announce(Arc::clone(&self.shared)));
        tasks.spawn(forget_silent(Arc::clone(&self.shared.fanout)));
        tasks.spawn(tell_counts(Arc::clone(&self.shared.fanout)));
        if let Greeting::Demo(demo) = &self.greeting {
            tasks.spawn(demo.live(Arc::clone(&self.shared.chat)));
        }
        tasks.spawn(memory::give_back(
            Arc::clone(&self.shared.sockets.meter),
            Arc::clone(&self.shared.metrics),
            self.shared.open.clone(),
        ));
        if matches!(self.settings.database.location(), Location::Postgres(_)) {
            tasks.spawn(look_for_missed(Arc::clone(&self.shared.fanout)));
        }
        Running { shared: self.shared, stop, tasks, settings: self.settings, stored_all: self.stored_all }
    }
}

impl Running {
    /// Leaves politely: not ready, no new connections, everyone told, every accepted send answered, everything
    /// flushed, closed. What takes longer than the shutdown timeout is cut off.
    pub async fn shut_down(mut self) {
        let Self { shared, stop, .. } = &self;
        let open = &shared.open;
        tracing::info!("shutting down");
        shared.chat.drain();
        // The listener closes with this, before anyone is told: who comes back at once finds another node.
        stop.send_replace(true);
        shared.connections.announce_shutdown(self.settings.reconnect_spread);
        // What is left after it is for those who are slow to hear that it is over.
        let old_spread = self.settings.reconnect_spread.min(self.settings.shutdown_timeout / 2);
        let leave = async {
            shared.chat.in_flight().below(1).await;
            shared.connections.close_all(old_spread).await;
            open.below(1).await;
            shared.chat.retire().await;
        };
        if tokio::time::timeout(self.settings.shutdown_timeout, leave).await.is_err() {
            tracing::warn!(left = open.count(), "the shutdown took too long; what is left is cut off");
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let Self { shared, stored_all, .. } = self;
        drop(shared);
        // Connections end a moment after they are counted as gone; whoever starts on the same file next finds it free.
        if tokio::time::timeout(LET_GO, stored_all).await.is_err() {
            tracing::debug!("the database is still held by what was cut off");
        }
        tracing::info!("shut down");
    }
}

/// Where an envelope goes on this node.
struct Here {
    fanout: Arc<Fanout>,
    connections: Arc<Connections>,
    rounds: Arc<Rounds>,
    metrics: Arc<Metrics>,
    connections_per_device: u32,
}

impl Here {
    /// Hands the envelope to whom it is for, and returns what this node answers.
    fn deliver(&self, Envelope { app_id, signal }: &Envelope) -> Option<Signal> {
        match signal {
            Signal::IdentityChanged(change) => {
                self.connections.close_device(app_id, &change.device_id, change.except.as_ref());
                Some(Signal::IdentityHeard(change.name.clone()))
            }
            Signal::Proven(proven) => {
                self.connections.note_proven(app_id, proven);
                None
            }
            Signal::Opened(opened) => {
                self.connections.tell_opened(app_id, opened);
                None
            }
            Signal::Revoked {} => {
                self.connections.look_for_revocations();
                None
            }
            Signal::Crowded(crowd) => {
                let mine = self.connections.of_device(app_id, &crowd.device_id);
                Some(Signal::CrowdCounted(crowd.name.clone(), mine))
            }
            Signal::CrowdedOut(device_id, gone) => {
                let why = crowded_out(self.connections_per_device);
                self.metrics.crowded_out(self.connections.close_crowded_out(app_id, device_id, gone, &why));
                None
            }
            Signal::IdentityHeard(_) | Signal::CrowdCounted(..) => {
                self.rounds.hear(signal);
                None
            }
            Signal::Message(..)
            | Signal::Activity(_)
            | Signal::Conversation(_)
            | Signal::Status(_)
            | Signal::AgentTyping(_)
            | Signal::UserTyping(..)
            | Signal::SessionConnect(_)
            | Signal::SessionDisconnect(_)
            | Signal::Presence(_)
            | Signal::Viewing(_) => {
                self.fanout.deliver(app_id, signal);
                None
            }
        }
    }
}

/// This node's way to the others; a node without Redis has none.
fn cluster(settings: &Settings, ambient: &Ambient, here: Here) -> Cluster {
    let (connections, metrics) = (Arc::clone(&here.connections), Arc::clone(&here.metrics));
    let deliver: Deliver = Arc::new(move |envelope| here.deliver(envelope));
    let Some(redis) = settings.redis_url.clone() else { return Cluster::single_node(deliver) };
    Cluster::of_many(Node {
        redis,
        name: format!("{:016x}", ambient.chance()),
        deliver,
        written_off: Arc::new(move || connections.close_devices()),
        observer: Arc::new(move |observation| metrics.between_nodes(observation)),
    })
}

/// How a server is reached from its own machine that listens there.
fn reached_at(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Where there is no app yet: the link that makes the first one, and its first admin. Nobody else can: there is no password
/// that comes with the server.
async fn first_run(chat: &Chat, public_url: &str) -> Result<String, Failure> {
    let Some(code) = chat.begin_first_run().await? else { return Ok(String::new()) };
    let link = sign_in_link(public_url, &code);
    Ok(format!(
        "there is no app yet; whoever opens this within 10 minutes makes the first one, and is its admin:\n  {link}\n"
    ))
}

async fn listening(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(address, error);
    let listener = listen::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn limits_of(settings: &Settings) -> Limits {
    let mut rates = Rates::new(settings.rate_limit_device, settings.rate_limit_agent);
    for (action, by, rate) in settings.rate_limits.iter() {
        rates.set(action, by, rate);
    }
    Limits { rates, connections_per_device: settings.max_connections_per_device }
}

fn observer(settings: &Settings, metrics: &Arc<Metrics>) -> Observer {
    let (sends, failures, limits) = (Arc::clone(metrics), Arc::clone(metrics), Arc::clone(metrics));
    let (addresses, shared) = (settings.log_addresses, Sampled::default());
    let tell_shared = move |ip| {
        if let Some(times) = shared.due() {
            tracing::warn!(
                address = addresses.show(ip),
                times,
                "an address has reached a limit and is let through, for many may share it: \
                 name your proxies with --trusted-proxies, or say that there are none"
            );
        }
    };
    Observer::new(
        move |result| sends.sent(result),
        move |kind| failures.database_failed(kind),
        move |action| limits.limited(action),
        tell_shared,
    )
}

fn socket_config(settings: &Settings, meter: Arc<Meter>) -> Config {
    Config {
        ping_interval: settings.ping_interval,
        ping_timeout: settings.ping_timeout,
        connect_timeout: settings.handshake_timeout,
        max_payload: limits::FRAME_BYTES,
        max_queue_bytes: settings.max_queue_bytes,
        meter,
        ..Config::default()
    }
}
