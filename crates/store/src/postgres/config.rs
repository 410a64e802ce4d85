//! How to reach a Postgres database.

use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{Tls, TlsOptions};
use crate::error::{Error, ErrorKind};

/// How long connecting may take.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How to reach a Postgres database, made from a `postgres://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The driver's part of it.
    pub(super) driver: tokio_postgres::Config,
    tls: Tls,
}

impl PostgresConfig {
    /// How the driver does TLS, where it does any.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        self.tls.connector().map_err(|detail| Error::new(ErrorKind::Internal, detail))
    }
}

impl FromStr for PostgresConfig {
    type Err = Error;

    /// # Errors
    /// If the URL is none, or asks for what there is not.
    fn from_str(url: &str) -> Result<Self, Error> {
        let invalid = |detail: String| Error::new(ErrorKind::Internal, detail);
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        let mut tls = TlsOptions::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = || percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => tls.sslmode = Some(value),
                "sslrootcert" => tls.sslrootcert = Some(decoded()),
                "sslcert" => tls.sslcert = Some(decoded()),
                "sslkey" => tls.sslkey = Some(decoded()),
                _ => kept.push(pair),
            }
        }
        let tls = Tls::new(&tls).map_err(invalid)?;
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
        driver
            .ssl_mode(tls.mode())
            .connect_timeout(CONNECT_LIMIT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .application_name("replyhq");
        Ok(Self { driver, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        let url = format!("postgres://ann:hidden@one/chat?{query}");
        url.parse::<PostgresConfig>().unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_about_tls_is_refused() {
        assert!(refused("sslmode=on").contains("sslmode is one of"));
        assert!(refused("sslmode=verify-full").contains("sslrootcert"));
        assert!(refused("sslmode=require&sslrootcert=system").contains("verify-full"));
        assert!(refused("sslrootcert=/there/is/none").contains("/there/is/none"));
        assert!(refused("sslmode=require&sslcert=/etc/hosts").contains("belong together"));
        assert!(!refused("sslmode=on").contains("hidden"));
    }

    #[test]
    fn without_a_word_about_tls_it_is_used_where_the_server_has_it() {
        let config: PostgresConfig = "postgres://ann@one/chat".parse().unwrap();
        assert_eq!(config.driver.get_ssl_mode(), tokio_postgres::config::SslMode::Prefer);
        let config: PostgresConfig = "postgres://ann@one/chat?sslmode=disable".parse().unwrap();
        assert_eq!(config.driver.get_ssl_mode(), tokio_postgres::config::SslMode::Disable);
    }
}
