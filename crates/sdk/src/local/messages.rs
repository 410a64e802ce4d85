//! Messages that the server has stored: one way in, whichever way they came.

use protocol::{LocalId, Message, MessageId, MessageStatus, Sender, Timestamp};
use rusqlite::Row;

use super::queue::State;
use super::{Error, LocalStore, Marks, Result, counted, integer};
use crate::snapshot::{Delivery, TimelineItem};

macro_rules! item_columns {
    () => {
        "SELECT local_id, id, seq, body, sender, sender_name, created_at, state, wedged_code, wedged_message \
         FROM messages "
    };
}

impl LocalStore {
    /// Takes in a message of the server's, whether it came as an answer, live or with a page: by its `local_id`, then by
    /// its place. What waited under that `local_id` is sent with this.
    pub(crate) fn put_message(&mut self, message: &Message) -> Result<()> {
        let conversation_id = message.conversation_id.as_str();
        // A server that was put back from a backup may have given a place twice; its word counts, and what the person wrote
        // is sent again.
        self.displace(conversation_id, message.seq, &message.local_id)?;
        self.write(
            "DELETE FROM messages WHERE conversation_id = ?1 AND seq = ?2 AND local_id <> ?3",
            (conversation_id, integer(message.seq), message.local_id.as_str()),
        )?;
        self.write(
            "INSERT INTO messages (local_id, conversation_id, state, id, seq, body, sender, sender_name, created_at, \
             crashes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0) \
             ON CONFLICT (local_id, conversation_id) DO UPDATE SET state = excluded.state, id = excluded.id, \
             seq = excluded.seq, body = excluded.body, sender = excluded.sender, sender_name = excluded.sender_name, \
             created_at = excluded.created_at, position = NULL, wedged_code = NULL, wedged_message = NULL",
            (
                message.local_id.as_str(),
                conversation_id,
                State::Stored as i64,
                message.id.as_str(),
                integer(message.seq),
                message.body.as_str(),
                message.sender.as_str(),
                message.sender_name.as_deref(),
                message.created_at.epoch_ms(),
            ),
        )?;
        self.touch(conversation_id, message.created_at)?;
        self.raise(conversation_id, marks_told_by(message))
    }

    /// Moves the cursor over all messages that follow it without a hole; returns where it is then.
    pub(crate) fn advance_tail(&mut self, conversation_id: &str) -> Result<u64> {
        let Some(conversation) = self.conversation(conversation_id)? else { return Ok(0) };
        let mut tail = conversation.marks.tail;
        let following = self.all(
            "SELECT seq FROM messages WHERE conversation_id = ?1 AND seq > ?2 ORDER BY seq LIMIT 1000",
            (conversation_id, integer(tail)),
            |row| row.get::<_, i64>(0).map(counted),
        )?;
        for seq in following {
            if seq != tail + 1 {
                break;
            }
            tail = seq;
        }
        if tail > conversation.marks.tail {
            self.raise(conversation_id, Marks { tail, ..Marks::default() })?;
        }
        Ok(tail)
    }

    /// The message with this `seq`, if it is stored.
    pub(crate) fn message_at(&self, conversation_id: &str, seq: u64) -> Result<Option<MessageId>> {
        self.one(
            "SELECT id FROM messages WHERE conversation_id = ?1 AND seq = ?2",
            (conversation_id, integer(seq)),
            |row| row.get::<_, String>(0).map(MessageId::from),
        )
    }

    /// The newest message up to `seq` that is stored.
    pub(crate) fn newest_up_to(&self, conversation_id: &str, seq: u64) -> Result<Option<(u64, MessageId)>> {
        self.one(
            "SELECT seq, id FROM messages WHERE conversation_id = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
            (conversation_id, integer(seq)),
            |row| Ok((counted(row.get(0)?), row.get::<_, String>(1)?.into())),
        )
    }

    /// The newest message of the other side up to `seq`: what a receipt can name.
    pub(crate) fn newest_of_agents(
        &self,
        conversation_id: &str,
        seq: u64,
    ) -> Result<Option<(u64, MessageId)>> {
        self.one(
            "SELECT seq, id FROM messages WHERE conversation_id = ?1 AND seq <= ?2 AND sender <> 'user' \
             ORDER BY seq DESC LIMIT 1",
            (conversation_id, integer(seq)),
            |row| Ok((counted(row.get(0)?), row.get::<_, String>(1)?.into())),
        )
    }

    /// Messages of the other side that the person has not read. Those that are not here are counted by the server; where all
    /// are here, or it has not told, those that are stored and shown are.
    pub(crate) fn unread(&self, conversation_id: &str) -> Result<u64> {
        let told = self.one(
            "SELECT unread_told, unread_told_at FROM conversations c WHERE id = ?1 AND unread_told_at > read_seq \
             AND (unread_told_at > tail_seq OR EXISTS \
             (SELECT 1 FROM gaps g WHERE g.conversation_id = c.id AND g.last_seq > c.read_seq))",
            [conversation_id],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let (told, told_at) = told.unwrap_or_default();
        let count = self.one(
            "SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id \
             WHERE c.id = ?1 AND m.seq > max(c.read_seq, ?2) AND m.seq <= c.tail_seq AND m.sender <> 'user'",
            (conversation_id, told_at),
            |row| row.get::<_, i64>(0),
        )?;
        Ok(counted(told) + counted(count.unwrap_or_default()))
    }

    /// The newest `limit` messages from `lowest` to `tail` that the server has stored, ascending. The person's own
    /// above `tail` are among them: they were written here.
    pub(crate) fn stored_items(
        &self,
        conversation_id: &str,
        lowest: u64,
        marks: Marks,
        limit: usize,
    ) -> Result<Vec<TimelineItem>> {
        let mut items = self.all(
            concat!(
                item_columns!(),
                "WHERE conversation_id = ?1 AND seq >= ?2 AND (seq <= ?3 OR sender = 'user') AND state = 0 \
                 ORDER BY seq DESC LIMIT ?4"
            ),
            (conversation_id, integer(lowest), integer(marks.tail), integer(limit as u64)),
            |row| item(row, marks),
        )?;
        items.reverse();
        Ok(items)
    }

    /// The last `limit` messages that wait to be sent, in their order, those that were set aside included: only what is in the
    /// index.
    pub(crate) fn waiting_names(&self, conversation_id: &str, limit: usize) -> Result<Vec<(LocalId, State)>> {
        let mut names = self.all(
            "SELECT local_id, state FROM messages WHERE conversation_id = ?1 AND state IN (1, 2, 3) \
             ORDER BY position DESC LIMIT ?2",
            (conversation_id, integer(limit as u64)),
            |row| Ok((row.get::<_, String>(0)?.into(), State::of(row.get(1)?))),
        )?;
        names.reverse();
        Ok(names)
    }

    /// One message that waits.
    pub(crate) fn waiting_item(&self, conversation_id: &str, local_id: &str) -> Result<Option<TimelineItem>> {
        self.one(
            concat!(item_columns!(), "WHERE local_id = ?2 AND conversation_id = ?1"),
            [conversation_id, local_id],
            |row| item(row, Marks::default()),
        )
    }

    /// Whether the message is stored by the server, as far as is known here.
    pub(crate) fn is_stored(&self, conversation_id: &str, local_id: &str) -> Result<bool> {
        let found = self.one(
            "SELECT 1 FROM messages WHERE local_id = ?2 AND conversation_id = ?1 AND state = 0",
            [conversation_id, local_id],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    /// The newest message of a conversation, one that waits to be sent included.
    pub(crate) fn newest_item(&self, conversation_id: &str, marks: Marks) -> Result<Option<TimelineItem>> {
        let waiting = match self.waiting_names(conversation_id, 1)?.pop() {
            Some((local_id, _)) => self.waiting_item(conversation_id, &local_id)?,
            None => None,
        };
        match waiting {
            Some(item) => Ok(Some(item)),
            None => Ok(self.stored_items(conversation_id, 0, marks, 1)?.pop()),
        }
    }

    /// Whether any message from `lowest` on is stored below `seq`.
    pub(crate) fn stored_below(&self, conversation_id: &str, lowest: u64, seq: u64) -> Result<bool> {
        let found = self.one(
            "SELECT 1 FROM messages WHERE conversation_id = ?1 AND seq >= ?2 AND seq < ?3 LIMIT 1",
            (conversation_id, integer(lowest), integer(seq)),
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }
}

/// What a message's status says of all before it: receipts are cumulative.
fn marks_told_by(message: &Message) -> Marks {
    let (mut delivered, mut read) = (0, 0);
    if message.status >= MessageStatus::Delivered {
        delivered = message.seq;
    }
    if message.status >= MessageStatus::Read {
        read = message.seq;
    }
    if message.sender == Sender::User {
        Marks { agent_delivered: delivered, agent_read: read, ..Marks::default() }
    } else {
        // The server has it from this device.
        Marks { delivered, delivered_told: delivered, read, read_told: read, ..Marks::default() }
    }
}

fn item(row: &Row<'_>, marks: Marks) -> rusqlite::Result<TimelineItem> {
    let seq = row.get::<_, Option<i64>>(2)?.map(counted);
    let sender = match row.get_ref(4)?.as_str()? {
        "user" => Sender::User,
        "agent" => Sender::Agent,
        _ => Sender::System,
    };
    let delivery = match (State::of(row.get(7)?), seq) {
        (State::Queued | State::Cancelled, _) => Delivery::Queued,
        (State::Sending, _) => Delivery::Sending,
        (State::Wedged, _) => Delivery::Wedged {
            code: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
            message: row.get::<_, Option<String>>(9)?.unwrap_or_default(),
        },
        (State::Stored, seq) => stored_delivery(sender, seq.unwrap_or_default(), marks),
    };
    Ok(TimelineItem {
        local_id: row.get::<_, String>(0)?.into(),
        message_id: row.get::<_, Option<String>>(1)?.map(MessageId::from),
        seq,
        body: row.get(3)?,
        sender,
        sender_name: row.get(5)?,
        created_at: Timestamp::from_epoch_ms(row.get(6)?),
        delivery,
    })
}

fn stored_delivery(sender: Sender, seq: u64, marks: Marks) -> Delivery {
    let (delivered, read) = match sender {
        Sender::User => (marks.agent_delivered, marks.agent_read),
        Sender::Agent | Sender::System => (u64::MAX, marks.read),
    };
    match MessageStatus::of(seq, delivered, read) {
        MessageStatus::Sent => Delivery::Sent,
        MessageStatus::Delivered => Delivery::Delivered,
        MessageStatus::Read => Delivery::Read,
    }
}

impl From<Error> for crate::ClientError {
    fn from(error: Error) -> Self {
        match error {
            Error::InUse => Self::AlreadyOpen,
            error => Self::Storage(error.to_string()),
        }
    }
}
