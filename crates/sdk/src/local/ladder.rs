//! The versions of a person's file, and the steps between them. A file climbs from the version that it has to the newest one,
//! each step whole or not at all; a new file climbs from nothing, so that all files are alike.
//!
//! A step that has been released is never changed: another one is added, with a file of the version that it leads to, by which
//! the tests know that what older apps left can be read (`tests/files`).

use rusqlite::Connection;

use super::{Error, Result};
use crate::platform::{CommitMoment, Platform};

/// What leads from each version to the next, beginning with the empty file.
const STEPS: [&str; 4] = [
    include_str!("ladder/1.sql"),
    include_str!("ladder/2.sql"),
    include_str!("ladder/3.sql"),
    include_str!("ladder/4.sql"),
];

/// Brings the file to the newest version.
///
/// # Errors
/// [`Error::Newer`], and nothing is changed, if it is of a version that is not known here. If a step fails the file stays at
/// the version before it.
pub(super) fn climb(connection: &Connection, platform: &dyn Platform) -> Result<()> {
    climb_by(connection, &STEPS, platform)
}

fn climb_by(connection: &Connection, steps: &[&str], platform: &dyn Platform) -> Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = usize::try_from(version).map_err(|_| Error::Newer)?;
    let missing = steps.get(version..).ok_or(Error::Newer)?;
    for (step, version) in missing.iter().zip(version + 1..) {
        let climbed = connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {step}\n; PRAGMA user_version = {version};"))
            .and_then(|()| {
                platform.committing(CommitMoment::Before);
                connection.execute_batch("COMMIT")
            });
        if let Err(error) = climbed {
            // Where the failed statement has ended the transaction already, there is nothing to end.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
        platform.committing(CommitMoment::After);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::platform::LogLevel;

    struct Quiet;

    impl Platform for Quiet {
        fn log(&self, _level: LogLevel, _message: &str) {}
    }

    fn version(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_climbs_from_the_version_that_it_has() {
        let steps = [
            "CREATE TABLE a (x INTEGER)",
            "INSERT INTO a VALUES (2)",
            "UPDATE a SET x = x + 1 -- and a remark\n",
        ];
        let connection = Connection::open_in_memory().unwrap();
        climb_by(&connection, &steps[..2], &Quiet).unwrap();
        assert_eq!(version(&connection), 2);
        climb_by(&connection, &steps, &Quiet).unwrap();
        climb_by(&connection, &steps, &Quiet).unwrap();
        let x: i64 = connection.query_row("SELECT x FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!((version(&connection), x), (3, 3), "no step is taken twice");
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let connection = Connection::open_in_memory().unwrap();
        let broken = ["CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)"];
        assert!(matches!(climb_by(&connection, &broken, &Quiet), Err(Error::Sqlite(_))));
        let rows: i64 = connection.query_row("SELECT count(*) FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!((version(&connection), rows), (1, 0));
        let mended = [broken[0], "INSERT INTO a VALUES (1)"];
        climb_by(&connection, &mended, &Quiet).unwrap();
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn a_file_of_a_version_to_come_is_left_as_it_is() {
        let connection = Connection::open_in_memory().unwrap();
        for unknown in [STEPS.len() as i64 + 1, i64::from(i32::MAX), -1] {
            connection.execute_batch(&format!("PRAGMA user_version = {unknown}")).unwrap();
            assert!(matches!(climb(&connection, &Quiet), Err(Error::Newer)));
            assert_eq!(version(&connection), unknown);
        }
    }

    #[test]
    fn there_is_a_file_of_every_version() {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
        for version in 1..=STEPS.len() {
            assert!(
                files.join(version.to_string()).join("server.json").exists(),
                "write the file of version {version}: REPLYHQ_WRITE_FILE={version} cargo test -p sdk files::write"
            );
        }
        assert_eq!(std::fs::read_dir(files).unwrap().count(), STEPS.len(), "of a version that there is not");
    }
}
