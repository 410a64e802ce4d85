//! What the SDK needs of the system it runs on: a log, a clock, chance, a way to the network. Tests bring their own.

use std::io;
use std::pin::Pin;
use std::time::SystemTime;

use protocol::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::dial;

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something is wrong that will not mend itself.
    Error,
    /// Something went wrong and is tried again.
    Warn,
    /// What an app developer may want to see.
    Info,
    /// What a developer of the SDK may want to see.
    Debug,
}

/// A byte stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A stream that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// A moment in the life of a transaction on the local file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMoment {
    /// All is written and nothing is committed.
    Before,
    /// It is on the disk, and nobody was told yet.
    After,
}

/// The system under the SDK. Only [`log`](Self::log) has to be given; the rest is what every system has.
pub trait Platform: Send + Sync + 'static {
    /// Takes a line of the log. It holds neither message bodies nor secrets. Called on the client's own task: it must
    /// return quickly, and must not call the client.
    fn log(&self, level: LogLevel, message: &str);

    /// The time of day. Only shown to people: no order and no waiting depends on it. Where it jumps, the device may have slept.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that the others are sent to")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    /// Fills a buffer with unpredictable bytes.
    ///
    /// # Errors
    /// If the system has none to give.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that the others are sent to")]
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }

    /// Opens a byte stream to a host, without TLS: to the first of its addresses that answers.
    fn dial(&self, host: &str, port: u16) -> Dialing {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = dial::connect(&host, port).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    /// Told of every transaction on the local file. For tests that end the process at each of them.
    fn committing(&self, moment: CommitMoment) {
        let _ = moment;
    }
}
