//! The outbox: what the person wrote and the server has not stored. The order of the queue is that of writing.

use protocol::{ConversationId, LocalId, Timestamp};

use super::{LocalStore, Result, counted, integer};
use crate::{Delivery, limits};

/// What is sent again has its row's number less this as its place in the queue: in the order in which it was written, or
/// first came here, and before all that was written since.
pub(super) const BEFORE_ALL: i64 = 1 << 52;

/// What state a message is in; the numbers are those in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub(crate) enum State {
    Stored = 0,
    Queued = 1,
    Sending = 2,
    Wedged = 3,
    Cancelled = 4,
}

impl State {
    pub(super) fn of(number: i64) -> Self {
        match number {
            1 => Self::Queued,
            2 => Self::Sending,
            3 => Self::Wedged,
            4 => Self::Cancelled,
            _ => Self::Stored,
        }
    }
}

impl State {
    /// Whether a picture that shows this of a message would show the same again.
    pub(crate) fn is_shown_as(self, delivery: &Delivery) -> bool {
        matches!((self, delivery), (Self::Queued, Delivery::Queued) | (Self::Sending, Delivery::Sending))
    }
}

/// The first message of a conversation that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) conversation_id: ConversationId,
    pub(crate) local_id: LocalId,
    pub(crate) body: String,
}

/// A message of the outbox, for [`LocalStore::waiting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) conversation_id: ConversationId,
    pub(crate) state: State,
}

/// How many messages are in the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that wait or are on their way.
    pub(crate) queued: u64,
    /// Those that were set aside.
    pub(crate) wedged: u64,
}

impl LocalStore {
    /// Puts a message at the queue's end.
    pub(crate) fn enqueue(
        &mut self,
        conversation_id: &str,
        local_id: &LocalId,
        body: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.write(
            "INSERT INTO messages (local_id, conversation_id, state, body, sender, created_at, position, crashes) \
             VALUES (?1, ?2, 1, ?3, 'user', ?4, \
             (SELECT max(coalesce(max(position), 0), 0) + 1 FROM messages WHERE state IN (1, 2, 3)), 0)",
            (local_id.as_str(), conversation_id, body, now.epoch_ms()),
        )?;
        self.bump(conversation_id)
    }

    /// The place of the last message in the queue.
    pub(super) fn last_position(&self) -> Result<i64> {
        let last = "SELECT coalesce(max(position), 0) FROM messages WHERE state IN (1, 2, 3)";
        Ok(self.one(last, [], |row| row.get(0))?.unwrap_or_default())
    }

    /// What the person wrote after `seq` and the server had stored waits again, under the same names and in the same order,
    /// before all that waits already. Returns how many.
    pub(super) fn send_again(&mut self, conversation_id: &str, seq: u64) -> Result<usize> {
        self.changing(
            "UPDATE messages SET state = 1, position = rowid - ?3, id = NULL, seq = NULL, crashes = 0 \
             WHERE conversation_id = ?1 AND state = 0 AND seq > ?2 AND sender = 'user'",
            (conversation_id, integer(seq), BEFORE_ALL),
        )
    }

    /// Another message than `local_id` has this place: one of the person's that had it waits again.
    pub(super) fn displace(&mut self, conversation_id: &str, seq: u64, local_id: &LocalId) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 1, position = rowid - ?4, id = NULL, seq = NULL, crashes = 0 \
             WHERE conversation_id = ?1 AND seq = ?2 AND local_id <> ?3 AND state = 0 AND sender = 'user'",
            (conversation_id, integer(seq), local_id.as_str(), BEFORE_ALL),
        )
    }

    /// How many messages are in the outbox.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let counts = self.one(
            "SELECT count(*) FILTER (WHERE state IN (1, 2)), count(*) FILTER (WHERE state = 3) FROM messages \
             WHERE state IN (1, 2, 3)",
            [],
            |row| Ok(Counts { queued: counted(row.get(0)?), wedged: counted(row.get(1)?) }),
        )?;
        Ok(counts.unwrap_or_default())
    }

    /// The first message of each conversation that has any to send and none on its way.
    pub(crate) fn heads(&self) -> Result<Vec<Head>> {
        // All but the text is in the index; with `min`, the other columns are those of the first message.
        let first = self.all(
            "SELECT conversation_id, local_id, state, min(position) FROM messages \
             WHERE state IN (1, 2, 3) AND state <> 3 GROUP BY conversation_id ORDER BY 4",
            [],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, State::of(row.get(2)?))),
        )?;
        let mut heads = Vec::new();
        for (conversation_id, local_id, _) in
            first.into_iter().filter(|(_, _, state)| *state == State::Queued)
        {
            let body = self.one(
                "SELECT body FROM messages WHERE local_id = ?1 AND conversation_id = ?2",
                [&local_id, &conversation_id],
                |row| row.get(0),
            )?;
            let (conversation_id, local_id) = (conversation_id.into(), local_id.into());
            heads.extend(body.map(|body| Head { conversation_id, local_id, body }));
        }
        Ok(heads)
    }

    /// The message is about to be sent: counted before, so that one that ends the process is found out.
    pub(crate) fn begin_attempt(&mut self, local_id: &LocalId) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 2, crashes = crashes + 1 \
             WHERE local_id = ?1 AND state = 1",
            [local_id.as_str()],
        )
    }

    /// The attempt led to nothing, and the process lives: the message waits again.
    pub(crate) fn end_attempt(&mut self, local_id: &LocalId) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 1, crashes = 0 WHERE local_id = ?1 AND state = 2",
            [local_id.as_str()],
        )
    }

    /// All attempts led to nothing: the connection is gone.
    pub(crate) fn end_attempts(&mut self) -> Result<()> {
        self.write("UPDATE messages SET state = 1, crashes = 0 WHERE state = 2 AND state IN (1, 2, 3)", [])
    }

    /// After a start: what was on its way waits again, unless it was on its way too often when the process ended.
    pub(crate) fn recover(&mut self) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 3, wedged_code = 'CRASHED', \
             wedged_message = 'the app ended while this was sent, again and again' \
             WHERE state = 2 AND state IN (1, 2, 3) AND crashes >= ?1",
            [limits::CRASHES],
        )?;
        self.write("UPDATE messages SET state = 1 WHERE state = 2 AND state IN (1, 2, 3)", [])?;
        self.write("DELETE FROM messages WHERE state = 4", [])
    }

    /// Sets a message aside that waits or is on its way.
    pub(crate) fn wedge(&mut self, local_id: &LocalId, code: &str, message: &str) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 3, crashes = 0, wedged_code = ?2, wedged_message = ?3 \
             WHERE local_id = ?1 AND state IN (1, 2)",
            (local_id.as_str(), code, message),
        )
    }

    /// A message of the person's, whatever became of it.
    pub(crate) fn waiting(&self, local_id: &LocalId) -> Result<Option<Waiting>> {
        self.one(
            "SELECT conversation_id, state FROM messages WHERE local_id = ?1 AND sender = 'user'",
            [local_id.as_str()],
            |row| {
                Ok(Waiting {
                    conversation_id: row.get::<_, String>(0)?.into(),
                    state: State::of(row.get(1)?),
                })
            },
        )
    }

    /// A message that was set aside waits again, where it stood in the queue.
    pub(crate) fn requeue(&mut self, local_id: &LocalId) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 1, crashes = 0, wedged_code = NULL, wedged_message = NULL \
             WHERE local_id = ?1 AND state = 3",
            [local_id.as_str()],
        )
    }

    /// A message that waits, or was set aside, is not to be sent.
    pub(crate) fn cancel(&mut self, local_id: &LocalId) -> Result<()> {
        self.write(
            "UPDATE messages SET state = 4 WHERE local_id = ?1 AND state IN (1, 3)",
            [local_id.as_str()],
        )
    }
}
