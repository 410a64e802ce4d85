//! The answer to one event: an ack where the client asked for one, else an `error` event if it failed.

use protocol::{AckFailure, Failure};
use serde::Serialize;
use socketio::{AckId, Frame, Outgoing};

use crate::fanout::{Channel, Namespace, frame};

/// Where one event's answer goes.
pub(super) struct Reply {
    outgoing: Outgoing,
    namespace: Namespace,
    ack: Option<AckId>,
}

/// `{ success: true, … }`
#[derive(Serialize)]
pub(super) struct Success<T> {
    success: bool,
    #[serde(flatten)]
    answer: T,
}

impl<T> Success<T> {
    pub(super) fn with(answer: T) -> Self {
        Self { success: true, answer }
    }
}

impl Reply {
    pub(super) fn new(outgoing: Outgoing, namespace: Namespace, ack: Option<AckId>) -> Self {
        Self { outgoing, namespace, ack }
    }

    /// Whether the client waits for an ack.
    pub(super) fn is_awaited(&self) -> bool {
        self.ack.is_some()
    }

    /// The ack as a frame, if one is awaited.
    pub(super) fn frame<T: Serialize>(&self, answer: &T) -> Option<Frame> {
        let wire = self.outgoing.wire()?;
        wire.ack(self.namespace.path(), self.ack?, answer)
            .inspect_err(|error| tracing::error!(%error, "an ack could not be encoded"))
            .ok()
    }

    pub(super) fn answer<T: Serialize>(&self, answer: &T) {
        if let Some(frame) = self.frame(answer) {
            self.outgoing.send(frame);
        }
    }

    pub(super) fn fail(&self, failure: &Failure) {
        let frame = match self.ack {
            Some(_) => self.frame(&AckFailure::from(failure)),
            None => frame(Channel::of(self.namespace, &self.outgoing), failure),
        };
        if let Some(frame) = frame {
            self.outgoing.send(frame);
        }
    }

    /// Acks what came of it, or fails.
    pub(super) fn give<T: Serialize>(&self, outcome: Result<T, Failure>) {
        match outcome {
            Ok(answer) => self.answer(&Success::with(answer)),
            Err(failure) => self.fail(&failure),
        }
    }
}
