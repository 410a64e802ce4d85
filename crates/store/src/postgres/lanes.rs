//! All writes but appends: each in its own transaction, those with the same key one after another.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::pool::Pool;
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::{Observation, Observer};

const LANES: usize = 4;

/// Writes that may wait in one lane; more are refused.
const QUEUE: usize = 4_096;

/// How often a write is tried that others were in the way of.
pub(super) const TRIES: u32 = 4;

pub(crate) struct Lanes {
    queues: Vec<Sender<Box<dyn Job>>>,
}

impl Lanes {
    pub(super) fn start(pool: &Pool, observer: &Observer) -> Self {
        let queues = (0..LANES).map(|_| {
            let (queue, jobs) = channel(QUEUE);
            tokio::spawn(Lane { pool: pool.clone(), observer: observer.clone(), jobs }.run());
            queue
        });
        Self { queues: queues.collect() }
    }

    /// Queues the job. If there is no room, it fails and is finished at once.
    pub(crate) fn submit(&self, key: &str, job: Box<dyn Job>) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % self.queues.len() as u64).unwrap_or(0);
        let (mut job, error) = match self.queues[lane].try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => {
                (job, Error::new(ErrorKind::Overloaded, "too many writes wait for the database"))
            }
            Err(TrySendError::Closed(job)) => (job, Error::closed()),
        };
        job.fail(error);
        job.finish();
    }
}

struct Lane {
    pool: Pool,
    observer: Observer,
    jobs: Receiver<Box<dyn Job>>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(mut job) = self.jobs.recv().await {
            let started = Instant::now();
            let outcome = self.commit(&mut *job).await;
            let Err(error) = outcome else {
                (self.observer)(Observation::Committed { writes: 1, took: started.elapsed() });
                job.finish();
                continue;
            };
            (self.observer)(Observation::Failed(error.kind()));
            let is_everyones = error.is_everyones();
            let mut failed = vec![job];
            // Who waits learns it now, not after one limit after another.
            while is_everyones && let Ok(job) = self.jobs.try_recv() {
                failed.push(job);
            }
            for mut job in failed {
                job.fail(error.clone());
                job.finish();
            }
        }
    }

    async fn commit(&self, job: &mut dyn Job) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            match self.pool.write(job).await {
                Err(error) if error.is_passing() && tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }
}
