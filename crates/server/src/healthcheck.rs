//! `replyhq healthcheck`: asks `/readyz` of the server on this machine, for images that have no HTTP client in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use protocol::{Code, Failure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::settings::{self, LISTEN};

/// Bytes of an answer that are read at most; a server's own is far shorter.
const ANSWER_BYTES: u64 = 16 * 1024;

/// Which server to ask, and how long to wait for it.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Where the server listens; for all addresses of this machine, the loopback one is asked
    #[arg(long, value_name = "ADDRESS", env = "REPLYHQ_LISTEN", default_value = LISTEN)]
    listen: SocketAddr,

    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = settings::parse_duration)]
    timeout: Duration,
}

impl Healthcheck {
    /// The status that the server tells.
    ///
    /// # Errors
    /// If it can't be reached, does not answer in time, or takes no work.
    pub(crate) async fn run(self) -> Result<String, Failure> {
        let address = reachable(self.listen);
        let failed =
            |why: &dyn std::fmt::Display| Failure::new(Code::ServerError, format!("{address}: {why}"));
        let answer = tokio::time::timeout(self.timeout, ask(address)).await;
        let answer = answer.map_err(|_| failed(&"no answer in time"))?.map_err(|error| failed(&error))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split_ascii_whitespace().nth(1) {
            Some("200") => Ok(body.to_owned()),
            Some(_) => Err(failed(&body)),
            None => Err(failed(&"this is no HTTP server")),
        }
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Who listens on all addresses is asked on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
