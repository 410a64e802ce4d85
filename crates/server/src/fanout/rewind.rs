//! A database that went back in time: after a failover to a replica that lacked the last commits, or with a restored copy
//! under running nodes. What was given out is then no longer there, and its `seq`s are given again.
//!
//! It is noticed by the message that is another than the one given before in its place, or older than it; and by the look,
//! when another database server answers. Whoever was given something that is gone is told so and closed: clients
//! come back and find the last message that both sides have.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use protocol::{Code, ConversationId, Failure, Message, Permission};
use socketio::Frame;
use store::{Compare, Compared, Given};

use super::room::{Mark, Newest};
use super::{Both, Channel, Fanout, frame};

/// Messages heard of last, by which it is known whether anything was lost: what is lost is what was written last. More than
/// one, because those of different conversations are not heard of in the order of their commits.
const HEARD: usize = 16;

/// Rooms in one question.
const PAGE: usize = 500;

/// How long the database is left alone when it does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The messages that this node heard of last.
pub(super) type Heard = VecDeque<Given>;

/// What those are told who have what is gone.
fn history_changed(channel: Channel) -> Option<Frame> {
    let message = "the newest messages are gone: the server's database went back in time; \
         connect again and look for the last message that is still there";
    frame(channel, &Failure::new(Code::HistoryChanged, message))
}

impl Fanout {
    /// Remembers the message, where the database may become another one.
    pub(super) fn note_heard(&self, message: &Message) {
        if self.news.get().is_none() {
            return;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= HEARD {
            heard.pop_front();
        }
        heard.push_back(Given {
            conversation_id: message.conversation_id.clone(),
            message: Some((message.seq, message.id.clone())),
            activity: None,
        });
    }

    /// Asks the database whether it still has what was given out in a room, if there is a doubt.
    pub(super) fn look_into(self: &Arc<Self>, conversation: &ConversationId, doubt: Option<Newest>) {
        let Some(newest) = doubt else { return };
        let (fanout, given) = (Arc::clone(self), given(conversation, newest));
        tokio::spawn(async move {
            loop {
                match fanout.read(Compare { given: vec![given.clone()] }).await {
                    Some(compared) if compared.iter().all(|compared| compared.is_there) => {
                        return fanout.in_room(&given.conversation_id, |room| room.settle_doubt());
                    }
                    Some(_) => {
                        tracing::warn!("the database lacks what was delivered: it went back in time");
                        fanout.turn_out(&given.conversation_id);
                        return;
                    }
                    None => tokio::time::sleep(PAUSE).await,
                }
            }
        });
    }

    /// Another database server answers: whether it lacks anything that was given out. Who has such a thing is told and
    /// closed, and with them all who watch an app's conversations, whatever they have. What the rooms lack is read.
    /// `is_likely` is what is believed where nothing was heard of that could be asked for. `None` if the database did not
    /// answer: it is to be asked again.
    pub(super) async fn compare_all(self: &Arc<Self>, is_likely: bool) -> Option<bool> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lacks = |compared: &Compared| !compared.is_there || compared.last_seq.is_none();
        let mut is_lacking = match self.read(Compare { given: Vec::from(heard) }).await?.as_slice() {
            [] => is_likely,
            compared => compared.iter().any(lacks),
        };
        for given in self.given_out().chunks(PAGE) {
            for compared in self.read(Compare { given: given.to_vec() }).await? {
                if lacks(&compared) {
                    is_lacking = true;
                    self.turn_out(&compared.conversation_id);
                } else if let Some(last_seq) = compared.last_seq {
                    let last = Both { messages: last_seq, activity: compared.last_activity };
                    let mut shard = self.shard(&compared.conversation_id);
                    let steps = shard.get_mut(&compared.conversation_id).map(|room| room.expect(last));
                    drop(shard);
                    if let Some(steps) = steps {
                        self.follow(&compared.conversation_id, steps);
                    }
                }
            }
        }
        if is_lacking {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let told = self.feeds.turn_out_all(Permission::ViewConversations, history_changed);
            self.metrics.history_changed(told);
            tracing::warn!(
                "another database answers, and it lacks what the one before had: it went back in time"
            );
        }
        Some(is_lacking)
    }

    /// The newest of each room that is open here.
    fn given_out(&self) -> Vec<Given> {
        let mut given_out = Vec::new();
        for shard in &self.shards {
            let rooms = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let joined = rooms.iter().filter(|(_, room)| room.is_joined());
            given_out.extend(joined.map(|(conversation_id, room)| given(conversation_id, room.newest())));
        }
        given_out
    }

    fn turn_out(&self, conversation: &ConversationId) {
        let mut told = 0;
        self.in_room(conversation, |room| told = room.turn_out_all(history_changed));
        self.metrics.history_changed(told);
    }
}

fn given(conversation_id: &ConversationId, newest: Newest) -> Given {
    let mut given = Given { conversation_id: conversation_id.clone(), message: None, activity: None };
    let Both { messages, activity } = newest;
    for (number, mark) in [messages, activity].into_iter().flatten() {
        match mark {
            Mark::Message(id) => given.message = Some((number, id)),
            Mark::Activity(at) => given.activity = Some((number, at)),
        }
    }
    given
}
