//! Catching up: which page is asked for, what is stored of it, and what came live meanwhile.

use protocol::event::Receipts;
use protocol::request::{JoinConversation, JoinedConversation};
use protocol::rest::{ConversationPage, MessagePage};
use protocol::{Code, ConversationId, Message, Sender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::effect::Effect;
use super::report::{Asked, Request};
use super::{Engine, bounded};
use crate::local::{Error, Gap, Marks};
use crate::outbox::Failed;
use crate::sync::{Live, Sync, Taken, follows, is_contiguous};
use crate::{ChatEvent, ClientError, Delivery, LogLevel, TimelineItem, limits};

/// The answer to a join that asks for messages.
pub(super) struct JoinedPage {
    last_seq: u64,
    messages: Vec<Message>,
    has_more: bool,
    receipts: Option<Receipts>,
}

impl From<JoinedConversation> for JoinedPage {
    fn from(answer: JoinedConversation) -> Self {
        let JoinedConversation { last_message_id: _, last_seq, messages, has_more, receipts } = answer;
        Self {
            last_seq,
            messages: messages.unwrap_or_default(),
            has_more: has_more.unwrap_or(false),
            receipts,
        }
    }
}

impl Engine {
    /// A conversation that was not known, or not caught up with on this connection, is from here on.
    pub(super) fn know(&mut self, conversation: &ConversationId) -> Result<(), Error> {
        if self.syncs.contains_key(conversation) || conversation.is_empty() {
            return Ok(());
        }
        self.store.ensure_conversation(conversation, self.platform.now())?;
        self.views.change_all();
        self.syncs.insert(conversation.clone(), Sync::new(Instant::now()));
        Ok(())
    }

    pub(super) fn list_if_wanted(&mut self, now: Instant) {
        if self.listing.begin(now) {
            self.effects.push(Effect::Ask(Asked::List));
        }
    }

    pub(super) fn listed(&mut self, outcome: Result<ConversationPage, Failed>) -> Result<(), Error> {
        match outcome {
            Ok(page) => {
                self.listing.done();
                for conversation in
                    page.conversations.iter().filter(|conversation| !conversation.id.is_empty())
                {
                    self.store.put_conversation(conversation)?;
                    if self.outgoing.is_some() {
                        self.know(&conversation.id)?;
                    }
                }
                self.views.change_all();
                Ok(())
            }
            Err(Failed::ForNow { retry_after }) => {
                let chance = self.chance();
                self.listing.failed(bounded(retry_after), Instant::now(), chance);
                Ok(())
            }
            Err(Failed::Barred(bar)) => self.barred(bar),
            Err(Failed::ForGood { code, .. }) => {
                self.log(LogLevel::Warn, &format!("the conversations can't be listed: {code}"));
                self.listing.done();
                Ok(())
            }
        }
    }

    /// Joins each conversation that wants a page, from the last message that is here without a hole.
    pub(super) fn ask_for_pages(&mut self, now: Instant) -> Result<(), Error> {
        let mut wishes = Vec::new();
        for (conversation, sync) in &mut self.syncs {
            if sync.take_wish(now) {
                wishes.push(conversation.clone());
            }
        }
        for conversation in wishes {
            let after = self.cursor(&conversation)?;
            let join = JoinConversation { conversation_id: conversation.to_string(), after: Some(after) };
            let request = Request::Join { conversation: conversation.clone() };
            self.emit(&join, Some(request));
        }
        Ok(())
    }

    /// The last message that is here without a hole, or an older one if the server may lack that: the page is to follow it.
    fn cursor(&mut self, conversation: &ConversationId) -> Result<String, Error> {
        let Some(sync) = self.syncs.get_mut(conversation) else { return Ok(String::new()) };
        let Some(from) = sync.looking_from() else {
            let tail = self.tail(conversation)?;
            return Ok(self.store.message_at(conversation, tail)?.map_or(String::new(), |id| id.to_string()));
        };
        // What was passed over can't be named.
        let named = self.store.newest_up_to(conversation, from)?;
        let (seq, id) = named.map_or((0, String::new()), |(seq, id)| (seq, id.to_string()));
        sync.looks_from(seq);
        Ok(id)
    }

    /// Takes a page of a server that may lack what is here: true if what both have is known now, and what the server lacks
    /// was let go.
    fn compare(
        &mut self,
        conversation: &ConversationId,
        from: u64,
        answer: &JoinedPage,
    ) -> Result<bool, Error> {
        let tail = self.tail(conversation)?;
        let mut common = from;
        let mut has_parted = !answer.has_more || answer.messages.is_empty();
        for message in answer.messages.iter().take_while(|message| message.seq <= tail) {
            match self.store.message_at(conversation, message.seq)? {
                Some(known) if known != message.id => {
                    has_parted = true;
                    break;
                }
                // What was passed over is as good as any.
                _ => common = message.seq,
            }
        }
        let Some(sync) = self.syncs.get_mut(conversation) else { return Ok(false) };
        if !has_parted && common < tail {
            sync.look_on(common, Instant::now());
            return Ok(false);
        }
        sync.found();
        let again = self.store.rewind(conversation, common.min(tail))?;
        self.went_back(conversation, common, again);
        Ok(true)
    }

    /// The server has nothing after `last_seq`: what is stored here beyond it was lost.
    fn drop_lost(&mut self, conversation: &ConversationId, last_seq: u64) -> Result<(), Error> {
        let newest = self.store.newest_up_to(conversation, u64::MAX)?;
        if newest.is_some_and(|(newest, _)| newest > last_seq) {
            let again = self.store.rewind(conversation, last_seq)?;
            self.went_back(conversation, last_seq, again);
        }
        Ok(())
    }

    fn went_back(&mut self, conversation: &ConversationId, common: u64, again: usize) {
        let what = format!("what follows message {common} is fetched, {again} sent again");
        self.log(LogLevel::Warn, &format!("the server went back in time: {what}"));
        self.outbox.kick();
        self.views.narrow(conversation);
        self.views.change(conversation);
    }

    pub(super) fn joined(
        &mut self,
        conversation: &ConversationId,
        outcome: Result<JoinedPage, Failed>,
    ) -> Result<(), Error> {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failed) => return self.page_failed(conversation, failed),
        };
        let looking_from = self.syncs.get(conversation).and_then(Sync::looking_from);
        let tail = self.tail(conversation)?;
        if !follows(&answer.messages, looking_from.unwrap_or(tail))
            || answer.messages.iter().any(|message| message.conversation_id != *conversation)
        {
            self.log(LogLevel::Warn, "a page does not follow what is here");
            return self.page_failed(conversation, Failed::TRANSPORT);
        }
        if let Some(from) = looking_from
            && !self.compare(conversation, from, &answer)?
        {
            return Ok(());
        }
        if self.syncs.get(conversation).is_some_and(Sync::is_open_question) {
            // What was sent may be beyond all that was fetched. Nothing is on its way just now.
            self.drop_lost(conversation, answer.last_seq)?;
        }
        let tail = self.tail(conversation)?;
        if let Some(receipts) = answer.receipts {
            self.store.believe(conversation, receipts)?;
            self.note_receipts(conversation)?;
        }
        self.views.change(conversation);
        if answer.last_seq.saturating_sub(tail) > limits::FAR_BEHIND {
            self.effects.push(Effect::Ask(Asked::Newest { conversation: conversation.clone() }));
            return Ok(());
        }
        self.take_page(conversation, &answer.messages, answer.has_more)
    }

    /// What the server has not been told is to be told.
    pub(super) fn note_receipts(&mut self, conversation: &ConversationId) -> Result<(), Error> {
        let Some(stored) = self.store.conversation(conversation)? else { return Ok(()) };
        let marks = stored.marks;
        if marks.delivered > marks.delivered_told || marks.read > marks.read_told {
            self.receipts.note(conversation, 1, Instant::now());
        }
        Ok(())
    }

    /// The newest page of a conversation that is far ahead: what lies between is noted, and fetched on scrolling.
    pub(super) fn newest_came(
        &mut self,
        conversation: &ConversationId,
        outcome: Result<MessagePage, Failed>,
    ) -> Result<(), Error> {
        let page = match outcome {
            Ok(page) => page.messages,
            Err(failed) => return self.page_failed(conversation, failed),
        };
        let tail = self.tail(conversation)?;
        let Some(first) = page.first().map(|message| message.seq) else {
            return self.page_failed(conversation, Failed::TRANSPORT);
        };
        if !is_contiguous(&page) || page.iter().any(|message| message.conversation_id != *conversation) {
            self.log(LogLevel::Warn, "a page has holes");
            return self.page_failed(conversation, Failed::TRANSPORT);
        }
        if first > tail + 1 {
            self.store.note_gap(conversation, Gap { first: tail + 1, last: first - 1 })?;
            self.store.raise(conversation, Marks { tail: first - 1, ..Marks::default() })?;
            self.views.narrow(conversation);
        }
        self.take_page(conversation, &page, false)
    }

    /// Stores a page that follows, and what came live behind it.
    fn take_page(
        &mut self,
        conversation: &ConversationId,
        page: &[Message],
        has_more: bool,
    ) -> Result<(), Error> {
        let before = self.tail(conversation)?;
        for message in page {
            self.keep(message)?;
        }
        let tail = self.store.advance_tail(conversation)?;
        let chance = self.chance();
        let Some(sync) = self.syncs.get_mut(conversation) else { return Ok(()) };
        let taken = Taken { has_more, brought_some: tail > before };
        for message in sync.page_taken(tail, taken, Instant::now(), chance) {
            self.keep(&message)?;
        }
        self.settle_from(conversation, before)
    }

    fn page_failed(&mut self, conversation: &ConversationId, failed: Failed) -> Result<(), Error> {
        let chance = self.chance();
        match failed {
            Failed::ForNow { .. } => {
                if let Some(sync) = self.syncs.get_mut(conversation) {
                    sync.page_failed(Instant::now(), chance);
                }
                Ok(())
            }
            Failed::Barred(bar) => self.barred(bar),
            Failed::ForGood { code, .. } if code == Code::MessageNotFound.as_str() => {
                let tail = self.tail(conversation)?;
                if let Some(sync) = self.syncs.get_mut(conversation)
                    && !sync.look_back(tail, Instant::now())
                {
                    sync.page_failed(Instant::now(), chance);
                }
                Ok(())
            }
            Failed::ForGood { code, .. } if code == Code::ConversationNotFound.as_str() => {
                let again = self.store.lose_conversation(conversation)?;
                self.log(
                    LogLevel::Warn,
                    &format!("the server has lost a conversation: {again} messages are sent in another one"),
                );
                self.syncs.remove(conversation);
                self.outbox.lose(conversation);
                self.views.change_all();
                Ok(())
            }
            Failed::ForGood { code, .. } => {
                self.log(LogLevel::Warn, &format!("a conversation can't be joined: {code}"));
                if let Some(sync) = self.syncs.get_mut(conversation) {
                    sync.gone();
                }
                Ok(())
            }
        }
    }

    /// A message came live.
    pub(super) fn message_came(&mut self, message: Message) -> Result<(), Error> {
        let conversation = message.conversation_id.clone();
        self.know(&conversation)?;
        let tail = self.tail(&conversation)?;
        // An agent who has sent does not type any more.
        if message.sender != Sender::User && self.typing.agent(&conversation, false, Instant::now()) {
            self.views.change(&conversation);
        }
        let Some(sync) = self.syncs.get_mut(&conversation) else { return Ok(()) };
        match sync.live(message, tail, Instant::now()) {
            Live::Take(message) => {
                self.keep(&message)?;
                self.settle_from(&conversation, tail)
            }
            Live::Kept => Ok(()),
        }
    }

    /// Moves the cursor as far as it goes, and takes what came early and follows now.
    pub(super) fn settle(&mut self, conversation: &ConversationId) -> Result<(), Error> {
        let before = self.tail(conversation)?;
        self.settle_from(conversation, before)
    }

    fn settle_from(&mut self, conversation: &ConversationId, before: u64) -> Result<(), Error> {
        let mut tail = self.store.advance_tail(conversation)?;
        while let Some(sync) = self.syncs.get_mut(conversation) {
            let following = sync.take_following(tail);
            if following.is_empty() {
                break;
            }
            for message in &following {
                self.keep(message)?;
            }
            tail = self.store.advance_tail(conversation)?;
        }
        self.views.change(conversation);
        if tail > before { self.received(conversation, tail) } else { Ok(()) }
    }

    /// Fetches what is missing at the end of the newest gap.
    pub(super) fn fetch_older(
        &mut self,
        conversation: ConversationId,
        gap: Gap,
        reply: oneshot::Sender<Result<bool, ClientError>>,
    ) -> Result<(), Error> {
        let before = self.store.message_at(&conversation, gap.last + 1)?;
        match before.filter(|_| self.outgoing.is_some()) {
            Some(before) => {
                let before = before.to_string();
                self.effects.push(Effect::Ask(Asked::Older { conversation, gap, before, reply }));
            }
            None => {
                // Who does not wait does not need to know.
                let _ = reply.send(Err(ClientError::Offline));
            }
        }
        Ok(())
    }

    pub(super) fn older_came(
        &mut self,
        conversation: &ConversationId,
        gap: Gap,
        outcome: Result<MessagePage, Failed>,
        reply: oneshot::Sender<Result<bool, ClientError>>,
    ) -> Result<(), Error> {
        let failure = match outcome {
            Ok(page) if fills(&page.messages, gap, conversation) => {
                // Where somebody else has filled it meanwhile there is nothing left to do.
                if self.store.newest_gap(conversation)? == Some(gap) {
                    for message in &page.messages {
                        self.put(message)?;
                    }
                    let from = page.messages.first().map_or(gap.first, |message| message.seq);
                    self.store.fill_gap(conversation, gap, from)?;
                    self.views.widen(conversation);
                }
                let has_older = self.has_older(conversation)?;
                self.reply(reply, has_older);
                return Ok(());
            }
            Ok(_) | Err(Failed::ForNow { .. }) => ClientError::Offline,
            Err(Failed::Barred(bar)) => {
                self.barred(bar)?;
                ClientError::Offline
            }
            Err(Failed::ForGood { code, message }) => ClientError::Server { code, message },
        };
        // Who does not wait does not need to know.
        let _ = reply.send(Err(failure));
        Ok(())
    }

    /// Stores a message. One of the person's that was under way is sent with it, whatever becomes of the answer.
    fn keep(&mut self, message: &Message) -> Result<(), Error> {
        if message.sender != Sender::User && self.is_news(message)? {
            self.effects.push(Effect::Tell(arrived(message)));
        }
        self.put(message)
    }

    /// Whether a message of the other side's has just arrived, and the person has not read it.
    fn is_news(&self, message: &Message) -> Result<bool, Error> {
        let conversation = &message.conversation_id;
        if self.listeners.is_empty() || self.store.is_stored(conversation, &message.local_id)? {
            return Ok(false);
        }
        let read = self.store.conversation(conversation)?.map_or(0, |stored| stored.marks.read);
        Ok(message.seq > read)
    }

    fn put(&mut self, message: &Message) -> Result<(), Error> {
        self.store.put_message(message)?;
        if message.sender == Sender::User && self.outbox.end(&message.conversation_id, &message.local_id) {
            self.outbox.succeeded();
        }
        Ok(())
    }

    pub(super) fn tail(&self, conversation: &str) -> Result<u64, Error> {
        Ok(self.store.conversation(conversation)?.map_or(0, |stored| stored.marks.tail))
    }
}

fn arrived(message: &Message) -> ChatEvent {
    let Message { id, local_id, conversation_id, seq, body, sender, sender_name, created_at, .. } = message;
    ChatEvent::MessageArrived {
        conversation_id: conversation_id.clone(),
        message: TimelineItem {
            local_id: local_id.clone(),
            message_id: Some(id.clone()),
            seq: Some(*seq),
            body: body.clone(),
            sender: *sender,
            sender_name: sender_name.clone(),
            created_at: *created_at,
            delivery: Delivery::Delivered,
        },
    }
}

/// Whether a page ends where the gap does.
fn fills(page: &[Message], gap: Gap, conversation: &ConversationId) -> bool {
    page.last().is_some_and(|last| last.seq == gap.last)
        && is_contiguous(page)
        && page.iter().all(|message| message.conversation_id == *conversation)
}
