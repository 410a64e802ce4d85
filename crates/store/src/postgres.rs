//! Postgres, which several nodes may share: a pool of connections, a lane for appends, one for receipts, and a few for other
//! writes.
//!
//! Nothing waits for it without a limit. What is acknowledged has been committed; where a commit's outcome is unknown
//! the caller gets an error, and its retry settles it.

mod append;
mod config;
mod connection;
mod group;
mod lanes;
mod migrate;
mod pool;
mod receipt;
mod serving;
mod tls;

use tokio::sync::mpsc;

use self::append::Appends;
pub use self::config::PostgresConfig;
use self::group::GroupLane;
use self::lanes::Lanes;
pub(crate) use self::pool::Pool;
use self::receipt::Receipts;
use self::serving::Serving;
use crate::clock::Clock;
use crate::error::Error;
use crate::job::Job;
use crate::{Completions, Observer, Purpose};

/// What the lanes ask that does not go through a session.
#[cfg(test)]
pub(crate) const OF_LANES: [&str; 6] =
    [group::LOCK, append::EARLIER, append::STORE, receipt::NAMED, receipt::NEWEST, receipt::RAISE];

/// An open database.
pub struct Postgres {
    pub(crate) pool: Pool,
    pub(crate) appends: GroupLane<Appends>,
    pub(crate) receipts: GroupLane<Receipts>,
    pub(crate) lanes: Lanes,
    /// The lanes tell their callers themselves; this only keeps [`Completions`] waiting.
    _completions: mpsc::UnboundedSender<Vec<Box<dyn Job>>>,
    serving: Option<Serving>,
    pub(crate) clock: Clock,
}

impl Postgres {
    pub(crate) async fn open(
        config: &PostgresConfig,
        purpose: Purpose,
        observer: Observer,
    ) -> Result<(Self, Completions), Error> {
        let clock = Clock::of_database();
        connection::check(config, &clock).await?;
        let serving = match purpose {
            Purpose::Serve { alone } => Some(Serving::begin(config, alone, &clock).await?),
            Purpose::Command => None,
        };
        migrate::run(config, purpose).await?;
        let pool = Pool::new(config)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let postgres = Self {
            appends: GroupLane::start(pool.clone(), observer.clone()),
            receipts: GroupLane::start(pool.clone(), observer.clone()),
            lanes: Lanes::start(&pool, &observer),
            pool,
            _completions: sender,
            serving,
            clock,
        };
        Ok((postgres, Completions::new(receiver)))
    }

    /// Whether another process that knows nothing of this one serves from the same database.
    pub(crate) fn is_disputed(&self) -> bool {
        self.serving.as_ref().is_some_and(Serving::is_disputed)
    }
}
