//! A question to all nodes, this one included, and what they answer: each publishes its answer under the question's name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cluster::{Signal, SilentConnection};
use tokio::sync::Semaphore;

/// All questions that this node has asked and that are under way. Whoever hears the nodes' signals hands the answers in;
/// the rules ask and wait.
#[derive(Default)]
pub struct Rounds {
    pub(crate) identity_changes: UnderWay<()>,
    pub(crate) crowds: UnderWay<Vec<SilentConnection>>,
}

impl Rounds {
    /// Takes the signal if it is a node's answer.
    pub fn hear(&self, signal: &Signal) {
        match signal {
            Signal::IdentityHeard(name) => self.identity_changes.answer(name, ()),
            Signal::CrowdCounted(name, connections) => self.crowds.answer(name, connections.clone()),
            Signal::Message(..)
            | Signal::Activity(_)
            | Signal::Conversation(_)
            | Signal::Status(_)
            | Signal::AgentTyping(_)
            | Signal::UserTyping(..)
            | Signal::SessionConnect(_)
            | Signal::SessionDisconnect(_)
            | Signal::Presence(_)
            | Signal::IdentityChanged(_)
            | Signal::Revoked {}
            | Signal::Opened(_)
            | Signal::Proven(_)
            | Signal::Crowded(_)
            | Signal::CrowdedOut(..)
            | Signal::Viewing(_) => {}
        }
    }
}

/// Questions of one kind that are under way here, by their names. Whoever waits for one may go away meanwhile.
pub(crate) struct UnderWay<T> {
    rounds: Mutex<HashMap<String, Weak<Round<T>>>>,
}

/// One question.
pub(crate) struct Round<T> {
    /// Under which each node answers.
    pub(crate) name: String,
    answers: Mutex<Vec<T>>,
    /// A permit for each answer.
    heard: Semaphore,
}

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self { rounds: Mutex::default() }
    }
}

impl<T> UnderWay<T> {
    fn rounds(&self) -> MutexGuard<'_, HashMap<String, Weak<Round<T>>>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on answers count, as long as the round is held. The name must be unique among all nodes.
    pub(crate) fn begin(&self, name: String) -> Arc<Round<T>> {
        let round =
            Arc::new(Round { name: name.clone(), answers: Mutex::default(), heard: Semaphore::new(0) });
        let mut rounds = self.rounds();
        rounds.retain(|_, round| round.strong_count() > 0);
        rounds.insert(name, Arc::downgrade(&round));
        round
    }

    /// Some node has answered.
    fn answer(&self, name: &str, answer: T) {
        let Some(round) = self.rounds().get(name).and_then(Weak::upgrade) else { return };
        round.answers().push(answer);
        round.heard.add_permits(1);
    }
}

impl<T> Round<T> {
    fn answers(&self) -> MutexGuard<'_, Vec<T>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many nodes have answered; true if they have. One that does not has died, or hears nothing of the
    /// others.
    pub(crate) async fn finish(&self, nodes: impl Future<Output = u64>, patience: Duration) -> bool {
        let all = async {
            let nodes = u32::try_from(nodes.await).unwrap_or(u32::MAX).max(1);
            self.heard.acquire_many(nodes).await.is_ok()
        };
        tokio::time::timeout(patience, all).await.unwrap_or(false)
    }

    /// What was answered until now.
    pub(crate) fn take_answers(&self) -> Vec<T> {
        std::mem::take(&mut *self.answers())
    }
}
