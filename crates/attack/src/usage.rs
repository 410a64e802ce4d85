//! What the server's process and the kernel use for it, as the kernel counts it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const ESTABLISHED: &str = "01";
/// The other side has said goodbye, and the server not yet.
const CLOSE_WAIT: &str = "08";
/// `/proc/net/tcp` writes addresses as one number in the machine's order: this is 127.66.0.0/16, where attackers are.
const HOSTILE: &str = "427F";
const MIB: f64 = 1_048_576.0;

/// The memory of one process, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) resident: f64,
    /// Resident, private and anonymous: what it has allocated.
    pub(crate) private: f64,
}

impl Memory {
    /// Reads it.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
            let kib = kib.and_then(|number| number.parse::<f64>().ok());
            kib.map(|kib| kib / 1024.0).with_context(|| format!("no {name} in smaps_rollup"))
        };
        Ok(Self { resident: field("Rss:")?, private: field("Anonymous:")? })
    }
}

/// The MiB that the kernel has for all TCP connections, of both ends.
pub(crate) fn kernel_tcp() -> Result<f64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let pages = parse_tcp_pages(&text).context("no TCP memory in sockstat")?;
    Ok(pages as f64 * rustix::param::page_size() as f64 / MIB)
}

fn parse_tcp_pages(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_once(" mem ")?.1.split_ascii_whitespace().next()?.parse().ok()
}

/// How many descriptors the process has open.
pub(crate) fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The processor seconds that the process has used.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = parse_cpu_ticks(&stat).context("reading the processor time")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// utime and stime. The name, which may hold anything, is passed over.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The MiB that the process has caused to be written to the disk.
pub(crate) fn written(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    let bytes = line.and_then(|bytes| bytes.trim().parse::<f64>().ok()).context("no write_bytes")?;
    Ok(bytes / MIB)
}

/// The MiB of all files in a folder.
pub(crate) fn folder(dir: &Path) -> Result<f64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        // A file may go away while it is looked at.
        bytes += entry?.metadata().map_or(0, |data| data.len());
    }
    Ok(bytes as f64 / MIB)
}

/// How many attackers' connections the server has accepted and not closed.
pub(crate) fn hostile_connections(port: u16) -> Result<usize> {
    Ok(count_hostile(&fs::read_to_string("/proc/net/tcp")?, port))
}

fn count_hostile(table: &str, port: u16) -> usize {
    let port = format!(":{port:04X}");
    let is_hostile = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [_, local, remote, state, _, _, _, _, _, inode] = *fields else { return false };
        // Who has not been accepted has no inode yet.
        local.ends_with(&port)
            && remote.get(4..8) == Some(HOSTILE)
            && [ESTABLISHED, CLOSE_WAIT].contains(&state)
            && inode != "0"
    };
    table.lines().filter(is_hostile).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let sockstat = "sockets: used 10\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 37\nUDP: inuse 0 mem 9\n";
        assert_eq!(parse_tcp_pages(sockstat), Some(37));
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 30 5 2 20 0 1 0 100 1000 1";
        assert_eq!(parse_cpu_ticks(stat), Some(280));
    }

    #[test]
    fn of_connections_only_the_attackers_that_are_accepted_and_open_count() {
        let line = |remote: &str, state: &str, inode: &str| {
            format!("   0: 0100007F:0BB8 {remote}:9C40 {state} 0:0 00:0 0 0 0 {inode} 1 x\n")
        };
        let table = [
            line("0100427F", "01", "77"),
            line("0900427F", "08", "78"),
            line("0100427F", "01", "0"),
            line("0100427F", "06", "79"),
            line("0100007F", "01", "80"),
        ];
        assert_eq!(count_hostile(&table.concat(), 3000), 2);
        assert_eq!(count_hostile(&table.concat(), 3001), 0);
    }

    #[test]
    fn this_process_is_read() {
        let pid = std::process::id();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.resident >= memory.private && memory.private > 0.0);
        assert!(descriptors(pid).unwrap() > 2 && cpu_seconds(pid).unwrap() >= 0.0);
    }
}
