//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, value_parser};

use crate::trial::Pace;

/// Attacks private servers on this machine with what no well-behaved client does, with ordinary people beside, and tells
/// what it cost the server and them
#[derive(Clone, Debug, Parser)]
#[command(name = "attack", version)]
pub(crate) struct Options {
    /// The server's binary
    #[arg(long, value_name = "FILE", default_value = "target/release/replyhq")]
    pub(crate) binary: PathBuf,
    /// Another binary, attacked in the same way: it comes first in the table, as what was before
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Only these scenarios, or groups of them; all, if none is named
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// Names the scenarios and ends
    #[arg(long)]
    pub(crate) list: bool,
    /// How long each attack goes on
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=30))]
    pub(crate) seconds: u64,
    /// Ends with code 1 if anything does not hold. Judged is what was lost, who was thrown out, who stayed and what it
    /// took; never how long anything took
    #[arg(long)]
    pub(crate) judge: bool,
    /// A selection, with fewer connections and for a moment each
    #[arg(long)]
    pub(crate) short: bool,
    /// Writes the table there, as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Options {
    /// How long things go on.
    pub(crate) fn pace(&self) -> Pace {
        let (baseline, attack, after) =
            if self.short { (300, 2_000, 200) } else { (2_000, self.seconds * 1_000, 3_000) };
        Pace {
            baseline: Duration::from_millis(baseline),
            attack: Duration::from_millis(attack),
            after: Duration::from_millis(after),
            is_short: self.short,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Options;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }
}
