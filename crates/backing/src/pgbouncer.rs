//! A private PgBouncer before a Postgres.

use std::fs;
use std::process::Command;

use anyhow::Result;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::install::{PGBOUNCER, require};
use crate::port::Port;
use crate::postgres::Postgres;
use crate::service::Service;

/// For how long a client has a connection of Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// As long as it is connected.
    Session,
    /// For one transaction.
    Transaction,
}

/// A PgBouncer of one's own. Dropped, it is killed.
#[derive(Debug)]
pub struct PgBouncer {
    // Dropped first: nobody writes to the folder when it is removed.
    _service: Service,
    port: Port,
    _dir: TempDir,
}

impl PgBouncer {
    /// Starts one before this Postgres, whose every database it serves; like most, it refuses the `options` of a
    /// connection.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub async fn before(postgres: &Postgres, mode: PoolMode) -> Result<Self> {
        require(PGBOUNCER)?;
        let (dir, port) = (tempfile::Builder::new().prefix("pgbouncer-").tempdir()?, Port::claim()?);
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        // It does not run as root.
        let user = if geteuid().is_root() { "user = postgres\n" } else { "" };
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 40\n{user}",
            postgres.port(),
            port.number()
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings)?;
        let mut command = Command::new("pgbouncer");
        command.arg(&file);
        let mut service = Service::start("pgbouncer", dir.path(), &mut command)?;
        service.ready("process up").await?;
        Ok(Self { _service: service, port, _dir: dir })
    }

    /// How to reach a database through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.number())
    }
}
