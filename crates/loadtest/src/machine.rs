//! The machine that all this runs on.

use anyhow::{Context, Result};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};
use std::{fs, path::Path, process::Command};

const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Keeps this process, and what it starts, to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("pinning the tool to core {core}"))
}

/// Allows `count` open files, here and in the servers.
pub(crate) fn raise_open_files(count: u64) -> Result<()> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(count));
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum })
        .with_context(|| format!("allowing {count} open files, above the hard limit of {:?}", now.maximum))
}

/// The processor, memory, kernel and filesystem, in a line.
pub(crate) fn describe(work_dir: &Path) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory_disk = rustix::fs::statfs(work_dir)?.f_type as u64 == TMPFS_MAGIC;
    let disk = if memory_disk { "data in memory: NOT DURABLE" } else { "data on disk" };
    let gib = (kib as f64 / 1_048_576.0).round();
    Ok(format!("{cores} cores of {model}, {gib} GiB, Linux {}, {disk}", kernel.trim()))
}

/// Today, in UTC.
pub(crate) fn today() -> Result<String> {
    Ok(::backing::run(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned())
}
