//! Whole operations on conversations that answer with them as an inbox shows them.

use protocol::{
    Activity, ActivityKind, Actor, AgentId, AppId, ConversationId, ConversationStatus, DeviceId,
    InboxConversation, SenderId, Timestamp,
};

use super::activity::{self, Changed, Happening};
use super::agents::{self, StoredAgent};
use super::audit::{self, Act};
use super::conversations::{self, Scope, Stored};
use super::devices::{self, DeviceStanding, NowAt};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read, Write};
use crate::session::{Param, Session};

/// Gives the newest open conversation of whoever is at the device, or a new one.
#[derive(Debug, Clone)]
pub struct OpenConversation {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// The new conversation's id, if there is to be one.
    pub id: ConversationId,
    /// Who uses the device, if told.
    pub who: Option<NowAt>,
    /// JSON that the app wants agents to know, if told.
    pub device_context: Option<String>,
    /// When.
    pub now: Timestamp,
}

/// Sets a conversation's status, and records that.
#[derive(Debug, Clone)]
pub struct SetStatus {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// Its new status.
    pub status: ConversationStatus,
    /// Who does it.
    pub by: Actor,
    /// The record of it.
    pub act: Act,
}

/// Says whom a conversation is with, and records that.
#[derive(Debug, Clone)]
pub struct Assign {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// The agent whom it is to be with; nobody, without one.
    pub to: Option<AgentId>,
    /// Whom it has to be with still, if that matters.
    pub expected: Option<Option<AgentId>>,
    /// Who does it.
    pub by: Actor,
    /// The record of it.
    pub act: Act,
}

/// What came of [`Assign`].
#[derive(Debug, Clone)]
pub enum Assigned {
    /// It is so.
    Done(Changed),
    /// It is with somebody else than was expected: with this agent, or with nobody.
    Taken(Option<StoredAgent>),
    /// No agent of the app who may answer has that id.
    NoAgent,
    /// There is no such conversation.
    NotFound,
}

/// What came of telling who is at a device.
#[derive(Debug, Clone)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// The app takes nobody's word for who they are.
    NotProven,
    /// The key by which it was proven has been retired since.
    KeyRetired,
}

impl<T> Outcome<T> {
    /// What was done, if it was.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            Self::NotProven | Self::KeyRetired => None,
        }
    }
}

/// What came of [`OpenConversation`].
#[derive(Debug, Clone)]
pub struct Opened {
    /// The conversation as it is then.
    pub conversation: InboxConversation,
    /// Messages of agents that the person has not read.
    pub unread_count: u64,
    /// Whether it is new.
    pub is_new: bool,
    /// What happened in the conversations that have become theirs who are at the device.
    pub activity: Vec<Activity>,
    /// Whether somebody else was at the device before: their connections are to be closed.
    pub has_left: bool,
}

/// What came of [`Identify`].
#[derive(Debug, Clone)]
pub struct Identified {
    /// The conversations that say something else than before, as they are then.
    pub conversations: Vec<InboxConversation>,
    /// What happened in those of them that have become theirs.
    pub activity: Vec<Activity>,
    /// Whether somebody else was at the device before: their connections are to be closed.
    pub has_left: bool,
    /// How the device stands then.
    pub standing: DeviceStanding,
}

impl Operation for OpenConversation {
    type Out = Outcome<Opened>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, device_id, id, who, device_context, now } = self;
        devices::lock(session, app_id, device_id).await?;
        let devices::Done { has_left, activity, .. } = match who {
            None => devices::Done::default(),
            Some(who) => match devices::identify(session, app_id, device_id, who, *now).await? {
                devices::Told::Done(done) => done,
                devices::Told::NotProven => return Ok(Outcome::NotProven),
                devices::Told::KeyRetired => return Ok(Outcome::KeyRetired),
            },
        };
        if let Some(context) = device_context {
            devices::set_context(session, app_id, device_id, context, *now).await?;
        }
        let scope = Scope { app_id: app_id.clone(), device_id: Some(device_id.clone()) };
        let (id, is_new) = match conversations::latest(session, app_id, device_id, true).await? {
            Some(open) => (open.conversation.id, false),
            None => {
                conversations::create(session, id, app_id, device_id, *now).await?;
                (id.clone(), true)
            }
        };
        match find(session, &scope, &id).await? {
            Some(conversation) => {
                let unread_count = if is_new { 0 } else { conversations::count_unread(session, &id).await? };
                Ok(Outcome::Done(Opened { conversation, unread_count, is_new, activity, has_left }))
            }
            None => Err(Error::new(ErrorKind::Internal, "a conversation is gone in its own transaction")),
        }
    }
}

impl Write for OpenConversation {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// One conversation with its newest message, if it is within the scope.
#[derive(Debug, Clone)]
pub struct FindConversation {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
}

impl Operation for FindConversation {
    type Out = Option<InboxConversation>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        find(session, &self.scope, &self.id).await
    }
}

impl Read for FindConversation {}

async fn find(
    session: &mut Session<'_>,
    scope: &Scope,
    id: &ConversationId,
) -> Result<Option<InboxConversation>, Error> {
    let Some(mut stored) = conversations::find(session, scope, id).await? else { return Ok(None) };
    stored.conversation.last_message = conversations::last_message(session, &stored).await?;
    Ok(Some(stored.into_inbox()))
}

impl Operation for SetStatus {
    type Out = Option<Changed>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, id, status, by, act } = self;
        let set = conversations::set_status(session, scope, id, *status, act.at).await?;
        let Some((stored, has_changed)) = set else { return Ok(None) };
        let kind = match status {
            ConversationStatus::Open => ActivityKind::Reopened,
            ConversationStatus::Resolved => ActivityKind::Resolved,
        };
        let happening = has_changed.then(|| Happening::new(kind, act.at, Some(by.clone()), None));
        changed(session, stored, happening, act).await.map(Some)
    }
}

impl Write for SetStatus {
    fn key(&self) -> &str {
        &self.id
    }
}

/// Writes down what has happened, if anything has, and answers with the conversation as it is.
async fn changed(
    session: &mut Session<'_>,
    mut stored: Stored,
    happening: Option<Happening>,
    act: &Act,
) -> Result<Changed, Error> {
    let mut activity = Vec::new();
    if let Some(happening) = happening {
        activity.push(activity::append(session, &stored.conversation.id, happening).await?);
        audit::append(session, act).await?;
    }
    stored.conversation.last_message = conversations::last_message(session, &stored).await?;
    Ok(Changed { conversation: Box::new(stored.into_inbox()), activity })
}

impl Operation for Assign {
    type Out = Assigned;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, id, to, expected, by, act } = self;
        session.lock_conversation(id).await?;
        let Some(before) = conversations::find(session, scope, id).await? else {
            return Ok(Assigned::NotFound);
        };
        let has_it = before.assignee_id.as_ref();
        if expected.as_ref().is_some_and(|expected| expected.as_ref() != has_it) {
            let who = match has_it {
                Some(agent) => agents::find(session, agent).await?,
                None => None,
            };
            return Ok(Assigned::Taken(who));
        }
        if has_it == to.as_ref() {
            return changed(session, before, None, act).await.map(Assigned::Done);
        }
        let (kind, to_whom) = match to {
            None => (ActivityKind::Released, before.assignee_id.clone()),
            Some(to) => (ActivityKind::Assigned, Some(to.clone())),
        };
        let whom = match &to_whom {
            None => None,
            Some(id) => agents::find(session, id).await?,
        };
        let may_answer = |agent: &StoredAgent| agent.app_id == scope.app_id && agent.may_answer();
        if to.is_some() && !whom.as_ref().is_some_and(may_answer) {
            return Ok(Assigned::NoAgent);
        }
        let after = conversations::assign(session, scope, id, to.as_ref()).await?;
        let Some(stored) = after else { return Ok(Assigned::NotFound) };
        let whom =
            to_whom.map(|id| Actor { id: SenderId::from(id.as_str()), name: whom.map(|agent| agent.name) });
        let happening = Happening::new(kind, act.at, Some(by.clone()), whom);
        changed(session, stored, Some(happening), act).await.map(Assigned::Done)
    }
}

impl Write for Assign {
    fn key(&self) -> &str {
        &self.id
    }
}

/// Says that a conversation is to be looked at again, or no longer: what its person sees is as before.
#[derive(Debug, Clone)]
pub struct MarkUnread {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// Whether it is to be looked at again.
    pub is_marked: bool,
}

impl Operation for MarkUnread {
    type Out = Option<Marked>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const MARK: &str = "UPDATE conversations SET is_marked_unread = $1 WHERE id = $2";
        let Self { scope, id, is_marked } = self;
        session.lock_conversation(id).await?;
        let Some(mut stored) = conversations::find(session, scope, id).await? else { return Ok(None) };
        let has_changed = stored.is_marked_unread != *is_marked;
        if has_changed {
            session.execute(MARK, &[Param::Integer((*is_marked).into()), Param::Text(id)]).await?;
            stored.is_marked_unread = *is_marked;
        }
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Ok(Some(Marked { conversation: Box::new(stored.into_inbox()), has_changed }))
    }
}

impl Write for MarkUnread {
    fn key(&self) -> &str {
        &self.id
    }
}

/// What came of [`MarkUnread`].
#[derive(Debug, Clone)]
pub struct Marked {
    /// The conversation as it is then.
    pub conversation: Box<InboxConversation>,
    /// Whether that changed it.
    pub has_changed: bool,
}

/// Remembers who uses the device: from the commit on it shows what is theirs and nothing else.
#[derive(Debug, Clone)]
pub struct Identify {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// Who is at it.
    pub who: NowAt,
    /// When.
    pub now: Timestamp,
}

impl Operation for Identify {
    type Out = Outcome<Identified>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, device_id, who, now } = self;
        devices::lock(session, app_id, device_id).await?;
        let scope = Scope { app_id: app_id.clone(), device_id: Some(device_id.clone()) };
        let told = devices::identify(session, app_id, device_id, who, *now).await?;
        let devices::Done { changed, activity, has_left } = match told {
            devices::Told::Done(done) => done,
            devices::Told::NotProven => return Ok(Outcome::NotProven),
            devices::Told::KeyRetired => return Ok(Outcome::KeyRetired),
        };
        let mut conversations = Vec::new();
        for id in changed {
            conversations.extend(find(session, &scope, &id).await?);
        }
        let standing = devices::standing(session, app_id, device_id).await?;
        Ok(Outcome::Done(Identified { conversations, activity, has_left, standing }))
    }
}

impl Write for Identify {
    fn key(&self) -> &str {
        &self.device_id
    }
}

/// Remembers what the app wants agents to know of a device.
#[derive(Debug, Clone)]
pub struct TellContext {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// JSON.
    pub device_context: String,
    /// When.
    pub now: Timestamp,
}

impl Operation for TellContext {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, device_id, device_context, now } = self;
        devices::set_context(session, app_id, device_id, device_context, *now).await
    }
}

impl Write for TellContext {
    fn key(&self) -> &str {
        &self.device_id
    }
}
