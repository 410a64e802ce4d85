//! How long things took.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

const HIGHEST_MICROS: u64 = 120_000_000;

/// Times, kept to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// Without any times yet.
    ///
    /// # Errors
    /// Never, with these bounds.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, HIGHEST_MICROS, 3)?))
    }

    /// Takes note of one.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(HIGHEST_MICROS));
    }

    /// Median, 99th percentile and longest, in milliseconds.
    pub(crate) fn shown(&self) -> String {
        if self.0.is_empty() {
            return "–".to_owned();
        }
        let millis = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1e3;
        let max = self.0.max() as f64 / 1e3;
        format!("{} / {} / {} ms", short(millis(0.5)), short(millis(0.99)), short(max))
    }
}

/// Two digits that count.
fn short(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_milliseconds() {
        let mut latency = Latency::new().unwrap();
        assert_eq!(latency.shown(), "–");
        for millis in 1..=100 {
            latency.record(Duration::from_millis(millis));
        }
        assert_eq!(latency.shown(), "50 / 99 / 100 ms");
    }
}
