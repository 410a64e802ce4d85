//! What the team sorts conversations by.

use std::sync::Arc;

use protocol::limits::{Action, TAG_CHARS, TAGS, TAGS_OF_APP};
use protocol::rest::TagList;
use protocol::{Code, Failure, InboxConversation, Permission};
use serde_json::json;
use store::{AddTag, ChangeTags, ListTags, RemoveTag, Scope, Tagged};
use unicode_normalization::UnicodeNormalization as _;

use crate::administration::By;
use crate::messages::no_conversation;
use crate::{Agent, Chat, Principal, input};

impl Chat {
    /// The app's list of tags, with how many open conversations have each.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn tags(&self, agent: &Agent) -> Result<TagList, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        Ok(TagList { tags: self.read(ListTags { app_id: agent.app_id.clone() }).await? })
    }

    /// Adds a tag to the app's list; one that is on it already changes nothing.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`; `VALIDATION_ERROR`, also where the list is full; `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn add_tag(&self, agent: &Agent, tag: &str) -> Result<TagList, Failure> {
        agent.require(Permission::Manage)?;
        let tag = checked(tag)?;
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let app_id = agent.app_id.clone();
        let act = self.act_by(&By::Agent(agent.clone()), &app_id, "tag.add", &tag);
        let add = AddTag { app_id: app_id.clone(), tag, most: TAGS_OF_APP, act };
        if !self.write(add).await? {
            return Err(list_full());
        }
        Ok(TagList { tags: self.read(ListTags { app_id }).await? })
    }

    /// Takes a tag off the app's list. Conversations that have it keep it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `MISSING_PARAMS`, `VALIDATION_ERROR`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn remove_tag(&self, agent: &Agent, tag: &str) -> Result<(), Failure> {
        agent.require(Permission::Manage)?;
        let tag = checked(tag)?;
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let app_id = agent.app_id.clone();
        let act = self.act_by(&By::Agent(agent.clone()), &app_id, "tag.remove", &tag);
        if self.write(RemoveTag { app_id, tag, act }).await? {
            return Ok(());
        }
        Err(Failure::new(Code::NotFound, "that tag is not on the list"))
    }

    /// Puts tags on a conversation and takes others off, as they were checked.
    pub(crate) async fn change_tags(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        add: Vec<String>,
        remove: Vec<String>,
    ) -> Result<InboxConversation, Failure> {
        let mut act = self.act_on(agent, "conversation.tag", id);
        act.details = Some(json!({ "add": add, "remove": remove }));
        let change = ChangeTags {
            scope: Scope { app_id: agent.app_id.clone(), device_id: None },
            id: id.into(),
            add,
            remove,
            most: TAGS,
            most_of_app: TAGS_OF_APP,
            by: agent.as_actor(),
            act,
        };
        self.written(change, |chat, tagged| match tagged {
            Tagged::Done(changed) => Ok(chat.spread(changed)),
            Tagged::TooMany => Err(Failure::invalid(format!("a conversation has at most {TAGS} tags"))),
            Tagged::ListFull => Err(list_full()),
            Tagged::NotFound => Err(no_conversation()),
        })
        .await
    }
}

fn list_full() -> Failure {
    Failure::invalid(format!("an app has at most {TAGS_OF_APP} tags: take some off the list"))
}

/// A tag as it is kept: one line in lower case, composed, with single spaces, so that what looks the same is the same.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub(crate) fn checked(text: &str) -> Result<String, Failure> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let tag: String = words.join(" ").to_lowercase().nfc().collect();
    input::text("tag", &tag, TAG_CHARS)?;
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_line_and_what_looks_the_same_is_the_same() {
        assert_eq!(checked("  Billing\n  Question ").unwrap(), "billing question");
        assert_eq!(checked("CAFE\u{301}").unwrap(), "caf\u{e9}");
        assert_eq!(checked("返金").unwrap(), "返金");
        assert_eq!(checked(&"x".repeat(32)).unwrap().len(), 32);
        for wrong in ["", "  \n ", &"x".repeat(33), "a\u{1}b", "a\0b"] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
    }
}
