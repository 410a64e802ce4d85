//! What tests and tools need: a server in this process or in its own, clients that speak the wire, an app to use.
//!
//! Everything waits for conditions with one time limit, [`PATIENCE`], and panics with what it waited for. Nothing
//! here is a stand-in: the server is the real one, and so are its database, its sockets and its process.

mod app;
mod backend;
mod client;
mod cluster;
mod http;
mod identity;
mod old_phone;
mod process;
mod server;
mod wire;

use std::time::Duration;

pub use hyper::Method;
pub use tokio_tungstenite::tungstenite::Message as Frame;

pub use self::app::TestApp;
pub use self::backend::Backend;
pub use self::client::{Client, Refusal};
pub use self::cluster::{SharedRedis, TestCluster};
pub use self::http::{Answer, Http};
pub use self::identity::{identity_token, token_of};
pub use self::old_phone::OldPhone;
pub use self::process::ServerProcess;
pub use self::server::TestServer;
pub use self::wire::Wire;

/// How long anything may take before a test fails. Far more than is ever needed: these machines are noisy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`.
///
/// # Panics
/// If it takes longer than [`PATIENCE`]; `what` says what was waited for.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again and again until `check` says yes.
///
/// # Panics
/// If that takes longer than [`PATIENCE`].
pub async fn holds<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    eventually(what, || {
        let checked = check();
        async move { checked.await.then_some(()) }
    })
    .await;
}

/// Asks again and again until `check` says something.
///
/// # Panics
/// If that takes longer than [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    patiently(what, async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
