//! Which agents look at what on this node: told to all nodes when it changes, and again every few seconds, for a node that dies can
//! say nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat::Chat;
use cluster::Viewing;
use protocol::event::ViewingAgent;
use protocol::limits::TYPING_LIFETIME;
use protocol::{AgentId, AppId, ConversationId};
use tokio::time::{Instant, sleep};

use crate::fanout::SubscriberKey;
use crate::shared::Shared;

/// How often it is said again.
const EVERY: Duration = Duration::from_secs(3);

/// How often it is looked whether somebody has stopped typing without a word.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who looks at what, by connection.
pub(crate) struct ViewingAgents {
    /// This node's name among the others.
    node: String,
    looking: Mutex<HashMap<SubscriberKey, Look>>,
}

/// What one connection of an agent has before it.
struct Look {
    app_id: AppId,
    conversation_id: ConversationId,
    agent_id: AgentId,
    name: String,
    /// Until when they are shown as typing there.
    typing_until: Option<Instant>,
}

impl ViewingAgents {
    pub(crate) fn new(node: String) -> Self {
        Self { node, looking: Mutex::default() }
    }

    /// The agent looks at this conversation, and at no other any more on this connection.
    pub(crate) fn look(
        &self,
        chat: &Chat,
        key: SubscriberKey,
        (agent_id, name): (AgentId, String),
        (app_id, conversation_id): (AppId, ConversationId),
    ) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if looking.get(&key).is_some_and(|look| look.conversation_id == conversation_id) {
            return;
        }
        let now = Look {
            app_id: app_id.clone(),
            conversation_id: conversation_id.clone(),
            agent_id,
            name,
            typing_until: None,
        };
        // Told under the lock, so that the last that is told is what is.
        if let Some(before) = looking.insert(key, now) {
            self.tell(chat, &looking, &before.app_id, &before.conversation_id);
        }
        self.tell(chat, &looking, &app_id, &conversation_id);
    }

    /// The connection looks at nothing any more; with a conversation, if it was that one.
    pub(crate) fn look_away(&self, chat: &Chat, key: SubscriberKey, from: Option<&ConversationId>) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |look: &Look| from.is_none_or(|id| look.conversation_id == *id);
        if looking.get(&key).is_some_and(is_meant)
            && let Some(before) = looking.remove(&key)
        {
            self.tell(chat, &looking, &before.app_id, &before.conversation_id);
        }
    }

    /// The agent types in the conversation, or has stopped.
    pub(crate) fn typing(&self, chat: &Chat, key: SubscriberKey, id: &ConversationId, is_typing: bool) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(look) = looking.get_mut(&key).filter(|look| look.conversation_id == *id) else { return };
        let was_typing = look.typing_until.is_some();
        look.typing_until = is_typing.then(|| Instant::now() + TYPING_LIFETIME);
        if was_typing != is_typing {
            let app_id = look.app_id.clone();
            self.tell(chat, &looking, &app_id, id);
        }
    }

    fn tell(
        &self,
        chat: &Chat,
        looking: &HashMap<SubscriberKey, Look>,
        app_id: &AppId,
        conversation_id: &ConversationId,
    ) {
        let there = looking.values().filter(|look| look.conversation_id == *conversation_id);
        let agents = each_once(there);
        let viewing = Viewing { conversation_id: conversation_id.clone(), node: self.node.clone(), agents };
        chat.tell_viewing(app_id.clone(), viewing);
    }

    /// Ends what has not been repeated; tells it, and with `again` all the rest.
    fn refresh(&self, chat: &Chat, again: bool) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut places = BTreeMap::new();
        for look in looking.values_mut() {
            let has_stopped = look.typing_until.is_some_and(|until| until <= now);
            if has_stopped {
                look.typing_until = None;
            }
            if has_stopped || again {
                places.insert(look.conversation_id.clone(), look.app_id.clone());
            }
        }
        for (conversation_id, app_id) in places {
            self.tell(chat, &looking, &app_id, &conversation_id);
        }
    }
}

/// Each agent once.
fn each_once<'a>(looks: impl Iterator<Item = &'a Look>) -> Vec<ViewingAgent> {
    let mut agents: BTreeMap<&AgentId, ViewingAgent> = BTreeMap::new();
    for Look { agent_id, name, typing_until, .. } in looks {
        let agent = agents.entry(agent_id).or_insert_with(|| ViewingAgent {
            id: agent_id.clone(),
            name: name.clone(),
            is_typing: false,
        });
        agent.is_typing |= typing_until.is_some();
    }
    agents.into_values().collect()
}

/// Says again who looks at what, as long as the server runs.
pub(crate) async fn announce(shared: Arc<Shared>) {
    let mut told_at = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        let again = told_at.elapsed() >= EVERY;
        if again {
            told_at = Instant::now();
        }
        shared.viewing.refresh(&shared.chat, again);
    }
}
