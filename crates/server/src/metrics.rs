//! Numbers for Prometheus. Belongs to one server, not to the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chat::SendResult;
use cluster::{Observation, Totals};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use protocol::Code;
use protocol::event::{ADMIN_NAMESPACE, CLIENT_NAMESPACE};
use protocol::limits::Action;
use socketio::{CloseReason, Meter};

macro_rules! labels {
    ($($name:ident { $($label:ident: $value:ty),* })*) => {
        $(#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name {
            $($label: $value,)*
        })*
    };
}

labels! {
    ByNamespace { namespace: &'static str }
    ByResult { result: &'static str }
    ByAction { action: &'static str }
    ByTransport { transport: &'static str }
    ByReason { reason: &'static str }
    ByState { state: &'static str }
    ByKind { kind: &'static str }
    ByStatus { status: u32 }
    ByWay { way: &'static str }
    ByUse { app: String, r#use: &'static str }
    ByRefusal { namespace: &'static str, code: &'static str }
}

/// From a tenth of a millisecond to about six seconds.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 17))
}

/// One to 256: what a commit can hold.
fn batch() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 9))
}

/// Where a login is told of that was none of a socket's.
pub(crate) const REST: &str = "rest";

/// A socket in the gauges.
pub(crate) struct CountedSocket {
    metrics: Arc<Metrics>,
    is_in: bool,
}

impl CountedSocket {
    /// Whether it is in a namespace now.
    pub(crate) fn set_in(&mut self, is_in: bool) {
        if is_in == self.is_in {
            return;
        }
        self.is_in = is_in;
        let gauge = &self.metrics.sockets_without_namespace;
        if is_in {
            gauge.dec()
        } else {
            gauge.inc()
        };
    }
}

impl Drop for CountedSocket {
    fn drop(&mut self) {
        self.set_in(true);
        self.metrics.sockets.dec();
    }
}

/// The server's numbers.
pub(crate) struct Metrics {
    registry: Registry,
    meter: Arc<Meter>,
    connections: Family<ByNamespace, Gauge>,
    open: Gauge,
    http: Gauge,
    sockets: Gauge,
    sockets_without_namespace: Gauge,
    logins_refused: Family<ByRefusal, Counter>,
    messages: Family<ByResult, Counter>,
    ack: Family<ByTransport, Histogram>,
    fan_out: Histogram,
    commit: Histogram,
    commit_writes: Histogram,
    queued_bytes: Gauge<i64, AtomicI64>,
    disconnects: Family<ByReason, Counter>,
    slow_readers: Counter,
    crowded_out: Counter,
    history_changed: Counter,
    rate_limited: Family<ByAction, Counter>,
    presence_changes: Family<ByState, Counter>,
    database_errors: Family<ByKind, Counter>,
    requests: Family<ByStatus, Counter>,
    cluster_connections: Gauge,
    cluster_nodes: Gauge,
    cluster_in_touch: Gauge,
    cluster_envelopes: Family<ByWay, Counter>,
    cluster_put_back: Counter,
    cluster_written_off: Counter,
    missed: Counter,
    repairs_failed: Counter,
    legacy: Family<ByUse, Counter>,
    index_behind_documents: Gauge,
    index_behind_seconds: Gauge<f64, AtomicU64>,
    indexed: Counter,
    is_indexing: Gauge,
    is_index_complete: Gauge,
}

impl Metrics {
    pub(crate) fn new(meter: Arc<Meter>) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("replyhq"),
            meter,
            connections: Family::default(),
            open: Gauge::default(),
            http: Gauge::default(),
            sockets: Gauge::default(),
            sockets_without_namespace: Gauge::default(),
            logins_refused: Family::default(),
            messages: Family::default(),
            ack: Family::new_with_constructor(latency),
            fan_out: latency(),
            commit: latency(),
            commit_writes: batch(),
            queued_bytes: Gauge::default(),
            disconnects: Family::default(),
            slow_readers: Counter::default(),
            crowded_out: Counter::default(),
            history_changed: Counter::default(),
            rate_limited: Family::default(),
            legacy: Family::default(),
            presence_changes: Family::default(),
            database_errors: Family::default(),
            requests: Family::default(),
            cluster_connections: Gauge::default(),
            cluster_nodes: Gauge::default(),
            cluster_in_touch: Gauge::default(),
            cluster_envelopes: Family::default(),
            cluster_put_back: Counter::default(),
            cluster_written_off: Counter::default(),
            missed: Counter::default(),
            repairs_failed: Counter::default(),
            index_behind_documents: Gauge::default(),
            index_behind_seconds: Gauge::default(),
            indexed: Counter::default(),
            is_indexing: Gauge::default(),
            is_index_complete: Gauge::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        Arc::new(metrics)
    }

    /// What alerts are made of is there before it first happens: Prometheus sees no increase in a number that appears.
    fn begin_at_zero(&self) {
        for namespace in [CLIENT_NAMESPACE, ADMIN_NAMESPACE] {
            drop(self.connections.get_or_create(&ByNamespace { namespace }));
        }
        for namespace in [CLIENT_NAMESPACE, ADMIN_NAMESPACE, REST] {
            let code = Code::InvalidCredentials.as_str();
            drop(self.logins_refused.get_or_create(&ByRefusal { namespace, code }));
        }
        for result in ["new", "duplicate", Code::RateLimited.as_str(), Code::ServerError.as_str()] {
            drop(self.messages.get_or_create(&ByResult { result }));
        }
        for action in Action::ALL {
            drop(self.rate_limited.get_or_create(&ByAction { action: action.as_str() }));
        }
        for transport in ["socket", "rest"] {
            drop(self.ack.get_or_create(&ByTransport { transport }));
        }
        for reason in [CloseReason::PingTimeout, CloseReason::SlowReader, CloseReason::Transport] {
            drop(self.disconnects.get_or_create(&ByReason { reason: reason.as_str() }));
        }
        for state in ["online", "offline"] {
            drop(self.presence_changes.get_or_create(&ByState { state }));
        }
        for kind in store::ErrorKind::ALL {
            drop(self.database_errors.get_or_create(&ByKind { kind: kind.as_str() }));
        }
        for status in [401, 429, 500, 503] {
            drop(self.requests.get_or_create(&ByStatus { status }));
        }
        for way in ["published", "heard", "dropped"] {
            drop(self.cluster_envelopes.get_or_create(&ByWay { way }));
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("connections", "Open connections by namespace", self.connections.clone());
        registry.register("open_connections", "Connections of whatever kind", self.open.clone());
        registry.register("http_connections", "Connections that are no sockets", self.http.clone());
        registry.register("sockets", "WebSockets, in a namespace or not", self.sockets.clone());
        registry.register(
            "sockets_without_namespace",
            "WebSockets that have not logged in, or have left",
            self.sockets_without_namespace.clone(),
        );
        registry.register(
            "logins_refused",
            "Credentials that were refused, by namespace or REST, and code",
            self.logins_refused.clone(),
        );
        registry.register("messages", "Sends by result", self.messages.clone());
        registry.register(
            "ack_seconds",
            "From a send's arrival to its answer, by transport",
            self.ack.clone(),
        );
        registry.register(
            "fan_out_seconds",
            "Putting one message into the queues of all who hear it",
            self.fan_out.clone(),
        );
        registry.register("commit_seconds", "One durable transaction", self.commit.clone());
        registry.register("commit_writes", "Writes in one transaction", self.commit_writes.clone());
        registry.register(
            "outgoing_queue_bytes",
            "Bytes of memory that wait for slow readers",
            self.queued_bytes.clone(),
        );
        registry.register("disconnects", "Ended connections by reason", self.disconnects.clone());
        registry.register(
            "slow_readers_dropped",
            "Connections ended because they did not read",
            self.slow_readers.clone(),
        );
        registry.register(
            "history_changed",
            "Subscribers ended because the database had lost what they were given",
            self.history_changed.clone(),
        );
        registry.register(
            "crowded_out",
            "Connections ended because their device had too many",
            self.crowded_out.clone(),
        );
        registry.register("rate_limited", "Acts refused or slowed as too fast", self.rate_limited.clone());
        registry.register(
            "presence_changes",
            "Devices that came online or went offline",
            self.presence_changes.clone(),
        );
        registry.register(
            "database_errors",
            "Failed database operations by kind",
            self.database_errors.clone(),
        );
        registry.register("http_requests", "REST answers by status", self.requests.clone());
        registry.register(
            "cluster_connections",
            "Connections of devices to all nodes",
            self.cluster_connections.clone(),
        );
        registry.register("cluster_nodes", "Nodes that run", self.cluster_nodes.clone());
        registry.register(
            "cluster_in_touch",
            "Whether this node and the others know of each other",
            self.cluster_in_touch.clone(),
        );
        registry.register(
            "cluster_envelopes",
            "Envelopes between nodes: published, heard, dropped",
            self.cluster_envelopes.clone(),
        );
        registry.register(
            "cluster_put_back",
            "Times that Redis had forgotten connections of this node",
            self.cluster_put_back.clone(),
        );
        registry.register(
            "missed_made_up",
            "Conversations of which the look at the database found more than the bus had brought",
            self.missed.clone(),
        );
        registry.register(
            "repairs_failed",
            "Reads of what subscribers missed that failed, or brought nobody on",
            self.repairs_failed.clone(),
        );
        registry.register(
            "legacy",
            "Connections and calls of clients of the protocol before Socket.IO, by app",
            self.legacy.clone(),
        );
        registry.register(
            "search_behind_documents",
            "Messages and activity that wait to be found by the search, on the node that makes its index",
            self.index_behind_documents.clone(),
        );
        registry.register(
            "search_behind_seconds",
            "How long the first of them has waited",
            self.index_behind_seconds.clone(),
        );
        registry.register(
            "search_indexed",
            "Messages, notes and people that this node has put into the search's index",
            self.indexed.clone(),
        );
        registry.register(
            "search_is_indexing",
            "Whether this node makes the search's index: one of all does",
            self.is_indexing.clone(),
        );
        registry.register(
            "search_is_complete",
            "Whether all is in the index that was there before it, as the node knows that makes it",
            self.is_index_complete.clone(),
        );
        registry.register(
            "cluster_written_off",
            "Times that the other nodes took this one for dead",
            self.cluster_written_off.clone(),
        );
    }

    /// All of them in the text format of OpenMetrics.
    /// `connections` are open, of whatever kind.
    pub(crate) fn render(&self, totals: Totals, is_in_touch: bool, connections: usize) -> String {
        let connections = i64::try_from(connections).unwrap_or(i64::MAX);
        self.open.set(connections);
        self.http.set((connections - self.sockets.get()).max(0));
        self.cluster_connections.set(i64::try_from(totals.connections).unwrap_or(i64::MAX));
        self.cluster_nodes.set(i64::try_from(totals.nodes).unwrap_or(i64::MAX));
        self.cluster_in_touch.set(is_in_touch.into());
        self.queued_bytes.set(self.meter.queued_bytes.load(Ordering::Relaxed));
        let mut out = String::new();
        if let Err(error) = text::encode(&mut out, &self.registry) {
            tracing::error!(%error, "the metrics could not be written");
        }
        out
    }

    /// A socket is there, in no namespace yet, until what is returned is dropped.
    pub(crate) fn socket(self: &Arc<Self>) -> CountedSocket {
        self.sockets.inc();
        self.sockets_without_namespace.inc();
        CountedSocket { metrics: Arc::clone(self), is_in: false }
    }

    /// A credential was refused.
    pub(crate) fn login_refused(&self, namespace: &'static str, code: Code) {
        self.logins_refused.get_or_create(&ByRefusal { namespace, code: code.as_str() }).inc();
    }

    pub(crate) fn connected(&self, namespace: &'static str) {
        self.connections.get_or_create(&ByNamespace { namespace }).inc();
    }

    pub(crate) fn disconnected(&self, namespace: &'static str) {
        self.connections.get_or_create(&ByNamespace { namespace }).dec();
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        self.disconnects.get_or_create(&ByReason { reason: reason.as_str() }).inc();
        if reason == CloseReason::SlowReader {
            self.slow_readers.inc();
        }
    }

    pub(crate) fn history_changed(&self, subscribers: usize) {
        self.history_changed.inc_by(subscribers as u64);
    }

    pub(crate) fn crowded_out(&self, connections: usize) {
        self.crowded_out.inc_by(connections as u64);
    }

    pub(crate) fn sent(&self, result: SendResult) {
        let label = match result {
            SendResult::New => "new",
            SendResult::Duplicate => "duplicate",
            SendResult::Refused(code) => code.as_str(),
        };
        self.messages.get_or_create(&ByResult { result: label }).inc();
    }

    /// Sockets that are open, in a namespace or not.
    pub(crate) fn open_sockets(&self) -> u64 {
        u64::try_from(self.sockets.get()).unwrap_or_default()
    }

    /// Something was done too often.
    pub(crate) fn limited(&self, action: Action) {
        self.rate_limited.get_or_create(&ByAction { action: action.as_str() }).inc();
    }

    pub(crate) fn answered(&self, transport: &'static str, took: Duration) {
        self.ack.get_or_create(&ByTransport { transport }).observe(took.as_secs_f64());
    }

    pub(crate) fn fanned_out(&self, took: Duration) {
        self.fan_out.observe(took.as_secs_f64());
    }

    pub(crate) fn stored(&self, observation: store::Observation) {
        match observation {
            store::Observation::Committed { writes, took } => {
                self.commit.observe(took.as_secs_f64());
                self.commit_writes.observe(writes as f64);
            }
            // Counted where the operation is answered.
            store::Observation::Failed(_) => {}
        }
    }

    pub(crate) fn database_failed(&self, kind: store::ErrorKind) {
        self.database_errors.get_or_create(&ByKind { kind: kind.as_str() }).inc();
    }

    /// What a subscriber misses could not be read.
    pub(crate) fn repair_failed(&self) {
        self.repairs_failed.inc();
    }

    /// Whether this node makes the search's index, and whether that has all that was there before.
    pub(crate) fn indexing(&self, is_mine: bool, is_complete: bool) {
        self.is_indexing.set(is_mine.into());
        self.is_index_complete.set(is_complete.into());
        if !is_mine {
            self.index_behind(0, None);
        }
    }

    /// So many documents are not in the search's index, and the first of them was stored so long ago.
    pub(crate) fn index_behind(&self, documents: u64, milliseconds: Option<i64>) {
        self.index_behind_documents.set(i64::try_from(documents).unwrap_or(i64::MAX));
        if documents == 0 {
            self.index_behind_seconds.set(0.0);
        } else if let Some(milliseconds) = milliseconds {
            self.index_behind_seconds
                .set(Duration::from_millis(milliseconds.max(0).unsigned_abs()).as_secs_f64());
        }
    }

    pub(crate) fn indexed(&self, documents: u64) {
        self.indexed.inc_by(documents);
    }

    pub(crate) fn missed(&self) {
        self.missed.inc();
    }

    pub(crate) fn between_nodes(&self, observation: Observation) {
        let envelopes = |way| self.cluster_envelopes.get_or_create(&ByWay { way });
        match observation {
            Observation::Published(count) => drop(envelopes("published").inc_by(count as u64)),
            Observation::Heard => drop(envelopes("heard").inc()),
            Observation::Dropped(count) => drop(envelopes("dropped").inc_by(count as u64)),
            Observation::PutBack => drop(self.cluster_put_back.inc()),
            Observation::WrittenOff => drop(self.cluster_written_off.inc()),
            Observation::Live(true) => tracing::info!("this node and the others know of each other"),
            Observation::Live(false) => tracing::warn!("Redis is away; this node goes on alone"),
        }
    }

    pub(crate) fn presence_changed(&self, is_online: bool) {
        self.presence_changes
            .get_or_create(&ByState { state: if is_online { "online" } else { "offline" } })
            .inc();
    }

    /// An old client with a good credential has connected, or called.
    pub(crate) fn legacy_used(&self, app_id: &str, r#use: &'static str) {
        self.legacy.get_or_create(&ByUse { app: app_id.to_owned(), r#use }).inc();
    }

    pub(crate) fn requested(&self, status: u16) {
        self.requests.get_or_create(&ByStatus { status: u32::from(status) }).inc();
    }
}
