//! Which agents look at a conversation, on all nodes. Each node says again every few seconds who does on it; one that is silent has
//! nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster::Viewing;
use protocol::ConversationId;
use protocol::event::{AgentViewing, ViewingAgent};
use socketio::Stale;
use tokio::time::{Instant, sleep};

use super::{Encoded, Fanout, Namespace, Peer, frame};

/// How long what a node has said is believed. With the looks at the time, less than ten seconds after its death nobody is shown of it.
const BELIEVED_FOR: Duration = Duration::from_secs(8);

/// How often it is looked whether a node has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who looks at a conversation, by node, and until when that is believed.
type Nodes = HashMap<String, (Vec<ViewingAgent>, Instant)>;

/// What the nodes have said.
#[derive(Default)]
pub(super) struct Views {
    conversations: Mutex<HashMap<ConversationId, Nodes>>,
}

/// Each agent once, in the order of their ids; whoever types anywhere does.
fn merged(nodes: &Nodes) -> Vec<ViewingAgent> {
    let mut agents: BTreeMap<_, ViewingAgent> = BTreeMap::new();
    for viewer in nodes.values().flat_map(|(agents, _)| agents) {
        let merged = agents.entry(viewer.id.clone()).or_insert_with(|| viewer.clone());
        merged.is_typing |= viewer.is_typing;
    }
    agents.into_values().collect()
}

/// Forgets the nodes that have fallen silent, as long as the server runs.
pub(crate) async fn forget_silent(fanout: Arc<Fanout>) {
    loop {
        sleep(LOOK_EVERY).await;
        fanout.forget_silent(Instant::now());
    }
}

impl Fanout {
    /// A node says who looks at a conversation on it.
    pub(super) fn note_viewing(&self, viewing: &Viewing) {
        let Viewing { conversation_id, node, agents } = viewing;
        let mut conversations = self.views.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        let nodes = conversations.entry(conversation_id.clone()).or_default();
        let before = merged(nodes);
        if agents.is_empty() {
            nodes.remove(node);
        } else {
            nodes.insert(node.clone(), (agents.clone(), Instant::now() + BELIEVED_FOR));
        }
        let after = merged(nodes);
        if nodes.is_empty() {
            conversations.remove(conversation_id);
        }
        if before != after {
            // Under the lock: who hears of two changes hears of them in their order.
            self.tell_viewing(conversation_id, after);
        }
    }

    fn forget_silent(&self, now: Instant) {
        let mut conversations = self.views.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        conversations.retain(|conversation_id, nodes| {
            let before = merged(nodes);
            nodes.retain(|_, (_, until)| *until > now);
            let after = merged(nodes);
            if before != after {
                self.tell_viewing(conversation_id, after);
            }
            !nodes.is_empty()
        });
    }

    fn tell_viewing(&self, conversation_id: &ConversationId, agents: Vec<ViewingAgent>) {
        let viewing = AgentViewing { conversation_id: conversation_id.clone(), agents };
        let encoded = Encoded::new(&viewing);
        let about = self.about_viewing(conversation_id);
        self.in_room(conversation_id, |room| {
            room.broadcast(None, about, |channel| match channel.namespace {
                Namespace::Admin => encoded.frame(channel),
                Namespace::Client => None,
            });
        });
    }

    /// Tells an agent who has just joined who looks at the conversation, if anybody does.
    pub(crate) fn greet_viewer(&self, conversation_id: &ConversationId, peer: &Peer) {
        let conversations = self.views.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(nodes) = conversations.get(conversation_id) else { return };
        let viewing = AgentViewing { conversation_id: conversation_id.clone(), agents: merged(nodes) };
        if let Some(frame) = frame(peer.channel(), &viewing) {
            let (about, stale) = self.about_viewing(conversation_id);
            peer.outgoing.send_newest(about, stale, frame);
        }
    }

    fn about_viewing(&self, conversation_id: &ConversationId) -> (u64, Stale) {
        (self.about(("viewing", conversation_id)), Stale::State)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_on_two_nodes_is_one_and_types_if_they_do_anywhere() {
        let viewer = |id: &str, is_typing| ViewingAgent { id: id.into(), name: id.to_owned(), is_typing };
        let until = Instant::now();
        let nodes = Nodes::from([
            ("a".to_owned(), (vec![viewer("ben", false), viewer("ada", false)], until)),
            ("b".to_owned(), (vec![viewer("ada", true)], until)),
        ]);
        assert_eq!(merged(&nodes), [viewer("ada", true), viewer("ben", false)]);
    }
}
