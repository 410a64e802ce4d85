//! The log: on standard error, for people or for programs. Neither secrets nor message bodies are ever put into it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{Ipv4Net, Ipv6Net};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::{LogAddresses, LogFormat};

/// Starts the process's log. A second call changes nothing.
pub fn start_log(format: LogFormat, level: LevelFilter) {
    let layer = match format {
        LogFormat::Human => fmt::layer().with_writer(std::io::stderr).with_target(false).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    // An error says that there is a log already, as in tests that start many servers.
    let _ = registry().with(layer.with_filter(level)).try_init();
}

/// How often something is said in the log that may happen a thousand times a second.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// A line of the log that is written once a minute at most, with how often its reason came.
#[derive(Default)]
pub(crate) struct Sampled {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Sampled {
    /// To be asked each time; how often that was since the line was last written, if it is due now.
    pub(crate) fn due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, times) = &mut *state;
        *times += 1;
        if said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return None;
        }
        *said = Some(now);
        Some(std::mem::take(times))
    }
}

/// Logins that were refused: a line a minute, with the last of them.
pub(crate) struct RefusedLogins {
    line: Sampled,
    addresses: LogAddresses,
}

/// Characters of a stranger's text that are put into the log.
const STRANGERS_CHARS: usize = 64;

impl RefusedLogins {
    pub(crate) fn new(addresses: LogAddresses) -> Self {
        Self { line: Sampled::default(), addresses }
    }

    /// One was refused. `app` is what the stranger called it, if anything.
    pub(crate) fn tell(&self, namespace: &str, code: &str, app: Option<&str>, address: Option<IpAddr>) {
        let Some(times) = self.line.due() else { return };
        let app: String = app.unwrap_or_default().chars().take(STRANGERS_CHARS).collect();
        let address = address.map(|ip| self.addresses.show(ip)).unwrap_or_default();
        tracing::warn!(
            namespace,
            code,
            ?app,
            address,
            times,
            "logins were refused; this is the last of them"
        );
    }
}

impl LogAddresses {
    /// The address as it may stand in the log.
    pub(crate) fn show(self, ip: IpAddr) -> String {
        match (self, ip) {
            (Self::Full, ip) => ip.to_string(),
            (Self::Network, IpAddr::V4(ip)) => {
                Ipv4Net::new(ip, 24).map_or_else(|_| String::new(), |network| network.trunc().to_string())
            }
            (Self::Network, IpAddr::V6(ip)) => {
                Ipv6Net::new(ip, 48).map_or_else(|_| String::new(), |network| network.trunc().to_string())
            }
            (Self::None, _) => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampled_line_is_written_once_and_counts_the_rest() {
        let line = Sampled::default();
        assert_eq!(line.due(), Some(1));
        assert!((0..10).all(|_| line.due().is_none()));
        line.state.lock().unwrap().0 = Instant::now().checked_sub(SAID_EVERY);
        assert_eq!(line.due(), Some(11));
    }

    #[test]
    fn an_address_is_shown_as_the_operator_wants_it() {
        let (v4, v6) = ("203.0.113.7".parse().unwrap(), "2001:db8:1:2::3".parse().unwrap());
        assert_eq!(LogAddresses::Full.show(v4), "203.0.113.7");
        assert_eq!(LogAddresses::Network.show(v4), "203.0.113.0/24");
        assert_eq!(LogAddresses::Network.show(v6), "2001:db8:1::/48");
        assert_eq!(LogAddresses::None.show(v6), "-");
    }
}
