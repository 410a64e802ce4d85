//! Socket.IO connections: from the HTTP upgrade to the last event. One task each.

mod admin;
mod client;
mod payload;
mod peer;
mod reply;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use chat::Chat;
use http::StatusCode;
use hyper::body::Incoming as HttpBody;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use protocol::event::{ADMIN_NAMESPACE, CLIENT_NAMESPACE};
use protocol::{Code, ConnectionId, Failure};
use serde_json::value::RawValue;
use socketio::{Connection, Incoming};
use tokio::net::TcpStream;

pub(crate) use self::payload::parse;
use self::peer::Peer;
use crate::app::Shared;
use crate::rest::failure_response;

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
    if shared.chat.is_draining() {
        let failure = Failure::new(Code::ShuttingDown, "the server is shutting down; connect again");
        return failure_response(&failure, StatusCode::SERVICE_UNAVAILABLE);
    }
    let (mut parts, _) = request.into_parts();
    let response = match socketio::upgrade::respond(&parts) {
        Ok(response) => response.map(|()| Body::empty()),
        Err(refusal) => return (*refusal).map(Body::from),
    };
    if let Some(upgraded) = parts.extensions.remove::<OnUpgrade>() {
        drop(parts);
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if let Some((stream, already_read)) = take_stream(upgraded).await {
                live(&shared, stream, already_read).await;
            }
            drop(entered);
        });
    }
    response
}

/// The TCP stream below hyper, and what of the WebSocket it has read already.
async fn take_stream(upgraded: OnUpgrade) -> Option<(TcpStream, Bytes)> {
    let upgraded: Upgraded =
        upgraded.await.inspect_err(|error| tracing::debug!(%error, "upgrade failed")).ok()?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    // hyper's own buffer would be kept alive by a slice of it, even an empty one.
    Some((parts.io.into_inner(), Bytes::copy_from_slice(&parts.read_buf)))
}

/// The namespaces that one socket is in; most are in one.
#[derive(Default)]
struct Peers {
    client: Option<Box<Peer>>,
    admin: Option<Box<Peer>>,
}

/// A socket's life.
async fn live(shared: &Arc<Shared>, stream: TcpStream, already_read: Bytes) {
    let sid = connection_id(&shared.chat);
    let mut connection = Connection::new(stream, already_read, Arc::clone(&shared.sockets), &sid);
    let key = shared.fanout.new_key();
    shared.connections.add(key, connection.outgoing(), None, None);
    if shared.chat.is_draining() {
        // It came in between the shutdown's two looks at who is there.
        connection.outgoing().close(socketio::CloseReason::Shutdown);
    }
    let mut peers = Peers::default();
    let reason = loop {
        match connection.next().await {
            Incoming::Connect { namespace, auth } => {
                Box::pin(connect(shared, &mut connection, &mut peers, &namespace, auth)).await;
            }
            Incoming::Event { namespace, event } => match &*namespace {
                CLIENT_NAMESPACE => {
                    if let Some(peer) = &mut peers.client {
                        connection.during(Box::pin(client::handle(shared, peer, event))).await;
                    }
                }
                _ => {
                    if let Some(peer) = &mut peers.admin {
                        connection.during(Box::pin(admin::handle(shared, peer, event))).await;
                    }
                }
            },
            Incoming::Disconnect { namespace } => {
                let peer =
                    if &*namespace == CLIENT_NAMESPACE { peers.client.take() } else { peers.admin.take() };
                if let Some(peer) = peer {
                    Box::pin(connection.during(leave(shared, *peer, "client namespace disconnect"))).await;
                }
            }
            Incoming::Closed(reason) => break reason,
        }
    };
    shared.connections.remove(key);
    shared.metrics.closed(reason);
    for peer in [peers.client, peers.admin].into_iter().flatten() {
        Box::pin(leave(shared, *peer, reason.as_str())).await;
    }
}

fn connection_id(chat: &Chat) -> ConnectionId {
    ConnectionId::new(chat.ambient().now(), chat.ambient().chance())
}

/// Answers a namespace's CONNECT.
async fn connect(
    shared: &Arc<Shared>,
    connection: &mut Connection<TcpStream>,
    peers: &mut Peers,
    namespace: &str,
    auth: Option<Box<RawValue>>,
) {
    let outgoing = connection.outgoing();
    let connected = match namespace {
        CLIENT_NAMESPACE => connection.during(client::connect(shared, outgoing, auth)).await,
        ADMIN_NAMESPACE => connection.during(admin::connect(shared, outgoing, auth)).await,
        // As socket.io itself says it.
        _ => return connection.refuse(namespace, "Invalid namespace", None),
    };
    match connected {
        Ok(connected) => {
            connection.accept(namespace, &connected.peer.subscriber.connection_id);
            let mut peer = Box::new(connected.peer);
            peer.greet(shared);
            if let Some(latest) = connected.latest {
                connection.during(peer.join_latest(shared, latest)).await;
            }
            let place = if namespace == CLIENT_NAMESPACE { &mut peers.client } else { &mut peers.admin };
            *place = Some(peer);
        }
        Err(failure) => {
            let data = serde_json::value::to_raw_value(&failure).ok();
            connection.refuse(namespace, failure.code.as_str(), data.as_deref());
        }
    }
}

/// Takes a peer out of everything that it was in.
async fn leave(shared: &Arc<Shared>, peer: Peer, reason: &str) {
    shared.metrics.disconnected(peer.subscriber.namespace.path());
    peer.leave(shared, reason).await;
}
