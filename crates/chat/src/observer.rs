//! What the rules tell the metrics.

use std::net::IpAddr;
use std::sync::Arc;

use protocol::Code;
use protocol::limits::Action;

/// What came of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendResult {
    /// Stored now.
    New,
    /// Stored before.
    Duplicate,
    /// Not stored, for this reason.
    Refused(Code),
}

/// Is told of what the rules do. Must be quick.
#[derive(Clone)]
pub struct Observer {
    send: Arc<dyn Fn(SendResult) + Send + Sync>,
    database_failed: Arc<dyn Fn(store::ErrorKind) + Send + Sync>,
    limited: Arc<dyn Fn(Action) + Send + Sync>,
    address_shared: Arc<dyn Fn(IpAddr) + Send + Sync>,
}

impl Observer {
    /// Calls `send` for each send, `database_failed` for each operation that the database failed, `limited` for each act
    /// that was one too many, and `address_shared` where an address has reached a limit and was let through, because it
    /// may be a proxy's.
    pub fn new(
        send: impl Fn(SendResult) + Send + Sync + 'static,
        database_failed: impl Fn(store::ErrorKind) + Send + Sync + 'static,
        limited: impl Fn(Action) + Send + Sync + 'static,
        address_shared: impl Fn(IpAddr) + Send + Sync + 'static,
    ) -> Self {
        Self {
            send: Arc::new(send),
            database_failed: Arc::new(database_failed),
            limited: Arc::new(limited),
            address_shared: Arc::new(address_shared),
        }
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self::new(|_| (), |_| (), |_| (), |_| ())
    }

    pub(crate) fn send(&self, result: SendResult) {
        (self.send)(result);
    }

    pub(crate) fn limited(&self, action: Action) {
        (self.limited)(action);
    }

    pub(crate) fn address_shared(&self, ip: IpAddr) {
        (self.address_shared)(ip);
    }

    pub(crate) fn database_failed(&self, kind: store::ErrorKind) {
        (self.database_failed)(kind);
    }
}
