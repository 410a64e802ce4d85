//! What every handler needs, whatever the transport.

use std::sync::Arc;
use std::time::Duration;

use chat::{Chat, InFlight};
use socketio::Config;

use crate::address::Proxies;
use crate::connections::Connections;
use crate::fanout::Fanout;
use crate::legacy::LegacySettings;
use crate::metrics::Metrics;
use crate::stream::Patience;
use crate::telemetry::RefusedLogins;
use crate::viewing::ViewingAgents;

/// What every handler needs.
pub(crate) struct Shared {
    pub(crate) chat: Arc<Chat>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) viewing: ViewingAgents,
    pub(crate) sockets: Arc<Config>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) patience: Patience,
    /// How long a socket may take nothing.
    pub(crate) socket_progress: Duration,
    /// How people reach the server: where links lead.
    pub(crate) public_url: String,
    pub(crate) proxies: Proxies,
    /// Whether and how clients of the protocol before Socket.IO are served.
    pub(crate) legacy: LegacySettings,
    /// All connections but those that wait for a place.
    pub(crate) open: InFlight,
    pub(crate) refused_logins: RefusedLogins,
}
