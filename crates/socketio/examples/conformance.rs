//! A server for the official protocol test suites: `PORT` says where it listens, `ENGINE=1` makes it a bare
//! Engine.IO echo at `/engine.io/`, otherwise it speaks Socket.IO at `/socket.io/`. Ctrl-C ends it at once.

#[path = "support/echo.rs"]
mod echo;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let is_bare = std::env::var("ENGINE").is_ok_and(|engine| engine == "1");
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::select! {
        served = echo::serve(listener, echo::config(), is_bare) => served,
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
