//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Starts Postgres, Redis and several nodes, drives devices and agents, breaks things at random, and checks that nothing
/// is lost, doubled or out of order, and that nobody is a ghost
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos", version)]
pub(crate) struct Options {
    /// How long faults go on, in minutes
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    pub(crate) minutes: f64,
    /// What the faults, their order and their lengths are made of
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which server
    #[arg(long, value_enum, default_value_t = Contender::Replyhq)]
    pub(crate) target: Contender,
    /// Only these kinds of fault; all, if none is named
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) faults: Vec<crate::fault::Kind>,
    /// Instead of breaking anything, restarts each node in turn, as a deployment does, with clients that stay; and
    /// tells how their reconnects were spread
    #[arg(long)]
    pub(crate) rolling: bool,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) nodes: usize,
    /// How many apps, each with its devices and agents
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) apps: usize,
    /// Devices in each app; each has one conversation
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) devices: usize,
    /// Agents in each app; each is in all of the app's conversations
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) agents: usize,
    /// Connections of one device, at most; how many it has is up to the seed
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) tabs: usize,
    /// Sends a second, by all devices and agents together
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rate: u64,
    /// Over how many seconds a node that leaves spreads its clients' return
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) spread: u64,
    /// The server's binary
    #[arg(long, value_name = "FILE", default_value = "target/release/replyhq")]
    pub(crate) binary: PathBuf,
    /// The folder of the Node baseline
    #[arg(long, value_name = "DIR", default_value = "bench/node")]
    pub(crate) node_dir: PathBuf,
    /// Keeps the servers' logs there
    #[arg(long, value_name = "DIR")]
    pub(crate) logs: Option<PathBuf>,
    /// Writes the report's tables there, as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// A server that can be put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// ReplyHQ
    Replyhq,
    /// The Node baseline
    Node,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let options = Options::parse_from(["chaos", "--faults", "node-kill,redis-flush", "--minutes", "0.5"]);
        assert_eq!(options.faults.len(), 2);
    }
}
