//! Messages: storing one once, and reading them back in order.

use protocol::encoded::messages_fitting;
use protocol::{
    Activity, ActivityKind, ConversationId, ConversationStatus, InboxConversation, LocalId, Message,
    MessageId, MessageStatus, Sender, SenderId, Timestamp,
};

use super::activity::{self, ActivityCursor, ActivityPage, Happening};
use super::conversations::{self, Marks, Proven, Scope, Stored, columns};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read, Write};
use crate::postgres::Postgres;
use crate::session::{Param, Row, Session, integer};

/// Stores a message once, under the next `seq` of its conversation.
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
    /// Which agent or token sends it; a device has none.
    pub sender_id: Option<SenderId>,
    /// When.
    pub now: Timestamp,
    /// Chance for its id.
    pub chance: u64,
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone)]
pub enum Appended {
    /// Stored now; the conversation as it is with it, and what happened by it.
    New(Box<Message>, Box<InboxConversation>, Option<Box<Activity>>),
    /// Stored before: this is it.
    Duplicate(Box<Message>),
    /// Its `local_id` names another message.
    Conflict,
    /// No such conversation within the scope.
    NotFound,
}

/// The rule, whichever database keeps it: what becomes of `new` where the conversation stands as `stored` says, and `earlier`
/// has its `local_id`; `proven` has who is proven at the sender's device. If it is [`Appended::New`], `stored` is the conversation with it, and both are to be written.
///
/// It is the one place where a `seq` is given. Whoever asks holds the conversation's row until the commit, so that the order of
/// `seq` is the order of commits.
pub(crate) fn decide(
    new: &NewMessage,
    stored: Option<&mut Stored>,
    earlier: Option<&Message>,
    proven: &Proven,
) -> Appended {
    let stored = stored.filter(|stored| new.scope.reaches(stored, proven));
    let Some(stored) = stored else { return Appended::NotFound };
    if let Some(earlier) = earlier {
        if earlier.body != new.body || earlier.sender != new.sender {
            return Appended::Conflict;
        }
        return Appended::Duplicate(Box::new(with_status(earlier.clone(), stored.marks)));
    }
    let conversation = &mut stored.conversation;
    conversation.last_seq += 1;
    // Never before an earlier one, whatever the clock says.
    conversation.updated_at = conversation.updated_at.max(new.now);
    let now = conversation.updated_at;
    let mut happening = None;
    match new.sender {
        Sender::User => {
            // Unread until an agent says otherwise; and it opens a resolved conversation again.
            stored.unread_count += 1;
            if conversation.status == ConversationStatus::Resolved {
                conversation.status = ConversationStatus::Open;
                happening = Some(Happening::new(ActivityKind::Reopened, now, None, None));
            }
            stored.waiting_since.get_or_insert(now);
        }
        Sender::Agent => {
            if stored.waiting_since.take().is_some() {
                stored.first_reply_at.get_or_insert(now);
            }
            // Whoever answers has looked at it.
            stored.is_marked_unread = false;
        }
        Sender::System => {}
    }
    let is_from_user = new.sender == Sender::User;
    let message = Message {
        id: MessageId::new(&new.conversation_id, conversation.last_seq, new.chance),
        local_id: new.local_id.clone(),
        conversation_id: conversation.id.clone(),
        seq: conversation.last_seq,
        body: new.body.clone(),
        sender: new.sender,
        sender_name: if is_from_user { stored.user_name.clone() } else { new.sender_name.clone() },
        created_at: now,
        sender_id: new.sender_id.clone(),
        status: MessageStatus::Sent,
    };
    let activity = happening.map(|happening| Box::new(happening.take_number(stored)));
    Appended::New(Box::new(message), Box::new(stored.clone().into_inbox()), activity)
}

impl Operation for NewMessage {
    type Out = Appended;

    /// SQLite's; Postgres does many at a time.
    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Some((mut stored, earlier)) = load(session, self).await? else { return Ok(Appended::NotFound) };
        let proven = self.scope.proven(session, &stored).await?;
        let appended = decide(self, Some(&mut stored), earlier.as_ref(), &proven);
        if let Appended::New(message, _, activity) = &appended {
            take(session, &stored).await?;
            insert(session, message).await?;
            if let Some(activity) = activity {
                activity::insert(session, activity).await?;
            }
        }
        Ok(appended)
    }
}

impl Write for NewMessage {
    fn key(&self) -> &str {
        &self.conversation_id
    }

    fn queue(self, postgres: &Postgres, done: impl FnOnce(Result<Appended, Error>) + Send + 'static) {
        postgres.appends.submit(self, Box::new(done));
    }
}

/// The conversation, and the message that has the `local_id`.
async fn load(
    session: &mut Session<'_>,
    new: &NewMessage,
) -> Result<Option<(Stored, Option<Message>)>, Error> {
    const SQL: &str = concat!(
        "SELECT c.*, m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id \
         FROM (SELECT ",
        columns!(),
        " FROM conversations WHERE id = $1) AS c \
         LEFT JOIN messages AS m ON m.conversation_id = c.id AND m.local_id = $2"
    );
    let params = [Param::Text(&new.conversation_id), Param::Text(&new.local_id)];
    let both = |row: &mut Row<'_>| {
        let stored = conversations::read(row)?;
        let earlier = read_beside(row, stored.marks)?;
        Ok((stored, earlier))
    };
    session.query_one(SQL, &params, both).await
}

/// Writes what a new message changes of its conversation.
async fn take(session: &mut Session<'_>, stored: &Stored) -> Result<(), Error> {
    const SQL: &str = "UPDATE conversations SET last_seq = $1, updated_at = $2, unread_count = $3, status = $4, \
         waiting_since = $5, first_reply_at = $6, last_activity = $7, is_marked_unread = $8 WHERE id = $9";
    let conversation = &stored.conversation;
    let params = [
        Param::Integer(integer(conversation.last_seq)),
        Param::Integer(conversation.updated_at.epoch_ms()),
        Param::Integer(integer(stored.unread_count)),
        Param::Text(conversation.status.as_str()),
        Param::OptionalInteger(stored.waiting_since.map(Timestamp::epoch_ms)),
        Param::OptionalInteger(stored.first_reply_at.map(Timestamp::epoch_ms)),
        Param::Integer(integer(stored.last_activity)),
        Param::Integer(stored.is_marked_unread.into()),
        Param::Text(&conversation.id),
    ];
    session.execute(SQL, &params).await.map(|_| ())
}

async fn insert(session: &mut Session<'_>, message: &Message) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO messages \
         (conversation_id, seq, id, local_id, body, sender, sender_name, created_at, sender_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let params = [
        Param::Text(&message.conversation_id),
        Param::Integer(integer(message.seq)),
        Param::Text(&message.id),
        Param::Text(&message.local_id),
        Param::Text(&message.body),
        Param::Text(message.sender.as_str()),
        Param::OptionalText(message.sender_name.as_deref()),
        Param::Integer(message.created_at.epoch_ms()),
        Param::OptionalText(message.sender_id.as_deref()),
    ];
    session.execute(SQL, &params).await.map(|_| ())
}

/// The columns that [`read`] takes, in its order.
macro_rules! message_columns {
    () => {
        "SELECT conversation_id, seq, id, local_id, body, sender, sender_name, created_at, sender_id FROM messages "
    };
}

pub(crate) fn read(row: &mut Row<'_>) -> Result<Message, Error> {
    let conversation_id = row.id()?;
    read_rest(row, conversation_id)
}

/// A message that stands beside its conversation, with its status; it may be missing.
pub(crate) fn read_beside(row: &mut Row<'_>, marks: Marks) -> Result<Option<Message>, Error> {
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
        sender_id: row.optional_text()?.map(SenderId::from),
        status: MessageStatus::Sent,
    })
}

fn sender(text: &str) -> Result<Sender, Error> {
    [Sender::User, Sender::Agent, Sender::System]
        .into_iter()
        .find(|sender| sender.as_str() == text)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("message sender {text:?}")))
}

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
    /// The number of the last thing that had happened beside the messages.
    pub last_activity: u64,
    /// What had happened since, where that was asked for.
    pub activity: Option<ActivityPage>,
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
    /// Not so much has happened in it.
    NoActivity,
}

impl<T> Look<T> {
    /// What is made of what was found.
    pub(crate) fn map<U>(self, of: impl FnOnce(T) -> U) -> Look<U> {
        match self {
            Self::Found(found) => Look::Found(of(found)),
            Self::NoConversation => Look::NoConversation,
            Self::NoMessage => Look::NoMessage,
            Self::NoActivity => Look::NoActivity,
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

/// A conversation's end, and a page of its messages if there is a cursor.
#[derive(Debug, Clone)]
pub struct ReadHistory {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Where the page begins; `None` is no page, and only how the conversation stands.
    pub cursor: Option<Cursor>,
    /// Also what happened beside the messages after this number.
    pub activity_after: Option<u64>,
    /// How many messages, at most; and as much activity.
    pub limit: u32,
}

impl Operation for ReadHistory {
    type Out = Look<History>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, conversation_id, limit, .. } = self;
        let limit = *limit;
        let Some(stored) = conversations::find(session, scope, conversation_id).await? else {
            return Ok(Look::NoConversation);
        };
        let last_seq = stored.conversation.last_seq;
        let last_message_id = id_at(session, conversation_id, last_seq).await?;
        let marks = stored.marks;
        let mut history = History {
            last_seq,
            last_message_id,
            messages: Vec::new(),
            has_more: false,
            marks,
            last_activity: stored.last_activity,
            activity: None,
        };
        if let Some(n) = self.activity_after {
            let page = activity::page(session, &stored, ActivityCursor::After(n), limit).await?;
            let Some(page) = page else { return Ok(Look::NoActivity) };
            history.activity = Some(page);
        }
        let (is_forward, from) = match &self.cursor {
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
}

impl Read for ReadHistory {}

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

/// The messages after a `seq`, with status `sent`, for the node itself: nobody's right to see is checked.
#[derive(Debug, Clone)]
pub struct MessagesAfter {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The last one that is known.
    pub seq: u64,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for MessagesAfter {
    type Out = Vec<Message>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        between(session, &self.conversation_id, self.seq, i64::MAX.unsigned_abs(), self.limit, true).await
    }
}

impl Read for MessagesAfter {}

#[cfg(test)]
mod tests {
    use protocol::Conversation;

    use super::*;

    fn time(ms: i64) -> Timestamp {
        Timestamp::from_epoch_ms(1_700_000_000_000 + ms)
    }

    fn resolved() -> Stored {
        let conversation = Conversation {
            id: "conv_1".into(),
            app_id: "app_1".into(),
            device_id: "phone".into(),
            user_id: None,
            status: ConversationStatus::Resolved,
            last_message: None,
            last_seq: 0,
            created_at: time(0),
            updated_at: time(0),
            unread_count: None,
        };
        Stored {
            conversation,
            user_name: Some("Ann".into()),
            unread_count: 0,
            marks: Marks::default(),
            is_shown: true,
            is_proven: false,
            waiting_since: None,
            first_reply_at: None,
            assignee_id: None,
            last_activity: 0,
            tags: Vec::new(),
            is_marked_unread: false,
        }
    }

    fn new(sender: Sender, now: i64) -> NewMessage {
        NewMessage {
            scope: Scope { app_id: "app_1".into(), device_id: None },
            conversation_id: "conv_1".into(),
            local_id: "l".into(),
            body: "x".into(),
            sender,
            sender_name: Some("Ada".into()),
            sender_id: None,
            now: time(now),
            chance: 0,
        }
    }

    #[test]
    fn people_wait_from_their_first_message_that_no_agent_has_answered() {
        let mut stored = resolved();
        let mut after = |sender, now| {
            assert!(matches!(
                decide(&new(sender, now), Some(&mut stored), None, &Proven::new()),
                Appended::New(..)
            ));
            (
                stored.waiting_since.map(|at| at.epoch_ms() % 1_000),
                stored.first_reply_at.map(|at| at.epoch_ms() % 1_000),
            )
        };
        assert_eq!(after(Sender::Agent, 1), (None, None), "who writes first answers nobody");
        assert_eq!(after(Sender::User, 2), (Some(2), None));
        assert_eq!(after(Sender::User, 3), (Some(2), None));
        assert_eq!(after(Sender::System, 4), (Some(2), None), "a machine's answer is none");
        assert_eq!(after(Sender::Agent, 5), (None, Some(5)));
        assert_eq!(after(Sender::User, 6), (Some(6), Some(5)));
        assert_eq!(after(Sender::Agent, 7), (None, Some(5)));
    }

    #[test]
    fn a_new_message_takes_the_next_seq_and_a_time_that_is_never_before() {
        let mut stored = resolved();
        let Appended::New(first, inbox, reopened) =
            decide(&new(Sender::User, 9), Some(&mut stored), None, &Proven::new())
        else {
            panic!("not new")
        };
        assert_eq!((first.seq, first.created_at, first.sender_name.as_deref()), (1, time(9), Some("Ann")));
        assert_eq!((inbox.unread_count, inbox.conversation.status), (1, ConversationStatus::Open));
        let reopened = reopened.expect("it was resolved");
        assert_eq!((reopened.n, reopened.kind, reopened.at), (1, ActivityKind::Reopened, time(9)));
        let Appended::New(second, inbox, None) =
            decide(&new(Sender::Agent, 4), Some(&mut stored), None, &Proven::new())
        else {
            panic!("not new")
        };
        assert_eq!((second.seq, second.created_at, second.sender_name.as_deref()), (2, time(9), Some("Ada")));
        assert_eq!((inbox.unread_count, inbox.conversation.last_seq), (1, 2));
    }

    #[test]
    fn what_is_repeated_or_out_of_sight_changes_nothing() {
        let mut stored = resolved();
        let Appended::New(earlier, ..) =
            decide(&new(Sender::User, 1), Some(&mut stored), None, &Proven::new())
        else {
            panic!("not new")
        };
        let before = format!("{stored:?}");
        let again = decide(&new(Sender::User, 2), Some(&mut stored), Some(&earlier), &Proven::new());
        assert!(matches!(again, Appended::Duplicate(same) if same == earlier));
        let other = NewMessage { body: "y".into(), ..new(Sender::User, 2) };
        assert!(matches!(
            decide(&other, Some(&mut stored), Some(&earlier), &Proven::new()),
            Appended::Conflict
        ));
        assert!(matches!(
            decide(&new(Sender::Agent, 2), Some(&mut stored), Some(&earlier), &Proven::new()),
            Appended::Conflict
        ));
        for scope in [
            Scope { app_id: "app_2".into(), device_id: None },
            Scope { app_id: "app_1".into(), device_id: Some("tablet".into()) },
        ] {
            let foreign = NewMessage { scope, ..new(Sender::User, 2) };
            assert!(matches!(
                decide(&foreign, Some(&mut stored), Some(&earlier), &Proven::new()),
                Appended::NotFound
            ));
            assert!(matches!(decide(&foreign, Some(&mut stored), None, &Proven::new()), Appended::NotFound));
        }
        stored.is_shown = false;
        let hidden =
            NewMessage { scope: Scope { app_id: "app_1".into(), device_id: Some("phone".into()) }, ..other };
        assert!(matches!(decide(&hidden, Some(&mut stored), None, &Proven::new()), Appended::NotFound));
        stored.is_shown = true;
        assert_eq!(format!("{stored:?}"), before);
        assert!(matches!(decide(&hidden, None, None, &Proven::new()), Appended::NotFound));
    }
}
