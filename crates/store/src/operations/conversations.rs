//! Conversations: whose they are, how they stand, and the pages of an inbox.

use std::collections::HashMap;

use protocol::{
    AgentId, AppId, Conversation, ConversationId, ConversationStatus, DeviceId, InboxConversation, Message,
    Timestamp, UserId,
};

use super::{devices, messages, tags};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read};
use crate::session::{Param, Row, Session};

/// How far a caller's eyes reach. What is outside is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Only this app's.
    pub app_id: AppId,
    /// Only what this device shows, if set: of its own what belongs to the person who is at it, and if that is proven, what
    /// that person has written anywhere as themselves.
    pub device_id: Option<DeviceId>,
}

/// Who is proven to be at a device, of the devices that have been looked at.
pub(crate) type Proven = HashMap<(AppId, DeviceId), UserId>;

impl Scope {
    /// Whether the conversation is within it. `proven` has the scope's device, if anybody is proven there; it is not needed
    /// where the conversation is not a proven person's.
    pub(crate) fn reaches(&self, stored: &Stored, proven: &Proven) -> bool {
        let Stored { conversation, is_shown, is_proven, .. } = stored;
        let is_seen_at = |device: &DeviceId| {
            if *is_proven {
                let who = proven.get(&(self.app_id.clone(), device.clone()));
                who.is_some() && who == conversation.user_id.as_ref()
            } else {
                *is_shown && *device == conversation.device_id
            }
        };
        self.app_id == conversation.app_id && self.device_id.as_ref().is_none_or(is_seen_at)
    }

    /// Who is proven at the scope's device, where that decides whether it reaches the conversation.
    pub(crate) async fn proven(&self, session: &mut Session<'_>, stored: &Stored) -> Result<Proven, Error> {
        let mut proven = Proven::new();
        if let Some(device) = self.device_id.as_ref().filter(|_| stored.is_proven)
            && let Some(user_id) = devices::proven_at(session, &self.app_id, device).await?
        {
            proven.insert((self.app_id.clone(), device.clone()), user_id);
        }
        Ok(proven)
    }

    pub(crate) fn device(&self) -> Option<&str> {
        self.device_id.as_ref().map(DeviceId::as_str)
    }
}

/// A conversation's row.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) conversation: Conversation,
    pub(crate) user_name: Option<String>,
    pub(crate) unread_count: u64,
    pub(crate) marks: Marks,
    /// Whether its device shows it: to nobody but the person whose it is. Says nothing of a proven person's.
    pub(crate) is_shown: bool,
    /// Whether it is a person's who was proven: shown wherever they are.
    pub(crate) is_proven: bool,
    /// When the first message of the user was stored that no agent has answered.
    pub(crate) waiting_since: Option<Timestamp>,
    /// When an agent first answered the user.
    pub(crate) first_reply_at: Option<Timestamp>,
    /// The agent whom it is with.
    pub(crate) assignee_id: Option<AgentId>,
    /// The number of the last thing that happened in it beside its messages.
    pub(crate) last_activity: u64,
    /// In alphabetical order.
    pub(crate) tags: Vec<String>,
    /// Whether an agent has said that it is to be looked at again.
    pub(crate) is_marked_unread: bool,
}

impl Stored {
    pub(crate) fn into_inbox(self) -> InboxConversation {
        InboxConversation {
            conversation: self.conversation,
            unread_count: self.unread_count,
            user_name: self.user_name,
            is_verified: self.is_proven,
            assignee_id: self.assignee_id,
            waiting_since: self.waiting_since,
            first_reply_at: self.first_reply_at,
            tags: self.tags,
            is_marked_unread: self.is_marked_unread,
            is_online: None,
        }
    }
}

/// Up to where each side has received and read the other side's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// What the device has received.
    pub device_delivered: u64,
    /// What was read at the device.
    pub device_read: u64,
    /// What an agent's client has received.
    pub agent_delivered: u64,
    /// What an agent has read.
    pub agent_read: u64,
}

/// The columns that [`read`] takes, in its order.
macro_rules! columns {
    () => {
        "id, app_id, device_id, user_id, status, last_seq, created_at, updated_at, user_name, \
         unread_count, device_delivered_seq, device_read_seq, agent_delivered_seq, agent_read_seq, is_shown, \
         waiting_since, first_reply_at, is_proven, assignee_id, last_activity, tags, is_marked_unread"
    };
}
pub(crate) use columns;

pub(crate) fn read(row: &mut Row<'_>) -> Result<Stored, Error> {
    let conversation = Conversation {
        id: row.id()?,
        app_id: row.id()?,
        device_id: row.id()?,
        user_id: row.optional_text()?.map(UserId::from),
        status: status(&row.text()?)?,
        last_message: None,
        last_seq: row.count()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        updated_at: Timestamp::from_epoch_ms(row.integer()?),
        unread_count: None,
    };
    Ok(Stored {
        conversation,
        user_name: row.optional_text()?,
        unread_count: row.count()?,
        marks: Marks {
            device_delivered: row.count()?,
            device_read: row.count()?,
            agent_delivered: row.count()?,
            agent_read: row.count()?,
        },
        is_shown: row.count()? != 0,
        waiting_since: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        first_reply_at: row.optional_integer()?.map(Timestamp::from_epoch_ms),
        is_proven: row.integer()? != 0,
        assignee_id: row.optional_text()?.map(AgentId::from),
        last_activity: row.count()?,
        tags: tags::parse(&row.text()?),
        is_marked_unread: row.integer()? != 0,
    })
}

fn status(text: &str) -> Result<ConversationStatus, Error> {
    ConversationStatus::parse(text)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("conversation status {text:?}")))
}

/// The conversation, if it is within `scope`.
pub(crate) async fn find(
    session: &mut Session<'_>,
    scope: &Scope,
    id: &ConversationId,
) -> Result<Option<Stored>, Error> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM conversations WHERE id = $1 AND app_id = $2 \
         AND (CAST($3 AS TEXT) IS NULL OR CASE WHEN is_proven = 1 THEN EXISTS (SELECT 1 FROM devices d \
         WHERE d.app_id = conversations.app_id AND d.device_id = $3 AND d.is_proven = 1 \
         AND d.user_id = conversations.user_id) ELSE device_id = $3 AND is_shown = 1 END)"
    );
    let params = [Param::Text(id), Param::Text(&scope.app_id), Param::OptionalText(scope.device())];
    session.query_one(SQL, &params, read).await
}

/// Who is proven at the device that is the statement's second parameter; none is equal to nobody.
macro_rules! proven_at {
    ($device:literal) => {
        concat!(
            "(SELECT d.user_id FROM devices d WHERE d.app_id = $1 AND d.device_id = ",
            $device,
            " AND d.is_proven = 1)"
        )
    };
}

/// The newest of what the device itself shows.
macro_rules! latest_of_device {
    ($more:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            columns!(),
            " FROM conversations WHERE app_id = $1 AND device_id = $2 AND is_shown = 1 AND is_proven = 0",
            $more,
            " ORDER BY id DESC LIMIT 1) AS own"
        )
    };
}

/// The newest of the person's who is proven at the device, with one status, which is the order of an index.
macro_rules! latest_of_proven {
    ($status:literal, $name:literal) => {
        concat!(
            " UNION ALL SELECT * FROM (SELECT ",
            columns!(),
            " FROM conversations WHERE app_id = $1 AND user_id = ",
            proven_at!("$2"),
            " AND is_proven = 1 AND status = ",
            $status,
            " ORDER BY id DESC LIMIT 1) AS ",
            $name
        )
    };
}

/// Of a device at which nobody is proven, as most are.
pub(super) const LATEST_OWN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM conversations WHERE app_id = $1 AND device_id = $2 AND is_shown = 1 AND is_proven = 0 ORDER BY id DESC LIMIT 1"
);

pub(super) const LATEST: &str = concat!(
    latest_of_device!(""),
    latest_of_proven!("'open'", "open"),
    latest_of_proven!("'resolved'", "resolved"),
    " ORDER BY id DESC LIMIT 1"
);

// Who is proven goes on as themselves, and not where they once claimed to be.
pub(super) const LATEST_OPEN: &str = concat!(
    latest_of_device!(
        " AND status = 'open' AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.app_id = $1 AND d.device_id = $2 \
         AND d.is_proven = 1)"
    ),
    latest_of_proven!("'open'", "open"),
    " ORDER BY id DESC LIMIT 1"
);

/// As [`latest`], for a device of which it has just been read whether anybody is proven there. Where that has changed since, it is
/// less than the device shows, or what the statement finds of whoever is proven then.
pub(crate) async fn latest_at(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    is_proven: bool,
) -> Result<Option<Stored>, Error> {
    let sql = if is_proven { LATEST } else { LATEST_OWN };
    session.query_one(sql, &[Param::Text(app_id), Param::Text(device_id)], read).await
}

/// The device's newest conversation that it shows; only an open one if `open` says so.
pub(crate) async fn latest(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    open: bool,
) -> Result<Option<Stored>, Error> {
    let sql = if open { LATEST_OPEN } else { LATEST };
    session.query_one(sql, &[Param::Text(app_id), Param::Text(device_id)], read).await
}

/// Opens a conversation for the device, with the person that is known to use it, as they are known.
pub(crate) async fn create(
    session: &mut Session<'_>,
    id: &ConversationId,
    app_id: &AppId,
    device_id: &DeviceId,
    now: Timestamp,
) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO conversations (id, app_id, device_id, created_at, updated_at, user_id, user_name, status, \
             last_seq, unread_count, device_delivered_seq, device_read_seq, agent_delivered_seq, agent_read_seq, \
             is_proven, is_shown) \
             SELECT $1, $2, $3, $4, $4, d.user_id, d.user_name, 'open', 0, 0, 0, 0, 0, 0, COALESCE(d.is_proven, 0), \
             1 - COALESCE(d.is_proven, 0) FROM (SELECT 1) AS one \
             LEFT JOIN devices d ON d.app_id = $2 AND d.device_id = $3",
            &[
                Param::Text(id),
                Param::Text(app_id),
                Param::Text(device_id),
                Param::Integer(now.epoch_ms()),
            ],
        )
        .await?;
    Ok(())
}

/// Sets the status; returns the conversation and whether that changed it.
pub(crate) async fn set_status(
    session: &mut Session<'_>,
    scope: &Scope,
    id: &ConversationId,
    status: ConversationStatus,
    now: Timestamp,
) -> Result<Option<(Stored, bool)>, Error> {
    session.lock_conversation(id).await?;
    let Some(before) = find(session, scope, id).await? else { return Ok(None) };
    if before.conversation.status == status {
        return Ok(Some((before, false)));
    }
    const SQL: &str = "UPDATE conversations SET status = $1, updated_at = CASE WHEN updated_at > $2 THEN updated_at ELSE $2 END \
         WHERE id = $3";
    let params = [Param::Text(status.as_str()), Param::Integer(now.epoch_ms()), Param::Text(id)];
    session.execute(SQL, &params).await?;
    Ok(find(session, scope, id).await?.map(|after| (after, true)))
}

/// Sets whom it is with; returns the conversation then. The row is locked.
pub(crate) async fn assign(
    session: &mut Session<'_>,
    scope: &Scope,
    id: &ConversationId,
    to: Option<&AgentId>,
) -> Result<Option<Stored>, Error> {
    const SQL: &str = "UPDATE conversations SET assignee_id = $1 WHERE id = $2";
    session.execute(SQL, &[Param::OptionalText(to.map(AgentId::as_str)), Param::Text(id)]).await?;
    find(session, scope, id).await
}

/// Which conversations of an app a list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All of one status, or of both; newest activity first.
    All(Option<ConversationStatus>),
    /// Those that are with one agent, or with nobody; newest activity first.
    Assigned(Option<AgentId>, ConversationStatus),
    /// Those in which somebody waits for an answer; who has waited longest first.
    Waiting(ConversationStatus),
    /// Those that have a tag; newest activity first.
    Tagged(String, ConversationStatus),
}

/// Where a page of an inbox begins: behind the conversation with this time and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxCursor {
    /// The last row's `updated_at`, or where it is in that order, its `waiting_since`.
    pub at: Timestamp,
    /// The last row's id.
    pub id: ConversationId,
}

/// Lists conversations with their newest message, newest activity first; those of a device with its unread messages.
#[derive(Debug, Clone)]
pub struct ListConversations {
    /// How far the caller sees.
    pub scope: Scope,
    /// Which of them. A device has only [`View::All`].
    pub view: View,
    /// Behind this one, if set.
    pub after: Option<InboxCursor>,
    /// At most so many.
    pub limit: u32,
}

/// A page and the newest message of each of its conversations, in one statement. The columns are those of [`read`], what
/// is asked for beside them, and then those of [`messages::read`].
macro_rules! with_newest {
    ([$($more:tt)*] $($page:tt)*) => {
        with_newest!(@ [$($more)*] ["page.updated_at DESC, page.id DESC"] $($page)*)
    };
    (@ [$($more:tt)*] [$order:literal] $($page:tt)*) => {
        concat!(
            "SELECT page.*, ", $($more)*,
            "m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id \
             FROM (", $($page)*, ") AS page \
             LEFT JOIN messages AS m ON m.conversation_id = page.id AND m.seq = page.last_seq ORDER BY ",
            $order
        )
    };
}

/// How many messages of agents the person has not read, among a conversation's newest
/// ([`UNREAD_COUNTED`](protocol::limits::UNREAD_COUNTED)): what counting reads is bounded, whoever wrote it.
macro_rules! unread_of {
    ($conversation:literal) => {
        concat!(
            "(SELECT count(*) FROM messages u WHERE u.conversation_id = ",
            $conversation,
            ".id AND u.sender <> 'user' AND u.seq > CASE WHEN ",
            $conversation,
            ".device_read_seq > ",
            $conversation,
            ".last_seq - 1000 THEN ",
            $conversation,
            ".device_read_seq ELSE ",
            $conversation,
            ".last_seq - 1000 END)"
        )
    };
}

const _: () = assert!(protocol::limits::UNREAD_COUNTED == 1_000, "the statement has the number as text");

const UNREAD_OF_ONE: &str = concat!("SELECT ", unread_of!("c"), " FROM conversations c WHERE c.id = $1");

const UNREAD_OF_DEVICE: &str = concat!(
    "SELECT ",
    unread_of!("c"),
    " FROM conversations c WHERE c.app_id = $1 AND c.device_id = $2 AND c.is_shown = 1 AND c.is_proven = 0 \
     AND c.device_read_seq < c.last_seq UNION ALL SELECT ",
    unread_of!("p"),
    " FROM (SELECT id, device_read_seq, last_seq FROM conversations WHERE app_id = $1 AND user_id = ",
    proven_at!("$2"),
    " AND is_proven = 1 ORDER BY updated_at DESC, id DESC LIMIT 200) AS p WHERE p.device_read_seq < p.last_seq"
);

const _: () = assert!(protocol::limits::PAGE_MAX == 200, "the statement has the number as text");

/// How many messages of agents the person at the device has not read; of one who is proven, in as many of their newest
/// conversations as a list has at most.
#[derive(Debug, Clone)]
pub struct CountUnread {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
}

impl Operation for CountUnread {
    type Out = u64;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let params = [Param::Text(&self.app_id), Param::Text(&self.device_id)];
        Ok(session.query(UNREAD_OF_DEVICE, &params, |row| row.count()).await?.into_iter().sum())
    }
}

impl Read for CountUnread {}

/// As [`CountUnread`], of one conversation.
pub(crate) async fn count_unread(session: &mut Session<'_>, id: &ConversationId) -> Result<u64, Error> {
    let counted = session.query_one(UNREAD_OF_ONE, &[Param::Text(id)], |row| row.count()).await?;
    Ok(counted.unwrap_or_default())
}

/// A page of an app's conversations with one status, which is the order of an index.
macro_rules! of_status {
    ($status:literal, $limit:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM conversations WHERE app_id = $1 AND (updated_at, id) < ($2, $3) AND status = ",
            $status,
            " ORDER BY updated_at DESC, id DESC LIMIT ",
            $limit
        )
    };
}

pub(super) const OF_APP: &str = with_newest!(
    [""]
    "SELECT * FROM (",
    of_status!("'open'", "$4"),
    ") AS open UNION ALL SELECT * FROM (",
    of_status!("'resolved'", "$4"),
    ") AS resolved ORDER BY updated_at DESC, id DESC LIMIT $4"
);

pub(super) const OF_STATUS: &str = with_newest!([""] of_status!("$4", "$5"));

/// A page of those that are with somebody, or with nobody, which are two orders of one index.
macro_rules! of_assignee {
    ($whose:literal, $status:literal, $limit:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM conversations WHERE app_id = $1 AND (updated_at, id) < ($2, $3) AND assignee_id ",
            $whose,
            " AND status = ",
            $status,
            " ORDER BY updated_at DESC, id DESC LIMIT ",
            $limit
        )
    };
}

pub(super) const OF_AGENT: &str = with_newest!([""] of_assignee!("= $4", "$5", "$6"));

pub(super) const OF_NOBODY: &str = with_newest!([""] of_assignee!("IS NULL", "$4", "$5"));

pub(super) const WAITING: &str = with_newest!(
    @ [""] ["page.waiting_since, page.id"]
    "SELECT ",
    columns!(),
    " FROM conversations WHERE app_id = $1 AND (waiting_since, id) > ($2, $3) AND waiting_since IS NOT NULL \
     AND status = $4 ORDER BY waiting_since, id LIMIT $5"
);

pub(super) const TAGGED: &str = with_newest!(
    [""]
    "SELECT ",
    columns!(),
    " FROM (SELECT conversation_id FROM conversation_tags WHERE app_id = $1 AND (updated_at, conversation_id) < ($2, $3) \
     AND tag = $4 AND status = $5 ORDER BY updated_at DESC, conversation_id DESC LIMIT $6) AS tagged \
     JOIN conversations ON conversations.id = tagged.conversation_id"
);

// A device has few conversations, and its app may have a million: they are found by the device and then sorted, which
// the sum keeps a planner from turning round. A proven person may have many, and has an index.
pub(super) const OF_DEVICE: &str = with_newest!(
    [unread_of!("page"), " AS unread, "]
    "SELECT * FROM (SELECT ",
    columns!(),
    " FROM conversations WHERE app_id = $1 AND (updated_at, id) < ($2, $3) AND device_id = $4 AND is_shown = 1 \
     AND is_proven = 0 AND (CAST($5 AS TEXT) IS NULL OR status = $5) ORDER BY updated_at + 0 DESC, id DESC LIMIT $6) AS own \
     UNION ALL SELECT * FROM (SELECT ",
    columns!(),
    " FROM conversations WHERE app_id = $1 AND user_id = ",
    proven_at!("$4"),
    " AND is_proven = 1 AND (updated_at, id) < ($2, $3) AND (CAST($5 AS TEXT) IS NULL OR status = $5) \
     ORDER BY updated_at DESC, id DESC LIMIT $6) AS proven ORDER BY updated_at DESC, id DESC LIMIT $6"
);

/// What a person has written, newest first, of one status, which is the order of an index.
macro_rules! of_person {
    ($status:literal, $name:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            columns!(),
            " FROM conversations WHERE app_id = $1 AND user_id = $2 AND is_proven = 1 AND status = ",
            $status,
            " ORDER BY id DESC LIMIT $3) AS ",
            $name
        )
    };
}

/// The newest conversations of a person that they have written as themselves.
pub(super) const OF_PERSON: &str = concat!(
    of_person!("'open'", "open"),
    " UNION ALL ",
    of_person!("'resolved'", "resolved"),
    " ORDER BY id DESC LIMIT $3"
);

/// The newest conversations of a device that one, or nobody, has written there without proof.
pub(super) const OF_CLAIM: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM conversations WHERE app_id = $1 AND device_id = $2 AND is_proven = 0 \
     AND user_id IS NOT DISTINCT FROM CAST($3 AS TEXT) ORDER BY id DESC LIMIT $4"
);

impl Operation for ListConversations {
    type Out = Vec<InboxConversation>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let after = self.after.as_ref();
        let beginning = if let View::Waiting(_) = self.view { i64::MIN } else { i64::MAX };
        let mut params = vec![
            Param::Text(&self.scope.app_id),
            Param::Integer(after.map_or(beginning, |cursor| cursor.at.epoch_ms())),
            Param::Text(after.map_or("", |cursor| cursor.id.as_str())),
        ];
        let sql = match (self.scope.device(), &self.view) {
            (Some(device), View::All(status)) => {
                let status = status.map(ConversationStatus::as_str);
                params.extend([Param::Text(device), Param::OptionalText(status)]);
                OF_DEVICE
            }
            (Some(_), _) => return Err(Error::new(ErrorKind::Internal, "a device has no views")),
            (None, View::All(None)) => OF_APP,
            (None, View::All(Some(status))) => {
                params.push(Param::Text(status.as_str()));
                OF_STATUS
            }
            (None, View::Assigned(Some(agent), status)) => {
                params.extend([Param::Text(agent), Param::Text(status.as_str())]);
                OF_AGENT
            }
            (None, View::Assigned(None, status)) => {
                params.push(Param::Text(status.as_str()));
                OF_NOBODY
            }
            (None, View::Waiting(status)) => {
                params.push(Param::Text(status.as_str()));
                WAITING
            }
            (None, View::Tagged(tag, status)) => {
                params.extend([Param::Text(tag), Param::Text(status.as_str())]);
                TAGGED
            }
        };
        params.push(Param::Integer(self.limit.into()));
        let is_for_device = self.scope.device_id.is_some();
        let with_newest = |row: &mut Row<'_>| {
            let mut stored = read(row)?;
            if is_for_device {
                stored.conversation.unread_count = Some(row.count()?);
            }
            // Last, since it may not be there.
            stored.conversation.last_message = messages::read_beside(row, stored.marks)?;
            Ok(stored.into_inbox())
        };
        session.query(sql, &params, with_newest).await
    }
}

impl Read for ListConversations {}

/// The conversation's newest message, if it has one.
pub(crate) async fn last_message(
    session: &mut Session<'_>,
    stored: &Stored,
) -> Result<Option<Message>, Error> {
    let conversation = &stored.conversation;
    messages::at(session, &conversation.id, conversation.last_seq, stored.marks).await
}
