//! What an event carries: its name and its arguments as JSON text with the binary attachments beside it.
//! Never decodes an argument unless asked to.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::EncodeError;

/// The number under which the sender of an event awaits its answer; it counts within one namespace of one
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AckId(pub u64);

impl AckId {
    /// The largest number a JavaScript peer can count to exactly; larger ones are refused.
    pub const MAX: u64 = (1 << 53) - 1;
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event as it came in.
#[derive(Clone, Debug)]
pub struct Event {
    /// The event's name. A name sent as a number is its JSON text.
    pub name: String,
    /// The arguments after the name.
    pub args: Args,
    /// Set when the peer awaits an answer, see [`Frame::ack`](crate::Frame::ack).
    pub ack: Option<AckId>,
}

/// The arguments of an event or of an answer. Cloning shares them.
///
/// Binary data is not in the JSON text: in its place stands `{"_placeholder":true,"num":N}`, and the bytes are
/// the `N`th of [`attachments`](Self::attachments). Every `N` in received arguments is in range.
#[derive(Clone, Debug, Default)]
pub struct Args {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    bounds: Box<[(u32, u32)]>,
    attachments: Vec<Bytes>,
}

impl Args {
    /// Arguments from a slice of values, one argument each.
    ///
    /// # Errors
    ///
    /// When a value does not serialise to JSON, or all together are longer than 4 GiB.
    pub fn new<T: Serialize>(values: &[T]) -> Result<Self, EncodeError> {
        let mut text = Vec::new();
        let mut bounds = Vec::with_capacity(values.len());
        for value in values {
            let start = text.len();
            serde_json::to_writer(&mut text, value)?;
            bounds.push(start..text.len());
        }
        let text = String::from_utf8(text).map_err(|_| EncodeError::NotText)?;
        if u32::try_from(text.len()).is_err() {
            return Err(EncodeError::TooLong);
        }
        Ok(Self::from_parts(text.into(), bounds.into_iter(), Vec::new()))
    }

    /// The ranges must lie on character boundaries of the text, which must be shorter than 4 GiB.
    pub(crate) fn from_parts(
        text: Box<str>,
        bounds: impl Iterator<Item = Range<usize>>,
        attachments: Vec<Bytes>,
    ) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let bounds: Box<[_]> = bounds.map(|range| (narrow(range.start), narrow(range.end))).collect();
        if bounds.is_empty() && attachments.is_empty() {
            return Self::default();
        }
        Self { inner: Some(Arc::new(Inner { text, bounds, attachments })) }
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.bounds.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The JSON text of the `index`th argument, counted from 0; well-formed in what was received.
    pub fn get(&self, index: usize) -> Option<&str> {
        let inner = self.inner.as_deref()?;
        let &(start, end) = inner.bounds.get(index)?;
        inner.text.get(start as usize..end as usize)
    }

    /// The `index`th argument decoded; one that is not there decodes as `null`.
    ///
    /// # Errors
    ///
    /// When the JSON is not a `T`, or is nested more than 128 deep.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get(index).unwrap_or("null"))
    }

    /// The JSON texts of all arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The binary data that the placeholders in the arguments stand for.
    pub fn attachments(&self) -> &[Bytes] {
        self.inner.as_ref().map_or(&[], |inner| &inner.attachments)
    }
}
