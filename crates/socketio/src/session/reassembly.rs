//! Events and answers whose attachments are still to come, for either end. Their number and size are bounded; the
//! time they take is bounded by the heartbeat only.

use std::sync::Arc;

use bytes::Bytes;

use crate::packet::socket::Elements;
use crate::{AckId, Args, CloseReason, Event};

/// An event or an answer with all its attachments.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) namespace: Arc<str>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Event(Event),
    Ack { id: AckId, args: Args },
}

/// Where packets wait for their attachments: one at a time, as they come.
#[derive(Debug)]
pub(super) struct Assembly {
    unfinished: Option<Box<Reassembly>>,
    /// Bytes of all attachments of one packet together.
    max: usize,
}

impl Assembly {
    pub(super) fn new(max: usize) -> Self {
        Self { unfinished: None, max }
    }

    /// An error while an attachment is due, and so nothing else may come.
    pub(super) fn expect_text(&self) -> Result<(), CloseReason> {
        match self.unfinished {
            None => Ok(()),
            Some(_) => Err(CloseReason::Protocol("text where an attachment was due")),
        }
    }

    /// Takes a packet; it comes back at once when no attachments follow it.
    pub(super) fn begin(&mut self, packet: Reassembly) -> Option<Whole> {
        if packet.is_complete() {
            return Some(packet.finish());
        }
        self.unfinished = Some(Box::new(packet));
        None
    }

    /// Takes an attachment; the packet when it was the last.
    pub(super) fn attachment(&mut self, bytes: &[u8]) -> Result<Option<Whole>, CloseReason> {
        let Some(mut packet) = self.unfinished.take() else {
            return Err(CloseReason::Protocol("attachment without a packet"));
        };
        if !packet.take(bytes, self.max) {
            return Err(CloseReason::TooLarge);
        }
        if packet.is_complete() {
            return Ok(Some(packet.finish()));
        }
        self.unfinished = Some(packet);
        Ok(None)
    }
}

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

    /// With attachments that came along in their places.
    pub(super) fn with(mut self, attachments: Vec<Bytes>) -> Self {
        self.expected = attachments.len();
        self.attachments = attachments;
        self
    }

    fn is_complete(&self) -> bool {
        self.attachments.len() >= self.expected
    }

    /// Takes the next attachment; false when all together are larger than `max`.
    fn take(&mut self, bytes: &[u8], max: usize) -> bool {
        self.size += bytes.len();
        if self.size > max {
            return false;
        }
        self.attachments.push(Bytes::copy_from_slice(bytes));
        true
    }

    fn finish(self) -> Whole {
        let Self { namespace, what, text, ranges, attachments, .. } = self;
        let args = Args::from_parts(text, ranges.into_iter(), attachments);
        let content = match what {
            What::Event { name, id } => Content::Event(Event { name, args, ack: id }),
            What::Ack { id } => Content::Ack { id, args },
        };
        Whole { namespace, content }
    }
}
