//! An event or an answer whose attachments are still to come. Their number and size are bounded; the time they
//! take is bounded by the heartbeat only.

use std::sync::Arc;

use bytes::Bytes;

use super::{Incoming, Output};
use crate::packet::socket::Elements;
use crate::{AckId, Args, Event};

#[derive(Debug)]
pub(super) struct Reassembly {
    namespace: Arc<str>,
    what: What,
    text: Box<str>,
    ranges: Vec<std::ops::Range<usize>>,
    expected: usize,
    attachments: Vec<Bytes>,
    size: usize,
}

#[derive(Debug)]
enum What {
    Event { name: String, id: Option<AckId> },
    Ack { id: AckId },
}

impl Reassembly {
    pub(super) fn event(
        namespace: Arc<str>,
        name: String,
        id: Option<AckId>,
        elements: &Elements<'_>,
    ) -> Self {
        Self::new(namespace, What::Event { name, id }, elements)
    }

    pub(super) fn ack(namespace: Arc<str>, id: AckId, elements: &Elements<'_>) -> Self {
        Self::new(namespace, What::Ack { id }, elements)
    }

    fn new(namespace: Arc<str>, what: What, elements: &Elements<'_>) -> Self {
        Self {
            namespace,
            what,
            text: elements.text.into(),
            ranges: elements.ranges.clone(),
            expected: elements.attachments,
            attachments: Vec::new(),
            size: 0,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn is_complete(&self) -> bool {
        self.attachments.len() >= self.expected
    }

    /// Takes the next attachment; false when all together are larger than `max`.
    pub(super) fn take(&mut self, bytes: &[u8], max: usize) -> bool {
        self.size += bytes.len();
        if self.size > max {
            return false;
        }
        self.attachments.push(Bytes::copy_from_slice(bytes));
        true
    }

    pub(super) fn finish(self) -> Output<Incoming> {
        let Self { namespace, what, text, ranges, attachments, .. } = self;
        let args = Args::from_parts(text, ranges.into_iter(), attachments);
        match what {
            What::Event { name, id } => {
                Output::Item(Incoming::Event { namespace, event: Event { name, args, ack: id } })
            }
            What::Ack { id } => Output::Ack { namespace, id, args },
        }
    }
}
