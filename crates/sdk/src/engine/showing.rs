//! What is shown: pictures made from the local file, for those who look, when something in them has changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use protocol::ConversationId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Engine;
use crate::connection::{self, Phase};
use crate::local::{Error, LocalStore, UNOPENED};
use crate::subscription::Shown;
use crate::typing::Typing;
use crate::{
    ChatEvent, ClientState, ConnectionState, ConversationSummary, LogLevel, Platform, Timeline, TimelineItem,
    WaitReason, limits,
};

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
    show: watch::Sender<Shown>,
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

    pub(super) fn add(&mut self, conversation: Option<ConversationId>, show: watch::Sender<Shown>) {
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

    /// Conversations that are looked at by name.
    pub(super) fn watched(&self) -> Vec<ConversationId> {
        let is_watched = |view: &&View| !view.show.is_closed();
        self.timelines.iter().filter(is_watched).filter_map(|view| view.conversation.clone()).collect()
    }

    /// There is no such conversation: who looks at it is told so, and nothing more.
    pub(super) fn is_unknown(&mut self, conversation: &ConversationId) {
        self.timelines.retain(|view| {
            let goes_on = view.conversation.as_ref() != Some(conversation);
            if !goes_on {
                view.show.send_replace(Shown::Unknown);
            }
            goes_on
        });
    }

    fn window(&self, conversation: &str) -> usize {
        self.windows.get(conversation).copied().unwrap_or(limits::PAGE as usize)
    }
}

impl Engine {
    /// Somebody listens from here on, to what had to wait for them first.
    pub(super) fn listen(&mut self, tell: mpsc::Sender<ChatEvent>) {
        self.listeners.retain(|listener| !listener.is_closed());
        self.listeners.push(tell);
        for event in std::mem::take(&mut self.untold) {
            self.tell_event(&event);
        }
    }

    /// Tells those who listen, or the first who does.
    pub(super) fn tell_or_keep(&mut self, event: ChatEvent) {
        self.listeners.retain(|listener| !listener.is_closed());
        if self.listeners.is_empty() {
            self.untold.truncate(limits::EVENTS);
            self.untold.push(event);
        } else {
            self.tell_event(&event);
        }
    }

    pub(super) fn tell_event(&mut self, event: &ChatEvent) {
        let mut is_missed = false;
        self.listeners.retain(|listener| match listener.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                is_missed = true;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        if is_missed {
            self.log(LogLevel::Warn, "nobody takes the events: one was missed");
        }
    }

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
            let standing = Standing {
                connection: &self.connection,
                trouble: self.trouble,
                others: self.people.waiting_for_others(),
            };
            let state = state(&self.store, &standing, &self.typing, &*self.platform)?;
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
                let shown = view.show.borrow().clone();
                let timeline = self.timeline(&conversation, &shown)?;
                view.show.send_if_modified(|shown| {
                    let is_news = !matches!(shown, Shown::Timeline(shown) if **shown == timeline);
                    if is_news {
                        *shown = Shown::Timeline(Arc::new(timeline));
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

    /// The picture of a conversation; of what was shown before, what is in it still is taken over.
    fn timeline(&self, conversation: &ConversationId, shown: &Shown) -> Result<Timeline, Error> {
        let window = self.views.window(conversation);
        let names = self.store.waiting_names(conversation, window + 1)?;
        let known = match shown {
            Shown::Timeline(timeline) => timeline.items.as_slice(),
            Shown::Nothing | Shown::Unknown => &[],
        };
        let mut waiting = Vec::with_capacity(names.len());
        for (local_id, state) in &names[names.len().saturating_sub(window)..] {
            let is_it =
                |item: &&TimelineItem| item.local_id == *local_id && state.is_shown_as(&item.delivery);
            match known.iter().rev().find(is_it) {
                Some(item) => waiting.push(item.clone()),
                None => waiting.extend(self.store.waiting_item(conversation, local_id)?),
            }
        }
        let lowest = self.store.newest_gap(conversation)?.map_or(1, |gap| gap.last + 1);
        let (items, has_older) = if names.len() > window {
            // What waits is the newest. Were all of it in the picture, each message of a long queue would cost as much as all.
            (waiting, true)
        } else {
            let stored = self.store.conversation(conversation)?;
            let marks = stored.map(|stored| stored.marks).unwrap_or_default();
            let mut items = self.store.stored_items(conversation, lowest, marks, window)?;
            let has_older = match items.first().and_then(|item| item.seq) {
                Some(oldest) => lowest > 1 || self.store.stored_below(conversation, lowest, oldest)?,
                None => lowest > 1,
            };
            items.append(&mut waiting);
            (items, has_older)
        };
        Ok(Timeline {
            conversation_id: Some(conversation.clone()).filter(|id| id.as_str() != UNOPENED),
            items,
            has_older,
            is_agent_typing: self.typing.is_agent_typing(conversation),
        })
    }

    /// Whether there is more than what the timeline shows.
    pub(super) fn has_older(&self, conversation: &ConversationId) -> Result<bool, Error> {
        Ok(self.timeline(conversation, &Shown::Nothing)?.has_older)
    }

    /// Whether more than what the timeline shows is stored, without a hole between.
    pub(super) fn has_older_stored(&self, conversation: &ConversationId) -> Result<bool, Error> {
        let timeline = self.timeline(conversation, &Shown::Nothing)?;
        let is_all_waiting = timeline.items.first().is_some_and(|item| item.seq.is_none());
        if is_all_waiting && timeline.has_older && timeline.items.len() >= self.views.window(conversation) {
            return Ok(true);
        }
        let lowest = self.store.newest_gap(conversation)?.map_or(1, |gap| gap.last + 1);
        match timeline.items.first().and_then(|item| item.seq) {
            Some(oldest) => self.store.stored_below(conversation, lowest, oldest),
            None => Ok(false),
        }
    }
}

/// How the client stands, beside what is in the file.
pub(super) struct Standing<'a> {
    pub(super) connection: &'a connection::State,
    /// Why the last connection failed.
    pub(super) trouble: WaitReason,
    /// Messages that wait for others.
    pub(super) others: u64,
}

/// The client's state, as the file and the connection have it.
pub(super) fn state(
    store: &LocalStore,
    standing: &Standing<'_>,
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
        connection: shown(standing, platform),
        user_id: store.identified()?.user.map(|user| user.id),
        device_id: store.device_id().clone(),
        unread: conversations.iter().map(|conversation| conversation.unread).sum(),
        conversations,
        queued: counts.queued,
        queued_for_others: standing.others,
        wedged: counts.wedged,
    })
}

fn shown(standing: &Standing<'_>, platform: &dyn Platform) -> ConnectionState {
    match standing.connection.phase {
        Phase::Idle => ConnectionState::Offline,
        Phase::Connecting { .. } => ConnectionState::Connecting,
        Phase::Online { .. } => ConnectionState::Online,
        Phase::Waiting { until } => ConnectionState::Waiting {
            until: platform.now().plus(until - Instant::now()),
            reason: standing.trouble,
        },
        Phase::Refused => ConnectionState::AuthFailed,
        Phase::Blocked { .. } => ConnectionState::Blocked,
        Phase::Unidentified { .. } => ConnectionState::IdentityRequired,
        Phase::Closed => ConnectionState::Closed,
    }
}
