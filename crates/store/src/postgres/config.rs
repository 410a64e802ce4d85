//! How to reach a Postgres database.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::SslMode;

use crate::error::{Error, ErrorKind};

/// How long connecting may take.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Limits on the database's side, so that a node that is frozen holds no locks and a lost one no connection.
const LIMITS: &str = "-c statement_timeout=5s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s";

/// How to reach a Postgres database, made from a `postgres://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The driver's part of it.
    pub(super) driver: tokio_postgres::Config,
}

impl FromStr for PostgresConfig {
    type Err = Error;

    /// # Errors
    /// If the URL is none, or asks for what there is not.
    fn from_str(url: &str) -> Result<Self, Error> {
        let invalid = |detail: String| Error::new(ErrorKind::Internal, detail);
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "disable" | "prefer" | "allow")) => {}
                Some(("sslmode" | "sslrootcert", _)) => {
                    return Err(invalid("this version speaks to Postgres without TLS only".into()));
                }
                _ => kept.push(pair),
            }
        }
        let url = if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
        let mut driver: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| {
            // The driver's own text holds the cause only, never the URL with its password.
            match std::error::Error::source(&error) {
                Some(source) => invalid(format!("{error}: {source}")),
                None => invalid(error.to_string()),
            }
        })?;
        if driver.get_hosts().is_empty() {
            return Err(invalid("the host is missing: postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()));
        }
        let options = match driver.get_options() {
            Some(given) => format!("{LIMITS} {given}"),
            None => LIMITS.to_owned(),
        };
        driver
            .options(options)
            .ssl_mode(SslMode::Disable)
            .connect_timeout(CONNECT_LIMIT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .application_name("replyhq");
        Ok(Self { driver })
    }
}
