//! A private Postgres cluster and a private Redis, for a server that needs them.

use crate::service::{Service, pinned, run};
use anyhow::{Context, Result};
use rustix::process::{Signal, geteuid};
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

const POSTGRES_HOME: &str = "/usr/lib/postgresql";

/// Where the two keep their things between starts. Postgres has its default, durable settings.
#[derive(Debug)]
pub(crate) struct Backing {
    dir: PathBuf,
    postgres: PathBuf,
    user: Option<(u32, u32)>,
    core: usize,
}

/// The two, running.
#[derive(Debug)]
pub(crate) struct Running {
    postgres: Service,
    redis: Service,
    /// How to reach Postgres.
    pub(crate) database_url: String,
    /// How to reach Redis.
    pub(crate) redis_url: String,
}

impl Backing {
    /// Installs what is missing and makes an empty cluster in `dir`. Both will run on `core`.
    pub(crate) fn create(dir: &Path, core: usize) -> Result<Self> {
        install_missing()?;
        let postgres = newest_postgres()?;
        let dir = dir.join("backing");
        let cluster = dir.join("postgres");
        fs::create_dir_all(&cluster)?;
        let user = if geteuid().is_root() { Some(user_ids("postgres")?) } else { None };
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid))?;
            chown(&cluster, Some(uid), Some(gid))?;
        }
        let backing = Self { dir, postgres, user, core };
        let mut initdb = Command::new(backing.postgres.join("initdb"));
        initdb
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "-D"])
            .arg(&cluster);
        run(backing.as_user(&mut initdb))?;
        Ok(backing)
    }

    /// The version of Postgres.
    pub(crate) fn postgres_version(&self) -> Result<String> {
        Ok(run(Command::new(self.postgres.join("postgres")).arg("--version"))?.trim().to_owned())
    }

    fn as_user<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.dir)
    }

    /// Starts both and waits until they are ready.
    pub(crate) async fn start(&self) -> Result<Running> {
        let (postgres_port, redis_port) = (free_port()?, free_port()?);
        let mut command = pinned(self.core, self.postgres.join("postgres"));
        command.arg("-D").arg(self.dir.join("postgres")).args(["-h", "127.0.0.1", "-p"]);
        command.arg(postgres_port.to_string()).arg("-k").arg(&self.dir);
        let mut postgres = Service::start("postgres", &self.dir, self.as_user(&mut command))?;

        let mut command = pinned(self.core, "redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(redis_port.to_string()).arg("--dir").arg(&self.dir);
        let mut redis = Service::start("redis", &self.dir, self.as_user(&mut command))?;

        postgres.ready("database system is ready to accept connections").await?;
        redis.ready("Ready to accept connections").await?;
        Ok(Running {
            postgres,
            redis,
            database_url: format!("postgres://postgres@127.0.0.1:{postgres_port}/postgres"),
            redis_url: format!("redis://127.0.0.1:{redis_port}"),
        })
    }
}

impl Running {
    /// The processor seconds of both together.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        Ok(self.postgres.cpu_seconds()? + self.redis.cpu_seconds()?)
    }

    /// Stops both.
    pub(crate) async fn stop(self) -> Result<()> {
        self.redis.stop(Signal::TERM).await?;
        // Postgres's fast shutdown: open sessions are ended.
        self.postgres.stop(Signal::INT).await?;
        Ok(())
    }
}

fn install_missing() -> Result<()> {
    let mut missing = Vec::new();
    if newest_postgres().is_err() {
        missing.push("postgresql");
    }
    if provision::program("redis-server").is_none() {
        missing.push("redis-server");
    }
    if missing.is_empty() { Ok(()) } else { provision::debian_packages(&missing) }
}

fn newest_postgres() -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRES_HOME).context("Postgres is not installed")?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let paths = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = paths.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    Ok(newest.context("Postgres's server is not installed")?.join("bin"))
}

/// A user's uid and gid: Postgres refuses to run as root.
fn user_ids(name: &str) -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user =
        lines.find(|fields| fields.first() == Some(&name)).with_context(|| format!("no user {name}"))?;
    let id = |index: usize| user.get(index).and_then(|id| id.parse().ok()).context("a broken /etc/passwd");
    Ok((id(2)?, id(3)?))
}

/// A port that is free now; nothing else on this machine is after it.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
