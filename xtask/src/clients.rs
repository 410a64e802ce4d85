//! The suites of the stock clients: each starts the server's binary itself, and uses it as an app does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use backing::{Postgres, Redis, RedisOptions};

use crate::tool;

/// The oldest Node that the JavaScript suite runs on.
pub(crate) const OLDEST_NODE: u32 = 18;

/// Installs what both suites need, and the databases that the tests start. Returns the Python to use.
pub(crate) fn install() -> Result<PathBuf> {
    let clients = tool::root().join("tests/clients");
    // The demo's commands are run as they are printed.
    provision::debian_program("curl", "curl")?;
    provision::node_packages(&clients.join("js"), OLDEST_NODE)?;
    python_environment()
}

/// The Python that has the stock client; the SDK's suite in Python uses it, too.
pub(crate) fn python_environment() -> Result<PathBuf> {
    provision::python_environment(
        &tool::target_dir()?.join("python-clients"),
        &tool::root().join("tests/clients/python/requirements.txt"),
    )
}

/// What the suites' servers share, if they are not on SQLite.
#[derive(Debug)]
pub(crate) struct Shared {
    postgres: Postgres,
    redis: Redis,
}

impl Shared {
    /// Starts both.
    ///
    /// # Errors
    /// If they do not start.
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let postgres = Postgres::start().await?;
            Ok(Self { postgres, redis: Redis::start(RedisOptions::default()).await? })
        })
    }
}

impl Shared {
    /// Tells a suite where they are.
    pub(crate) fn told_to<'c>(&self, suite: &'c mut Command) -> &'c mut Command {
        let Self { postgres, redis } = self;
        suite.env("REPLYHQ_TEST_DATABASE_URL", postgres.url("postgres"));
        suite.env("REPLYHQ_TEST_REDIS_URL", redis.url())
    }
}

/// How the clients write their packets, in the suites' own words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    Json,
    MessagePack,
}

/// `socket.io-client`, on Node's own test runner.
pub(crate) fn javascript(wire: Wire, shared: Option<&Shared>) -> Result<()> {
    suite(Command::new("node").arg("--test"), "js", wire, shared)
}

/// `python-socketio`, on Python's own.
pub(crate) fn python(python: &Path, wire: Wire, shared: Option<&Shared>) -> Result<()> {
    suite(Command::new(python).args(["-m", "unittest", "--verbose"]), "python", wire, shared)
}

fn suite(command: &mut Command, folder: &str, wire: Wire, shared: Option<&Shared>) -> Result<()> {
    let wire = match wire {
        Wire::Json => "json",
        Wire::MessagePack => "msgpack",
    };
    command.env("REPLYHQ_TEST_WIRE", wire);
    let binary = tool::target_dir()?.join("debug/replyhq");
    command.current_dir(tool::root().join("tests/clients").join(folder)).env("REPLYHQ_BINARY", binary);
    if let Some(shared) = shared {
        shared.told_to(command);
    }
    tool::run(command)
}
