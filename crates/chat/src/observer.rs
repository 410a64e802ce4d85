//! What the rules tell the metrics.

use std::sync::Arc;

use protocol::Code;

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
}

impl Observer {
    /// Calls `send` for each send and `database_failed` for each operation that the database failed.
    pub fn new(
        send: impl Fn(SendResult) + Send + Sync + 'static,
        database_failed: impl Fn(store::ErrorKind) + Send + Sync + 'static,
    ) -> Self {
        Self { send: Arc::new(send), database_failed: Arc::new(database_failed) }
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self::new(|_| (), |_| ())
    }

    pub(crate) fn send(&self, result: SendResult) {
        (self.send)(result);
    }

    pub(crate) fn database_failed(&self, kind: store::ErrorKind) {
        (self.database_failed)(kind);
    }
}
