//! Who types: when to tell the agents that the person does, and until when to show that an agent does. Never queued:
//! what can't be told now is not told.

use std::collections::HashMap;

use protocol::ConversationId;
use tokio::time::Instant;

use crate::limits;

/// Who types where.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    person: HashMap<ConversationId, PersonTyping>,
    agents: HashMap<ConversationId, Instant>,
}

#[derive(Debug, Clone, Copy)]
struct PersonTyping {
    told_at: Instant,
    last_key: Instant,
}

impl Typing {
    /// A key was pressed; whether the agents are to be told.
    #[must_use]
    pub(crate) fn key(&mut self, conversation: &ConversationId, now: Instant) -> bool {
        match self.person.get_mut(conversation) {
            Some(typing) => {
                typing.last_key = now;
                let is_due = now - typing.told_at >= limits::TYPING_REFRESH;
                if is_due {
                    typing.told_at = now;
                }
                is_due
            }
            None => {
                let typing = PersonTyping { told_at: now, last_key: now };
                self.person.insert(conversation.clone(), typing);
                true
            }
        }
    }

    /// The person sent, or left the field; whether the agents are to be told.
    #[must_use]
    pub(crate) fn stop(&mut self, conversation: &ConversationId) -> bool {
        self.person.remove(conversation).is_some()
    }

    /// Conversations in which the person has fallen silent: the agents are to be told.
    #[must_use]
    pub(crate) fn fallen_silent(&mut self, now: Instant) -> Vec<ConversationId> {
        let silent = self.person.extract_if(|_, typing| typing.last_key + limits::TYPING_SILENCE <= now);
        silent.map(|(conversation, _)| conversation).collect()
    }

    /// An agent types, or stopped; whether that is another picture than before.
    pub(crate) fn agent(&mut self, conversation: &ConversationId, is_typing: bool, now: Instant) -> bool {
        if is_typing {
            self.agents.insert(conversation.clone(), now + limits::TYPING_SHOWN).is_none()
        } else {
            self.agents.remove(conversation).is_some()
        }
    }

    /// Conversations in which an agent's typing is shown no longer.
    #[must_use]
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<ConversationId> {
        self.agents.extract_if(|_, until| *until <= now).map(|(conversation, _)| conversation).collect()
    }

    /// Whether an agent types there.
    pub(crate) fn is_agent_typing(&self, conversation: &ConversationId) -> bool {
        self.agents.contains_key(conversation)
    }

    /// The connection is gone: nobody is told anything, and nothing is known. Returns where an agent was shown.
    #[must_use]
    pub(crate) fn connection_lost(&mut self) -> Vec<ConversationId> {
        self.person.clear();
        self.agents.drain().map(|(conversation, _)| conversation).collect()
    }

    /// When something is to be told or shown no longer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let silent = self.person.values().map(|typing| typing.last_key + limits::TYPING_SILENCE);
        silent.chain(self.agents.values().copied()).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn typing_is_told_at_the_first_key_every_three_seconds_and_after_three_of_silence() {
        let mut typing = Typing::default();
        let here = ConversationId::from("a");
        let mut now = Instant::now();
        let mut told = Vec::new();
        for key in 0..10 {
            if typing.key(&here, now) {
                told.push(key);
            }
            assert!(typing.fallen_silent(now).is_empty());
            now += SECOND;
        }
        assert_eq!(told, [0, 3, 6, 9]);
        assert_eq!(typing.deadline(), Some(now + SECOND * 2), "three after the last key");
        assert!(typing.fallen_silent(now + SECOND).is_empty());
        assert_eq!(typing.fallen_silent(now + SECOND * 2), std::slice::from_ref(&here));
        assert!(!typing.stop(&here), "that is told already");
        assert!(typing.key(&here, now), "and begins anew");
        assert!(typing.stop(&here));
    }

    #[test]
    fn an_agents_typing_is_shown_for_six_seconds_unless_it_goes_on() {
        let mut typing = Typing::default();
        let here = ConversationId::from("a");
        let now = Instant::now();
        assert!(typing.agent(&here, true, now));
        assert!(!typing.agent(&here, true, now + SECOND * 4), "no other picture");
        assert!(typing.expired(now + SECOND * 9).is_empty());
        assert_eq!(typing.expired(now + SECOND * 10), std::slice::from_ref(&here));
        assert!(!typing.agent(&here, false, now + SECOND * 10));
    }
}
