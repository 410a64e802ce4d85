//! What the victims found.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::Phase;
use crate::latency::Latency;

/// The times of one phase.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// From a send to its ack.
    pub(crate) ack: Latency,
    /// From a connect to the greeting.
    pub(crate) login: Latency,
}

/// An agent who watches.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    /// How it reads.
    pub(crate) name: &'static str,
    /// Why it was thrown out, if it was.
    pub(crate) thrown_out: Option<String>,
    /// Whether its question for the sessions was answered, if it asked.
    pub(crate) answered: Option<bool>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// What things took before the attack.
    pub(crate) baseline: Times,
    /// And during it.
    pub(crate) attacked: Times,
    /// Sends, in all phases.
    pub(crate) sent: u64,
    /// Sends that were answered with a failure.
    pub(crate) refused: u64,
    /// Sends that were never answered.
    pub(crate) unanswered: u64,
    /// Messages that were acknowledged and never came to the agent, or not in order.
    pub(crate) missing: u64,
    /// Logins that failed.
    pub(crate) failed_logins: u64,
    /// How often a device was thrown out.
    pub(crate) devices_out: u64,
    /// The agents; first the one who is always there.
    pub(crate) agents: Vec<Watcher>,
    /// What first went wrong.
    pub(crate) complaint: Option<String>,
    /// Devices that still write or wait for answers.
    pub(super) devices_at_work: usize,
    /// The newest `seq` that was acknowledged, by conversation.
    acked: HashMap<String, u64>,
    /// The newest `seq` that came to the agent without a hole, by conversation.
    seen: HashMap<String, u64>,
}

/// The same, while it is being found.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Findings>);

impl Shared {
    pub(super) fn new() -> Result<Self> {
        let times = Times { ack: Latency::new()?, login: Latency::new()? };
        Ok(Self(Mutex::new(Findings {
            baseline: times.clone(),
            attacked: times,
            sent: 0,
            refused: 0,
            unanswered: 0,
            missing: 0,
            failed_logins: 0,
            devices_out: 0,
            agents: Vec::new(),
            complaint: None,
            devices_at_work: 0,
            acked: HashMap::new(),
            seen: HashMap::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found; what has not come by now is missing, unless the agent to whom it should have come is out.
    pub(super) fn findings(&self) -> Findings {
        let mut findings = self.lock().clone();
        if findings.agents.first().is_none_or(|agent| agent.thrown_out.is_none()) {
            findings.missing += findings.behind();
        }
        findings
    }

    /// How many agents' answers are still awaited.
    pub(super) fn awaited_answers(&self) -> usize {
        let awaited = |agent: &&Watcher| agent.thrown_out.is_none() && agent.answered != Some(true);
        self.lock().agents.iter().filter(awaited).count()
    }
}

impl Findings {
    /// Where what took time in this phase is recorded.
    pub(super) fn times(&mut self, phase: Phase) -> Option<&mut Times> {
        match phase {
            Phase::Baseline => Some(&mut self.baseline),
            Phase::Attacked | Phase::Asking => Some(&mut self.attacked),
            Phase::Before | Phase::Over => None,
        }
    }

    /// A send was answered.
    pub(super) fn ack(&mut self, phase: Phase, took: Duration, conversation: &str, seq: Option<u64>) {
        if let Some(times) = self.times(phase) {
            times.ack.record(took);
        }
        match seq {
            Some(seq) => {
                let newest = self.acked.entry(conversation.to_owned()).or_default();
                *newest = seq.max(*newest);
            }
            None => self.refused += 1,
        }
    }

    /// A message came to the agent.
    pub(super) fn see(&mut self, conversation: &str, seq: u64) {
        let newest = self.seen.entry(conversation.to_owned()).or_default();
        self.missing += seq.abs_diff(*newest + 1);
        *newest = seq.max(*newest);
    }

    /// How many messages were acknowledged and have not come to the agent.
    pub(super) fn behind(&self) -> u64 {
        let seen = |conversation| self.seen.get(conversation).copied().unwrap_or_default();
        self.acked.iter().map(|(conversation, acked)| acked.saturating_sub(seen(conversation))).sum()
    }

    /// Whether anything is still to come: a device's last answers, or what the agent has not heard of. What was refused
    /// or lost is awaited no more.
    pub(super) fn is_behind(&self) -> bool {
        self.devices_at_work > 0 || self.behind() > 0
    }

    /// Keeps the first complaint.
    pub(super) fn complain(&mut self, complaint: String) {
        self.complaint.get_or_insert(complaint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acked_has_to_come_once_and_in_order() {
        let shared = Shared::new().unwrap();
        for seq in 1..=4 {
            shared.lock().ack(Phase::Attacked, Duration::ZERO, "a", Some(seq));
        }
        for seq in [1, 2] {
            shared.lock().see("a", seq);
        }
        assert_eq!((shared.findings().missing, shared.lock().behind()), (2, 2));
        shared.lock().see("a", 4);
        assert_eq!((shared.findings().missing, shared.lock().behind()), (1, 0));
        shared.lock().ack(Phase::Attacked, Duration::ZERO, "a", None);
        assert_eq!(shared.findings().refused, 1);
    }
}
