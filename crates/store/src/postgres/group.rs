//! A lane whose writes are done many at a time: what waits is one transaction of two round trips.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use deadpool_postgres::Object;
use protocol::ConversationId;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::lanes::TRIES;
use super::pool::{Pool, limited};
use crate::error::{Error, ErrorKind};
use crate::operations::conversations::{Proven, Scope, Stored, columns};
use crate::session::Row;
use crate::{Observation, Observer};

/// Writes that may wait; more are refused.
const QUEUE: usize = 16_384;

/// Writes in one transaction, at most.
const BATCH: usize = 256;

/// What is done many at a time.
pub(crate) trait Group: Send + 'static {
    /// What is asked for.
    type New: Send + Sync;
    /// What came of it.
    type Outcome: Send;

    /// What is known without asking: Postgres can't be asked for everything, and one such thing would fail the whole batch.
    fn outcome_of_nonsense(new: &Self::New) -> Option<Self::Outcome>;

    /// Begins a transaction, does all of them, each as if those before it were done, and commits.
    fn store(
        connection: &Object,
        batch: &[&Self::New],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Error>> + Send;
}

type Done<G> = Box<dyn FnOnce(Result<<G as Group>::Outcome, Error>) + Send>;

struct Waiting<G: Group> {
    new: G::New,
    done: Done<G>,
}

pub(crate) struct GroupLane<G: Group> {
    queue: Sender<Waiting<G>>,
}

impl<G: Group> GroupLane<G> {
    pub(super) fn start(pool: Pool, observer: Observer) -> Self {
        let (queue, waiting) = channel(QUEUE);
        tokio::spawn(Lane::<G> { pool, observer, waiting }.run());
        Self { queue }
    }

    /// Queues the write. If there is no room, its caller is told at once.
    pub(crate) fn submit(&self, new: G::New, done: Done<G>) {
        if let Some(outcome) = G::outcome_of_nonsense(&new) {
            return done(Ok(outcome));
        }
        let (waiting, error) = match self.queue.try_send(Waiting { new, done }) {
            Ok(()) => return,
            Err(TrySendError::Full(waiting)) => {
                (waiting, Error::new(ErrorKind::Overloaded, "too many writes wait for the database"))
            }
            Err(TrySendError::Closed(waiting)) => (waiting, Error::closed()),
        };
        (waiting.done)(Err(error));
    }
}

struct Lane<G: Group> {
    pool: Pool,
    observer: Observer,
    waiting: Receiver<Waiting<G>>,
}

impl<G: Group> Lane<G> {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            let Err(error) = self.commit(&mut batch).await else { continue };
            // Who waits learns it now, not after one limit after another.
            while let Ok(waiting) = self.waiting.try_recv() {
                batch.push(waiting);
            }
            for waiting in batch.drain(..) {
                (waiting.done)(Err(error.clone()));
            }
        }
    }

    /// All in one transaction; if one of them is at fault, each in its own. Whoever is left in `batch` is to be told of
    /// the error, which is everyone's.
    async fn commit(&self, batch: &mut Vec<Waiting<G>>) -> Result<(), Error> {
        let all: Vec<&G::New> = batch.iter().map(|waiting| &waiting.new).collect();
        match self.attempt(&all).await {
            Ok(outcomes) => {
                for (waiting, outcome) in batch.drain(..).zip(outcomes) {
                    (waiting.done)(Ok(outcome));
                }
                return Ok(());
            }
            Err(error) if error.is_everyones() => return Err(error),
            Err(error) if batch.len() == 1 => {
                batch.drain(..).for_each(|waiting| (waiting.done)(Err(error.clone())));
                return Ok(());
            }
            Err(_) => {}
        }
        while let Some(new) = batch.first().map(|waiting| &waiting.new) {
            let outcome = match self.attempt(&[new]).await {
                Err(error) if error.is_everyones() => return Err(error),
                outcome => outcome.and_then(|outcomes| outcomes.into_iter().next().ok_or_else(Error::closed)),
            };
            (batch.remove(0).done)(outcome);
        }
        Ok(())
    }

    async fn attempt(&self, batch: &[&G::New]) -> Result<Vec<G::Outcome>, Error> {
        let started = Instant::now();
        let mut tries = 1;
        let outcome = loop {
            match self.transaction(batch).await {
                Err(error) if error.is_passing() && tries < TRIES => tries += 1,
                outcome => break outcome,
            }
        };
        (self.observer)(match &outcome {
            Ok(_) => Observation::Committed { writes: batch.len(), took: started.elapsed() },
            Err(error) => Observation::Failed(error.kind()),
        });
        outcome
    }

    async fn transaction(&self, batch: &[&G::New]) -> Result<Vec<G::Outcome>, Error> {
        let lease = self.pool.lease().await?;
        let outcome = limited(G::store(lease.connection()?, batch)).await;
        lease.end(outcome).await
    }
}

/// The rows of these conversations, locked in order of their ids, so that no two nodes wait for each other; and until the
/// commit, so that the order of `seq` is the order of commits.
pub(super) const LOCK: &str =
    concat!("SELECT ", columns!(), " FROM conversations WHERE id = ANY($1) ORDER BY id FOR UPDATE");

/// Who is proven at the devices of those scopes, where that decides whether they reach any of those conversations.
pub(super) async fn proven<'s>(
    connection: &Object,
    scopes: impl Iterator<Item = &'s Scope>,
    conversations: &HashMap<ConversationId, Stored>,
) -> Result<Proven, Error> {
    let mut proven = Proven::new();
    if !conversations.values().any(|stored| stored.is_proven) {
        return Ok(proven);
    }
    let devices = scopes.filter_map(|scope| Some((scope.app_id.as_str(), scope.device_id.as_deref()?)));
    let (apps, devices): (Vec<&str>, Vec<&str>) = devices.collect::<BTreeSet<_>>().into_iter().unzip();
    if devices.is_empty() {
        return Ok(proven);
    }
    let statement = connection.prepare_cached(PROVEN).await?;
    for row in connection.query(&statement, &[&apps, &devices]).await? {
        let mut row = Row::postgres(&row);
        proven.insert((row.id()?, row.id()?), row.id()?);
    }
    Ok(proven)
}

pub(super) const PROVEN: &str = "SELECT d.app_id, d.device_id, d.user_id FROM unnest($1::text[], $2::text[]) \
    AS v (app_id, device_id) JOIN devices d ON d.app_id = v.app_id AND d.device_id = v.device_id \
    WHERE d.is_proven = 1 AND d.user_id IS NOT NULL";

/// One column of what is sent together.
pub(super) fn column<'r, R, T>(rows: &[&'r R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(|row| of(row)).collect()
}
