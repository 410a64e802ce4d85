//! The SQLite backend: one file, one writer thread with group commit, readers beside it, a checkpointer behind it.
//!
//! WAL with `synchronous=FULL`: a commit that was reported is on the disk. The writer never checkpoints in passing
//! (that would stall the commits behind it); a thread of its own does.

mod backup;
mod checkpoint;
mod files;
mod reader;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Timestamp;
use refinery::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub use self::backup::{Backup, back_up};
pub(crate) use self::reader::Readers;
pub(crate) use self::writer::Writer;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::schema::is_to_be_migrated;
use crate::{Completions, Observer, Purpose};

/// How long a statement waits for another process, a command beside the server for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements kept prepared per connection: more than there are.
const STATEMENT_CACHE: usize = 64;

/// Pages that the writer may keep in memory. With SQLite's own 2 MiB, a hundred busy conversations already had it read
/// pages back: a tenth more CPU for each message.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// What is left of a WAL that a long reader, a backup for one, has let grow, once it is begun anew. Above what it has
/// without one, so that it is not cut all the time.
const WAL_BYTES_KEPT: i64 = 32 * 1024 * 1024;

mod both {
    refinery::embed_migrations!("migrations/both");
}

mod own {
    refinery::embed_migrations!("migrations/sqlite");
}

/// An open database file.
pub(crate) struct Sqlite {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) clock: Clock,
}

impl Sqlite {
    pub(crate) fn open(
        path: &Path,
        purpose: Purpose,
        observer: Observer,
    ) -> Result<(Self, Completions), Error> {
        let path = &files::prepare(path)?;
        let lock = match purpose {
            Purpose::Serve { .. } => Some(lock_for_serving(path)?),
            Purpose::Command => None,
        };
        migrate(path, purpose)?;
        let clock = Clock::after(newest(path)?);
        let (writer, completions) = Writer::start(path, lock, observer)?;
        let readers = Readers::start(path)?;
        Ok((Self { writer, readers, clock }, completions))
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// That this process serves from the file, as long as this is there.
///
/// Ended by a word and not by closing the file: whoever starts a program in another thread has, for a moment, a copy of each file that is
/// open, and the next server in this process would be kept out by it.
#[derive(Debug)]
struct ServingLock(File);

impl Drop for ServingLock {
    fn drop(&mut self) {
        // Where that fails, the end of the file's last copy does it.
        let _ = self.0.unlock();
    }
}

fn lock_for_serving(path: &Path) -> Result<ServingLock, Error> {
    let lock_path = beside(path, ".lock");
    let file = files::open_own(&lock_path)?;
    file.try_lock().map_err(|_| {
        Error::new(ErrorKind::Busy, format!("another replyhq serves {} already", path.display()))
    })?;
    Ok(ServingLock(file))
}

fn migrations() -> Runner {
    let mut migrations: Vec<Migration> = both::migrations::runner().get_migrations().clone();
    migrations.extend(own::migrations::runner().get_migrations().iter().cloned());
    Runner::new(&migrations)
}

/// Brings the schema up to date. Processes that start at once take turns.
fn migrate(path: &Path, purpose: Purpose) -> Result<(), Error> {
    let lock_path = beside(path, ".migrate.lock");
    let turn = files::open_own(&lock_path)?;
    files::lock(&turn, &lock_path)?;
    let mut connection = connect(path, Access::Write)?;
    let failed = |error| Error::new(ErrorKind::Internal, format!("migration: {error}"));
    let runner = migrations();
    const HAS_HISTORY: &str = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
    let applied = match connection.query_row(HAS_HISTORY, (), |row| row.get::<_, i64>(0))? {
        0 => None,
        _ => runner.get_last_applied_migration(&mut connection).map_err(failed)?,
    };
    let newest = runner.get_migrations().iter().map(Migration::version).max().unwrap_or_default();
    if is_to_be_migrated(purpose, applied.map(|migration| migration.version().into()), newest.into())? {
        runner.run(&mut connection).map_err(failed)?;
    }
    Ok(())
}

/// The newest time that is stored.
fn newest(path: &Path) -> Result<Timestamp, Error> {
    const SQL: &str = "SELECT coalesce(max(updated_at), 0) FROM conversations";
    let newest = connect(path, Access::Read)?.query_row(SQL, [], |row| row.get(0))?;
    Ok(Timestamp::from_epoch_ms(newest))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn connect(path: &Path, access: Access) -> Result<Connection, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    if access == Access::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // One plan for each statement. Else SQLite looks at what is bound and prepares anew: an eighth of a handshake.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    match access {
        Access::Read => connection.pragma_update(None, "query_only", true)?,
        Access::Write => {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        }
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use refinery::Target;

    use super::*;

    #[test]
    fn a_copy_of_the_lock_keeps_nobody_out_once_the_server_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replyhq.db");
        let first = lock_for_serving(&path).unwrap();
        assert!(lock_for_serving(&path).is_err());
        // As a program has it that is being started.
        let copy = first.0.try_clone().unwrap();
        drop(first);
        assert!(lock_for_serving(&path).is_ok());
        drop(copy);
    }

    #[test]
    fn what_an_older_version_has_stored_is_shown_to_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replyhq.db");
        let mut connection = connect(&path, Access::Write).unwrap();
        migrations().set_target(Target::Version(3)).run(&mut connection).unwrap();
        connection
            .execute_batch(
                "INSERT INTO apps (id, name, api_key_hash, created_at) VALUES ('app', 'Shop', 'x', 0);
                 INSERT INTO devices (app_id, device_id, user_id, updated_at)
                     VALUES ('app', 'bobs', 'bob', 0), ('app', 'nobodys', NULL, 0), ('app', 'carols', 'carol', 0);",
            )
            .unwrap();
        let conversations = [
            ("ann-at-bobs", "bobs", Some("ann")),
            ("bob-at-bobs", "bobs", Some("bob")),
            ("nobody-at-bobs", "bobs", None),
            ("ann-at-nobodys", "nobodys", Some("ann")),
            ("nobody-at-nobodys", "nobodys", None),
            ("nobody-at-unknown", "unknown", None),
            ("nobody-at-carols", "carols", None),
        ];
        for (id, device, user) in conversations {
            connection
                .execute(
                    "INSERT INTO conversations (id, app_id, device_id, user_id, status, last_seq, unread_count,
                         device_delivered_seq, device_read_seq, agent_delivered_seq, agent_read_seq, created_at,
                         updated_at)
                     VALUES (?1, 'app', ?2, ?3, 'open', 0, 0, 0, 0, 0, 0, 0, 0)",
                    (id, device, user),
                )
                .unwrap();
        }
        drop(connection);
        migrate(&path, Purpose::Serve { alone: true }).unwrap();
        let connection = connect(&path, Access::Read).unwrap();
        let mut shown =
            connection.prepare("SELECT id FROM conversations WHERE is_shown = 1 ORDER BY id").unwrap();
        let shown: Vec<String> = shown.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let owner = "SELECT user_id FROM conversations WHERE id = 'nobody-at-carols'";
        assert_eq!(connection.query_one(owner, (), |row| row.get::<_, String>(0)).unwrap(), "carol");
        assert_eq!(shown, ["bob-at-bobs", "nobody-at-carols", "nobody-at-nobodys", "nobody-at-unknown"]);
    }

    #[test]
    fn a_command_changes_no_schema_that_a_server_of_another_version_may_be_using() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replyhq.db");
        // An empty database is nobody's.
        migrate(&path, Purpose::Command).unwrap();
        let connection = connect(&path, Access::Write).unwrap();
        let with_history = |sql: &str, expected: &str| {
            connection.execute(sql, ()).unwrap();
            let refused = migrate(&path, Purpose::Command).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        };
        const NEWEST: &str = "WHERE version = (SELECT max(version) FROM refinery_schema_history)";
        with_history(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
             SELECT version + 100, name, applied_on, checksum FROM refinery_schema_history \
             WHERE version = (SELECT max(version) FROM refinery_schema_history)",
            "newer replyhq",
        );
        assert!(
            migrate(&path, Purpose::Serve { alone: true }).unwrap_err().to_string().contains("newer replyhq")
        );
        connection.execute(&format!("DELETE FROM refinery_schema_history {NEWEST}"), ()).unwrap();
        migrate(&path, Purpose::Command).unwrap();
        with_history(&format!("DELETE FROM refinery_schema_history {NEWEST}"), "older replyhq");
    }
}
