//! A copy of the database as one file, taken while a server goes on writing.
//!
//! SQLite's backup API copies all pages in one step, so in one read transaction: a WAL has room for a reader of an old
//! state beside the writer, and nobody waits. Smaller steps let go of the state between them, and each commit of another
//! process in such a pause makes the copying begin again: under a steady load it would never end. `VACUUM INTO` reads
//! one state too, but builds every tree anew: more CPU beside the server, for a smaller file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::{Connection, OpenFlags};
use rustix::process::geteuid;
use tempfile::TempDir;

use super::files::{FILE_MODE, FOLDER_MODE, SUFFIXES};
use super::{Access, beside, connect};
use crate::error::{Error, ErrorKind};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The copy's size.
    pub bytes: u64,
    /// Messages in the copy.
    pub messages: u64,
}

/// Copies the SQLite database at `database`, as it is when this begins, into the one file `output`: checked, synced to
/// the disk, and readable by its owner only. A server may go on writing meanwhile; its WAL grows by what it writes until
/// the copy is done. `output` is there entirely or not at all; one that exists is replaced only if `replace`.
///
/// # Errors
/// If there is no such database, if `output` exists or can't be written, or if the copy is not sound. What was at
/// `output` before is untouched then.
pub fn back_up(database: &Path, output: &Path, replace: bool) -> Result<Backup, Error> {
    if !database.exists() {
        return Err(Error::new(ErrorKind::Io, format!("there is no database at {}", database.display())));
    }
    check_output(database, output, replace)?;
    let partial = Partial::create(output)?;
    copy(database, &partial.path)?;
    let messages = check(&partial.path).map_err(|error| of(output, &error))?;
    partial.file.sync_all().map_err(|error| failed(output, &error))?;
    let bytes = partial.file.metadata().map_err(|error| failed(output, &error))?.len();
    // It may have come while this one was made.
    check_output(database, output, replace)?;
    partial.finish(output)?;
    Ok(Backup { bytes, messages })
}

/// The copy must take the place of nothing that is needed.
fn check_output(database: &Path, output: &Path, replace: bool) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Io, format!("{}: {why}", output.display())));
    if output.is_dir() {
        return refuse("is a folder; name the file");
    }
    let place = |path: &Path| fs::canonicalize(path).ok();
    for suffix in SUFFIXES {
        let own = beside(database, suffix);
        if own == output || place(&own).is_some_and(|own| Some(own) == place(output)) {
            return refuse("belongs to the database that is to be copied");
        }
    }
    if !replace && output.symlink_metadata().is_ok() {
        return refuse("exists already; --force replaces it");
    }
    Ok(())
}

/// The copy while it is made: in a folder of its own beside its final place, which nobody else can look into, made under
/// a name that nobody can foresee. SQLite opens a file by its path, so that in a folder that others may write to, the
/// path could lead elsewhere the next moment. Removed when dropped.
struct Partial {
    path: PathBuf,
    file: File,
    folder: TempDir,
}

/// Between the output's name and what nobody can foresee.
const PARTIAL: &str = ".partial-";
/// The copy's name in its folder.
const COPY: &str = "copy.db";

impl Partial {
    fn create(output: &Path) -> Result<Self, Error> {
        let beside =
            output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}{PARTIAL}");
        remove_interrupted(beside, &prefix);
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(FOLDER_MODE))
            .tempdir_in(beside)
            .map_err(|error| failed(output, &error))?;
        let path = folder.path().join(COPY);
        let failed = |error: io::Error| failed(&path, &error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed)?;
        // Held as long as it is made: what an interrupted backup has left is told from it.
        file.try_lock().map_err(|_| Error::new(ErrorKind::Busy, format!("{}: is locked", path.display())))?;
        Ok(Self { path, file, folder })
    }

    /// Gives it its name, for good.
    fn finish(self, output: &Path) -> Result<(), Error> {
        fs::rename(&self.path, output).map_err(|error| failed(output, &error))?;
        // What stays is an empty folder, which the next backup removes.
        let _ = self.folder.close();
        // The name is durable with the folder that holds it.
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        folder.map_err(|error| failed(output, &error))
    }
}

/// Removes what backups to this place have left that were killed: folders of ours, whose copies nobody makes any more.
fn remove_interrupted(beside: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(beside) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        // Not followed, if it is a link.
        let is_ours = entry.metadata().is_ok_and(|found| {
            found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o777 == FOLDER_MODE
        });
        let is_made = || File::open(entry.path().join(COPY)).is_ok_and(|copy| copy.try_lock().is_err());
        if is_ours && !is_made() {
            // What can't be removed now stays in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn copy(database: &Path, partial: &Path) -> Result<(), Error> {
    let from = connect(database, Access::Read).map_err(|error| of(database, &error))?;
    let of_copy = |error: rusqlite::Error| of(partial, &error.into());
    let mut to = open(partial).map_err(of_copy)?;
    // Until it is whole it is worth nothing, and then all of it is synced at once.
    to.pragma_update(None, "synchronous", "OFF").map_err(of_copy)?;
    let copying = Copying::new(&from, &mut to).map_err(of_copy)?;
    match copying.step(-1).map_err(of_copy)? {
        StepResult::Done => Ok(()),
        _ => Err(Error::new(ErrorKind::Busy, format!("{}: someone else has locked it", database.display()))),
    }
}

/// Makes one file of the copy, without a WAL beside it, and reads all of it; returns how many messages it holds.
fn check(partial: &Path) -> Result<u64, Error> {
    let copy = open(partial)?;
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        let detail = format!("the copy is not sound, so the database may not be either: {verdict}");
        return Err(Error::new(ErrorKind::Internal, detail));
    }
    let messages: i64 = copy.query_row("SELECT count(*) FROM messages", [], |row| row.get(0))?;
    Ok(messages.unsigned_abs())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { ErrorKind::Full } else { ErrorKind::Io };
    Error::new(kind, format!("{}: {error}", path.display()))
}

fn of(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {}", path.display(), error.detail()))
}
