//! Copies committed pages from the WAL into the database file, beside the writer instead of in its way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::Connection;

use super::{Access, beside, connect};
use crate::error::{Error, ErrorKind};

/// A WAL below this is left as it is.
const WAL_BYTES: u64 = 4 * 1024 * 1024;

/// The least time from one look to the next, so that copying leaves the disk to the commits most of the time.
const PAUSE: Duration = Duration::from_millis(250);

/// The writer's handle; when it is dropped, the thread ends.
pub(super) struct Checkpointer {
    nudges: Sender<()>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, wal_bytes: Arc<AtomicU64>) -> Result<Self, Error> {
        let connection = connect(path, Access::Write)?;
        let wal_path = beside(path, "-wal");
        let (nudges, nudged) = bounded(1);
        thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&connection, &wal_path, &nudged, &wal_bytes))
            .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        Ok(Self { nudges })
    }

    /// Something was committed.
    pub(super) fn nudge(&self) {
        // Full means that a nudge waits already.
        let _ = self.nudges.try_send(());
    }
}

fn run(connection: &Connection, wal_path: &PathBuf, nudged: &Receiver<()>, wal_bytes: &AtomicU64) {
    while nudged.recv().is_ok() {
        let bytes = std::fs::metadata(wal_path).map_or(0, |metadata| metadata.len());
        if bytes >= WAL_BYTES
            && let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "checkpoint failed; the next one tries again");
        }
        // After the copying, not before: the writer begins the WAL anew when it reads this, and can't while a checkpoint
        // runs. Told at the start of a long one, it would give up each time, and the WAL would only grow.
        wal_bytes.store(bytes, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
}
