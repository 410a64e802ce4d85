//! A private nginx, with a configuration as operators have it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::install::{NGINX, require};
use crate::port::Port;
use crate::service::Service;

/// The port that the configuration listens on, and where its server is.
const LISTEN: &str = "listen 80;";
const SERVER: &str = "server 127.0.0.1:3000 ";

/// An nginx of one's own before one server. Dropped, it is killed.
#[derive(Debug)]
pub struct Nginx {
    // Dropped first: nobody writes to the folder when it is removed.
    _service: Service,
    port: Port,
    _dir: TempDir,
}

impl Nginx {
    /// Starts one with this file of its `conf.d`, which listens on port 80 and has its server on 127.0.0.1:3000: both are
    /// others here.
    ///
    /// # Errors
    /// If it is not installed, does not start, or if the configuration is not of that kind.
    pub async fn before(server: SocketAddr, configuration: &str) -> Result<Self> {
        require(NGINX)?;
        ensure!(
            configuration.contains(LISTEN) && configuration.contains(SERVER),
            "the configuration has no {LISTEN:?}, or no {SERVER:?}"
        );
        let (dir, port) = (tempfile::Builder::new().prefix("nginx-").tempdir()?, Port::claim()?);
        let site = configuration
            .replace(LISTEN, &format!("listen 127.0.0.1:{};", port.number()))
            .replace(SERVER, &format!("server {server} "));
        let path = dir.path().display();
        fs::write(dir.path().join("site.conf"), site)?;
        // One worker, so that connections to the server are used again.
        let main = format!(
            "daemon off; master_process off; worker_processes 1; pid {path}/pid; error_log stderr notice;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
             fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
             include {path}/site.conf; }}\n"
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, main)?;
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-c").arg(&file);
        let mut service = Service::start("nginx", dir.path(), &mut command)?;
        service.ready("using the \"epoll\" event method").await?;
        Ok(Self { _service: service, port, _dir: dir })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port.number()).into()
    }
}
