//! Time and chance, the only door to either. Tests bring their own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use protocol::Timestamp;

/// What fills a buffer with random bytes.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// Where the time and random numbers come from.
#[derive(Clone)]
pub struct Ambient {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    elapsed: Arc<dyn Fn() -> Duration + Send + Sync>,
    fill: Arc<Fill>,
}

impl Ambient {
    /// The system's clocks and its random numbers.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that the others are sent to")]
    pub fn system() -> Self {
        let start = Instant::now();
        Self::of(
            || SystemTime::now().into(),
            move || start.elapsed(),
            |bytes| {
                // Without random numbers there are no unguessable secrets: nothing could go on.
                getrandom::fill(bytes).expect("the operating system gives random numbers");
            },
        )
    }

    /// As [`system`](Self::system), but what time it is `now` says.
    pub fn with_time(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), ..Self::system() }
    }

    /// These clocks and this chance: `now` is the time of day, `elapsed` never goes back, `fill` fills a buffer.
    pub fn of(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), elapsed: Arc::new(elapsed), fill: Arc::new(fill) }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Time since some fixed moment; never goes back.
    pub fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }

    /// 64 random bits.
    pub fn chance(&self) -> u64 {
        let mut bytes = [0; 8];
        (self.fill)(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// 128 random bits.
    pub fn salt(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        (self.fill)(&mut bytes);
        bytes
    }

    /// 256 random bits.
    pub fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        (self.fill)(&mut bytes);
        bytes
    }
}
