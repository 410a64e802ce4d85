//! The clock, the counters and the histograms of one measurement.

use anyhow::Result;
use hdrhistogram::Histogram;
use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

const HIGHEST_NANOS: u64 = 120_000_000_000;

/// Latencies, kept to three digits.
#[derive(Debug)]
pub(crate) struct Latency(RefCell<Histogram<u64>>);

impl Latency {
    fn new() -> Result<Self> {
        Ok(Self(RefCell::new(Histogram::new_with_bounds(1_000, HIGHEST_NANOS, 3)?)))
    }

    fn record(&self, nanos: u64) {
        self.0.borrow_mut().saturating_record(nanos);
    }

    /// The quantile in milliseconds; not a number if nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let histogram = self.0.borrow();
        if histogram.is_empty() { f64::NAN } else { histogram.value_at_quantile(quantile) as f64 / 1e6 }
    }

    /// The longest in milliseconds.
    pub(crate) fn max(&self) -> f64 {
        let histogram = self.0.borrow();
        if histogram.is_empty() { f64::NAN } else { histogram.max() as f64 / 1e6 }
    }
}

/// Shared by all tasks of one measurement. Warming up is not recorded.
#[derive(Debug)]
pub(crate) struct Meter {
    began: Instant,
    recording: Cell<bool>,
    stopped: Cell<bool>,
    done: Cell<u64>,
    delivered: Cell<u64>,
    broken: Cell<u64>,
    complaint: RefCell<Option<String>>,
    /// From the send to its ack.
    pub(crate) ack: Latency,
    /// From the send to the arrival at a subscriber.
    pub(crate) delivery: Latency,
}

impl Meter {
    /// A meter whose clock begins now.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            recording: Cell::new(false),
            stopped: Cell::new(false),
            done: Cell::new(0),
            delivered: Cell::new(0),
            broken: Cell::new(0),
            complaint: RefCell::new(None),
            ack: Latency::new()?,
            delivery: Latency::new()?,
        })
    }

    /// When the clock began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Nanoseconds since the clock began.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Begins to record.
    pub(crate) fn record(&self) {
        self.recording.set(true);
    }

    /// Ends the recording; the drivers send nothing more.
    pub(crate) fn stop(&self) {
        self.recording.set(false);
        self.stopped.set(true);
    }

    /// Whether the drivers are to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Counts what was asked for and is now done (an ack, a connect), begun at `since`.
    pub(crate) fn finish(&self, since: u64) {
        self.done.set(self.done.get() + 1);
        if self.recording.get() {
            self.ack.record(self.now().saturating_sub(since));
        }
    }

    /// Counts the delivery of a message sent at `since`.
    pub(crate) fn deliver(&self, since: u64) {
        self.delivered.set(self.delivered.get() + 1);
        if self.recording.get() {
            self.delivery.record(self.now().saturating_sub(since));
        }
    }

    /// How much is done.
    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }

    /// How many deliveries there were.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// Counts a connection that ended early; the first reason is kept.
    pub(crate) fn fail(&self, reason: &anyhow::Error) {
        self.broken.set(self.broken.get() + 1);
        self.complain(&format!("{reason:#}"));
    }

    /// Keeps the first complaint.
    pub(crate) fn complain(&self, reason: &str) {
        self.complaint.borrow_mut().get_or_insert_with(|| reason.to_owned());
    }

    /// How many connections ended early.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.get()
    }

    /// The first complaint.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint.borrow().clone()
    }
}
