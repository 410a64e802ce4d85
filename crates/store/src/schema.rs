//! Which schema a database has, and who may bring it up to date: only a server. A command of another version beside a
//! server that runs must not change the tables under it.

use crate::Purpose;
use crate::error::{Error, ErrorKind};

/// Whether the schema is to be brought up to date: `applied` is the last migration that the database has seen, and `newest`
/// the last one that is known here.
///
/// # Errors
/// If this version can't work with the schema as it is; says what to do.
pub(crate) fn is_to_be_migrated(purpose: Purpose, applied: Option<i64>, newest: i64) -> Result<bool, Error> {
    let refused = |detail: String| Err(Error::new(ErrorKind::Internal, detail));
    match (applied, purpose) {
        // Nobody works with an empty one.
        (None, _) => Ok(true),
        (Some(applied), _) if applied > newest => refused(format!(
            "this database has been used by a newer replyhq (schema {applied}, and this one knows {newest}): \
             use that version"
        )),
        (Some(applied), Purpose::Command) if applied < newest => refused(format!(
            "this database is an older replyhq's (schema {applied}, and this one needs {newest}): \
             run the command with the version that serves, or let `replyhq serve` of this version bring it up to date"
        )),
        (Some(_), Purpose::Command) => Ok(false),
        (Some(_), Purpose::Serve { .. }) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_changes_tables_that_others_may_be_using() {
        let serve = Purpose::Serve { alone: true };
        let allowed = |purpose, applied| is_to_be_migrated(purpose, applied, 9).ok();
        assert_eq!(
            [None, Some(7), Some(9), Some(11)].map(|applied| allowed(serve, applied)),
            [Some(true), Some(true), Some(true), None]
        );
        assert_eq!(
            [None, Some(7), Some(9), Some(11)].map(|applied| allowed(Purpose::Command, applied)),
            [Some(true), None, Some(false), None]
        );
    }
}
