//! Why there is no connection, in the words of the state and of the log.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};

use crate::WaitReason;
use crate::dial::NoAddress;

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: WaitReason,
    /// For the log; in the system's words where it has any.
    pub(crate) detail: String,
}

impl Trouble {
    pub(crate) fn new(reason: WaitReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.reason.code())
    }
}

impl Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::new(reason_of(&error), error.to_string())
    }
}

/// What a stream ended with, or the exchange on it.
impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Self {
        let of_stream = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        // What is no HTTP is not our server's.
        let unclear = if error.is_parse() { WaitReason::NotTheServer } else { WaitReason::Lost };
        Self::new(of_stream.map_or(unclear, reason_of), error.to_string())
    }
}

fn reason_of(error: &io::Error) -> WaitReason {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };

    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<NoAddress>()) {
        return WaitReason::Dns;
    }
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(
            Expired | NotValidYet | ExpiredContext { .. } | NotValidYetContext { .. },
        )) => return WaitReason::CertificateDates,
        Some(rustls::Error::InvalidCertificate(_)) => return WaitReason::Certificate,
        Some(_) => return WaitReason::Tls,
        None => {}
    }
    match error.kind() {
        ConnectionRefused => WaitReason::Refused,
        // What a system answers that keeps an app from the network.
        HostUnreachable | NetworkUnreachable | NetworkDown | PermissionDenied => WaitReason::Unreachable,
        TimedOut => WaitReason::TimedOut,
        _ => WaitReason::Lost,
    }
}
