//! How many rows are asked for, and the form of all else that comes in.

use protocol::Failure;
pub(crate) use protocol::input::{body, context, device_id, local_id, name, user};
use protocol::limits::{PAGE, PAGE_MAX, SESSIONS_PAGE_MAX};

/// How many rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// As asked for; [`PAGE`] rows where nothing is said, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            None => Ok(Self(PAGE)),
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            Some(limit) => Ok(Self(limit.min(PAGE_MAX))),
        }
    }

    /// As [`of`](Self::of), for sessions: [`SESSIONS_PAGE_MAX`] rows at most, and where nothing is said.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of_sessions(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            limit => Ok(Self(limit.unwrap_or(SESSIONS_PAGE_MAX).min(SESSIONS_PAGE_MAX))),
        }
    }

    pub(crate) fn rows(self) -> u32 {
        self.0
    }

    /// Takes what was read with one row more than is wanted; tells whether there was that row.
    pub(crate) fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, bool) {
        let has_more = rows.len() > self.0 as usize;
        rows.truncate(self.0 as usize);
        (rows, has_more)
    }
}
