//! Reads, on threads of their own beside the writer: a long one holds up neither commits nor sockets.

use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Access, connect};
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;
use crate::session::{Session, at_once};

/// How many reads may run at once.
const READERS: usize = 2;

/// Reads that may wait; more are refused.
const QUEUE: usize = 16_384;

/// Reads in one transaction, at most: bounds how long the first snapshot is held.
const BATCH: usize = 64;

type Waiting = Box<dyn FnOnce(&mut Session<'_>) + Send>;

pub(crate) struct Readers {
    queue: Sender<Waiting>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let (queue, reads) = bounded(QUEUE);
        for _ in 0..READERS {
            let connection = connect(path, Access::Read)?;
            let reads = reads.clone();
            thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || run(connection, &reads))
                .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        }
        Ok(Self { queue })
    }

    /// Runs the read on one of the threads.
    pub(crate) async fn read<O: Operation>(&self, operation: O) -> Result<O::Out, Error> {
        let (answer, answered) = oneshot::channel();
        let read: Waiting = Box::new(move |session| {
            // Nobody waits any more where this fails.
            let _ = answer.send(at_once(operation.run(session)));
        });
        match self.queue.try_send(read) {
            Ok(()) => answered.await.map_err(|_| Error::closed())?,
            Err(TrySendError::Full(_)) => {
                Err(Error::new(ErrorKind::Overloaded, "too many reads wait for the disk"))
            }
            Err(TrySendError::Disconnected(_)) => Err(Error::closed()),
        }
    }
}

/// What waits is read in one transaction, so that its lock is taken once. It begins after all of it was asked for, so
/// nobody is shown a state older than their question.
fn run(mut connection: Connection, reads: &Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = reads.recv() {
        batch.push(first);
        batch.extend(reads.try_iter().take(BATCH - 1));
        // Where no transaction can be begun, each read begins its own and says what is wrong.
        let begun = statement(&connection, "BEGIN").is_ok();
        for read in batch.drain(..) {
            read(&mut Session::Sqlite(&mut connection));
        }
        if begun && let Err(error) = statement(&connection, "COMMIT") {
            tracing::error!(%error, "a read transaction did not end");
        }
    }
}

fn statement(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
