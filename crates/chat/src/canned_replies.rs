//! What a team writes again and again: kept here, filled in by whoever inserts it.

use protocol::limits::{Action, CANNED_REPLIES, PAGE_MAX, SHORTCUT_CHARS};
use protocol::rest::{AddCannedReply as Wish, CannedReplyPage, ChangeCannedReply as Change};
use protocol::{CannedReply, CannedReplyId, Code, Failure, Permission};
use store::{AddCannedReply, Canned, ChangeCannedReply, ListCannedReplies, RemoveCannedReply};

use crate::administration::By;
use crate::{Agent, Chat, Page, Principal, input};

/// What may stand in a text for what is known when it is inserted.
const VARIABLES: [&str; 3] = ["person.name", "person.email", "agent.name"];

impl Chat {
    /// The app's canned replies, by their shortcuts.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn canned_replies(
        &self,
        agent: &Agent,
        after: Option<&str>,
        page: Page,
    ) -> Result<CannedReplyPage, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let list = ListCannedReplies {
            app_id: agent.app_id.clone(),
            after: after.unwrap_or_default().to_owned(),
            limit: page.rows().min(PAGE_MAX) + 1,
        };
        let (canned_replies, has_more) = page.cut(self.read(list).await?);
        Ok(CannedReplyPage { canned_replies, has_more })
    }

    /// Adds one.
    ///
    /// # Errors
    /// `FORBIDDEN`, `MISSING_PARAMS`, `MESSAGE_TOO_LONG`; `VALIDATION_ERROR`, also for a shortcut that another has, and for one
    /// too many; `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn add_canned_reply(&self, agent: &Agent, wish: Wish) -> Result<CannedReply, Failure> {
        agent.require(Permission::Manage)?;
        let (shortcut, text) = (checked_shortcut(&wish.shortcut)?, checked_text(wish.text)?);
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let now = self.ambient.now();
        let id = CannedReplyId::new(now, self.ambient.chance());
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "canned_reply.add", &id);
        let reply = CannedReply { id, shortcut, text, created_at: now, updated_at: now };
        let add = AddCannedReply { app_id: agent.app_id.clone(), reply, most: CANNED_REPLIES, act };
        canned(self.write(add).await?)
    }

    /// Changes one.
    ///
    /// # Errors
    /// As for [`add_canned_reply`](Self::add_canned_reply), and `NOT_FOUND`.
    pub async fn change_canned_reply(
        &self,
        agent: &Agent,
        id: &str,
        change: Change,
    ) -> Result<CannedReply, Failure> {
        agent.require(Permission::Manage)?;
        let Change { shortcut, text } = change;
        if shortcut.is_none() && text.is_none() {
            return Err(Failure::missing("shortcut or text"));
        }
        let shortcut = shortcut.as_deref().map(checked_shortcut).transpose()?;
        let text = text.map(checked_text).transpose()?;
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "canned_reply.change", id);
        let change = ChangeCannedReply { app_id: agent.app_id.clone(), id: id.into(), shortcut, text, act };
        canned(self.write(change).await?)
    }

    /// Removes one.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn remove_canned_reply(&self, agent: &Agent, id: &str) -> Result<(), Failure> {
        agent.require(Permission::Manage)?;
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let act = self.act_by(&By::Agent(agent.clone()), &agent.app_id, "canned_reply.remove", id);
        let remove = RemoveCannedReply { app_id: agent.app_id.clone(), id: id.into(), act };
        if self.write(remove).await? { Ok(()) } else { Err(not_found()) }
    }
}

fn canned(outcome: Canned) -> Result<CannedReply, Failure> {
    match outcome {
        Canned::Done(reply) => Ok(reply),
        Canned::Taken => Err(Failure::invalid("there is a canned reply with that shortcut already")),
        Canned::TooMany => {
            Err(Failure::invalid(format!("an app has at most {CANNED_REPLIES} canned replies")))
        }
        Canned::NotFound => Err(not_found()),
    }
}

fn not_found() -> Failure {
    Failure::new(Code::NotFound, "there is no such canned reply")
}

/// In lower case, as it is looked for.
fn checked_shortcut(text: &str) -> Result<String, Failure> {
    let shortcut = text.trim().to_lowercase();
    if shortcut.is_empty() {
        return Err(Failure::missing("shortcut"));
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if shortcut.chars().count() > SHORTCUT_CHARS || !shortcut.chars().all(is_part) {
        return Err(Failure::invalid(format!(
            "a shortcut is 1 to {SHORTCUT_CHARS} letters, digits, and any of - _"
        )));
    }
    Ok(shortcut)
}

/// A message's text, in which only what is known stands between braces: what is mistyped would be sent as it is.
fn checked_text(text: String) -> Result<String, Failure> {
    input::body(&text)?;
    let mut rest = text.as_str();
    while let Some((_, behind)) = rest.split_once("{{") {
        let Some((variable, behind)) = behind.split_once("}}") else {
            return Err(Failure::invalid("a {{ in the text has no }}"));
        };
        let name = variable.split_once('|').map_or(variable, |(name, _)| name).trim();
        if !VARIABLES.contains(&name) {
            let known = VARIABLES.map(|name| format!("{{{{{name}}}}}")).join(", ");
            return Err(Failure::invalid(format!("{{{{{name}}}}} is not known; there are {known}")));
        }
        rest = behind;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_filled_in_stands_between_braces() {
        for good in ["Hi", "Hi {{person.name|there}}, {{ agent.name }} here", "{{person.email}}", "a } b { c"]
        {
            assert!(checked_text(good.to_owned()).is_ok(), "{good}");
        }
        for wrong in ["{{name}}", "{{person.nam|there}}", "{{person.name", "{{}}", "{{ | }}"] {
            assert_eq!(checked_text(wrong.to_owned()).unwrap_err().code, Code::ValidationError, "{wrong}");
        }
    }

    #[test]
    fn shortcuts_are_one_word_in_lower_case() {
        assert_eq!(checked_shortcut(" Hello-1_b ").unwrap(), "hello-1_b");
        assert_eq!(checked_shortcut("Grüße").unwrap(), "grüße");
        for wrong in ["", " ", "two words", "a/b", &"x".repeat(33)] {
            assert!(checked_shortcut(wrong).is_err(), "{wrong:?}");
        }
    }
}
