//! Messages: storing one once, and reading them back in order.

use protocol::encoded::messages_fitting;
use protocol::{
    ConversationId, InboxConversation, LocalId, Message, MessageId, MessageStatus, Sender, Timestamp,
};

use super::conversations::{self, Marks, Scope, Stored, columns};
use crate::error::{Error, ErrorKind};
use crate::session::{Param, Row, Session, integer};

/// A message about to be stored.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Who may name the conversation: nothing outside of this scope is written to.
    pub scope: Scope,
    /// Where it belongs.
    pub conversation_id: ConversationId,
    /// The sender's name for it.
    pub local_id: LocalId,
    /// The text.
    pub body: String,
    /// Who wrote it.
    pub sender: Sender,
    /// The agent's name. A user's name is the conversation's own.
    pub sender_name: Option<String>,
    /// When.
    pub now: Timestamp,
    /// Chance for its id.
    pub chance: u64,
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone)]
pub enum Appended {
    /// Stored now; the conversation as it is with it.
    New(Box<Message>, Box<InboxConversation>),
    /// Stored before: this is it.
    Duplicate(Box<Message>),
    /// Its `local_id` names another message.
    Conflict,
    /// No such conversation within the scope.
    NotFound,
}

/// Stores the message under the next `seq`, once.
pub(crate) async fn append(session: &mut Session<'_>, new: &NewMessage) -> Result<Appended, Error> {
    if let Some(earlier) = find_by_local_id(session, &new.conversation_id, &new.local_id).await? {
        return duplicate(session, new, earlier).await;
    }
    let Some(stored) = take_seq(session, new).await? else { return Ok(Appended::NotFound) };
    let message = message(new, &stored);
    insert(session, &message).await?;
    Ok(Appended::New(Box::new(message), Box::new(stored.into_inbox())))
}

/// The message under the `seq` that was just given.
pub(crate) fn message(new: &NewMessage, stored: &Stored) -> Message {
    let seq = stored.conversation.last_seq;
    let is_from_user = new.sender == Sender::User;
    Message {
        id: MessageId::new(&new.conversation_id, seq, new.chance),
        local_id: new.local_id.clone(),
        conversation_id: stored.conversation.id.clone(),
        seq,
        body: new.body.clone(),
        sender: new.sender,
        sender_name: if is_from_user { stored.user_name.clone() } else { new.sender_name.clone() },
        // Never before an earlier one, whatever the clock says.
        created_at: stored.conversation.updated_at,
        status: MessageStatus::Sent,
    }
}

/// What `new` is to the message that has its `local_id`.
pub(crate) fn repeated(new: &NewMessage, mut earlier: Message, marks: Marks) -> Appended {
    if earlier.body != new.body || earlier.sender != new.sender {
        return Appended::Conflict;
    }
    earlier.status = status(&earlier, marks);
    Appended::Duplicate(Box::new(earlier))
}

/// The place where SQLite gives a `seq`; Postgres's is its append lane.
async fn take_seq(session: &mut Session<'_>, new: &NewMessage) -> Result<Option<Stored>, Error> {
    // Every message of a user is unread until an agent says otherwise, and opens a resolved conversation again.
    const FROM_USER: &str = concat!(
        "UPDATE conversations SET last_seq = last_seq + 1, \
         updated_at = CASE WHEN updated_at > $1 THEN updated_at ELSE $1 END, \
         unread_count = unread_count + 1, status = 'open' \
         WHERE id = $2 AND app_id = $3 AND (CAST($4 AS TEXT) IS NULL OR (device_id = $4 AND is_shown = 1)) RETURNING ",
        columns!()
    );
    const FROM_OTHERS: &str = concat!(
        "UPDATE conversations SET last_seq = last_seq + 1, \
         updated_at = CASE WHEN updated_at > $1 THEN updated_at ELSE $1 END \
         WHERE id = $2 AND app_id = $3 AND (CAST($4 AS TEXT) IS NULL OR (device_id = $4 AND is_shown = 1)) RETURNING ",
        columns!()
    );
    let sql = if new.sender == Sender::User { FROM_USER } else { FROM_OTHERS };
    let params = [
        Param::Integer(new.now.epoch_ms()),
        Param::Text(&new.conversation_id),
        Param::Text(&new.scope.app_id),
        Param::OptionalText(new.scope.device()),
    ];
    session.query_one(sql, &params, conversations::read).await
}

async fn insert(session: &mut Session<'_>, message: &Message) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, sender_name, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                Param::Text(&message.conversation_id),
                Param::Integer(integer(message.seq)),
                Param::Text(&message.id),
                Param::Text(&message.local_id),
                Param::Text(&message.body),
                Param::Text(message.sender.as_str()),
                Param::OptionalText(message.sender_name.as_deref()),
                Param::Integer(message.created_at.epoch_ms()),
            ],
        )
        .await?;
    Ok(())
}

async fn duplicate(session: &mut Session<'_>, new: &NewMessage, earlier: Message) -> Result<Appended, Error> {
    let Some(stored) = conversations::find(session, &new.scope, &new.conversation_id).await? else {
        return Ok(Appended::NotFound);
    };
    Ok(repeated(new, earlier, stored.marks))
}

/// The columns that [`read`] takes, in its order.
macro_rules! message_columns {
    () => {
        "SELECT conversation_id, seq, id, local_id, body, sender, sender_name, created_at FROM messages "
    };
}

pub(crate) fn read(row: &mut Row<'_>) -> Result<Message, Error> {
    let conversation_id = row.id()?;
    read_rest(row, conversation_id)
}

/// A conversation's newest message with its status, which may be missing: it is if there is none yet.
pub(crate) fn read_newest(row: &mut Row<'_>, marks: Marks) -> Result<Option<Message>, Error> {
    let Some(conversation_id) = row.optional_text()? else { return Ok(None) };
    let message = read_rest(row, conversation_id.into())?;
    Ok(Some(with_status(message, marks)))
}

fn read_rest(row: &mut Row<'_>, conversation_id: ConversationId) -> Result<Message, Error> {
    Ok(Message {
        conversation_id,
        seq: row.count()?,
        id: row.id()?,
        local_id: row.id()?,
        body: row.text()?,
        sender: sender(&row.text()?)?,
        sender_name: row.optional_text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        status: MessageStatus::Sent,
    })
}

fn sender(text: &str) -> Result<Sender, Error> {
    [Sender::User, Sender::Agent, Sender::System]
        .into_iter()
        .find(|sender| sender.as_str() == text)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("message sender {text:?}")))
}

/// A message's status: what the other side has received and read.
/// The message as it stands by these marks.
pub(crate) fn with_status(message: Message, marks: Marks) -> Message {
    Message { status: status(&message, marks), ..message }
}

fn status(message: &Message, marks: Marks) -> MessageStatus {
    match message.sender {
        Sender::User => MessageStatus::of(message.seq, marks.agent_delivered, marks.agent_read),
        Sender::Agent | Sender::System => {
            MessageStatus::of(message.seq, marks.device_delivered, marks.device_read)
        }
    }
}

async fn find_by_local_id(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    local_id: &LocalId,
) -> Result<Option<Message>, Error> {
    const SQL: &str = concat!(message_columns!(), "WHERE conversation_id = $1 AND local_id = $2");
    session.query_one(SQL, &[Param::Text(conversation_id), Param::Text(local_id)], read).await
}

/// The message at `seq`, with its status by `marks`.
pub(crate) async fn at(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    seq: u64,
    marks: Marks,
) -> Result<Option<Message>, Error> {
    const SQL: &str = concat!(message_columns!(), "WHERE conversation_id = $1 AND seq = $2");
    let params = [Param::Text(conversation_id), Param::Integer(integer(seq))];
    let message = session.query_one(SQL, &params, read).await?;
    Ok(message.map(|message| Message { status: status(&message, marks), ..message }))
}

/// The id of the message at `seq`, if there is one.
pub(crate) async fn id_at(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    seq: u64,
) -> Result<Option<MessageId>, Error> {
    const SQL: &str = "SELECT id FROM messages WHERE conversation_id = $1 AND seq = $2";
    let params = [Param::Text(conversation_id), Param::Integer(integer(seq))];
    session.query_one(SQL, &params, |row| row.id()).await
}

/// Where a page of messages stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The messages after this one, or from the first one on; ascending.
    After(Option<MessageId>),
    /// The messages before this one, or the newest ones; ascending as well.
    Before(Option<MessageId>),
}

/// A part of a conversation, and how the conversation stood when it was read.
#[derive(Debug, Clone)]
pub struct History {
    /// Its newest message's `seq` then.
    pub last_seq: u64,
    /// Its newest message then.
    pub last_message_id: Option<MessageId>,
    /// Ascending by `seq`; none is newer than `last_seq`.
    pub messages: Vec<Message>,
    /// Whether there were more in the direction asked for.
    pub has_more: bool,
    /// Up to where each side had received and read then.
    pub marks: Marks,
}

/// What came of a look at a conversation.
#[derive(Debug, Clone)]
pub enum Look<T> {
    /// It is there.
    Found(T),
    /// No such conversation within the scope.
    NoConversation,
    /// No such message in it.
    NoMessage,
}

impl<T> Look<T> {
    /// What is made of what was found.
    pub(crate) fn map<U>(self, of: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Found(found) => Look::Found(of(found)),
            Self::NoConversation => Look::NoConversation,
            Self::NoMessage => Look::NoMessage,
        }
    }
}

/// The `seq` of `message_id`, if it is a message of this conversation.
pub(crate) async fn seq_of(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    message_id: &MessageId,
) -> Result<Option<u64>, Error> {
    let Some((home, seq)) = message_id.place() else { return Ok(None) };
    if home != *conversation_id {
        return Ok(None);
    }
    let stored = id_at(session, conversation_id, seq).await?;
    Ok((stored.as_ref() == Some(message_id)).then_some(seq))
}

/// A page of a conversation's messages; none if `cursor` is `None`.
pub(crate) async fn history(
    session: &mut Session<'_>,
    scope: &Scope,
    conversation_id: &ConversationId,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Result<Look<History>, Error> {
    let Some(stored) = conversations::find(session, scope, conversation_id).await? else {
        return Ok(Look::NoConversation);
    };
    let last_seq = stored.conversation.last_seq;
    let last_message_id = id_at(session, conversation_id, last_seq).await?;
    let marks = stored.marks;
    let mut history = History { last_seq, last_message_id, messages: Vec::new(), has_more: false, marks };
    let (is_forward, from) = match cursor {
        None => return Ok(Look::Found(history)),
        Some(Cursor::After(from)) => (true, from),
        Some(Cursor::Before(from)) => (false, from),
    };
    let edge = match from {
        None if is_forward => 0,
        None => last_seq + 1,
        Some(id) => match seq_of(session, conversation_id, id).await? {
            Some(seq) => seq,
            None => return Ok(Look::NoMessage),
        },
    };
    // What is committed after `last_seq` was read belongs to the live events, not to this page.
    let (above, below) = if is_forward { (edge, last_seq + 1) } else { (0, edge.min(last_seq + 1)) };
    history.messages = between(session, conversation_id, above, below, limit + 1, is_forward).await?;
    let fitting = messages_fitting(&history.messages).min(limit as usize);
    history.has_more = history.messages.len() > fitting;
    history.messages.truncate(fitting);
    if !is_forward {
        history.messages.reverse();
    }
    for message in &mut history.messages {
        message.status = status(message, stored.marks);
    }
    Ok(Look::Found(history))
}

async fn between(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    above: u64,
    below: u64,
    limit: u32,
    is_forward: bool,
) -> Result<Vec<Message>, Error> {
    const FORWARD: &str = concat!(
        message_columns!(),
        "WHERE conversation_id = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $4"
    );
    const BACKWARD: &str = concat!(
        message_columns!(),
        "WHERE conversation_id = $1 AND seq > $2 AND seq < $3 ORDER BY seq DESC LIMIT $4"
    );
    let params = [
        Param::Text(conversation_id),
        Param::Integer(integer(above)),
        Param::Integer(integer(below)),
        Param::Integer(limit.into()),
    ];
    session.query(if is_forward { FORWARD } else { BACKWARD }, &params, read).await
}

/// Messages after `seq`, for the node itself: the caller has checked who may see them.
pub(crate) async fn after(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    seq: u64,
    limit: u32,
) -> Result<Vec<Message>, Error> {
    between(session, conversation_id, seq, i64::MAX.unsigned_abs(), limit, true).await
}
