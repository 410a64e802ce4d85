//! The agents' inbox: its views, how a conversation stands in it, and whom it is with.

use std::sync::Arc;

use cluster::Signal;
use protocol::limits::{Action, TAGS};
use protocol::rest::{ChangeConversation, InboxCounts, InboxPage};
use protocol::{
    AgentId, Code, Conversation, ConversationStatus, Failure, InboxConversation, Permission, Timestamp,
};
use serde_json::json;
use store::{
    Act, Assign, Assigned, Changed, CountInbox, FindConversation, InboxCursor, ListConversations, MarkUnread,
    Marked, Scope, SetStatus, StoredAgent, View,
};

use crate::messages::no_conversation;
use crate::{Agent, Chat, Page, Principal, tags};

/// What of an inbox an agent looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxView {
    /// Everything.
    All,
    /// What is with them.
    Mine,
    /// What is with nobody.
    Unassigned,
    /// What waits for an answer, who has waited longest first.
    Waiting,
    /// What has this tag.
    Tagged(String),
}

impl InboxView {
    /// Reads the name of a view; `None` if there is no such one. Tags have none.
    pub fn parse(text: &str) -> Option<Self> {
        [
            ("all", Self::All),
            ("mine", Self::Mine),
            ("unassigned", Self::Unassigned),
            ("waiting", Self::Waiting),
        ]
        .into_iter()
        .find_map(|(name, view)| (name == text).then_some(view))
    }
}

impl Chat {
    /// A view of the app's conversations. Without a status those of both, where it is of all, and else the open ones.
    ///
    /// # Errors
    /// `FORBIDDEN`, also for what is a program's, where that is nobody's; `VALIDATION_ERROR` for a cursor that is none of ours,
    /// `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn inbox(
        &self,
        agent: &Agent,
        view: InboxView,
        status: Option<ConversationStatus>,
        after: Option<&str>,
        page: Page,
    ) -> Result<InboxPage, Failure> {
        agent.require(Permission::ViewConversations)?;
        let after = after.filter(|cursor| !cursor.is_empty()).map(parse_cursor).transpose()?;
        let of_status = status.unwrap_or(ConversationStatus::Open);
        let view = match view {
            InboxView::All => View::All(status),
            InboxView::Mine => View::Assigned(Some(agent.require_person()?.clone()), of_status),
            InboxView::Unassigned => View::Assigned(None, of_status),
            InboxView::Waiting => View::Waiting(of_status),
            InboxView::Tagged(tag) => View::Tagged(tags::checked(&tag)?, of_status),
        };
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let is_by_wait = matches!(view, View::Waiting(_));
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let rows = self.read(ListConversations { scope, view, after, limit: page.rows() + 1 }).await?;
        let (mut conversations, has_more) = page.cut(rows);
        let devices: Vec<_> = conversations.iter().map(|row| row.conversation.device_id.clone()).collect();
        let counts = self.cluster.registry.connections_of(&agent.app_id, &devices).await;
        for (row, count) in conversations.iter_mut().zip(counts) {
            row.is_online = Some(count > 0);
        }
        let next_cursor = conversations.last().filter(|_| has_more).map(|row| {
            let at = row.waiting_since.filter(|_| is_by_wait).unwrap_or(row.conversation.updated_at);
            format!("{}-{}", at.epoch_ms(), row.conversation.id)
        });
        Ok(InboxPage { conversations, has_more, next_cursor })
    }

    /// How many conversations each view has.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn counts(&self, agent: &Agent) -> Result<InboxCounts, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let agents = agent.agent_id.iter().cloned().collect();
        let counted = self.read(CountInbox { app_id: agent.app_id.clone(), agents }).await?;
        Ok(counted.of(agent.agent_id.as_ref()))
    }

    /// One conversation, as an inbox shows it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `CONVERSATION_NOT_FOUND`, `SERVER_ERROR`.
    pub async fn inbox_conversation(&self, agent: &Agent, id: &str) -> Result<InboxConversation, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let found = self.read(FindConversation { scope, id: id.into() }).await?;
        let mut row = found.ok_or_else(no_conversation)?;
        row.is_online = Some(self.is_online(agent, &row.conversation).await);
        Ok(row)
    }

    async fn is_online(&self, agent: &Agent, conversation: &Conversation) -> bool {
        let devices = std::slice::from_ref(&conversation.device_id);
        self.cluster.registry.connections_of(&agent.app_id, devices).await.iter().any(|count| *count > 0)
    }

    /// Says whom a conversation is with, resolves it or opens it again, tags it, marks it; in this order.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS` if it says nothing, `VALIDATION_ERROR` for an agent who can't answer, for what is no tag, and
    /// for more of them than there may be, `ASSIGNEE_CHANGED`,
    /// `CONVERSATION_NOT_FOUND`, `RATE_LIMITED`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn change_conversation(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        change: ChangeConversation,
    ) -> Result<InboxConversation, Failure> {
        let _entered = self.accepting()?;
        agent.require(Permission::SendMessages)?;
        let ChangeConversation { status, assignee_id, if_assignee_id, add_tags, remove_tags, marked_unread } =
            change;
        let has_tags = !(add_tags.is_empty() && remove_tags.is_empty());
        if status.is_none() && assignee_id.is_none() && !has_tags && marked_unread.is_none() {
            return Err(Failure::missing("status, assignee_id, add_tags, remove_tags or marked_unread"));
        }
        if assignee_id.is_none() && if_assignee_id.is_some() {
            return Err(Failure::missing("assignee_id, beside if_assignee_id,"));
        }
        if add_tags.len().max(remove_tags.len()) > TAGS {
            return Err(Failure::invalid(format!("a conversation has at most {TAGS} tags")));
        }
        let all =
            |tags: Vec<String>| tags.iter().map(|tag| tags::checked(tag)).collect::<Result<Vec<_>, _>>();
        let (add_tags, remove_tags) = (all(add_tags)?, all(remove_tags)?);
        if let Some(both) = add_tags.iter().find(|tag| remove_tags.contains(tag)) {
            return Err(Failure::invalid(format!("the tag {both:?} is to be put on and taken off")));
        }
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let mut row = None;
        if let Some(to) = assignee_id {
            row = Some(self.assign(agent, id, to, if_assignee_id).await?);
        }
        if let Some(status) = status {
            row = Some(self.set_status(agent, id, status).await?);
        }
        if has_tags {
            row = Some(self.change_tags(agent, id, add_tags, remove_tags).await?);
        }
        if let Some(is_marked) = marked_unread {
            row = Some(self.mark_unread(agent, id, is_marked).await?);
        }
        let mut row = row.ok_or_else(no_conversation)?;
        row.is_online = Some(self.is_online(agent, &row.conversation).await);
        if !agent.permissions.has(Permission::ViewConversations) {
            // Who may change it may not read it for that.
            row.conversation.last_message = None;
            row.conversation.device_id = self.known_as(agent, &row.conversation.device_id);
        }
        Ok(row)
    }

    async fn assign(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        to: Option<AgentId>,
        expected: Option<Option<AgentId>>,
    ) -> Result<InboxConversation, Failure> {
        let action = if to.is_some() { "conversation.assign" } else { "conversation.release" };
        let mut act = self.act_on(agent, action, id);
        act.details = to.as_ref().map(|to| json!({ "to": to }));
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let by = agent.as_actor();
        self.written(
            Assign { scope, id: id.into(), to, expected, by, act },
            |chat, assigned| match assigned {
                Assigned::Done(changed) => Ok(chat.spread(changed)),
                Assigned::Taken(who) => Err(taken(who.as_ref())),
                Assigned::NoAgent => {
                    Err(Failure::invalid("assignee_id names no agent of this app who may answer"))
                }
                Assigned::NotFound => Err(no_conversation()),
            },
        )
        .await
    }

    async fn set_status(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        status: ConversationStatus,
    ) -> Result<InboxConversation, Failure> {
        let action = match status {
            ConversationStatus::Open => "conversation.reopen",
            ConversationStatus::Resolved => "conversation.resolve",
        };
        let act = self.act_on(agent, action, id);
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let by = agent.as_actor();
        self.written(SetStatus { scope, id: id.into(), status, by, act }, |chat, changed| {
            Ok(chat.spread(changed.ok_or_else(no_conversation)?))
        })
        .await
    }

    async fn mark_unread(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        is_marked: bool,
    ) -> Result<InboxConversation, Failure> {
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        self.written(MarkUnread { scope, id: id.into(), is_marked }, |chat, marked| {
            let Marked { conversation, has_changed } = marked.ok_or_else(no_conversation)?;
            if has_changed {
                let app_id = conversation.conversation.app_id.clone();
                chat.publish(app_id, Signal::Conversation(conversation.clone()));
            }
            Ok(*conversation)
        })
        .await
    }

    /// The inboxes hear of it, and who is there of what happened, if anything did.
    pub(crate) fn spread(&self, changed: Changed) -> InboxConversation {
        let Changed { conversation, activity } = changed;
        if !activity.is_empty() {
            let app_id = conversation.conversation.app_id.clone();
            self.publish(app_id.clone(), Signal::Conversation(conversation.clone()));
            self.tell_activity(&app_id, activity);
        }
        *conversation
    }

    pub(crate) fn act_on(&self, agent: &Agent, action: &'static str, id: &str) -> Act {
        Act {
            app_id: agent.app_id.clone(),
            at: self.ambient.now(),
            actor: agent.actor().into(),
            action,
            target: id.into(),
            details: None,
        }
    }
}

/// What somebody is told who supposes that it is with another.
fn taken(who: Option<&StoredAgent>) -> Failure {
    let whom = who.map_or_else(|| "nobody".to_owned(), |agent| format!("{} ({})", agent.name, agent.id));
    Failure::new(Code::AssigneeChanged, format!("the conversation is with {whom}"))
}

fn parse_cursor(text: &str) -> Result<InboxCursor, Failure> {
    let parsed = text.split_once('-').and_then(|(at, id)| {
        let at = Timestamp::from_epoch_ms(at.parse().ok()?);
        Some(InboxCursor { at, id: id.into() })
    });
    parsed.ok_or_else(|| Failure::invalid("after is not a cursor of this list"))
}
