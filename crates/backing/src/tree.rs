//! A process with all that it has started.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(2);
const END_LIMIT: Duration = Duration::from_secs(10);

/// Sends a signal to a process and to all its descendants.
///
/// A process group would not do: each of Postgres's children makes a group of its own.
pub(crate) fn signal(root: Pid, signal: Signal) -> Result<()> {
    if signal == Signal::CONT {
        // Children first: what the parent starts from then on runs anyway.
        return with_descendants(root).into_iter().rev().try_for_each(|pid| send(pid, signal));
    }
    if signal == Signal::STOP || signal == Signal::KILL {
        freeze(root)?;
    }
    if signal == Signal::STOP {
        return Ok(());
    }
    with_descendants(root).into_iter().try_for_each(|pid| send(pid, signal))
}

/// Kills a process and its descendants, and waits until they hold nothing any more. The process itself is still
/// to be waited for by its parent.
pub(crate) fn kill(root: Pid) -> Result<()> {
    freeze(root)?;
    let pids = with_descendants(root);
    pids.iter().try_for_each(|pid| send(*pid, Signal::KILL))?;
    let until = Instant::now() + END_LIMIT;
    while pids.iter().any(|pid| is_alive(*pid)) && Instant::now() < until {
        thread::sleep(POLL);
    }
    Ok(())
}

/// Stops the parents before their children are listed: none is started behind our back, and none is reaped, so no
/// id can come to mean another process.
fn freeze(root: Pid) -> Result<()> {
    send(root, Signal::STOP)?;
    let until = Instant::now() + END_LIMIT;
    while state(root) == Some('R') && Instant::now() < until {
        thread::sleep(POLL);
    }
    children(root).into_iter().try_for_each(freeze)
}

/// One that has ended meanwhile needs no signal.
fn send(pid: Pid, signal: Signal) -> Result<()> {
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Parents come before their children.
fn with_descendants(root: Pid) -> Vec<Pid> {
    let mut pids = vec![root];
    for child in children(root) {
        pids.extend(with_descendants(child));
    }
    pids
}

fn children(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|child| Pid::from_raw(child.parse().ok()?))
        .collect()
}

/// A process that is dead, but not yet waited for, holds neither memory nor files.
fn is_alive(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name, which may hold anything, is passed over.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
