//! A private Postgres.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::command::{placed, run, run_async};
use crate::install::postgres_programs;
use crate::port::Port;
use crate::service::Service;

/// Enough for the many servers of one test.
const MAX_CONNECTIONS: u32 = 300;

/// More than it takes to read settings, however busy the machine is.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// What a Postgres promises about what it has confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// As Postgres comes: it survives that the machine loses its power.
    AsShipped,
    /// Nothing waits for the disk. It survives being killed, but not the machine's end.
    #[default]
    None,
}

/// How a Postgres is made. The default is for tests.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Whether it waits for the disk.
    pub durability: Durability,
    /// How many may be connected; without it, as Postgres comes.
    pub max_connections: Option<u32>,
    /// Whether it speaks TLS and nothing else, with a certificate for `localhost` and not for 127.0.0.1.
    pub has_tls: bool,
    /// The only core it may run on.
    pub core: Option<usize>,
    /// Where its folder is made; without it, among the temporary files.
    pub parent: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            durability: Durability::None,
            max_connections: Some(MAX_CONNECTIONS),
            has_tls: false,
            core: None,
            parent: None,
        }
    }
}

/// Who may connect to one that speaks TLS: by TCP with TLS only.
const ONLY_TLS: &str = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";

/// A Postgres of one's own. Its user is `postgres` and has no password.
#[derive(Debug)]
pub struct Postgres {
    // Dropped first: nobody writes to the folder when it is removed.
    service: Option<Service>,
    port: Port,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    options: PostgresOptions,
    certificates: Option<Certificates>,
    dir: TempDir,
}

impl Postgres {
    /// A running one for tests.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let mut postgres = Self::create(PostgresOptions::default())?;
        postgres.run().await?;
        Ok(postgres)
    }

    /// Makes one with nothing in it, and does not start it.
    ///
    /// # Errors
    /// If it is not installed, or its folder can't be made.
    pub fn create(options: PostgresOptions) -> Result<Self> {
        let programs = postgres_programs()?;
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("postgres-").tempdir_in(parent)?;
        let user = if geteuid().is_root() { Some(user_ids("postgres")?) } else { None };
        if let Some((uid, gid)) = user {
            fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let certificates = if options.has_tls { Some(Certificates::make(&["localhost"])?) } else { None };
        let port = Port::claim()?;
        let postgres = Self { service: None, port, programs, user, options, certificates, dir };
        let mut initdb = Command::new(postgres.programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "-D"]);
        initdb.arg(postgres.cluster());
        if postgres.options.durability == Durability::None {
            initdb.arg("--no-sync");
        }
        run(postgres.as_user(&mut initdb))?;
        if let Some(certificates) = &postgres.certificates {
            certificates.copy_to(postgres.dir.path(), user)?;
            fs::write(postgres.cluster().join("pg_hba.conf"), ONLY_TLS)?;
        }
        Ok(postgres)
    }

    /// Starts it, always on the same port and data, and waits until it is ready. One that runs is left alone.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn run(&mut self) -> Result<()> {
        if self.service.is_some() {
            return Ok(());
        }
        let mut command = placed(self.options.core, self.programs.join("postgres"));
        command.arg("-D").arg(self.cluster()).args(["-h", "127.0.0.1", "-p"]);
        command.arg(self.port.number().to_string()).arg("-k").arg(self.dir.path());
        if self.options.durability == Durability::None {
            // Commits still reach the kernel before they are confirmed, so that a killed Postgres loses none.
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        if self.certificates.is_some() {
            command.args(["-c", "ssl=on", "-c"]);
            command.arg(format!("ssl_cert_file={}", self.dir.path().join("server.pem").display()));
            command.arg("-c");
            command.arg(format!("ssl_key_file={}", self.dir.path().join("server.key").display()));
        }
        if let Some(max) = self.options.max_connections {
            command.args(["-c", &format!("max_connections={max}")]);
        }
        let mut service = Service::start("postgres", self.dir.path(), self.as_user(&mut command))?;
        service.ready("database system is ready to accept connections").await?;
        self.service = Some(service);
        Ok(())
    }

    /// Kills it if it runs, and starts it again on the same port and data.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill();
        self.run().await
    }

    /// Kills it with all its processes, and waits until they are gone.
    pub fn kill(&mut self) {
        self.service = None;
    }

    /// Ends its sessions and lets it shut down in order.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(service) = self.service.take() {
            service.stop(Signal::INT).await?;
        }
        Ok(())
    }

    /// Keeps a copy of all its data as it is, in place of the last one. It must have been stopped.
    ///
    /// # Errors
    /// If it runs, or the data can't be copied.
    pub fn keep_copy(&self) -> Result<()> {
        self.replace(&self.cluster(), &self.copy())
    }

    /// Puts the copy in place of the data: all that was written since is lost, as after a failover to a replica that lacked
    /// it. It must not run.
    ///
    /// # Errors
    /// If it runs, or there is no copy.
    pub fn put_copy_back(&self) -> Result<()> {
        self.replace(&self.copy(), &self.cluster())
    }

    fn replace(&self, from: &Path, to: &Path) -> Result<()> {
        ensure!(self.service.is_none(), "the data of a Postgres that runs can't be copied");
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        run(Command::new("cp").arg("-a").args([from, to]))?;
        Ok(())
    }

    fn copy(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    /// Sends a signal to all its processes.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.service()?.signal(signal)
    }

    /// Freezes all its processes: connections stay open, and nothing answers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop_processes(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets frozen processes go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn continue_processes(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The main process's id.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.service()?.pid())
    }

    /// The port it listens on, while it runs.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its certificates, if it speaks TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// How to reach a database of it; nothing is said of TLS.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port())
    }

    /// Makes a database, and returns how to reach it.
    ///
    /// # Errors
    /// If there is one of that name, or if Postgres does not run.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.psql(&format!("CREATE DATABASE \"{name}\"")).await?;
        Ok(self.url(name))
    }

    /// What `psql` prints for this SQL in the database `postgres`: rows of fields divided by `|`.
    ///
    /// # Errors
    /// If the SQL fails; tells what Postgres said.
    pub async fn psql(&self, sql: &str) -> Result<String> {
        self.psql_in("postgres", sql).await
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As above.
    pub async fn psql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]);
        command.arg(self.url(database)).arg("-c").arg(sql);
        Ok(run_async(command).await?.trim_end().to_owned())
    }

    /// Changes a setting for everyone who did not set it otherwise, and waits until sessions that are open go by it.
    ///
    /// # Errors
    /// If there is no such setting, if it takes a restart, or if Postgres does not run.
    pub async fn set(&self, setting: &str, value: &str) -> Result<()> {
        self.psql(&format!("ALTER SYSTEM SET {setting} = '{value}'")).await?;
        let before = self.psql("SELECT pg_conf_load_time()").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        // That only asks for it. A new session has the settings that were read last, and who was there before it was
        // told of them at the same moment.
        let is_read = format!("SELECT pg_conf_load_time() > '{before}'");
        let deadline = Instant::now() + READ_WITHIN;
        while self.psql(&is_read).await? != "t" {
            ensure!(Instant::now() < deadline, "Postgres does not read its settings again");
        }
        Ok(())
    }

    /// The version, as the program tells it.
    ///
    /// # Errors
    /// If the program can't be run.
    pub fn version(&self) -> Result<String> {
        Ok(run(Command::new(self.programs.join("postgres")).arg("--version"))?.trim().to_owned())
    }

    fn service(&self) -> Result<&Service> {
        self.service.as_ref().context("Postgres does not run")
    }

    fn cluster(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Postgres refuses to run as root.
    fn as_user<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.dir.path())
    }
}

/// A user's uid and gid.
fn user_ids(name: &str) -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user =
        lines.find(|fields| fields.first() == Some(&name)).with_context(|| format!("no user {name}"))?;
    let id = |index: usize| user.get(index).and_then(|id| id.parse().ok()).context("a broken /etc/passwd");
    Ok((id(2)?, id(3)?))
}
