//! The report: what was done, what went wrong, how long recoveries took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::check::Verdict;
use crate::record::Record;
use crate::rolling::returns;

/// How long it took after a fault had ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recoveries {
    /// Until messages went from every node to every node.
    pub(crate) delivery: Vec<Duration>,
    /// Until every node's list of sessions was the truth.
    pub(crate) presence: Vec<Duration>,
    /// Those that did not recover in time.
    pub(crate) failed: u64,
}

/// A node that was restarted in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) began: Instant,
    /// Over how long the node has asked its clients to come back.
    pub(crate) spread: Duration,
}

/// The peak of reconnects may be so many times their mean rate.
const PEAK: f64 = 2.0;

/// Everything that is told.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// By the fault's name; two at once are under a name of their own.
    pub(crate) recoveries: BTreeMap<String, Recoveries>,
    /// Connections or online devices that a node showed, and that there were not, when things had settled.
    pub(crate) ghosts: u64,
    /// Connections or online devices that there were, and that a node did not show.
    pub(crate) absent: u64,
    /// What had not settled in time, in words.
    pub(crate) unsettled: Vec<String>,
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    pub(crate) retried: u64,
    pub(crate) connects: u64,
    pub(crate) never_answered: u64,
    pub(crate) presence_repeated: u64,
    /// Nodes that ended by themselves.
    pub(crate) crashes: u64,
    pub(crate) refused: Vec<String>,
    pub(crate) elapsed: Duration,
    pub(crate) restarts: Vec<Restart>,
    /// Restarts after which clients came back in a herd.
    pub(crate) herds: u64,
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) name: &'static str,
}

impl Report {
    pub(crate) fn add(&mut self, record: &Record) {
        self.acknowledged += record.acknowledged.len() as u64;
        self.received += record.received.values().map(|received| received.len() as u64).sum::<u64>();
        self.retried += record.retried;
        self.connects += record.connects.len() as u64;
        self.never_answered += record.unsettled;
        self.presence_repeated += record.presence_repeated;
        self.refused.extend(record.refused.iter().cloned());
    }

    /// Whether every promise held.
    pub(crate) fn is_good(&self) -> bool {
        self.lines().iter().all(|(_, count)| *count == 0)
    }

    /// What must be zero.
    fn lines(&self) -> [(&'static str, u64); 12] {
        [
            ("lost", self.verdict.lost),
            ("doubled", self.verdict.doubled),
            ("disordered", self.verdict.disordered),
            ("ghosts", self.ghosts),
            ("present and not shown", self.absent),
            ("presence told again without a change", self.presence_repeated),
            ("delivered later than 5 s", self.verdict.late),
            ("nodes that ended by themselves", self.crashes),
            ("sends never acknowledged", self.never_answered),
            ("refused for no reason", self.refused.len() as u64),
            ("herds of reconnects", self.herds),
            ("faults without a recovery in time", self.unsettled.len() as u64),
        ]
    }

    /// As Markdown tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "{}, {} nodes, seed {}, {:.1} minutes.\n\n",
            self.name,
            self.nodes,
            self.seed,
            self.elapsed.as_secs_f64() / 60.0
        );
        text.push_str("| | |\n| --- | ---: |\n");
        let faults: usize = self.recoveries.values().map(|recoveries| recoveries.rounds()).sum();
        for (name, count) in [
            ("sends acknowledged", self.acknowledged),
            ("messages received by clients", self.received),
            ("connections made", self.connects),
            ("refusals that a retry has settled", self.retried),
            ("times that something was broken", faults as u64),
        ] {
            let _ = writeln!(text, "| {name} | {count} |");
        }
        for (name, count) in self.lines() {
            let _ = writeln!(text, "| **{name}** | **{count}** |");
        }
        let delays = &self.verdict.delays;
        let _ = writeln!(
            text,
            "| from ack to delivery: p50, p99, max | {}, {}, {} |",
            shown(quantile(delays, 0.5)),
            shown(quantile(delays, 0.99)),
            shown(delays.last().copied())
        );
        if self.recoveries.is_empty() {
            return text;
        }
        text.push_str(
            "\n| fault | times | delivery again: p50 | p99 | max | sessions right again: p50 | p99 | max | never |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (name, recoveries) in &self.recoveries {
            let _ = write!(text, "| {name} | {} ", recoveries.rounds());
            for times in [&recoveries.delivery, &recoveries.presence] {
                let mut times = times.clone();
                times.sort_unstable();
                for time in [quantile(&times, 0.5), quantile(&times, 0.99), times.last().copied()] {
                    let _ = write!(text, "| {} ", shown(time));
                }
            }
            let _ = writeln!(text, "| {} |", recoveries.failed);
        }
        text
    }

    /// Counts how clients came back after each restart.
    pub(crate) fn count_herds(&mut self, records: &[Record]) -> String {
        let mut text = String::from(
            "\n| restart | came back | mean a second | most within a second | times the mean |\n\
             | --- | ---: | ---: | ---: | ---: |\n",
        );
        for (number, restart) in self.restarts.iter().enumerate() {
            let next = self.restarts.get(number + 1).map(|next| next.began);
            let (count, peak) = returns(records, restart.began, next);
            let mean = count as f64 / restart.spread.as_secs_f64();
            let times = peak as f64 / mean;
            self.herds += u64::from(times > PEAK);
            let _ = writeln!(text, "| node {number} | {count} | {mean:.0} | {peak} | {times:.2} |");
        }
        text
    }

    /// What went wrong, in words.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let refused = self.refused.iter().take(5).map(|refusal| format!("refused: {refusal}"));
        self.verdict.examples.iter().cloned().chain(refused).chain(self.unsettled.iter().cloned()).collect()
    }
}

impl Recoveries {
    fn rounds(&self) -> usize {
        self.delivery.len().max(self.presence.len()).max(usize::try_from(self.failed).unwrap_or(0))
    }
}

/// The value that this share of the sorted times is not above.
fn quantile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or("–".into(), |time| format!("{:.2} s", time.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_there_is() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(quantile(&times, 0.5), Some(Duration::from_secs(50)));
        assert_eq!(quantile(&times, 0.99), Some(Duration::from_secs(99)));
        assert_eq!(quantile(&times[..1], 0.99), Some(Duration::from_secs(1)));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn one_fault_of_any_kind_makes_the_report_bad() {
        assert!(Report::default().is_good());
        let ghost = Report { ghosts: 1, ..Report::default() };
        assert!(!ghost.is_good());
        assert!(ghost.markdown().contains("| **ghosts** | **1** |"));
        let refused = Report { refused: vec!["x".into()], ..Report::default() };
        assert!(!refused.is_good());
    }
}
