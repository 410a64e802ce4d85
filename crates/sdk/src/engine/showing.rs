//! What is shown: pictures made from the local file, for those who look, when something in them has changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use protocol::ConversationId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Engine;
use crate::connection::{self, Phase};
use crate::local::{Error, LocalStore, UNOPENED};
use crate::typing::Typing;
use crate::{ClientState, ConnectionState, ConversationSummary, Platform, Timeline, limits};

/// Who looks at what, and what of it has changed.
pub(super) struct Views {
    state: watch::Sender<Arc<ClientState>>,
    timelines: Vec<View>,
    /// Messages that a timeline shows, where it is more than a page.
    windows: HashMap<ConversationId, usize>,
    is_state_changed: bool,
    changed: HashSet<ConversationId>,
    is_all_changed: bool,
}

struct View {
    conversation: Option<ConversationId>,
    show: watch::Sender<Option<Arc<Timeline>>>,
    is_new: bool,
}

impl Views {
    pub(super) fn new(first: ClientState) -> (Self, watch::Receiver<Arc<ClientState>>) {
        let (state, shown) = watch::channel(Arc::new(first));
        let views = Self {
            state,
            timelines: Vec::new(),
            windows: HashMap::new(),
            is_state_changed: true,
            changed: HashSet::new(),
            is_all_changed: false,
        };
        (views, shown)
    }

    pub(super) fn change_state(&mut self) {
        self.is_state_changed = true;
    }

    pub(super) fn change(&mut self, conversation: &ConversationId) {
        self.is_state_changed = true;
        if !self.changed.contains(conversation) {
            self.changed.insert(conversation.clone());
        }
    }

    pub(super) fn change_all(&mut self) {
        self.is_state_changed = true;
        self.is_all_changed = true;
    }

    pub(super) fn add(
        &mut self,
        conversation: Option<ConversationId>,
        show: watch::Sender<Option<Arc<Timeline>>>,
    ) {
        self.timelines.push(View { conversation, show, is_new: true });
    }

    /// The timeline shows a page more.
    pub(super) fn widen(&mut self, conversation: &ConversationId) {
        *self.windows.entry(conversation.clone()).or_insert(limits::PAGE as usize) += limits::PAGE as usize;
        self.change(conversation);
    }

    /// The timeline shows one page again.
    pub(super) fn narrow(&mut self, conversation: &ConversationId) {
        self.windows.remove(conversation);
        self.change(conversation);
    }

    /// Somebody else looks: nothing that was shown before is.
    pub(super) fn begin_anew(&mut self) {
        self.windows.clear();
        self.change_all();
    }

    fn window(&self, conversation: &str) -> usize {
        self.windows.get(conversation).copied().unwrap_or(limits::PAGE as usize)
    }
}

impl Engine {
    /// Shows what has changed since the last time. What could not be read is shown the next time.
    pub(super) fn show(&mut self) -> Result<(), Error> {
        let mut views = std::mem::take(&mut self.views.timelines);
        let shown = self.show_to(&mut views);
        self.views.timelines = views;
        if shown.is_err() {
            self.views.change_all();
        }
        shown
    }

    fn show_to(&mut self, views: &mut Vec<View>) -> Result<(), Error> {
        if std::mem::take(&mut self.views.is_state_changed) {
            let state = state(&self.store, &self.connection, &self.typing, &*self.platform)?;
            self.views.state.send_if_modified(|shown| {
                let is_news = **shown != state;
                if is_news {
                    *shown = Arc::new(state);
                }
                is_news
            });
        }
        let changed = std::mem::take(&mut self.views.changed);
        let is_all_changed = std::mem::take(&mut self.views.is_all_changed);
        if changed.is_empty() && !is_all_changed && !views.iter().any(|view| view.is_new) {
            return Ok(());
        }
        views.retain(|view| !view.show.is_closed());
        for view in views {
            let conversation = match &view.conversation {
                Some(conversation) => conversation.clone(),
                None => self.current_conversation()?,
            };
            // The current conversation may just have become another one.
            if is_all_changed || view.is_new || view.conversation.is_none() || changed.contains(&conversation)
            {
                view.is_new = false;
                let timeline = self.timeline(&conversation)?;
                view.show.send_if_modified(|shown| {
                    let is_news = shown.as_deref() != Some(&timeline);
                    if is_news {
                        *shown = Some(Arc::new(timeline));
                    }
                    is_news
                });
            }
        }
        Ok(())
    }

    /// The conversation that is meant where none is named.
    pub(super) fn current_conversation(&self) -> Result<ConversationId, Error> {
        Ok(self.store.newest_conversation()?.unwrap_or_else(|| UNOPENED.into()))
    }

    fn timeline(&self, conversation: &ConversationId) -> Result<Timeline, Error> {
        let marks = self.store.conversation(conversation)?.map(|stored| stored.marks).unwrap_or_default();
        let lowest = self.store.newest_gap(conversation)?.map_or(1, |gap| gap.last + 1);
        let mut items =
            self.store.stored_items(conversation, lowest, marks, self.views.window(conversation))?;
        let has_older = match items.first().and_then(|item| item.seq) {
            Some(oldest) => lowest > 1 || self.store.stored_below(conversation, lowest, oldest)?,
            None => lowest > 1,
        };
        items.extend(self.store.waiting_items(conversation)?);
        Ok(Timeline {
            conversation_id: Some(conversation.clone()).filter(|id| id.as_str() != UNOPENED),
            items,
            has_older,
            is_agent_typing: self.typing.is_agent_typing(conversation),
        })
    }

    /// Whether there is more than what the timeline shows.
    pub(super) fn has_older(&self, conversation: &ConversationId) -> Result<bool, Error> {
        Ok(self.timeline(conversation)?.has_older)
    }

    /// Whether more than what the timeline shows is stored, without a hole between.
    pub(super) fn has_older_stored(&self, conversation: &ConversationId) -> Result<bool, Error> {
        let timeline = self.timeline(conversation)?;
        let lowest = self.store.newest_gap(conversation)?.map_or(1, |gap| gap.last + 1);
        match timeline.items.first().and_then(|item| item.seq) {
            Some(oldest) => self.store.stored_below(conversation, lowest, oldest),
            None => Ok(false),
        }
    }
}

/// The client's state, as the file and the connection have it.
pub(super) fn state(
    store: &LocalStore,
    connection: &connection::State,
    typing: &Typing,
    platform: &dyn Platform,
) -> Result<ClientState, Error> {
    let counts = store.counts()?;
    let mut conversations = Vec::new();
    for stored in store.conversations()? {
        conversations.push(ConversationSummary {
            last_message: store.newest_item(&stored.id, stored.marks)?,
            unread: store.unread(&stored.id)?,
            is_agent_typing: typing.is_agent_typing(&stored.id),
            id: stored.id,
            status: stored.status,
            updated_at: stored.updated_at,
        });
    }
    Ok(ClientState {
        connection: shown(connection.phase, platform),
        user_id: store.user()?.0.map(|user| user.id),
        device_id: store.device_id().clone(),
        unread: conversations.iter().map(|conversation| conversation.unread).sum(),
        conversations,
        queued: counts.queued,
        wedged: counts.wedged,
    })
}

fn shown(phase: Phase, platform: &dyn Platform) -> ConnectionState {
    match phase {
        Phase::Idle => ConnectionState::Offline,
        Phase::Connecting { .. } => ConnectionState::Connecting,
        Phase::Online { .. } => ConnectionState::Online,
        Phase::Waiting { until } => {
            ConnectionState::Waiting { until: platform.now().plus(until - Instant::now()) }
        }
        Phase::Refused => ConnectionState::AuthFailed,
        Phase::Closed => ConnectionState::Closed,
    }
}
