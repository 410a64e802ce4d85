//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Measures ReplyHQ, alone or against the Node baseline in bench/node.
///
/// The tool starts the servers itself, in private folders: the server under test on one core, the tool on another.
/// The baseline's Postgres and Redis run where --database-core says.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadtest")]
pub(crate) struct Options {
    /// What to measure; everything, if nothing is named.
    #[arg(value_enum)]
    pub(crate) modes: Vec<Mode>,
    /// The server under test.
    #[arg(long, value_enum, default_value_t = Contender::Replyhq)]
    pub(crate) target: Contender,
    /// A second server, measured in turn with the first; the table then has ratios.
    #[arg(long, value_enum)]
    pub(crate) against: Option<Contender>,
    /// ReplyHQ's binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/replyhq")]
    pub(crate) binary: PathBuf,
    /// The folder of the Node baseline.
    #[arg(long, value_name = "DIR", default_value = "bench/node")]
    pub(crate) node_dir: PathBuf,
    /// Where the servers keep their data: one filesystem for all of them.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) work_dir: PathBuf,
    /// How often each mode is run against each server; the median is reported.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) rounds: u32,
    /// How long each measurement lasts.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How long each load runs before it is measured.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) warmup: u64,
    /// idle: how many connections.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// connects: how many handshakes are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) in_flight: usize,
    /// sends, paced, rest: how many conversations, each with one agent and one device.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) pairs: usize,
    /// sends, paced, rest: how many pairs share an app. Each agent of an app gets the app's whole inbox feed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) pairs_per_app: usize,
    /// sends: how many sends each agent keeps in flight; each value is a measurement.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,8")]
    pub(crate) window: Vec<u64>,
    /// paced: sends per second, over all pairs.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) rate: u64,
    /// fanout, stalled: how many connections are joined to the conversation.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// fanout: how many messages are under way at a time, each until its last subscriber has it.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) fanout_window: u64,
    /// fanout: messages per second when the latency is measured.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) fanout_rate: u64,
    /// stalled: messages per second.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) stalled_rate: u64,
    /// stalled: characters per message, so many that the stalled reader's buffers fill up soon.
    #[arg(long, value_name = "N", default_value_t = 1_500)]
    pub(crate) stalled_body: usize,
    /// sdk: how many clients.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) clients: usize,
    /// sdk: how many messages each client's person writes, and how many the agents answer in each conversation. More
    /// than 50 of both together, and a client has to ask for older ones.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) messages: usize,
    /// sdk: how many threads the clients share, all on the tool's core. So many can wait for the disk at a time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) client_threads: usize,
    /// growth: how many conversations there are when it is measured; each value is a measurement.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "3000,30000")]
    pub(crate) growth: Vec<usize>,
    /// growth: messages in each conversation.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) growth_messages: u64,
    /// team: how many agents have the inbox open; as many people write.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) agents: usize,
    /// team: messages that people write in a second.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) team_messages: u64,
    /// team: devices that come online or go offline in a second.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) team_presence: u64,
    /// team: have a real dashboard beside it, in Chromium, and measure the longest of its tasks.
    #[arg(long)]
    pub(crate) page: bool,
    /// team: what opens that dashboard.
    #[arg(long, value_name = "FILE", default_value = "tests/web/busy-page.js")]
    pub(crate) page_script: PathBuf,
    /// Characters per message in all other modes.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) body: usize,
    /// The core that the server under test runs on.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The core that the tool runs on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) tool_core: usize,
    /// The core that Postgres and Redis run on, where the server needs them. By default the server's: all that has to
    /// be run for the same work shares one core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) database_core: usize,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the table, and how it came about, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Options {
    /// The modes to run, in order. Growth takes minutes to fill a database, and is run only where it is named.
    pub(crate) fn chosen_modes(&self) -> Vec<Mode> {
        let all = Mode::value_variants().iter().copied().filter(|mode| *mode != Mode::Growth);
        if self.modes.is_empty() { all.collect() } else { self.modes.clone() }
    }

    /// The modes that were asked for and mean nothing for one of the servers.
    pub(crate) fn refused_modes(&self) -> Option<(Mode, Contender)> {
        let pairs =
            self.modes.iter().flat_map(|mode| self.contenders().into_iter().map(|server| (*mode, server)));
        pairs.into_iter().find(|(mode, server)| !mode.is_for(*server))
    }

    /// The servers to measure.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let mut contenders = vec![self.target];
        contenders.extend(self.against.filter(|against| *against != self.target));
        contenders
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The memory of an idle server, and of idle authenticated connections.
    Idle,
    /// Authenticated connects per second.
    Connects,
    /// Acknowledged durable sends per second, in rooms of two.
    Sends,
    /// Latency at a given rate, measured from the time at which each send was due.
    Paced,
    /// Sends per second over REST.
    Rest,
    /// Deliveries per second from one conversation to many connections.
    Fanout,
    /// What one connection that stops reading does to the others.
    Stalled,
    /// What a flood of wrong sign-ins does to those who talk. Not for the Node baseline, which has none.
    SignIns,
    /// A large team: agents with the inbox open, people who write, people who come and go. Not for the Node baseline, whose agents have
    /// no inbox.
    Team,
    /// How what things cost grows with what is stored: fills a database by the server's routes. Not for the Node baseline.
    Growth,
    /// Many clients of the SDK, as apps have it, through a killed server and networks that go away. Not for the Node
    /// baseline, which has no SDK.
    Sdk,
}

impl Mode {
    /// The mode as it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connects => "connects",
            Self::Sends => "sends",
            Self::Paced => "paced",
            Self::Rest => "rest",
            Self::Fanout => "fanout",
            Self::Stalled => "stalled",
            Self::SignIns => "sign-ins",
            Self::Team => "team",
            Self::Growth => "growth",
            Self::Sdk => "sdk",
        }
    }

    /// Whether it can be run against that server. The SDK speaks to ReplyHQ and to nothing else; the baseline has no lists and no agents who
    /// sign in.
    pub(crate) fn is_for(self, contender: Contender) -> bool {
        match contender {
            Contender::Node => !matches!(self, Self::Sdk | Self::Growth | Self::SignIns | Self::Team),
            Contender::ReplyhqMsgpack => {
                matches!(self, Self::Sends | Self::Paced | Self::Fanout | Self::Stalled)
            }
            Contender::Replyhq | Contender::ReplyhqPostgres | Contender::ReplyhqTwoNodes => true,
        }
    }
}

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// ReplyHQ as it comes: SQLite, one process.
    Replyhq,
    /// The same, with clients that write MessagePack. For modes that are about messages on sockets.
    ReplyhqMsgpack,
    /// ReplyHQ on the same Postgres and Redis that the baseline has.
    ReplyhqPostgres,
    /// Two nodes of ReplyHQ on one Postgres and one Redis: agents on the first, devices on the second. For modes of rooms
    /// of two; all others use the first node.
    ReplyhqTwoNodes,
    /// The Node baseline.
    Node,
}

impl Contender {
    /// Whether it is ReplyHQ's one process, without Postgres and Redis.
    pub(crate) fn is_one_process(self) -> bool {
        matches!(self, Self::Replyhq | Self::ReplyhqMsgpack)
    }

    /// The name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replyhq => "ReplyHQ",
            Self::ReplyhqMsgpack => "ReplyHQ, MessagePack",
            Self::ReplyhqPostgres => "ReplyHQ on Postgres",
            Self::ReplyhqTwoNodes => "ReplyHQ, two nodes",
            Self::Node => "Node",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let options =
            Options::parse_from(["loadtest", "sends", "paced", "--against", "node", "--window", "1,4"]);
        assert_eq!(options.chosen_modes(), [Mode::Sends, Mode::Paced]);
        assert_eq!(options.contenders(), [Contender::Replyhq, Contender::Node]);
        assert_eq!(options.window, [1, 4]);
        assert_eq!(Options::parse_from(["loadtest"]).chosen_modes().len(), 10);
    }

    #[test]
    fn the_sdk_is_refused_for_the_baseline_where_it_is_asked_for() {
        let refused =
            |arguments: &[&str]| Options::parse_from([&["loadtest"], arguments].concat()).refused_modes();
        assert_eq!(refused(&["sdk", "--against", "node"]), Some((Mode::Sdk, Contender::Node)));
        assert_eq!(refused(&["sdk", "sends"]), None);
        assert_eq!(refused(&["--against", "node"]), None, "everything is what is possible");
    }

    #[test]
    fn a_mode_is_named_as_it_is_written() {
        for mode in Mode::value_variants() {
            assert_eq!(mode.to_possible_value().unwrap().get_name(), mode.name());
        }
    }
}
