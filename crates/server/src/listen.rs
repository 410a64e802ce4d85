//! Accepts TCP connections and speaks HTTP on them until one becomes a WebSocket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use chat::{Entered, InFlight};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower_service::Service as _;

use crate::app::Shared;
use crate::socket;

/// How long to wait when the process may open no more files: some will be closed by then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stopped`; then the listener is closed. `open` counts the connections, at most `most` at a time.
pub(crate) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    router: Router,
    open: InFlight,
    most: usize,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = async {
            if most != 0 {
                open.below(most).await;
            }
            listener.accept().await
        };
        let accepted = tokio::select! {
            // The sender lives as long as the server, so an error is a stop as well.
            _ = stopped.wait_for(|stopped| *stopped) => None,
            accepted = accepted => Some(accepted),
        };
        let stream = match accepted {
            None => return,
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Latency is worth more than packets here; where it can't be set, nothing is lost but that.
        let _ = stream.set_nodelay(true);
        // Counted here and not in the task, which may begin after the next one is let in.
        let entered = Arc::new(open.enter());
        tokio::spawn(speak(stream, Arc::clone(&shared), router.clone(), entered, stopped.clone()));
    }
}

/// HTTP on one connection. What is upgraded lives on in a task of its own.
async fn speak(
    stream: TcpStream,
    shared: Arc<Shared>,
    router: Router,
    entered: Arc<Entered>,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (shared, mut router, entered) = (Arc::clone(&shared), router.clone(), Arc::clone(&entered));
        async move {
            if socket::is_for_socket(request.uri().path()) {
                return Ok::<_, Infallible>(socket::upgrade(request, &shared, entered));
            }
            router.call(request.map(Body::new)).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.handshake_timeout)
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
