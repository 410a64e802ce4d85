//! Accepts TCP connections and speaks HTTP on them until one becomes a WebSocket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use chat::{Entered, InFlight};
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{Code, Failure, limits};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower_service::Service as _;

use crate::failure::failure_response;
use crate::legacy;
use crate::rest::{is_health, secured};
use crate::shared::Shared;
use crate::socket;
use crate::stream::{Patience, Stream, Turns};
use crate::telemetry::Sampled;

/// How long to wait when the process may open no more files: some will be closed by then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that may wait for the server to accept them; the system may allow fewer.
const BACKLOG: u32 = 1024;

/// Bytes that the system keeps of what is to be sent, beside what is under way. With the system's own limit, of some
/// megabytes, a thousand who ask and don't read take all the memory that it has for TCP; and that they don't read would
/// be noticed late.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Descriptors that are not for connections: the database's, Redis's, the listeners', the log's, and those who are let in
/// only to be told that there is no room.
const RESERVED_DESCRIPTORS: u64 = 128;

/// How long someone for whom there is no room yet is left alone to ask, whoever else comes.
const OVERFLOW_GRACE: Duration = Duration::from_millis(200);

/// How long someone for whom there is no room yet may take to ask.
const OVERFLOW_TIMEOUT: Duration = Duration::from_secs(2);

/// When those who are told that there is no room are to come back.
const OVERFLOW_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Listens there.
///
/// # Errors
/// If that is not possible.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    // Those who are accepted inherit it. Where it can't be set, only the system's own limit holds.
    let _ = SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT_BYTES);
    Ok(listener)
}

/// How many connections there may be: as many as were asked for, and as the process may open.
pub(crate) fn most_connections(asked: u32) -> usize {
    let descriptors = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    let possible = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(descriptors / 2);
    let possible = usize::try_from(possible).unwrap_or(usize::MAX);
    if asked == 0 { possible } else { possible.min(asked as usize) }
}

/// A listener, and how what comes there is answered.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    /// Whether sockets are let in.
    pub(crate) takes_sockets: bool,
    /// Counts the connections, of all doors.
    pub(crate) open: InFlight,
    /// So many at a time.
    pub(crate) most: usize,
}

/// Accepts until `stopped`; then the listener is closed.
pub(crate) async fn accept(door: Door, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Door { listener, router, takes_sockets, open, most } = door;
    let (refused, full) = (Sampled::default(), Sampled::default());
    let mut overflow = Overflow::default();
    loop {
        let accepted = tokio::select! {
            // The sender lives as long as the server, so an error is a stop as well.
            _ = stopped.wait_for(|stopped| *stopped) => None,
            accepted = listener.accept() => Some(accepted),
        };
        let (tcp, peer) = match accepted {
            None => return,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                if let Some(times) = refused.due() {
                    tracing::warn!(%error, times, "connections could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Latency is worth more than packets here; where it can't be set, nothing is lost but that.
        let _ = tcp.set_nodelay(true);
        let visit = Visit {
            tcp,
            peer,
            shared: Arc::clone(&shared),
            router: router.clone(),
            stopped: stopped.clone(),
        };
        // Counted here and not in the task, which may begin after the next one is let in.
        if let Some(entered) = open.try_enter(most) {
            tokio::spawn(visit.speak(Arc::new(Place::taken(entered)), takes_sockets));
            continue;
        }
        if let Some(times) = full.due() {
            tracing::warn!(most, times, "as many connections are open as may be; more wait");
        }
        overflow.admit(visit, Place::wanted(open.clone(), most), takes_sockets).await;
    }
}

/// A connection's place among those that may be open, or its wish for one.
struct Place {
    entered: OnceLock<Entered>,
    room: Option<(InFlight, usize)>,
}

impl Place {
    fn taken(entered: Entered) -> Self {
        Self { entered: entered.into(), room: None }
    }

    fn wanted(open: InFlight, most: usize) -> Self {
        Self { entered: OnceLock::new(), room: Some((open, most)) }
    }

    fn is_taken(&self) -> bool {
        self.entered.get().is_some()
    }

    /// Waits for a place; false if there is none for so long.
    async fn take(&self, limit: Duration) -> bool {
        let Some((open, most)) = self.room.as_ref().filter(|_| !self.is_taken()) else { return true };
        let Ok(entered) = tokio::time::timeout(limit, open.enter_below(*most)).await else { return false };
        // One connection asks for one thing at a time.
        let _ = self.entered.set(entered);
        true
    }
}

/// Those who wait for a place. The newest is let in to wait, whoever has to go for it: what asks about health is answered
/// at once, whatever else is full.
#[derive(Default)]
struct Overflow {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    place: Arc<Place>,
    visit: JoinHandle<()>,
    since: Instant,
}

impl Overflow {
    async fn admit(&mut self, visit: Visit, place: Place, takes_sockets: bool) {
        self.forget_ended();
        if self.waiting.len() >= limits::OVERFLOW_CONNECTIONS {
            if let Some(oldest) = self.waiting.front() {
                // A storm of others must not push out who was just about to ask.
                tokio::time::sleep_until(oldest.since + OVERFLOW_GRACE).await;
            }
            self.forget_ended();
        }
        if self.waiting.len() >= limits::OVERFLOW_CONNECTIONS
            && let Some(oldest) = self.waiting.pop_front()
        {
            oldest.visit.abort();
        }
        let place = Arc::new(place);
        let visit = tokio::spawn(visit.speak(Arc::clone(&place), takes_sockets));
        self.waiting.push_back(Waiting { place, visit, since: Instant::now() });
    }

    fn forget_ended(&mut self) {
        self.waiting.retain(|waiting| !waiting.place.is_taken() && !waiting.visit.is_finished());
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        for waiting in self.waiting.iter().filter(|waiting| !waiting.place.is_taken()) {
            waiting.visit.abort();
        }
    }
}

/// One connection, as it comes in.
struct Visit {
    tcp: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    router: Router,
    stopped: watch::Receiver<bool>,
}

impl Visit {
    /// HTTP on one connection. What is upgraded lives on in a task of its own.
    async fn speak(self, place: Arc<Place>, takes_sockets: bool) {
        let Self { mut tcp, peer, shared, router, mut stopped } = self;
        let patience = if place.is_taken() { shared.handshake_timeout } else { OVERFLOW_TIMEOUT };
        let read = shared.proxies.read_header(&mut tcp, peer, patience).await;
        let (client, already_read) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, "a connection did not begin as it should");
                return;
            }
        };
        let turns = Arc::new(Turns::default());
        let waits = Patience { head: patience, ..shared.patience };
        let stream = Stream::new(tcp, already_read, waits, Arc::clone(&turns), stopped.clone());
        let has_spoken = AtomicBool::new(false);
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let (shared, mut router, place) = (Arc::clone(&shared), router.clone(), Arc::clone(&place));
            turns.asked();
            let turns = Arc::clone(&turns);
            let gives_way = has_spoken.swap(true, Ordering::Relaxed);
            async move {
                if gives_way {
                    // Who asks without end has asked once; now it is the others' turn.
                    tokio::task::yield_now().await;
                }
                let path = request.uri().path();
                let has_place = is_health(path) || place.take(shared.handshake_timeout).await;
                let address = shared.proxies.client(client, request.headers());
                request.extensions_mut().insert(address);
                let mut response = if !has_place {
                    no_room()
                } else if takes_sockets && socket::is_for_socket(request.uri().path()) {
                    socket::upgrade(request, &shared, Arc::clone(&place))
                } else if takes_sockets && legacy::is_for_old_socket(request.uri().path()) {
                    legacy::upgrade(request, &shared, Arc::clone(&place)).await
                } else {
                    let Ok(response) = router.call(request.map(Body::new)).await;
                    response
                };
                if !place.is_taken() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                turns.answered();
                Ok::<_, Infallible>(secured(response))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream has the clock of a head that has begun; this one is for what is idle.
            .header_read_timeout(shared.keep_alive_timeout)
            .max_buf_size(limits::HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let finished = tokio::select! {
            outcome = connection.as_mut() => Some(outcome),
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let outcome = match finished {
            Some(outcome) => outcome,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "an HTTP connection broke off");
        }
    }
}

fn no_room() -> Response {
    let failure =
        Failure::new(Code::TooManyConnections, "the server has as many connections as it may; try again");
    let mut response = failure_response(&failure, StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, OVERFLOW_RETRY_AFTER);
    response
}
