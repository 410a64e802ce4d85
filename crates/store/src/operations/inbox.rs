//! Whole operations on conversations that answer with them as an inbox shows them.

use protocol::{AgentId, AppId, ConversationId, ConversationStatus, DeviceId, InboxConversation, Timestamp};

use super::agents::{self, StoredAgent};
use super::audit::{self, Act};
use super::conversations::{self, Scope};
use super::devices::{self, DeviceStanding, NowAt};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read, Write};
use crate::session::Session;

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

/// Sets a conversation's status, and records that: the conversation as it is then, and whether that changed it.
#[derive(Debug, Clone)]
pub struct SetStatus {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// Its new status.
    pub status: ConversationStatus,
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
    /// The record of it.
    pub act: Act,
}

/// What came of [`Assign`].
#[derive(Debug, Clone)]
pub enum Assigned {
    /// The conversation as it is then, and whether that changed it.
    Done(Box<InboxConversation>, bool),
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
    /// Whether somebody else was at the device before: their connections are to be closed.
    pub has_left: bool,
}

/// What came of [`Identify`].
#[derive(Debug, Clone)]
pub struct Identified {
    /// The conversations that say something else than before, as they are then.
    pub conversations: Vec<InboxConversation>,
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
        let has_left = match who {
            None => false,
            Some(who) => match devices::identify(session, app_id, device_id, who, *now).await? {
                devices::Told::Done(done) => done.has_left,
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
                Ok(Outcome::Done(Opened { conversation, unread_count, is_new, has_left }))
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
    type Out = Option<(InboxConversation, bool)>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, id, status, act } = self;
        let set = conversations::set_status(session, scope, id, *status, act.at).await?;
        let Some((mut stored, has_changed)) = set else { return Ok(None) };
        if has_changed {
            audit::append(session, act).await?;
        }
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Ok(Some((stored.into_inbox(), has_changed)))
    }
}

impl Write for SetStatus {
    fn key(&self) -> &str {
        &self.id
    }
}

impl Operation for Assign {
    type Out = Assigned;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, id, to, expected, act } = self;
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
        let has_changed = has_it != to.as_ref();
        if let Some(to) = to.as_ref().filter(|_| has_changed) {
            let agent = agents::find(session, to).await?;
            if !agent.is_some_and(|agent| agent.app_id == scope.app_id && agent.may_answer()) {
                return Ok(Assigned::NoAgent);
            }
        }
        let after = if has_changed {
            audit::append(session, act).await?;
            conversations::assign(session, scope, id, to.as_ref()).await?
        } else {
            Some(before)
        };
        let Some(mut stored) = after else { return Ok(Assigned::NotFound) };
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Ok(Assigned::Done(Box::new(stored.into_inbox()), has_changed))
    }
}

impl Write for Assign {
    fn key(&self) -> &str {
        &self.id
    }
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
        let devices::Done { changed, has_left } = match told {
            devices::Told::Done(done) => done,
            devices::Told::NotProven => return Ok(Outcome::NotProven),
            devices::Told::KeyRetired => return Ok(Outcome::KeyRetired),
        };
        let mut conversations = Vec::new();
        for id in changed {
            conversations.extend(find(session, &scope, &id).await?);
        }
        let standing = devices::standing(session, app_id, device_id).await?;
        Ok(Outcome::Done(Identified { conversations, has_left, standing }))
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
