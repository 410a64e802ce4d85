//! The commands behind the README: `cargo xtask …`.

mod attack;
mod chaos;
mod check;
mod clients;
mod demo;
mod dependencies;
mod fuzz;
mod load;
mod sdk;
mod steps;
mod test;
mod tool;
mod web;
mod web_types;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, runs and tests ReplyHQ
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the server and run it with a demo app; further arguments go to `replyhq serve`
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// Formatting and lints
    Check,
    /// Everything that must hold: installs what is missing, then checks, tests, stock clients, fuzzing, a short load
    Test {
        /// Leave out the steps before this one, by its name in the summary; what others need is still made
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
    },
    /// Build and run the load tool; further arguments go to it
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// Build the server, break what it stands on at random, and check that nothing is lost; further arguments go to
    /// the chaos tool: --minutes N --seed S
    Chaos {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// Build the server and attack it with what no well-behaved client does, with ordinary people beside; further
    /// arguments go to the attacker: --scenario NAME --against BINARY --judge
    Attack {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
    /// The mobile SDK: its library, its size, its bindings, and the suites in Python, Kotlin and Swift
    Sdk,
    /// Only write the SDK's bindings, to be packaged
    SdkBindings,
    /// Only make the SDK's packages for the JVM
    SdkJar,
    /// Build the dashboard's pages, which the next build of the server takes into its binary
    Web,
    /// Make the pictures in docs/pictures, of the dashboard with a shop in it
    Shots,
    /// Only write the TypeScript types of what travels, from the schemas in docs
    WebTypes,
    /// Build and run every fuzz target
    Fuzz {
        /// How long each target runs
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tool::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo { arguments } => demo::run(&arguments),
        Command::Check => check::run(),
        Command::Test { from } => test::run(from),
        Command::Load { arguments } => load::run(arguments),
        Command::Chaos { arguments } => chaos::run(arguments),
        Command::Attack { arguments } => attack::run(arguments),
        Command::Sdk => sdk::run(),
        Command::SdkBindings => sdk::bindings(),
        Command::SdkJar => sdk::jar(),
        Command::Web => web::build(),
        Command::Shots => web::shots(),
        Command::WebTypes => web_types::run(),
        Command::Fuzz { seconds } => fuzz::build().and_then(|()| fuzz::run(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_after_demo_are_the_servers() {
        let cli = Cli::parse_from(["cargo xtask", "demo", "--listen", "127.0.0.1:0"]);
        assert!(
            matches!(cli.command, Command::Demo { arguments } if arguments == ["--listen", "127.0.0.1:0"])
        );
    }
}
