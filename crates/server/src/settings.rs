//! What an operator can set: by flag, by environment, by file; in this order. One struct, validated once.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use cluster::RedisUrl;
use protocol::limits::{self, Action, By, Rate};
use store::Location;

use crate::address::Proxies;
use crate::legacy::LegacySettings;

/// Where the server listens if nothing is said.
pub(crate) const LISTEN: &str = "127.0.0.1:3000";

/// Where the data is. The same for the server and for every command.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// Folder for the SQLite database, where no --database-url is given
    #[arg(long, value_name = "DIR", env = "REPLYHQ_DATA_DIR", default_value = "replyhq-data")]
    pub data_dir: PathBuf,

    /// Database: sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full&sslrootcert=FILE
    /// and the like for TLS. A password in an argument can be read by every user of the machine (ps): give it by the
    /// variable or by the file
    #[arg(long, value_name = "URL", env = "REPLYHQ_DATABASE_URL", hide_env_values = true, value_parser = parse_database_url)]
    pub database_url: Option<Location>,

    /// A file with what --database-url would say
    #[arg(long, value_name = "FILE", env = "REPLYHQ_DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
}

impl DatabaseSettings {
    /// Puts the URL that a file holds in its place; to be called with the command's own matches before anything is asked.
    ///
    /// # Errors
    /// A line that says what is wrong, without what the file holds.
    pub(crate) fn read_url(&mut self, matches: &ArgMatches) -> Result<(), String> {
        let file = self.database_url_file.as_deref();
        from_file(&mut self.database_url, "database_url", file, matches, parse_database_url)
    }

    /// Where the data is.
    pub fn location(&self) -> Location {
        self.database_url.clone().unwrap_or_else(|| Location::Sqlite(self.data_dir.join("replyhq.db")))
    }
}

fn parse_database_url(url: &str) -> Result<Location, String> {
    if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        if path.is_empty() {
            return Err("the path of the SQLite file is missing: sqlite:PATH".into());
        }
        return Ok(Location::Sqlite(path.into()));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let config = url.parse().map_err(|error: store::Error| error.to_string())?;
        return Ok(Location::Postgres(Box::new(config)));
    }
    Err("expected sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE".into())
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Settings of `replyhq serve`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to listen on; port 0 takes a free one, and the ready line names it
    #[arg(long, value_name = "ADDRESS", env = "REPLYHQ_LISTEN", default_value = LISTEN)]
    pub listen: SocketAddr,

    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseSettings,

    /// How people reach the server, as in https://chat.example: where links lead that are given out. Where it listens, if
    /// nothing is said
    #[arg(long, value_name = "URL", env = "REPLYHQ_PUBLIC_URL", value_parser = parse_public_url)]
    pub public_url: Option<String>,

    /// Make a demo app with a conversation in it, and print how to try it
    #[arg(long)]
    pub demo: bool,

    /// Redis that several nodes share, beside a Postgres: redis://[USER:PASSWORD@]HOST:PORT, several HOST:PORT with
    /// commas for a Redis Cluster, redis+sentinel://HOST:PORT,…/MASTER for Sentinel; rediss:// and rediss+sentinel://
    /// for TLS. A password in an argument can be read by every user of the machine (ps)
    #[arg(long, value_name = "URL", env = "REPLYHQ_REDIS_URL", hide_env_values = true, value_parser = RedisUrl::parse)]
    pub redis_url: Option<RedisUrl>,

    /// A file with what --redis-url would say
    #[arg(long, value_name = "FILE", env = "REPLYHQ_REDIS_URL_FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// How the log is written
    #[arg(long, value_name = "FORMAT", env = "REPLYHQ_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// What the log holds: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "REPLYHQ_LOG_LEVEL", default_value = "info")]
    pub log_level: tracing::level_filters::LevelFilter,

    /// Networks of the proxies in front of the server, with commas between them, as in 10.0.0.0/8,::1: only they are
    /// believed where a client is (X-Forwarded-For, PROXY protocol). `none` where clients reach it by themselves
    #[arg(long, value_name = "NETWORKS", env = "REPLYHQ_TRUSTED_PROXIES", value_parser = Proxies::parse)]
    pub trusted_proxies: Option<Proxies>,

    /// A second address, for those who run the server: /metrics, /docs and the schemas are there and not on the first,
    /// /healthz and /readyz on both
    #[arg(long, value_name = "ADDRESS", env = "REPLYHQ_INTERNAL_LISTEN")]
    pub internal_listen: Option<SocketAddr>,

    /// What stands in the log of addresses, which are personal data: full, network or none
    #[arg(long, value_name = "HOW", env = "REPLYHQ_LOG_ADDRESSES", value_enum, default_value_t = LogAddresses::Full)]
    pub log_addresses: LogAddresses,

    /// Sends a second per device, twice as many at once; 0 is no limit, of nothing that devices do
    #[arg(long, value_name = "N", env = "REPLYHQ_RATE_LIMIT_DEVICE", default_value_t = limits::DEVICE_SENDS_PER_SECOND)]
    pub rate_limit_device: u32,

    /// Sends a second per agent connection, twice as many at once; 0 is no limit, of nothing that agents do
    #[arg(long, value_name = "N", env = "REPLYHQ_RATE_LIMIT_AGENT", default_value_t = limits::AGENT_SENDS_PER_SECOND)]
    pub rate_limit_agent: u32,

    /// Other limits than the usual ones, with commas between them: ACTION.BY=PER_MINUTE/BURST or ACTION.BY=off, as in
    /// open.app=600/200,typing.device=off
    #[arg(long, value_name = "LIMITS", env = "REPLYHQ_RATE_LIMITS", default_value = "", value_parser = RateLimits::parse)]
    pub rate_limits: RateLimits,

    /// Connections per device; 0 is no limit
    #[arg(long, value_name = "N", env = "REPLYHQ_MAX_CONNECTIONS_PER_DEVICE", default_value_t = limits::CONNECTIONS_PER_DEVICE)]
    pub max_connections_per_device: u32,

    /// Open connections in all, those before authentication too; more wait, but for questions about health; 0 is as many
    /// as the process may open
    #[arg(long, value_name = "N", env = "REPLYHQ_MAX_CONNECTIONS", default_value_t = 0)]
    pub max_connections: u32,

    /// From one ping to the next
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_PING_INTERVAL", default_value = "25s", value_parser = parse_duration)]
    pub ping_interval: Duration,

    /// How long a pong may take before the connection is dropped
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_PING_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub ping_timeout: Duration,

    /// How long an HTTP connection may be idle between two requests; longer than any proxy in front keeps its own, or
    /// requests are lost on the way
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_KEEP_ALIVE_TIMEOUT", default_value = "180s", value_parser = parse_duration)]
    pub keep_alive_timeout: Duration,

    /// How long a client may take for its handshake, and for an HTTP request's head
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_HANDSHAKE_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub handshake_timeout: Duration,

    /// How long a peer may take nothing of what waits for it before it is dropped; for a socket the ping timeout counts
    /// too
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_WRITE_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub write_timeout: Duration,

    /// How long a whole HTTP answer may take to be read
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_ANSWER_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub answer_timeout: Duration,

    /// Bytes of memory that may wait for one connection before it is dropped as a slow reader
    #[arg(long, value_name = "BYTES", env = "REPLYHQ_MAX_QUEUE_BYTES", default_value_t = limits::QUEUE_BYTES)]
    pub max_queue_bytes: usize,

    /// How long a shutdown may take before what is left is cut off
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_SHUTDOWN_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub shutdown_timeout: Duration,

    /// Whether and how clients of the protocol before Socket.IO are served.
    #[command(flatten)]
    pub legacy: LegacySettings,

    /// Over how long clients are asked to spread when they come back after a shutdown
    #[arg(long, value_name = "DURATION", env = "REPLYHQ_RECONNECT_SPREAD", default_value = "10s", value_parser = parse_duration)]
    pub reconnect_spread: Duration,
}

impl Settings {
    /// Puts the URLs that files hold in their places; to be called with the command's own matches before anything is
    /// asked.
    ///
    /// # Errors
    /// A line that says what is wrong, without what the file holds.
    pub(crate) fn read_urls(&mut self, matches: &ArgMatches) -> Result<(), String> {
        self.database.read_url(matches)?;
        let file = self.redis_url_file.as_deref();
        from_file(&mut self.redis_url, "redis_url", file, matches, RedisUrl::parse)
    }
}

/// A queue that a page fits into, with what may come behind it.
const QUEUE_BYTES_MIN: usize = 2 * limits::PAGE_BYTES;

/// A connection that is made again and again needs some time for a handshake, and the answer to a ping a way there and back.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

impl Settings {
    /// What can't work together, or not at all.
    ///
    /// # Errors
    /// A line that says what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_queue_bytes < QUEUE_BYTES_MIN {
            return Err(format!(
                "--max-queue-bytes {}: nobody could catch up, for a page of history takes up to {}; at least {QUEUE_BYTES_MIN}",
                self.max_queue_bytes,
                limits::PAGE_BYTES
            ));
        }
        for (name, time) in [
            ("--ping-interval", self.ping_interval),
            ("--ping-timeout", self.ping_timeout),
            ("--handshake-timeout", self.handshake_timeout),
            ("--write-timeout", self.write_timeout),
            ("--answer-timeout", self.answer_timeout),
        ] {
            if time < TIMEOUT_MIN {
                return Err(format!("{name} {time:?}: too short for any network; at least {TIMEOUT_MIN:?}"));
            }
        }
        if self.answer_timeout < self.write_timeout {
            return Err(format!(
                "--answer-timeout {:?} is over before --write-timeout {:?}, which would never count",
                self.answer_timeout, self.write_timeout
            ));
        }
        if self.internal_listen.is_some_and(|internal| internal == self.listen && internal.port() != 0) {
            return Err(format!("--internal-listen {0} is --listen {0}", self.listen));
        }
        Ok(())
    }
}

/// Takes a URL from its file, unless the URL itself was said by a stronger source: a flag is stronger than the
/// environment, and that than the settings' file. Of two of the same strength nobody can say which is meant.
fn from_file<T, E: ToString>(
    url: &mut Option<T>,
    id: &str,
    file: Option<&Path>,
    matches: &ArgMatches,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let strength = |id: &str| {
        matches.value_source(id).map(|source| match source {
            ValueSource::CommandLine => 2,
            ValueSource::EnvVariable => 1,
            _ => 0,
        })
    };
    let flag = id.replace('_', "-");
    match strength(id).cmp(&strength(&format!("{id}_file"))) {
        Ordering::Greater => return Ok(()),
        Ordering::Equal => return Err(format!("both --{flag} and --{flag}-file are given: one must go")),
        Ordering::Less => {}
    }
    let wrong = |problem: &str| format!("--{flag}-file {}: {problem}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    let text = text.trim();
    if text.lines().count() != 1 {
        return Err(wrong("must hold one URL and nothing else"));
    }
    *url = Some(parse(text).map_err(|error| wrong(&error.to_string()))?);
    Ok(())
}

/// What stands in the log of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogAddresses {
    /// All of them.
    Full,
    /// The network: the first 24 bits of IPv4, 48 of IPv6.
    Network,
    /// Nothing.
    None,
}

/// Limits by action that an operator has set; those not among them are as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimits(Vec<(Action, By, Option<Rate>)>);

impl RateLimits {
    /// `ACTION.BY=PER_MINUTE/BURST` or `ACTION.BY=off`, with commas between them.
    ///
    /// # Errors
    /// A line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let limits = text.split(',').map(str::trim).filter(|limit| !limit.is_empty());
        limits.map(parse_limit).collect::<Result<_, _>>().map(Self)
    }

    /// Each of them; `None` is no limit.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Action, By, Option<Rate>)> {
        self.0.iter().copied()
    }
}

fn parse_limit(text: &str) -> Result<(Action, By, Option<Rate>), String> {
    let wrong = || format!("{text:?} is not ACTION.BY=PER_MINUTE/BURST, nor ACTION.BY=off");
    let (name, rate) = text.split_once('=').ok_or_else(wrong)?;
    let (action, by) = name.split_once('.').ok_or_else(wrong)?;
    let action = Action::ALL.into_iter().find(|known| known.as_str() == action);
    let by = By::ALL.into_iter().find(|known| known.as_str() == by);
    let (Some(action), Some(by)) = (action, by) else {
        let actions = Action::ALL.map(Action::as_str).join(", ");
        let bys = By::ALL.map(By::as_str).join(", ");
        return Err(format!("{name:?}: an action is one of {actions}, by one of {bys}"));
    };
    if rate == "off" {
        return Ok((action, by, None));
    }
    let (per_minute, burst) = rate.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let (Some(per_minute), Some(burst)) = (number(per_minute), number(burst)) else { return Err(wrong()) };
    Ok((action, by, Some(Rate { per_minute, burst })))
}

/// Where links lead that a command prints, if nothing is said.
pub(crate) const DEFAULT_PUBLIC_URL: &str = "http://127.0.0.1:3000";

/// How people reach the server, without a slash at the end.
pub(crate) fn parse_public_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host)
            if !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "?#\"<>".contains(c)) =>
        {
            Ok(url.to_owned())
        }
        _ => Err("expected https://HOST or http://HOST:PORT".into()),
    }
}

/// A duration that is more than nothing.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("must be more than 0".into());
    }
    Ok(duration)
}

/// Names that others have given to the same things: taken where our own variable is not set.
const OTHER_NAMES: [(&str, &str); 3] =
    [("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url"), ("PORT", "listen")];

/// Puts the file's values and the environment's other names beneath flags and environment, as defaults of `command`
/// and its subcommands.
///
/// # Errors
/// A line that says what is wrong with the file.
pub(crate) fn with_defaults(
    mut command: clap::Command,
    file: Option<&PathBuf>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<clap::Command, String> {
    let mut defaults = match file {
        Some(path) => read_file(path, &command)?,
        None => Vec::new(),
    };
    for (variable, id) in OTHER_NAMES {
        if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
            let value = value.to_string_lossy().into_owned();
            // Where a platform names a port, it expects the program on all addresses.
            let value = if variable == "PORT" { format!("0.0.0.0:{value}") } else { value };
            defaults.push((id.to_owned(), value));
        }
    }
    for (id, value) in defaults {
        command = with_default(command, &id, &value);
    }
    Ok(command)
}

fn with_default(command: clap::Command, id: &str, value: &str) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let has_it = command.get_arguments().any(|arg| arg.get_id() == id);
    let mut command = command;
    for name in names {
        command = command.mut_subcommand(name, |sub| with_default(sub, id, value));
    }
    if !has_it {
        return command;
    }
    command.mut_arg(id, |arg| arg.default_value(value.to_owned()))
}

/// The file's settings as (id, value); every key must be a flag's name, with `_` or `-`.
fn read_file(path: &PathBuf, command: &clap::Command) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| format!("{shown}: {}", error.message()))?;
    let known = known_ids(command);
    let mut settings = Vec::new();
    for (key, value) in table {
        let id = key.replace('-', "_");
        if !known.contains(&id) {
            return Err(format!("{shown}: there is no setting {key}"));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            _ => return Err(format!("{shown}: {key} must be a text, a number, true or false")),
        };
        settings.push((id, value));
    }
    Ok(settings)
}

fn known_ids(command: &clap::Command) -> Vec<String> {
    let Some(serve) = command.get_subcommands().find(|sub| sub.get_name() == "serve") else {
        return Vec::new();
    };
    let ids =
        serve.get_arguments().filter(|arg| arg.get_long().is_some()).map(|arg| arg.get_id().to_string());
    ids.filter(|id| !["help", "version", "config", "demo"].contains(&id.as_str())).collect()
}
