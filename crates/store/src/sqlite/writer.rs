//! The one writer: it drains its queue into one transaction, commits, and then reports all of it in commit order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::checkpoint::Checkpointer;
use super::{Access, BUSY_TIMEOUT, ServingLock, connect};
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::session::{Session, at_once};
use crate::{Completions, Observation, Observer};

/// Writes that may wait for the writer; more are refused, so that a stuck disk can't fill the memory.
const QUEUE: usize = 16_384;

/// Writes in one transaction, at most: bounds how long the first one waits for the last.
const BATCH: usize = 256;

/// A WAL that has grown this large is begun anew by the writer itself: under a load that never pauses, the checkpointer
/// alone never finds the moment when all of it is copied. Writing over a file that is there costs a fifth less than
/// growing it, so it is small and is not cut.
const WAL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long the writer waits for readers when it begins the WAL anew. Those of the server are gone sooner; another
/// process's, a backup for one, may take minutes, and then the WAL grows instead of the commits waiting.
const READER_PATIENCE: Duration = Duration::from_millis(10);

pub(crate) struct Writer {
    queue: Sender<Box<dyn Job>>,
}

impl Writer {
    pub(super) fn start(
        path: &Path,
        lock: Option<ServingLock>,
        observer: Observer,
    ) -> Result<(Self, Completions), Error> {
        let connection = connect(path, Access::Write)?;
        let wal_bytes = Arc::new(AtomicU64::new(0));
        let checkpointer = Checkpointer::start(path, Arc::clone(&wal_bytes))?;
        let (queue, jobs) = bounded(QUEUE);
        let (done, completions) = mpsc::unbounded_channel();
        let mut thread =
            WriterThread { connection, _lock: lock, jobs, done, observer, checkpointer, wal_bytes };
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        Ok((Self { queue }, Completions::new(completions)))
    }

    /// Queues the job. If there is no room, it fails and is finished at once.
    pub(crate) fn submit(&self, job: Box<dyn Job>) {
        let (mut job, error) = match self.queue.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => {
                (job, Error::new(ErrorKind::Overloaded, "too many writes wait for the disk"))
            }
            Err(TrySendError::Disconnected(job)) => (job, Error::closed()),
        };
        job.fail(error);
        job.finish();
    }
}

struct WriterThread {
    connection: Connection,
    /// Held until nothing is written any more: a second server on the same file would know nothing of this one's connections.
    /// Let go of before `done`, whose end says that the file is free.
    _lock: Option<ServingLock>,
    jobs: Receiver<Box<dyn Job>>,
    /// Unbounded, because it holds no more than was in the bounded queue, and a commit must never wait for those who
    /// are told of it.
    done: mpsc::UnboundedSender<Vec<Box<dyn Job>>>,
    observer: Observer,
    checkpointer: Checkpointer,
    wal_bytes: Arc<AtomicU64>,
}

impl WriterThread {
    fn run(&mut self) {
        while let Ok(first) = self.jobs.recv() {
            let mut batch = vec![first];
            batch.extend(self.jobs.try_iter().take(BATCH - 1));
            if batch.len() > 1 {
                thread::yield_now();
                let room = BATCH - batch.len();
                batch.extend(self.jobs.try_iter().take(room));
            }
            self.commit(&mut batch);
            if self.done.send(batch).is_err() {
                return;
            }
            self.checkpointer.nudge();
            self.bound_wal();
        }
    }

    /// All in one transaction; if one of them is at fault, each in its own, so that it harms no other.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) {
        let started = Instant::now();
        let Err(error) = self.transaction(batch) else {
            (self.observer)(Observation::Committed { writes: batch.len(), took: started.elapsed() });
            return;
        };
        if error.is_everyones() || batch.len() == 1 {
            (self.observer)(Observation::Failed(error.kind()));
            batch.iter_mut().for_each(|job| job.fail(error.clone()));
            return;
        }
        for job in batch.chunks_mut(1) {
            self.commit(job);
        }
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Error> {
        self.statement("BEGIN IMMEDIATE")?;
        let mut session = Session::Sqlite(&mut self.connection);
        let outcome = batch.iter_mut().try_for_each(|job| at_once(job.run(&mut session)));
        let outcome = outcome.and_then(|()| self.statement("COMMIT"));
        if outcome.is_err() && !self.connection.is_autocommit() {
            // SQLite has rolled back by itself where it had to; where it has not, this must not fail either.
            self.statement("ROLLBACK")?;
        }
        outcome
    }

    fn statement(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn bound_wal(&self) {
        if self.wal_bytes.load(Ordering::Relaxed) < WAL_BYTES_MAX {
            return;
        }
        let restarted = self
            .connection
            .busy_timeout(READER_PATIENCE)
            .and_then(|()| self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())));
        let patient_again = self.connection.busy_timeout(BUSY_TIMEOUT);
        match restarted.and(patient_again) {
            // Where a reader was in the way, the checkpointer's next look asks for it again.
            Ok(()) => self.wal_bytes.store(0, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the WAL could not be emptied"),
        }
    }
}
