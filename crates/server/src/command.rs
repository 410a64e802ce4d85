//! The command line beside `serve`: apps, tokens, the audit log, backups. Works while a server runs on the same
//! database.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat::{Ambient, By, Chat, LetIn, NewIdentitySecret, NewTokenWish, Parts, identity_key};
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use protocol::rest::ChangeAgent;
use protocol::{AgentStatus, AppId, Code, Failure, Permission, Permissions, Role};
use serde_json::{Value, json};
use store::{App, AppChange, IdentityPolicy, Location, Purpose, Store, Token};

use crate::healthcheck::Healthcheck;
use crate::settings::{self, DatabaseSettings, Settings};

/// Self-hosted realtime support chat
#[derive(Debug, Parser)]
#[command(name = "replyhq", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// TOML file with settings: the flags of `serve` with their names, as in listen = "0.0.0.0:3000"
    #[arg(long, value_name = "FILE", env = "REPLYHQ_CONFIG", global = true)]
    pub config: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<Settings>),
    /// Apps and their keys
    #[command(subcommand)]
    App(AppCommand),
    /// Admin tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Agents: people who answer
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Keys by which an app's own backend proves who its people are
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Devices: who owns their names, and who is at them
    #[command(subcommand)]
    Device(DeviceCommand),
    /// The index of the agents' search
    #[command(subcommand)]
    Search(SearchCommand),
    /// The record of administrative acts, newest first
    Audit {
        /// Only this app's
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Copy the SQLite database into one file, also while a server runs on it
    Backup(Backup),
    /// Ask the server on this machine whether it takes work: exit code 0 if it does, 1 if not
    Healthcheck(Healthcheck),
}

/// Where a copy of the database is to be.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The file to make
    // Not `output`: that is the group below.
    #[arg(long = "output", value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    /// Where the data is and how to print.
    #[command(flatten)]
    output: Output,
}

/// Where the data is and how to print.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// Apps and their keys.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Make an app; prints its key, which is shown this once
    Create {
        /// Its name, for people
        name: String,
        /// The id that it had on another system, if it comes from one: apps that people have installed know it by that
        #[arg(long, value_name = "ID", requires = "api_key")]
        id: Option<String>,
        /// The key that it had there
        #[arg(long, value_name = "KEY", requires = "id")]
        api_key: Option<String>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// All apps
    List {
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Say which pages may use an app's key, by their origins: https://shop.example …; none is any
    AllowOrigins {
        /// The app's id
        app: String,
        /// The pages' origins
        #[arg(value_name = "ORIGIN")]
        origins: Vec<String>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Change an app: its name, whose word it takes for who somebody is, whether devices need a secret
    Set {
        /// The app's id
        app: String,
        /// Its name, for people
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// `claimed` believes the program at the device; `verified` wants a token of the app's own backend
        #[arg(long, value_name = "POLICY", value_parser = parse_policy)]
        identity: Option<IdentityPolicy>,
        /// Whether a device has to show a secret of its own: `true` shuts out clients that have none
        #[arg(long, value_name = "BOOL")]
        require_device_secret: Option<bool>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Give an app another key; the old one is void at once, or good for a while beside it
    RotateKey {
        /// The app's id
        app: String,
        /// For how long the old key stays good, as in 90d, for apps that people have installed
        #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration)]
        keep_old_for: Option<Duration>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// End an app's old key now
    EndOldKey {
        /// The app's id
        app: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
}

/// Admin tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; prints its secret, which is shown this once
    Create {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// The agent's name, which people see
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do; all but `manage` if none is given
        #[arg(long = "permission", value_name = "P", value_parser = parse_permission)]
        permissions: Vec<Permission>,
        /// For how long it is good, as in 90d; for ever if not given
        #[arg(long, value_name = "DURATION", value_parser = settings::parse_duration)]
        expires_in: Option<Duration>,
        /// The agent who answers for it, by e-mail address: it acts as them, may do no more than they, and ends with them
        #[arg(long, value_name = "EMAIL")]
        owner: Option<String>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// An app's tokens
    List {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a token; its connections are closed within seconds
    Revoke {
        /// The token's id
        id: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
}

/// Agents: people who answer.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Invite somebody; prints a link that is good once and for 72 hours. Works without a mail server: send it yourself
    Invite {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Their name, which people see
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Their e-mail address, with which they sign in
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// What they may do: viewer, agent or admin
        #[arg(long, value_name = "ROLE", value_parser = parse_role)]
        role: Role,
        /// Where the link leads, and what else is needed.
        #[command(flatten)]
        link: Link,
    },
    /// An app's agents
    List {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Let an agent do nothing any more; their connections are closed within seconds, and what they did stays theirs
    Disable {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Their e-mail address or id
        agent: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Let a disabled agent in again
    Enable {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Their e-mail address or id
        agent: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Print a link by which an agent sets another password; good once and for 24 hours
    Reset {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Their e-mail address or id
        agent: String,
        /// Where the link leads, and what else is needed.
        #[command(flatten)]
        link: Link,
    },
}

/// Where links lead, where the data is and how to print.
#[derive(Debug, clap::Args)]
pub struct Link {
    /// How people reach the server, as in https://chat.example: where links lead
    #[arg(long, value_name = "URL", env = "REPLYHQ_PUBLIC_URL", default_value = settings::DEFAULT_PUBLIC_URL, value_parser = settings::parse_public_url)]
    public_url: String,
    #[command(flatten)]
    output: Output,
}

/// Keys by which an app's own backend proves who its people are.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Make a secret for HS256; prints it, which is shown this once
    AddSecret {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Take a public key as PEM, for ES256 (EC on P-256), EdDSA (Ed25519) or RS256 (RSA), by its kind
    AddKey {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// The file with the key
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// An app's keys, the retired ones too
    List {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// Retire a key: it proves nothing more
    Retire {
        /// The key's id
        id: String,
        /// End what it has proved, too: devices that were bound by it are asked for a fresh token
        #[arg(long)]
        end_bindings: bool,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
}

/// Devices: who owns their names, and who is at them.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Let a device's name be claimed anew by whoever comes first; nobody is at it until then
    Reset {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// The device's id
        device: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
    /// End the binding of a device to its verified person; its app is asked for a fresh token
    Unbind {
        /// The app's id
        #[arg(long, value_name = "APP")]
        app: String,
        /// The device's id
        device: String,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
}

/// The index of the agents' search.
#[derive(Debug, Subcommand)]
pub enum SearchCommand {
    /// Make the index anew: the server does it in the background, at once if it runs. Until it is done, searches find less
    Rebuild {
        /// Only this app's
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// Where the data is and how to print.
        #[command(flatten)]
        output: Output,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("expected one of {}", Role::ALL.map(Role::as_str).join(", ")))
}

fn parse_policy(text: &str) -> Result<IdentityPolicy, String> {
    IdentityPolicy::parse(text).ok_or_else(|| "expected claimed or verified".into())
}

fn parse_permission(text: &str) -> Result<Permission, String> {
    Permission::parse(text).ok_or_else(|| format!("expected one of {}", permission_names()))
}

fn permission_names() -> String {
    Permission::ALL.map(Permission::as_str).join(", ")
}

impl Cli {
    /// Reads arguments, environment and file.
    ///
    /// # Errors
    /// What to print, and with which exit code: 2 and one line for what is wrong, 0 for help.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, (i32, String)> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let file = config_file(&arguments).or_else(|| environment("REPLYHQ_CONFIG").map(PathBuf::from));
        let command = settings::with_defaults(Self::command(), file.as_ref(), environment)
            .map_err(|problem| (2, format!("error: {problem}\n")))?;
        let parsed = command.try_get_matches_from(arguments);
        let read = parsed.and_then(|matches| Ok((Self::from_arg_matches(&matches)?, matches)));
        let (mut cli, matches) = read.map_err(|error| explain(&error))?;
        cli.finish(&matches).map_err(|problem| (2, format!("error: {problem}\n")))?;
        Ok(cli)
    }

    /// What can't be told from one argument by itself.
    fn finish(&mut self, matches: &ArgMatches) -> Result<(), String> {
        let mut matches = matches;
        while let Some((_, of_subcommand)) = matches.subcommand() {
            matches = of_subcommand;
        }
        if let Some(output) = self.command.output() {
            output.database.read_url(matches)?;
        }
        match &mut self.command {
            Command::Serve(settings) => settings.read_urls(matches).and_then(|()| settings.check()),
            Command::Backup(backup) => backup.check(),
            _ => Ok(()),
        }
    }
}

impl Command {
    /// Where the data is and how to print, of a command that asks the database.
    fn output(&mut self) -> Option<&mut Output> {
        match self {
            Self::Serve(_) | Self::Healthcheck(_) => None,
            Self::Backup(Backup { output, .. })
            | Self::Audit { output, .. }
            | Self::Search(SearchCommand::Rebuild { output, .. })
            | Self::App(
                AppCommand::Create { output, .. }
                | AppCommand::List { output }
                | AppCommand::AllowOrigins { output, .. }
                | AppCommand::Set { output, .. }
                | AppCommand::RotateKey { output, .. }
                | AppCommand::EndOldKey { output, .. },
            )
            | Self::Agent(
                AgentCommand::List { output, .. }
                | AgentCommand::Disable { output, .. }
                | AgentCommand::Enable { output, .. }
                | AgentCommand::Invite { link: Link { output, .. }, .. }
                | AgentCommand::Reset { link: Link { output, .. }, .. },
            )
            | Self::Identity(
                IdentityCommand::AddSecret { output, .. }
                | IdentityCommand::AddKey { output, .. }
                | IdentityCommand::List { output, .. }
                | IdentityCommand::Retire { output, .. },
            )
            | Self::Device(DeviceCommand::Reset { output, .. } | DeviceCommand::Unbind { output, .. })
            | Self::Token(
                TokenCommand::Create { output, .. }
                | TokenCommand::List { output, .. }
                | TokenCommand::Revoke { output, .. },
            ) => Some(output),
        }
    }
}

/// The file that `--config` names: it must be known before the rest is read, because it sets their defaults.
fn config_file(arguments: &[OsString]) -> Option<PathBuf> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--config" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|argument| argument.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    None
}

fn explain(error: &clap::Error) -> (i32, String) {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion => (0, error.to_string()),
        DisplayHelpOnMissingArgumentOrSubcommand => (2, error.to_string()),
        _ => {
            let text = without_secrets(error);
            // clap adds hints on lines of their own; what is wrong stands before them.
            let problem: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            (2, format!("{}\n", problem.join(" ")))
        }
    }
}

/// What clap says, with all but the scheme left out of each URL: clap repeats the values that it refuses, and there are
/// passwords before the host and behind the question mark, with any characters in them.
fn without_secrets(error: &clap::Error) -> String {
    let text = error.to_string();
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => match value.split_once("://") {
            Some((scheme, _)) => text.replace(value, &format!("{scheme}://…")),
            None => text,
        },
        _ => text,
    }
}

/// Does one command and returns what to print.
///
/// # Errors
/// What is wrong.
pub async fn run_command(command: Command) -> Result<String, Failure> {
    match command {
        Command::Backup(backup) => backup.run().await,
        Command::Healthcheck(healthcheck) => healthcheck.run().await,
        Command::Serve(_) => Err(Failure::invalid("serve is not a command beside the server")),
        Command::App(AppCommand::Create { name, id, api_key, output }) => {
            let chat = open(&output).await?;
            let app = match id.zip(api_key) {
                Some((id, api_key)) => chat.take_over_app(&name, &id, &api_key).await?,
                None => chat.create_app(&name).await?,
            };
            let answer = json!({ "app_id": app.app_id, "api_key": app.api_key });
            Ok(output.print(&answer, || {
                format!("app_id:  {}\napi_key: {}   (shown this once)", app.app_id, app.api_key)
            }))
        }
        Command::App(AppCommand::List { output }) => {
            let apps = open(&output).await?.apps().await?;
            let rows: Vec<_> = apps
                .iter()
                .map(|app| {
                    let mut row = json!({
                        "app_id": app.id,
                        "name": app.name,
                        "created_at": app.created_at,
                        "allowed_origins": app.allowed_origins,
                    });
                    if let Some(old) = &app.old_key {
                        row["old_key"] = json!({ "until": old.until, "last_used_at": old.last_used_at });
                    }
                    row
                })
                .collect();
            Ok(output.print(&json!({ "apps": rows }), || {
                lines(&apps, |app| {
                    format!("{}  {}  {}{}", app.id, app.created_at, app.name, old_key_text(app))
                })
            }))
        }
        Command::App(AppCommand::AllowOrigins { app, origins, output }) => {
            let app_id = AppId::from(app);
            let change = AppChange { allowed_origins: Some(origins), ..AppChange::default() };
            let changed = open(&output).await?.change_app(&By::CommandLine, &app_id, change).await?;
            let kept = changed.ok_or_else(no_app)?.allowed_origins;
            let answer = json!({ "app_id": app_id, "allowed_origins": kept });
            Ok(output.print(&answer, || match kept.as_slice() {
                [] => "pages of any origin may use the app's key".into(),
                kept => format!("only pages of these origins may use the app's key: {}", kept.join(", ")),
            }))
        }
        Command::App(AppCommand::RotateKey { app, keep_old_for, output }) => {
            let app_id = AppId::from(app);
            let rotated = open(&output)
                .await?
                .rotate_key(&By::CommandLine, &app_id, keep_old_for)
                .await?
                .ok_or_else(no_app)?;
            let mut answer = json!({ "app_id": app_id, "api_key": rotated.api_key });
            if let Some(until) = rotated.old_key_until {
                answer["old_key_until"] = json!(until);
            }
            Ok(output.print(&answer, || {
                let old = match rotated.old_key_until {
                    Some(until) => format!("the old one is good until {until}"),
                    None => "the old one is void".into(),
                };
                format!("api_key: {}   (shown this once)\n{old}", rotated.api_key)
            }))
        }
        Command::App(AppCommand::EndOldKey { app, output }) => {
            let app_id = AppId::from(app);
            let ended =
                open(&output).await?.end_old_key(&By::CommandLine, &app_id).await?.ok_or_else(no_app)?;
            Ok(output.print(&json!({ "app_id": app_id, "ended": ended }), || {
                if ended { "ended".into() } else { "there is no old key that is good".into() }
            }))
        }
        Command::App(AppCommand::Set { app, name, identity, require_device_secret, output }) => {
            let app_id = AppId::from(app);
            let change = AppChange {
                name,
                identity,
                requires_device_secret: require_device_secret,
                allowed_origins: None,
            };
            if change == AppChange::default() {
                return Err(Failure::invalid("say what to set: --name, --identity, --require-device-secret"));
            }
            let changed = open(&output).await?.change_app(&By::CommandLine, &app_id, change).await?;
            let app = changed.ok_or_else(no_app)?;
            let answer = json!({
                "app_id": app.id,
                "name": app.name,
                "identity": app.identity.as_str(),
                "require_device_secret": app.requires_device_secret,
            });
            Ok(output.print(&answer, || {
                let (identity, secret) = (app.identity.as_str(), app.requires_device_secret);
                format!("{}  {}  identity: {identity}, device secret required: {secret}", app.id, app.name)
            }))
        }
        Command::Identity(command) => run_identity(command).await,
        Command::Agent(command) => run_agent(command).await,
        Command::Device(DeviceCommand::Reset { app, device, output }) => {
            let app_id = AppId::from(app);
            if !open(&output).await?.reset_device(&By::CommandLine, &app_id, &device).await? {
                return Err(no_device());
            }
            let answer = json!({ "app_id": app_id, "device_id": device, "reset": true });
            Ok(output.print(&answer, || "reset: whoever shows a secret first owns it".into()))
        }
        Command::Device(DeviceCommand::Unbind { app, device, output }) => {
            let app_id = AppId::from(app);
            let unbound = open(&output).await?.unbind(&By::CommandLine, &app_id, &device).await?;
            let answer = json!({ "app_id": app_id, "device_id": device, "unbound": unbound });
            Ok(output.print(&answer, || {
                if unbound { "unbound".into() } else { "nobody is verified at this device".into() }
            }))
        }
        Command::Token(TokenCommand::Create { app, name, permissions, expires_in, owner, output }) => {
            let permissions =
                if permissions.is_empty() { Permissions::agent() } else { permissions.into_iter().collect() };
            let chat = open(&output).await?;
            let app_id = AppId::from(app);
            let owner = match owner {
                Some(owner) => Some(chat.agent_named(&app_id, &owner).await?),
                None => None,
            };
            let wish = NewTokenWish { name: &name, permissions, expires_in, owner: owner.as_ref() };
            let made = chat.create_token(&By::CommandLine, &app_id, wish).await?;
            let token = made.ok_or_else(no_app)?;
            let answer = json!({ "id": token.id, "admin_token": token.admin_token });
            Ok(output.print(&answer, || {
                format!("id:          {}\nadmin_token: {}   (shown this once)", token.id, token.admin_token)
            }))
        }
        Command::Token(TokenCommand::List { app, output }) => {
            let tokens =
                open(&output).await?.tokens(&By::CommandLine, &app.into()).await?.ok_or_else(no_app)?;
            let rows: Vec<_> = tokens.iter().map(token_json).collect();
            Ok(output.print(&json!({ "tokens": rows }), || lines(&tokens, token_line)))
        }
        Command::Token(TokenCommand::Revoke { id, output }) => {
            let found = open(&output).await?.revoke_token(&By::CommandLine, &id.clone().into()).await?;
            let revoked = found.ok_or_else(|| Failure::invalid("there is no such token"))?;
            let answer = json!({ "id": id, "revoked": true });
            Ok(output.print(&answer, || if revoked { "revoked".into() } else { "was revoked before".into() }))
        }
        Command::Search(SearchCommand::Rebuild { app, output }) => {
            let chat = open(&output).await?;
            chat.rebuild_search(app.as_deref().map(AppId::from)).await?.ok_or_else(no_app)?;
            let answer = json!({ "app_id": app, "asked": true });
            Ok(output.print(&answer, || {
                "asked for: the server makes the index anew, in the background; /metrics and is_complete tell when it is done".into()
            }))
        }
        Command::Audit { app, limit, output } => {
            let entries = open(&output).await?.audit_rows(app.map(AppId::from), None, limit).await?;
            Ok(output.print(&json!({ "entries": entries }), || {
                lines(&entries, |entry| {
                    let details = entry.details.as_ref().map(Value::to_string).unwrap_or_default();
                    format!("{}  {}  {}  {}  {details}", entry.at, entry.actor, entry.action, entry.target)
                })
            }))
        }
    }
}

async fn run_agent(command: AgentCommand) -> Result<String, Failure> {
    let print_link = |link: &Link, let_in: &LetIn| {
        let url = sign_in_link(&link.public_url, &let_in.code);
        let answer = json!({ "agent": let_in.agent, "code": let_in.code, "link": url });
        link.output.print(&answer, || {
            format!("{}  {}\nlink: {url}   (good once, shown this once)", let_in.agent.id, let_in.agent.email)
        })
    };
    let (app, agent, status, output) = match command {
        AgentCommand::Invite { app, name, email, role, link } => {
            let invited = open(&link.output)
                .await?
                .invite_agent(&By::CommandLine, &app.into(), &name, &email, role)
                .await?;
            return Ok(print_link(&link, &invited.ok_or_else(no_app)?));
        }
        AgentCommand::Reset { app, agent, link } => {
            let chat = open(&link.output).await?;
            let id = chat.agent_named(&app.into(), &agent).await?;
            return Ok(print_link(&link, &chat.reset_agent(&By::CommandLine, &id).await?));
        }
        AgentCommand::List { app, output } => {
            let agents = open(&output).await?.agents(&app.into()).await?;
            let agents = agents.ok_or_else(no_app)?;
            return Ok(output.print(&json!({ "agents": agents }), || {
                lines(&agents, |agent| {
                    let (role, status) = (agent.role.as_str(), json!(agent.status));
                    let status = status.as_str().unwrap_or_default();
                    format!("{}  {}  {role}  {status}  {}", agent.id, agent.email, agent.name)
                })
            }));
        }
        AgentCommand::Disable { app, agent, output } => (app, agent, AgentStatus::Disabled, output),
        AgentCommand::Enable { app, agent, output } => (app, agent, AgentStatus::Active, output),
    };
    let chat = open(&output).await?;
    let id = chat.agent_named(&app.into(), &agent).await?;
    let wish = ChangeAgent { status: Some(status), ..ChangeAgent::default() };
    let agent = chat.change_agent(&By::CommandLine, &id, wish).await?;
    Ok(output.print(&json!({ "agent": agent }), || {
        format!("{}  {}  {}", agent.id, agent.email, json!(agent.status).as_str().unwrap_or_default())
    }))
}

/// Where somebody comes in by a code. It stands behind the `#`, so that it is in no server's log.
pub(crate) fn sign_in_link(public_url: &str, code: &str) -> String {
    format!("{public_url}/dashboard#code={code}")
}

async fn run_identity(command: IdentityCommand) -> Result<String, Failure> {
    match command {
        IdentityCommand::AddSecret { app, output } => {
            let made = open(&output).await?.add_identity_secret(&By::CommandLine, &app.into()).await?;
            let NewIdentitySecret { id, secret } = made.ok_or_else(no_app)?;
            Ok(output.print(&json!({ "id": id, "secret": secret }), || {
                format!("id:     {id}\nsecret: {secret}   (shown this once)")
            }))
        }
        IdentityCommand::AddKey { app, public_key, output } => {
            let file = public_key.display();
            let pem = std::fs::read_to_string(&public_key)
                .map_err(|error| Failure::invalid(format!("{file} can't be read: {error}")))?;
            let made = open(&output).await?.add_identity_key(&By::CommandLine, &app.into(), &pem).await?;
            let key = made.ok_or_else(no_app)?;
            Ok(output.print(&json!({ "id": key.id, "algorithm": key.algorithm }), || {
                format!("id: {}   ({})", key.id, key.algorithm)
            }))
        }
        IdentityCommand::List { app, output } => {
            let keys = open(&output).await?.identity_keys(&By::CommandLine, &app.into()).await?;
            let keys = keys.ok_or_else(no_app)?;
            let rows: Vec<_> = keys.iter().map(identity_key).collect();
            Ok(output.print(&json!({ "keys": rows }), || {
                lines(&keys, |key| {
                    let state = key.retired_at.map_or("live".into(), |at| format!("retired {at}"));
                    format!("{}  {}  {}  {state}", key.id, key.algorithm, key.created_at)
                })
            }))
        }
        IdentityCommand::Retire { id, end_bindings, output } => {
            let chat = open(&output).await?;
            let retired =
                chat.retire_identity_key(&By::CommandLine, &id.as_str().into(), end_bindings).await?;
            let answer = json!({ "id": id, "retired": true, "end_bindings": end_bindings });
            Ok(output.print(&answer, || if retired { "retired".into() } else { "was retired before".into() }))
        }
    }
}

impl Backup {
    /// Postgres has better tools for its data than any of ours.
    fn check(&self) -> Result<(), String> {
        match self.output.database.location() {
            Location::Sqlite(_) => Ok(()),
            Location::Postgres(_) => Err(format!(
                "backup copies a SQLite file; copy a Postgres database with: \
                 pg_dump --format=custom --file='{}' \"$REPLYHQ_DATABASE_URL\"",
                self.file.display()
            )),
        }
    }

    async fn run(self) -> Result<String, Failure> {
        let Location::Sqlite(database) = self.output.database.location() else {
            return Err(Failure::invalid("backup copies a SQLite file"));
        };
        let (file, force) = (self.file.clone(), self.force);
        let copied = tokio::task::spawn_blocking(move || store::back_up(&database, &file, force)).await;
        let failed = |error: &dyn std::fmt::Display| Failure::new(Code::ServerError, error.to_string());
        let copied = copied.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let answer = json!({ "file": self.file, "bytes": copied.bytes, "messages": copied.messages });
        Ok(self.output.print(&answer, || {
            format!("{}: {} messages, {} bytes", self.file.display(), copied.messages, copied.bytes)
        }))
    }
}

impl Output {
    fn print(&self, answer: &Value, human: impl FnOnce() -> String) -> String {
        if self.json { answer.to_string() } else { human() }
    }
}

fn lines<T>(rows: &[T], line: impl Fn(&T) -> String) -> String {
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn no_device() -> Failure {
    Failure::new(Code::NotFound, "nothing is known of such a device")
}

fn no_app() -> Failure {
    Failure::invalid("there is no such app")
}

fn token_json(token: &Token) -> Value {
    let permissions: Vec<_> = token.permissions.iter().collect();
    let mut row = json!({
        "id": token.id,
        "name": token.name,
        "permissions": permissions,
        "created_at": token.created_at,
    });
    for (key, time) in [
        ("expires_at", token.expires_at),
        ("last_used_at", token.last_used_at),
        ("revoked_at", token.revoked_at),
    ] {
        if let Some(time) = time {
            row[key] = json!(time);
        }
    }
    row
}

fn token_line(token: &Token) -> String {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("expires {at}"),
        (None, None) => "good".into(),
    };
    format!("{}  {}  {}  {state}", token.id, token.name, token.permissions.to_text())
}

fn old_key_text(app: &App) -> String {
    app.old_key.as_ref().map_or_else(String::new, |old| {
        let used = old.last_used_at.map_or("not used".into(), |at| format!("last used {at}"));
        format!("  (old key until {}, {used})", old.until)
    })
}

/// The rules over the database, without a server.
async fn open(output: &Output) -> Result<Arc<Chat>, Failure> {
    let (store, completions) = Store::open(&output.database.location(), Purpose::Command, Arc::new(|_| ()))
        .await
        .map_err(|error| Failure::new(Code::ServerError, error.to_string()))?;
    tokio::spawn(completions.run());
    let clock = store.clock().clone();
    let ambient = Ambient::with_time(move || clock.now());
    Ok(Chat::new(Parts::alone(Arc::new(store), ambient)))
}
