//! Conversations: their status, the cursor, and the marks of both sides.

use protocol::event::Receipts;
use protocol::{Conversation, ConversationId, ConversationStatus, Timestamp};
use rusqlite::Row;

use super::{LocalStore, Result, UNOPENED, counted, integer};

/// A conversation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredConversation {
    pub(crate) id: ConversationId,
    pub(crate) status: ConversationStatus,
    pub(crate) updated_at: Timestamp,
    pub(crate) marks: Marks,
}

/// Up to where things are stored, received and read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Up to there every message is stored, or in a gap.
    pub(crate) tail: u64,
    /// What the agents have received and read.
    pub(crate) agent_delivered: u64,
    pub(crate) agent_read: u64,
    /// What this device has received, and how much of that the server knows.
    pub(crate) delivered: u64,
    pub(crate) delivered_told: u64,
    /// What the person has read, and how much of that the server knows.
    pub(crate) read: u64,
    pub(crate) read_told: u64,
}

macro_rules! columns {
    () => {
        "SELECT id, status, updated_at, tail_seq, agent_delivered_seq, agent_read_seq, delivered_seq, \
         delivered_told_seq, read_seq, read_told_seq FROM conversations "
    };
}

impl LocalStore {
    /// All conversations, newest activity first.
    pub(crate) fn conversations(&self) -> Result<Vec<StoredConversation>> {
        self.all(concat!(columns!(), "ORDER BY updated_at DESC, id DESC"), [], read)
    }

    /// One conversation.
    pub(crate) fn conversation(&self, id: &str) -> Result<Option<StoredConversation>> {
        self.one(concat!(columns!(), "WHERE id = ?1"), [id], read)
    }

    /// The conversation with the newest activity.
    pub(crate) fn newest_conversation(&self) -> Result<Option<ConversationId>> {
        self.one("SELECT id FROM conversations ORDER BY updated_at DESC, id DESC LIMIT 1", [], |row| {
            Ok(ConversationId::from(row.get::<_, String>(0)?))
        })
    }

    /// Takes over what the server says of a conversation. What was written for one that was not open yet belongs to the
    /// first that there is.
    pub(crate) fn put_conversation(&mut self, conversation: &Conversation) -> Result<()> {
        self.ensure_conversation(&conversation.id, conversation.created_at)?;
        // The server's word on when something happened, which may be older than a message that came since; while something
        // waits here, that is the newest.
        self.write(
            "UPDATE conversations SET status = ?2, created_at = ?3, unread_told = ?5, \
             unread_told_at = CASE WHEN ?5 IS NULL THEN NULL ELSE ?6 END, updated_at = max(?4, coalesce(CASE \
             WHEN EXISTS (SELECT 1 FROM messages WHERE conversation_id = ?1 AND state IN (1, 2, 3) AND state <> 3) \
             THEN updated_at ELSE (SELECT created_at FROM messages WHERE conversation_id = ?1 AND seq IS NOT NULL \
             ORDER BY seq DESC LIMIT 1) END, 0)) WHERE id = ?1",
            (
                conversation.id.as_str(),
                conversation.status.as_str(),
                conversation.created_at.epoch_ms(),
                conversation.updated_at.epoch_ms(),
                conversation.unread_count.map(integer),
                integer(conversation.last_seq),
            ),
        )
    }

    /// What the server told of unread messages is not true any more.
    pub(crate) fn forget_unread(&mut self, id: &str) -> Result<()> {
        self.write("UPDATE conversations SET unread_told_at = NULL WHERE id = ?1", [id])
    }

    /// Makes a row for a conversation of which nothing but the id is known, as the one with the newest activity; does nothing
    /// where there is one. `now` counts only where there is no other: the device's clock may be wrong.
    pub(crate) fn ensure_conversation(&mut self, id: &str, now: Timestamp) -> Result<()> {
        self.write(
            "INSERT INTO conversations (id, status, created_at, updated_at, tail_seq, agent_delivered_seq, \
             agent_read_seq, delivered_seq, delivered_told_seq, read_seq, read_told_seq) \
             VALUES (?1, 'open', ?2, coalesce((SELECT max(updated_at) + 1 FROM conversations), ?2), 0, 0, 0, 0, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING",
            (id, now.epoch_ms()),
        )?;
        self.move_unopened(id)
    }

    /// What was written for a conversation that was not open yet is this one's.
    pub(super) fn move_unopened(&mut self, id: &str) -> Result<()> {
        self.write("UPDATE messages SET conversation_id = ?1 WHERE conversation_id = ?2", (id, UNOPENED))
    }

    /// The conversation goes on as open, or is done with.
    pub(crate) fn set_status(&mut self, id: &str, status: ConversationStatus) -> Result<()> {
        self.write("UPDATE conversations SET status = ?2 WHERE id = ?1", (id, status.as_str()))
    }

    /// The person does something in the conversation: it has the newest activity. Not by the device's clock, since the server
    /// has another one.
    pub(crate) fn bump(&mut self, id: &str) -> Result<()> {
        self.write(
            "UPDATE conversations SET updated_at = 1 + (SELECT max(updated_at) FROM conversations) WHERE id = ?1 \
             AND id <> (SELECT id FROM conversations ORDER BY updated_at DESC, id DESC LIMIT 1)",
            [id],
        )
    }

    /// Something happened in the conversation, by the server's clock.
    pub(crate) fn touch(&mut self, id: &str, at: Timestamp) -> Result<()> {
        self.write(
            "UPDATE conversations SET updated_at = max(updated_at, ?2) WHERE id = ?1",
            (id, at.epoch_ms()),
        )
    }

    /// Raises the marks to those given; none ever falls.
    pub(crate) fn raise(&mut self, id: &str, marks: Marks) -> Result<()> {
        self.write(
            "UPDATE conversations SET tail_seq = max(tail_seq, ?2), \
             agent_delivered_seq = max(agent_delivered_seq, ?3), agent_read_seq = max(agent_read_seq, ?4), \
             delivered_seq = max(delivered_seq, ?5), delivered_told_seq = max(delivered_told_seq, ?6), \
             read_seq = max(read_seq, ?7), read_told_seq = max(read_told_seq, ?8) WHERE id = ?1",
            (
                id,
                integer(marks.tail),
                integer(marks.agent_delivered),
                integer(marks.agent_read),
                integer(marks.delivered),
                integer(marks.delivered_told),
                integer(marks.read),
                integer(marks.read_told),
            ),
        )
    }

    /// Takes over what the server knows of receipts. What it has lost of them is told again.
    pub(crate) fn believe(&mut self, id: &str, receipts: Receipts) -> Result<()> {
        let Receipts { user_delivered_seq, user_read_seq, agent_delivered_seq, agent_read_seq } = receipts;
        self.write(
            "UPDATE conversations SET agent_delivered_seq = ?2, agent_read_seq = ?3, \
             delivered_seq = max(delivered_seq, ?4), delivered_told_seq = ?4, \
             read_seq = max(read_seq, ?5), read_told_seq = ?5 WHERE id = ?1",
            (
                id,
                integer(agent_delivered_seq),
                integer(agent_read_seq),
                integer(user_delivered_seq),
                integer(user_read_seq),
            ),
        )
    }

    /// The server has lost all after `seq`. What the person wrote of it waits again, before all that waits already; what
    /// others wrote goes. Returns how much is sent again.
    pub(crate) fn rewind(&mut self, id: &str, seq: u64) -> Result<usize> {
        let again = self.send_again(id, seq)?;
        let after = (id, integer(seq));
        self.write("DELETE FROM messages WHERE conversation_id = ?1 AND state = 0 AND seq > ?2", after)?;
        self.write("DELETE FROM gaps WHERE conversation_id = ?1 AND first_seq > ?2", after)?;
        self.write("UPDATE gaps SET last_seq = min(last_seq, ?2) WHERE conversation_id = ?1", after)?;
        self.write(
            "UPDATE conversations SET tail_seq = min(tail_seq, ?2), \
             delivered_seq = min(delivered_seq, ?2), read_seq = min(read_seq, ?2) WHERE id = ?1",
            after,
        )?;
        Ok(again)
    }

    /// The server has lost the conversation. What the person wrote there waits for another one; the rest goes. Returns how
    /// much is sent again.
    pub(crate) fn lose_conversation(&mut self, id: &str) -> Result<usize> {
        let again = self.send_again(id, 0)?;
        // Some may have been refused for that very reason.
        self.write(
            "UPDATE messages SET state = 1, crashes = 0, wedged_code = NULL, wedged_message = NULL \
             WHERE conversation_id = ?1 AND (state = 2 OR (state = 3 AND wedged_code = 'CONVERSATION_NOT_FOUND'))",
            [id],
        )?;
        self.write("DELETE FROM messages WHERE conversation_id = ?1 AND state = 0", [id])?;
        self.write("UPDATE messages SET conversation_id = ?2 WHERE conversation_id = ?1", (id, UNOPENED))?;
        self.write("DELETE FROM gaps WHERE conversation_id = ?1", [id])?;
        self.write("DELETE FROM conversations WHERE id = ?1", [id])?;
        // Where there is another one, they belong there.
        if let Some(other) = self.newest_conversation()? {
            self.move_unopened(&other)?;
        }
        Ok(again)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredConversation> {
    let seq = |index: usize| row.get::<_, i64>(index).map(counted);
    Ok(StoredConversation {
        id: row.get::<_, String>(0)?.into(),
        status: ConversationStatus::parse(row.get_ref(1)?.as_str()?).unwrap_or(ConversationStatus::Open),
        updated_at: Timestamp::from_epoch_ms(row.get(2)?),
        marks: Marks {
            tail: seq(3)?,
            agent_delivered: seq(4)?,
            agent_read: seq(5)?,
            delivered: seq(6)?,
            delivered_told: seq(7)?,
            read: seq(8)?,
            read_told: seq(9)?,
        },
    })
}
