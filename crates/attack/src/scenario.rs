//! What a scenario is, and all that there are.

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;

use crate::scenarios::{agents, fairness, handshakes, limits, made_up, memory, readers, sign_ins, storms};
use crate::trial::Trial;

/// What a scenario does: from the undisturbed moment to the attackers' leaving.
pub(crate) type Attack = for<'a> fn(&'a mut Trial) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One way to attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its group and its own name: `pings/empty`.
    pub(crate) name: &'static str,
    /// Flags of the server, each as `--name value`; a server that does not know one is not told.
    pub(crate) flags: &'static [&'static str],
    /// The server's limit of open files.
    pub(crate) descriptors: Option<u32>,
    /// Whether ordinary people are there as well.
    pub(crate) has_victims: bool,
    /// Whether it is in the short run.
    pub(crate) is_in_short: bool,
    /// What it does.
    pub(crate) attack: Attack,
}

impl Scenario {
    /// With the server's own settings, in the short run, and with victims.
    pub(crate) const fn new(name: &'static str, attack: Attack) -> Self {
        Self { name, flags: &[], descriptors: None, has_victims: true, is_in_short: true, attack }
    }

    /// With these flags.
    pub(crate) const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// With so few open files.
    pub(crate) const fn descriptors(mut self, count: u32) -> Self {
        self.descriptors = Some(count);
        self
    }

    /// Without victims: there is no room for them.
    pub(crate) const fn alone(mut self) -> Self {
        self.has_victims = false;
        self
    }

    /// Not in the short run.
    pub(crate) const fn long(mut self) -> Self {
        self.is_in_short = false;
        self
    }

    /// Whether it is what `wanted` names: itself or its group.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.name.split('/').next() == Some(wanted)
    }
}

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    [
        memory::scenarios(),
        readers::scenarios(),
        agents::scenarios(),
        fairness::scenarios(),
        made_up::scenarios(),
        limits::scenarios(),
        handshakes::scenarios(),
        sign_ins::scenarios(),
        storms::scenarios(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_is_in_its_group() {
        let scenarios = all();
        for (index, scenario) in scenarios.iter().enumerate() {
            assert!(scenarios[..index].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
        }
        assert!(scenarios.iter().filter(|scenario| scenario.is("pings")).count() > 5);
        assert_eq!(scenarios.iter().filter(|scenario| scenario.is("pings/empty")).count(), 1);
    }
}
