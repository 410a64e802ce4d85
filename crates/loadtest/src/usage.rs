//! What processes use, as the kernel counts it.

use anyhow::{Context, Result};
use std::fs;

/// The memory of one process, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) rss: u64,
    /// Resident, with shared pages divided among those who share them.
    pub(crate) pss: u64,
}

impl Memory {
    /// Reads it.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
            kib.and_then(|number| number.parse().ok()).with_context(|| format!("no {name} in smaps_rollup"))
        };
        Ok(Self { rss: field("Rss:")?, pss: field("Pss:")? })
    }
}

/// The processor seconds that a process, its children and its children's children have used, the dead included.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut seconds = parse_cpu_ticks(&stat).context("reading the processor time")? as f64
        / rustix::param::clock_ticks_per_second() as f64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for child in children.split_ascii_whitespace().filter_map(|child| child.parse().ok()) {
            seconds += cpu_seconds(child).unwrap_or(0.0);
        }
    }
    Ok(seconds)
}

/// The processor seconds that the whole machine has spent on anything but idling and waiting.
pub(crate) fn machine_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = parse_machine_ticks(&stat).context("reading the machine's processor time")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// user, nice, system, irq, softirq: all but idle and iowait, and what a hypervisor took.
fn parse_machine_ticks(stat: &str) -> Option<u64> {
    let fields: Option<Vec<u64>> = stat
        .lines()
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .take(7)
        .map(|ticks| ticks.parse().ok())
        .collect();
    match *fields? {
        [user, nice, system, _idle, _waiting, irq, softirq] => Some(user + nice + system + irq + softirq),
        _ => None,
    }
}

/// utime, stime, cutime and cstime together. The name, which may hold anything, is passed over.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    times.map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_an_awkward_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 30 5 2 20 0 1 0 100 1000 1";
        assert_eq!(parse_cpu_ticks(stat), Some(287));
        assert_eq!(parse_cpu_ticks("nonsense"), None);
    }

    #[test]
    fn the_machine_is_busy_when_it_neither_idles_nor_waits() {
        assert_eq!(parse_machine_ticks("cpu  1 2 4 800 900 8 16 32 0 0\ncpu0 9"), Some(31));
        assert_eq!(parse_machine_ticks("cpu  1 2"), None);
    }

    #[test]
    fn this_process_is_read() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss > 100);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
