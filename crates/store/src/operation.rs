//! What can be asked of the database, as values: each is a struct that says all it needs, and does it in its `run`. They stand
//! with their SQL, a file a noun, in [`operations`](crate::operations).

use crate::error::Error;
use crate::job::Write as Job;
use crate::postgres::Postgres;
use crate::session::Session;

/// Something whole that is asked of the database: it is done entirely or not at all.
///
/// Nobody outside can make one, for nobody outside has a session.
pub trait Operation: Send + Sync + 'static {
    /// What comes of it.
    type Out: Send + 'static;

    /// Does it, in a transaction that the caller begins and ends. May be called again after that was rolled back.
    ///
    /// # Errors
    /// If the database fails, or takes too long.
    fn run(&self, session: &mut Session<'_>) -> impl Future<Output = Result<Self::Out, Error>> + Send;
}

/// An operation that changes nothing.
pub trait Read: Operation {}

/// An operation that changes something.
pub trait Write: Operation {
    /// Those with the same key are done one after another, in the order in which they were submitted.
    fn key(&self) -> &str;

    /// Puts it into the queue that it waits in on Postgres: usually with all others of its key, each in a transaction of its
    /// own.
    fn queue(self, postgres: &Postgres, done: impl FnOnce(Result<Self::Out, Error>) + Send + 'static)
    where
        Self: Sized,
    {
        let (key, job) = (self.key().to_owned(), Box::new(Job::new(self, done)));
        postgres.lanes.submit(&key, job);
    }
}

/// The key of the rare writes that concern no conversation or device.
pub(crate) const ADMINISTRATION: &str = "administration";
