//! What was passed over: pieces of a conversation that are fetched when somebody scrolls there.

use super::{LocalStore, Result, counted, integer};

/// Messages that are missing, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl LocalStore {
    /// The newest gap of a conversation.
    pub(crate) fn newest_gap(&self, conversation_id: &str) -> Result<Option<Gap>> {
        self.one(
            "SELECT first_seq, last_seq FROM gaps WHERE conversation_id = ?1 ORDER BY first_seq DESC LIMIT 1",
            [conversation_id],
            |row| Ok(Gap { first: counted(row.get(0)?), last: counted(row.get(1)?) }),
        )
    }

    /// Notes what is passed over.
    pub(crate) fn note_gap(&mut self, conversation_id: &str, gap: Gap) -> Result<()> {
        self.write(
            "INSERT INTO gaps (conversation_id, first_seq, last_seq) VALUES (?1, ?2, ?3)",
            (conversation_id, integer(gap.first), integer(gap.last)),
        )
    }

    /// The gap is filled from `seq` on.
    pub(crate) fn fill_gap(&mut self, conversation_id: &str, gap: Gap, seq: u64) -> Result<()> {
        if seq <= gap.first {
            return self.write(
                "DELETE FROM gaps WHERE conversation_id = ?1 AND first_seq = ?2",
                (conversation_id, integer(gap.first)),
            );
        }
        self.write(
            "UPDATE gaps SET last_seq = ?3 WHERE conversation_id = ?1 AND first_seq = ?2",
            (conversation_id, integer(gap.first), integer(seq - 1)),
        )
    }
}
