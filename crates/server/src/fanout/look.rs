//! The periodic look at what was committed lately, whoever committed it: what the bus lost, or a node took with it when
//! it died, is found in the database and made up for.
//!
//! A look costs what has changed since the last one, however many conversations are open. What is found to be missing
//! is mostly still on its way, so it is made up for only if the next look finds it missing too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::event::StatusChange;
use protocol::{ConversationId, Permission};
use store::{ChangeCursor, ChangedConversation, FindConversation, ListChanges, Scope};
use tokio::time::MissedTickBehavior;

use super::{Both, Encoded, Fanout, Standing, left};

/// From one look to the next: two of them and a read fit well into the five seconds of the promise.
const LOOK_EVERY: Duration = Duration::from_millis(1_500);

/// Conversations in one read.
const PAGE: u32 = 500;

/// Looks for which it is remembered what was heard of a conversation.
const REMEMBERED_LOOKS: u64 = 8;

/// Looks for as long as it runs.
pub(crate) async fn look_for_missed(fanout: Arc<Fanout>) {
    fanout.news.get_or_init(Default::default);
    let mut look = Look { cursor: None, server_started: None, missed: HashMap::new() };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Where the database can't say, the next look sees all that this one would have seen.
        look.once(&fanout).await;
    }
}

struct Look {
    cursor: Option<ChangeCursor>,
    /// When the database server was started that answered last.
    server_started: Option<i64>,
    /// What the look before found to be missing.
    missed: HashMap<ConversationId, ChangedConversation>,
}

impl Look {
    async fn once(&mut self, fanout: &Arc<Fanout>) {
        // What is missed is what both looks say: of what was changed in between, the newer one knows.
        let mut found: HashMap<ConversationId, ChangedConversation> = HashMap::new();
        loop {
            let changes = ListChanges { since: self.cursor.clone(), limit: PAGE };
            let Some(changes) = fanout.read(changes).await else { break };
            let is_another = self.server_started.is_some_and(|before| before != changes.server_started);
            if is_another || changes.is_behind {
                match fanout.compare_all(changes.is_behind).await {
                    Some(true) => self.missed.clear(),
                    Some(false) => {}
                    None => break,
                }
            }
            self.server_started = Some(changes.server_started);
            for changed in changes.conversations {
                let id = &changed.conversation.conversation.id;
                let has_missed = fanout.has_missed(&changed);
                // The look before was behind the news, or is by now: nobody lacks what was heard of since.
                let is_other = self.missed.get(id).is_some_and(|before| before.is_shown != changed.is_shown);
                if is_other || !has_missed {
                    self.missed.remove(id);
                }
                if has_missed {
                    found.insert(id.clone(), changed);
                }
            }
            self.cursor = Some(changes.next);
            if !changes.has_more {
                break;
            }
        }
        for (id, changed) in std::mem::take(&mut self.missed) {
            if !fanout.has_missed(&changed) {
                continue;
            }
            fanout.metrics.missed();
            if !fanout.make_up(&changed).await {
                found.entry(id).or_insert(changed);
            }
        }
        self.missed = found;
        fanout.forget_old_news();
    }
}

/// What this node has heard of conversations lately, for the inboxes that are open here.
#[derive(Default)]
pub(super) struct News {
    look: u64,
    heard: HashMap<ConversationId, (u64, u64)>,
}

impl News {
    pub(super) fn heard(&mut self, id: &ConversationId, fingerprint: u64) {
        self.heard.insert(id.clone(), (fingerprint, self.look));
    }
}

/// Up to where who is in a room has to have heard.
fn standing(changed: &ChangedConversation) -> Standing {
    // Whoever adds something to a conversation decides here whether somebody misses something without it.
    let ChangedConversation { conversation, marks, last_activity, is_shown: _, is_inbox_news: _ } = changed;
    let last = Both { messages: conversation.conversation.last_seq, activity: *last_activity };
    Standing { last, marks: *marks }
}

impl Fanout {
    /// Whether someone here has not heard of what is committed.
    fn has_missed(&self, changed: &ChangedConversation) -> bool {
        let conversation = &changed.conversation.conversation;
        let standing = standing(changed);
        let room_is_behind = self
            .shard(&conversation.id)
            .get(&conversation.id)
            .is_some_and(|room| room.is_behind(standing) || (!changed.is_shown && room.has_devices()));
        room_is_behind || self.inbox_is_behind(changed)
    }

    fn inbox_is_behind(&self, changed: &ChangedConversation) -> bool {
        let conversation = &changed.conversation.conversation;
        if !changed.is_inbox_news
            || !self.feeds.has_watcher(&conversation.app_id, Permission::ViewConversations)
        {
            return false;
        }
        let Some(mut news) = self.news() else { return false };
        let look = news.look;
        match news.heard.get_mut(&conversation.id) {
            Some((fingerprint, heard_at)) => {
                *heard_at = look;
                *fingerprint != changed.conversation.fingerprint()
            }
            None => true,
        }
    }

    /// Tells those here what they have missed; false if the database could not be read.
    async fn make_up(self: &Arc<Self>, changed: &ChangedConversation) -> bool {
        let conversation = &changed.conversation.conversation;
        let id = &conversation.id;
        let steps = {
            let mut shard = self.shard(id);
            shard.get_mut(id).map(|room| {
                if !changed.is_shown {
                    // Somebody else came to the device, and the bus has lost that.
                    room.turn_out_devices(left);
                }
                for (by, status, up_to_seq) in room.missed_receipts(changed.marks) {
                    let at = self.store.clock().now();
                    let change = StatusChange { conversation_id: id.clone(), up_to_seq, status, by, at };
                    let encoded = Encoded::new(&change);
                    let about = self.about_receipt(&change);
                    room.tell_receipt(&change, about, |channel| encoded.frame(channel));
                }
                room.expect(standing(changed).last)
            })
        };
        if let Some(steps) = steps {
            self.follow(id, steps);
        }
        if !self.inbox_is_behind(changed) {
            return true;
        }
        // For this node's own use: nobody's right to see it is asked here, the feeds ask for each who hears of it.
        let scope = Scope { app_id: conversation.app_id.clone(), device_id: None };
        match self.read(FindConversation { scope, id: id.clone() }).await {
            Some(Some(mut now)) => {
                self.note_news(id, now.fingerprint());
                let last_message = now.conversation.last_message.take();
                self.conversation_updated(&now, last_message.as_ref());
                true
            }
            Some(None) => true,
            None => false,
        }
    }

    /// Remembers how the conversation stood when its inboxes here were told of it.
    pub(super) fn note_news(&self, id: &ConversationId, fingerprint: u64) {
        if let Some(mut news) = self.news() {
            news.heard(id, fingerprint);
        }
    }

    fn forget_old_news(&self) {
        let Some(mut news) = self.news() else { return };
        news.look += 1;
        let oldest = news.look.saturating_sub(REMEMBERED_LOOKS);
        news.heard.retain(|_, (_, heard_at)| *heard_at >= oldest);
    }
}
