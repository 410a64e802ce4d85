//! What a measurement found.

use crate::{bench::Work, ledger::Faults, meter::Latency};

/// What ReplyHQ is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// At least so many times the other server's figure.
    TimesAtLeast(f64),
    /// At most so many times the other server's figure.
    TimesAtMost(f64),
    /// At most this, whatever the other server does.
    AtMost(f64),
}

impl Aim {
    /// As it stands in the table.
    pub(crate) fn text(self) -> String {
        match self {
            Self::TimesAtLeast(times) => format!("≥ {times}×"),
            Self::TimesAtMost(times) => format!("≤ {times}×"),
            Self::AtMost(value) => format!("≤ {value}"),
        }
    }

    /// Whether it is reached; unknown where there is nothing to compare with.
    pub(crate) fn reached(self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::TimesAtLeast(times) => ratio.map(|ratio| ratio >= times),
            Self::TimesAtMost(times) => ratio.map(|ratio| ratio <= times),
            Self::AtMost(limit) => Some(value <= limit),
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    /// The measurement that it belongs to.
    pub(crate) group: String,
    /// What it is.
    pub(crate) name: &'static str,
    /// In what.
    pub(crate) unit: &'static str,
    /// How much.
    pub(crate) value: f64,
    /// What it should be.
    pub(crate) aim: Option<Aim>,
}

/// All that one run of one mode found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The figures, in the order of the table.
    pub(crate) metrics: Vec<Metric>,
    /// What went wrong.
    pub(crate) faults: Faults,
    /// The first complaint, in words.
    pub(crate) complaint: Option<String>,
}

impl Outcome {
    /// Adds a figure.
    pub(crate) fn add(&mut self, group: &str, name: &'static str, unit: &'static str, value: f64) {
        self.metrics.push(Metric { group: group.to_owned(), name, unit, value, aim: None });
    }

    /// Adds a figure that has an aim.
    pub(crate) fn aim(&mut self, group: &str, name: &'static str, unit: &'static str, value: f64, aim: Aim) {
        self.metrics.push(Metric { group: group.to_owned(), name, unit, value, aim: Some(aim) });
    }

    /// Adds the quantiles of a latency, under the three names.
    pub(crate) fn latency(&mut self, group: &str, names: [&'static str; 3], latency: &Latency) {
        for (name, quantile) in names.into_iter().zip([0.50, 0.95, 0.99]) {
            self.add(group, name, "ms", latency.quantile(quantile));
        }
    }

    /// Adds who was busy. Near 100 %, the tool was what was measured; others on the machine spoil the figures.
    pub(crate) fn shares(&mut self, group: &str, work: &Work) {
        let share = |seconds: f64| 100.0 * seconds.max(0.0) / work.elapsed;
        self.add(group, "the server's share of its core", "%", share(work.server));
        self.add(group, "the tool's share of its core", "%", share(work.tool));
        let others = work.machine - work.server - work.services - work.tool;
        self.add(group, "others' share of a core", "%", share(others));
    }
}

#[cfg(test)]
mod tests {
    use super::Aim;

    #[test]
    fn an_aim_is_reached_or_not_or_cannot_be_told() {
        assert_eq!(Aim::TimesAtLeast(5.0).reached(1.0, Some(5.0)), Some(true));
        assert_eq!(Aim::TimesAtLeast(5.0).reached(1.0, Some(4.9)), Some(false));
        assert_eq!(Aim::TimesAtLeast(5.0).reached(1.0, None), None);
        assert_eq!(Aim::TimesAtMost(0.2).reached(1.0, Some(0.19)), Some(true));
        assert_eq!(Aim::TimesAtMost(0.2).reached(1.0, Some(f64::NAN)), Some(false));
        assert_eq!(Aim::AtMost(8.0).reached(8.1, None), Some(false));
    }
}
