//! What agents write down for each other, and what has happened in a conversation beside its messages.

use std::sync::Arc;

use cluster::Signal;
use protocol::limits::Action;
use protocol::rest::ActivityList;
use protocol::{Activity, AppId, Code, Failure, Permission};
use store::{ActivityCursor, ActivityPage, AddNote, Noted, ReadActivity, Scope};

use crate::messages::{found, no_conversation};
use crate::{Agent, Chat, Page, Principal, input};

/// A note that is stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// It.
    pub activity: Activity,
    /// Whether this call stored it; false for a retry.
    pub is_new: bool,
}

impl Chat {
    /// Writes a note down and publishes it, once.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`, `VALIDATION_ERROR`, `MESSAGE_TOO_LONG`, `LOCAL_ID_CONFLICT`, `CONVERSATION_NOT_FOUND`,
    /// `RATE_LIMITED`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn add_note(
        self: &Arc<Self>,
        agent: &Agent,
        conversation_id: &str,
        local_id: &str,
        body: String,
    ) -> Result<Written, Failure> {
        let _entered = self.accepting()?;
        agent.require(Permission::SendMessages)?;
        // Whoever may not read may not write where only readers see it.
        agent.require(Permission::ViewConversations)?;
        let local_id = input::local_id(local_id)?;
        input::body(&body)?;
        self.limit(Action::Send, &Principal::Agent(agent.clone()))?;
        let add = AddNote {
            scope: Scope { app_id: agent.app_id.clone(), device_id: None },
            conversation_id: conversation_id.into(),
            local_id,
            body,
            by: agent.as_actor(),
            now: self.ambient.now(),
        };
        let app_id = agent.app_id.clone();
        self.written(add, move |chat, noted| match noted {
            Noted::New(activity) => {
                chat.publish(app_id, Signal::Activity(activity.clone()));
                Ok(Written { activity: *activity, is_new: true })
            }
            Noted::Duplicate(activity) => Ok(Written { activity: *activity, is_new: false }),
            Noted::Conflict => Err(Failure::new(
                Code::LocalIdConflict,
                "this local_id names another note of this conversation",
            )),
            Noted::NotFound => Err(no_conversation()),
        })
        .await
    }

    /// What has happened in a conversation beside its messages, a page of it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `CONVERSATION_NOT_FOUND`, `ACTIVITY_NOT_FOUND` for a cursor beyond what there is, `RATE_LIMITED`,
    /// `SERVER_ERROR`.
    pub async fn activity(
        &self,
        agent: &Agent,
        conversation_id: &str,
        cursor: ActivityCursor,
        page: Page,
    ) -> Result<ActivityList, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let read =
            ReadActivity { scope, conversation_id: conversation_id.into(), cursor, limit: page.rows() };
        let ActivityPage { last, activity, has_more } = found(self.read(read).await?)?;
        Ok(ActivityList { activity, last_activity: last, has_more })
    }

    /// Tells the agents what has happened.
    pub(crate) fn tell_activity(&self, app_id: &AppId, activity: impl IntoIterator<Item = Activity>) {
        for activity in activity {
            self.publish(app_id.clone(), Signal::Activity(Box::new(activity)));
        }
    }
}

/// The cursor that `after` and `before` mean together, as numbers: the newest without either.
///
/// # Errors
/// `VALIDATION_ERROR` if both are given.
pub fn activity_cursor(after: Option<u64>, before: Option<u64>) -> Result<ActivityCursor, Failure> {
    match (after, before) {
        (Some(_), Some(_)) => Err(Failure::invalid("give after or before, not both")),
        (Some(after), None) => Ok(ActivityCursor::After(after)),
        (None, before) => Ok(ActivityCursor::Before(before)),
    }
}

/// What somebody is told who has more than has happened.
pub(crate) fn no_activity() -> Failure {
    Failure::new(Code::ActivityNotFound, "not so much has happened in this conversation: read it anew")
}
