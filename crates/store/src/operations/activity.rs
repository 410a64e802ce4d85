//! What happens in a conversation beside its messages: numbered as they are, in the transaction of what happened.

use protocol::encoded::fitting;
use protocol::{
    Activity, ActivityKind, Actor, ConversationId, InboxConversation, LocalId, SenderId, Timestamp,
};

use super::conversations::{self, Scope, Stored};
use super::messages::Look;
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read, Write};
use crate::session::{Param, Row, Session, integer};

/// Something that has happened, before it has a number.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) kind: ActivityKind,
    pub(crate) at: Timestamp,
    pub(crate) by: Option<Actor>,
    pub(crate) to: Option<Actor>,
    pub(crate) body: Option<String>,
    pub(crate) local_id: Option<LocalId>,
}

impl Happening {
    /// What an agent did, or somebody of whom it is known.
    pub(crate) fn new(kind: ActivityKind, at: Timestamp, by: Option<Actor>, to: Option<Actor>) -> Self {
        Self { kind, at, by, to, body: None, local_id: None }
    }

    /// Gives it the conversation's next number. Whoever asks holds the conversation's row until the commit, and writes it: so the
    /// order of the numbers is the order of commits.
    pub(crate) fn take_number(self, stored: &mut Stored) -> Activity {
        stored.last_activity += 1;
        self.numbered(&stored.conversation.id, stored.last_activity)
    }

    fn numbered(self, conversation_id: &ConversationId, n: u64) -> Activity {
        let Self { kind, at, by, to, body, local_id } = self;
        Activity { conversation_id: conversation_id.clone(), n, kind, at, by, to, body, local_id }
    }
}

/// Writes down what has happened, under the conversation's next number; takes the number, too.
pub(crate) async fn append(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    happening: Happening,
) -> Result<Activity, Error> {
    const TAKE: &str =
        "UPDATE conversations SET last_activity = last_activity + 1 WHERE id = $1 RETURNING last_activity";
    let n = session.query_one(TAKE, &[Param::Text(conversation_id)], |row| row.count()).await?;
    let n =
        n.ok_or_else(|| Error::new(ErrorKind::Internal, "a conversation is gone in its own transaction"))?;
    let activity = happening.numbered(conversation_id, n);
    insert(session, &activity).await?;
    Ok(activity)
}

/// Writes down what has its number already.
pub(crate) async fn insert(session: &mut Session<'_>, activity: &Activity) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO activities \
         (conversation_id, n, kind, at, by_id, by_name, to_id, to_name, body, local_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let params = [
        Param::Text(&activity.conversation_id),
        Param::Integer(integer(activity.n)),
        Param::Text(activity.kind.as_str()),
        Param::Integer(activity.at.epoch_ms()),
        Param::OptionalText(id_of(activity.by.as_ref())),
        Param::OptionalText(name_of(activity.by.as_ref())),
        Param::OptionalText(id_of(activity.to.as_ref())),
        Param::OptionalText(name_of(activity.to.as_ref())),
        Param::OptionalText(activity.body.as_deref()),
        Param::OptionalText(activity.local_id.as_deref()),
    ];
    session.execute(SQL, &params).await.map(drop)
}

fn id_of(actor: Option<&Actor>) -> Option<&str> {
    actor.map(|actor| actor.id.as_str())
}

fn name_of(actor: Option<&Actor>) -> Option<&str> {
    actor.and_then(|actor| actor.name.as_deref())
}

/// What [`read`] takes, in its order.
macro_rules! activity_columns {
    () => {
        "SELECT conversation_id, n, kind, at, by_id, by_name, to_id, to_name, body, local_id FROM activities "
    };
}

pub(super) fn read(row: &mut Row<'_>) -> Result<Activity, Error> {
    Ok(Activity {
        conversation_id: row.id()?,
        n: row.count()?,
        kind: row.text()?.into(),
        at: Timestamp::from_epoch_ms(row.integer()?),
        by: actor(row)?,
        to: actor(row)?,
        body: row.optional_text()?,
        local_id: row.optional_text()?.map(LocalId::from),
    })
}

fn actor(row: &mut Row<'_>) -> Result<Option<Actor>, Error> {
    let (id, name) = (row.optional_text()?, row.optional_text()?);
    Ok(id.map(|id| Actor { id: SenderId::from(id), name }))
}

/// Writes a note down, once.
#[derive(Debug, Clone)]
pub struct AddNote {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The writer's name for it.
    pub local_id: LocalId,
    /// The text.
    pub body: String,
    /// Who writes.
    pub by: Actor,
    /// When.
    pub now: Timestamp,
}

/// What became of an [`AddNote`].
#[derive(Debug, Clone)]
pub enum Noted {
    /// Stored now, and whose app it is.
    New(Box<Activity>),
    /// Stored before: this is it.
    Duplicate(Box<Activity>),
    /// Its `local_id` names another note.
    Conflict,
    /// No such conversation within the scope.
    NotFound,
}

impl Operation for AddNote {
    type Out = Noted;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const EARLIER: &str = concat!(activity_columns!(), "WHERE conversation_id = $1 AND local_id = $2");
        let Self { scope, conversation_id, local_id, body, by, now } = self;
        session.lock_conversation(conversation_id).await?;
        if conversations::find(session, scope, conversation_id).await?.is_none() {
            return Ok(Noted::NotFound);
        }
        let params = [Param::Text(conversation_id), Param::Text(local_id)];
        if let Some(earlier) = session.query_one(EARLIER, &params, read).await? {
            let is_same = earlier.body.as_ref() == Some(body)
                && earlier.by.as_ref().is_some_and(|writer| writer.id == by.id);
            return Ok(if is_same { Noted::Duplicate(Box::new(earlier)) } else { Noted::Conflict });
        }
        let happening = Happening {
            body: Some(body.clone()),
            local_id: Some(local_id.clone()),
            ..Happening::new(ActivityKind::Note, *now, Some(by.clone()), None)
        };
        Ok(Noted::New(Box::new(append(session, conversation_id, happening).await?)))
    }
}

impl Write for AddNote {
    fn key(&self) -> &str {
        &self.conversation_id
    }
}

/// Where a page of activity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityCursor {
    /// What came after this number; ascending.
    After(u64),
    /// What came before this number, or the newest; ascending as well.
    Before(Option<u64>),
}

/// A part of a conversation's activity, and how it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityPage {
    /// The number of the newest then.
    pub last: u64,
    /// Ascending.
    pub activity: Vec<Activity>,
    /// Whether there were more in the direction asked for.
    pub has_more: bool,
}

/// A page of a conversation's activity. [`Look::NoActivity`] if the cursor is beyond what there is.
#[derive(Debug, Clone)]
pub struct ReadActivity {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Where the page begins.
    pub cursor: ActivityCursor,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ReadActivity {
    type Out = Look<ActivityPage>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, conversation_id, cursor, limit } = self;
        match conversations::find(session, scope, conversation_id).await? {
            None => Ok(Look::NoConversation),
            Some(stored) => {
                Ok(page(session, &stored, *cursor, *limit).await?.map_or(Look::NoActivity, Look::Found))
            }
        }
    }
}

impl Read for ReadActivity {}

/// A page of the conversation's activity as it was read; `None` if the cursor is beyond it.
pub(crate) async fn page(
    session: &mut Session<'_>,
    stored: &Stored,
    cursor: ActivityCursor,
    limit: u32,
) -> Result<Option<ActivityPage>, Error> {
    let last = stored.last_activity;
    let (is_forward, above, below) = match cursor {
        ActivityCursor::After(n) => (true, n, last + 1),
        ActivityCursor::Before(n) => (false, 0, n.unwrap_or(last + 1)),
    };
    if above > last || below > last + 1 {
        return Ok(None);
    }
    // What is committed after the row was read belongs to the live events, not to this page.
    let mut activity =
        between(session, &stored.conversation.id, above, below, limit.saturating_add(1), is_forward).await?;
    let fitting = fitting(&activity).min(limit as usize);
    let has_more = activity.len() > fitting;
    activity.truncate(fitting);
    if !is_forward {
        activity.reverse();
    }
    Ok(Some(ActivityPage { last, activity, has_more }))
}

async fn between(
    session: &mut Session<'_>,
    conversation_id: &ConversationId,
    above: u64,
    below: u64,
    limit: u32,
    is_forward: bool,
) -> Result<Vec<Activity>, Error> {
    const FORWARD: &str =
        concat!(activity_columns!(), "WHERE conversation_id = $1 AND n > $2 AND n < $3 ORDER BY n LIMIT $4");
    const BACKWARD: &str = concat!(
        activity_columns!(),
        "WHERE conversation_id = $1 AND n > $2 AND n < $3 ORDER BY n DESC LIMIT $4"
    );
    let params = [
        Param::Text(conversation_id),
        Param::Integer(integer(above)),
        Param::Integer(integer(below)),
        Param::Integer(limit.into()),
    ];
    session.query(if is_forward { FORWARD } else { BACKWARD }, &params, read).await
}

/// What happened after a number, for the node itself: nobody's right to see is checked.
#[derive(Debug, Clone)]
pub struct ActivityAfter {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The last number that is known.
    pub n: u64,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ActivityAfter {
    type Out = Vec<Activity>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        between(session, &self.conversation_id, self.n, u64::MAX, self.limit, true).await
    }
}

impl Read for ActivityAfter {}

/// A conversation as it is after something happened, and what that was.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The conversation.
    pub conversation: Box<InboxConversation>,
    /// What happened, in order; nothing, where it was so before.
    pub activity: Vec<Activity>,
}
