//! Socket.IO connections: from the HTTP upgrade to the last event. One task each.

mod admin;
mod client;
mod events;
mod payload;
mod reply;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming as HttpBody;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::event::{ADMIN_NAMESPACE, CLIENT_NAMESPACE};
use protocol::{Code, Failure};
use serde_json::value::RawValue;
use socketio::{CloseReason, Connection, Incoming};

use crate::connections::Owner;
use crate::failure::failure_response;
use crate::live::{Peer, Visitor, connection_id};
use crate::shared::Shared;
use crate::stream::Stream;

/// Where Socket.IO lives; with or without a slash at the end, as in its own server.
const PATH: &str = "/v1/socket.io";

/// Whether a request with this path is for Socket.IO.
pub(crate) fn is_for_socket(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest == "/")
}

/// Answers the upgrade and lets the connection live on in a task of its own. `entered` is dropped with it.
pub(crate) fn upgrade<Guard: Send + 'static>(
    request: hyper::Request<HttpBody>,
    shared: &Arc<Shared>,
    entered: Guard,
) -> Response {
    let mut response = upgraded(request, shared, entered);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Why it was refused, a page may read: a stock client that polls asks from one.
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

fn upgraded<Guard: Send + 'static>(
    request: hyper::Request<HttpBody>,
    shared: &Arc<Shared>,
    entered: Guard,
) -> Response {
    if shared.chat.is_draining() {
        let failure = Failure::new(Code::ShuttingDown, "the server is shutting down; connect again");
        return failure_response(&failure, StatusCode::SERVICE_UNAVAILABLE);
    }
    let (mut parts, _) = request.into_parts();
    let visitor = Box::new(Visitor {
        address: parts.extensions.get().copied(),
        origin: parts.headers.get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()).into()),
    });
    if let Err(failure) = shared.chat.limit_connecting(visitor.address) {
        return failure_response(&failure, StatusCode::TOO_MANY_REQUESTS);
    }
    let response = match socketio::upgrade::respond(&parts) {
        Ok(response) => response.map(|()| Body::empty()),
        Err(refusal) => return (*refusal).map(Body::from),
    };
    if let Some(upgraded) = parts.extensions.remove::<OnUpgrade>() {
        drop(parts);
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if let Some((stream, already_read)) = take_stream(upgraded).await {
                live(&shared, stream.into_socket(shared.socket_progress), already_read, &visitor).await;
            }
            drop(entered);
        });
    }
    response
}

/// The stream below hyper, and what of the WebSocket it has read already.
pub(crate) async fn take_stream(upgraded: OnUpgrade) -> Option<(Stream, Bytes)> {
    let upgraded: Upgraded =
        upgraded.await.inspect_err(|error| tracing::debug!(%error, "upgrade failed")).ok()?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    // hyper's own buffer would be kept alive by a slice of it, even an empty one.
    Some((parts.io.into_inner(), Bytes::copy_from_slice(&parts.read_buf)))
}

/// The namespaces that one socket is in; most are in one.
#[derive(Default)]
struct Peers {
    client: Option<Box<Peer>>,
    admin: Option<Box<Peer>>,
}

/// A socket's life. The connection is made before it begins: what an `async` function is given is kept as long as it
/// runs, beside what is made of it.
fn live<'a>(
    shared: &'a Arc<Shared>,
    stream: Stream,
    already_read: Bytes,
    visitor: &'a Visitor,
) -> impl Future<Output = ()> + Send + 'a {
    let sid = connection_id(&shared.chat);
    let mut connection = Connection::new(stream, already_read, Arc::clone(&shared.sockets), &sid);
    async move { live_on(shared, &mut connection, visitor).await }
}

async fn live_on(shared: &Arc<Shared>, connection: &mut Connection<Stream>, visitor: &Visitor) {
    let mut counted = shared.metrics.socket();
    let key = shared.fanout.new_key();
    shared.connections.add(key, connection.outgoing(), None, Owner::Nobody);
    if shared.chat.is_draining() {
        // It came in between the shutdown's two looks at who is there.
        connection.outgoing().close(CloseReason::Shutdown);
    }
    let mut peers = Peers::default();
    let reason = loop {
        counted.set_in(peers.client.is_some() || peers.admin.is_some());
        let handled = match connection.next().await {
            Incoming::Connect { namespace, auth } => {
                Box::pin(connect(shared, connection, &mut peers, &namespace, auth, visitor)).await;
                Handled::Counted
            }
            Incoming::Event { namespace, event } => match &*namespace {
                CLIENT_NAMESPACE => match &mut peers.client {
                    Some(peer) => connection.during(Box::pin(client::handle(shared, peer, event))).await,
                    None => Handled::Counted,
                },
                _ => match &mut peers.admin {
                    Some(peer) => connection.during(Box::pin(admin::handle(shared, peer, event))).await,
                    None => Handled::Counted,
                },
            },
            Incoming::TooLarge { namespace, ack } => {
                let peer = if &*namespace == CLIENT_NAMESPACE { &peers.client } else { &peers.admin };
                if let Some(peer) = peer {
                    events::too_large(peer, ack);
                }
                Handled::Counted
            }
            Incoming::Disconnect { namespace } => {
                let peer =
                    if &*namespace == CLIENT_NAMESPACE { peers.client.take() } else { peers.admin.take() };
                if let Some(peer) = peer {
                    Box::pin(connection.during(peer.leave(shared, "client namespace disconnect"))).await;
                }
                Handled::Counted
            }
            Incoming::Closed(reason) => break reason,
        };
        if handled == Handled::Counted
            && let Some(wait) = shared.chat.slow_down(key)
        {
            connection.during(Box::pin(tokio::time::sleep(wait))).await;
        }
    };
    shared.connections.remove(key);
    shared.metrics.closed(reason);
    for peer in [peers.client, peers.admin].into_iter().flatten() {
        Box::pin(peer.leave(shared, reason.as_str())).await;
    }
}

/// Whether an event, a login or a leave counts in its connection's bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handled {
    Counted,
    /// A send that was taken; those have a limit of their own.
    Taken,
}

/// Answers a namespace's CONNECT.
async fn connect(
    shared: &Arc<Shared>,
    connection: &mut Connection<Stream>,
    peers: &mut Peers,
    namespace: &str,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) {
    let outgoing = connection.outgoing();
    let login = match namespace {
        CLIENT_NAMESPACE => connection.during(client::connect(shared, outgoing, auth, visitor)).await,
        ADMIN_NAMESPACE => connection.during(admin::connect(shared, outgoing, auth, visitor)).await,
        // As socket.io itself says it.
        _ => return connection.refuse(namespace, "Invalid namespace", None),
    };
    match login {
        Ok(login) => {
            connection.accept(namespace, login.connection_id());
            let (mut peer, latest) = login.enter(shared);
            if let Some(latest) = latest {
                let reply = events::reply_to(&peer, None);
                let welcome = events::welcome(peer.subscriber.channel(), &reply);
                let joining = Box::pin(peer.join_latest(shared, latest, welcome));
                if let Err(failure) = connection.during(joining).await {
                    reply.fail(&failure);
                }
            }
            let place = if namespace == CLIENT_NAMESPACE { &mut peers.client } else { &mut peers.admin };
            *place = Some(peer);
        }
        // A refusal would be final for stock clients; from a closed connection they come back, within seconds: for them the
        // connection had opened, and some begin their delays anew with that.
        Err(failure) if failure.code.passes() => {
            tracing::debug!(code = failure.code.as_str(), namespace, "a login has to wait");
            connection.outgoing().close(CloseReason::Server);
        }
        Err(failure) => {
            let data = serde_json::value::to_raw_value(&failure).ok();
            connection.refuse(namespace, failure.code.as_str(), data.as_deref());
        }
    }
}
