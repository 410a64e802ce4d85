//! Receipts, many in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use deadpool_postgres::Object;
use futures_util::future::{join, join4};
use protocol::{ConversationId, Message, MessageId, Side};

use super::group::{Group, LOCK, column, proven};
use crate::error::Error;
use crate::operations::conversations::{self, Proven, Stored};
use crate::operations::messages::{self, Look};
use crate::operations::receipts::{NewReceipt, Receipted, raise};
use crate::session::{Row, integer};

/// The receipts.
pub(crate) struct Receipts;

impl Group for Receipts {
    type New = NewReceipt;
    type Outcome = Look<Receipted>;

    fn outcome_of_nonsense(new: &NewReceipt) -> Option<Look<Receipted>> {
        // Postgres can't hold this character, so there is no such conversation.
        new.conversation_id.contains('\0').then_some(Look::NoConversation)
    }

    async fn store(connection: &Object, batch: &[&NewReceipt]) -> Result<Vec<Look<Receipted>>, Error> {
        store(connection, batch).await
    }
}

/// The messages that receipts name, by where they would be.
pub(super) const NAMED: &str = "SELECT m.conversation_id, m.seq, m.id FROM unnest($1::text[], $2::bigint[]) \
    AS v (conversation_id, seq) JOIN messages m ON m.conversation_id = v.conversation_id AND m.seq = v.seq";

/// What an inbox shows beside the count that changes.
pub(super) const NEWEST: &str = "SELECT m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id \
    FROM conversations c JOIN messages m ON m.conversation_id = c.id AND m.seq = c.last_seq WHERE c.id = ANY($1)";

/// The count of what is unread sees every message that was given its `seq` before: the row is locked.
pub(super) const RAISE: &str = "UPDATE conversations c SET device_delivered_seq = v.device_delivered, device_read_seq = v.device_read, \
    agent_delivered_seq = v.agent_delivered, agent_read_seq = v.agent_read, \
    is_marked_unread = CASE WHEN v.agent_read = c.agent_read_seq THEN c.is_marked_unread ELSE 0 END, \
    unread_count = CASE WHEN v.agent_read = c.agent_read_seq THEN c.unread_count ELSE (SELECT count(*) FROM messages m \
    WHERE m.conversation_id = c.id AND m.seq > v.agent_read AND m.sender = 'user') END \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
    AS v (id, device_delivered, device_read, agent_delivered, agent_read) WHERE c.id = v.id RETURNING c.id, c.unread_count, c.is_marked_unread";

async fn store(connection: &Object, batch: &[&NewReceipt]) -> Result<Vec<Look<Receipted>>, Error> {
    // Prepared beforehand: what is sent together below must be sent without a wait in between.
    let lock = connection.prepare_cached(LOCK).await?;
    let named = connection.prepare_cached(NAMED).await?;
    let newest = connection.prepare_cached(NEWEST).await?;
    let raising = connection.prepare_cached(RAISE).await?;

    let ids: BTreeSet<&str> = batch.iter().map(|new| new.conversation_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let places: BTreeMap<(&str, u64), ()> =
        batch.iter().filter_map(|new| place(new)).map(|at| (at, ())).collect();
    let (homes, seqs): (Vec<&str>, Vec<i64>) =
        places.into_keys().map(|(home, seq)| (home, integer(seq))).unzip();
    let of_agents: BTreeSet<&str> =
        batch.iter().filter(|new| new.side == Side::Agent).map(|new| new.conversation_id.as_str()).collect();
    let of_agents: Vec<&str> = of_agents.into_iter().collect();
    let (begun, locked, named, newest) = join4(
        connection.batch_execute("BEGIN"),
        connection.query(&lock, &[&ids]),
        connection.query(&named, &[&homes, &seqs]),
        connection.query(&newest, &[&of_agents]),
    )
    .await;
    begun?;
    let mut decided = Decided::default();
    for row in locked? {
        let stored = conversations::read(&mut Row::postgres(&row))?;
        decided.conversations.insert(stored.conversation.id.clone(), stored);
    }
    for row in named? {
        let mut row = Row::postgres(&row);
        decided.messages.insert((row.id()?, row.count()?), row.id()?);
    }
    for row in newest? {
        let message = messages::read(&mut Row::postgres(&row))?;
        decided.newest.insert(message.conversation_id.clone(), message);
    }
    decided.proven = proven(connection, batch.iter().map(|new| &new.scope), &decided.conversations).await?;
    let raised: Vec<Look<Raised>> = batch.iter().map(|new| decided.raise(new)).collect();
    let touched: Vec<&Stored> =
        decided.conversations.values().filter(|row| decided.touched.contains(&row.conversation.id)).collect();
    if touched.is_empty() {
        connection.batch_execute("COMMIT").await?;
        return Ok(raised
            .into_iter()
            .map(|raised| raised.map(|raised| decided.receipted(&raised)))
            .collect());
    }
    let (stored, committed) = join(
        connection.query(
            &raising,
            &[
                &column(&touched, |row| row.conversation.id.as_str()),
                &column(&touched, |row| integer(row.marks.device_delivered)),
                &column(&touched, |row| integer(row.marks.device_read)),
                &column(&touched, |row| integer(row.marks.agent_delivered)),
                &column(&touched, |row| integer(row.marks.agent_read)),
            ],
        ),
        connection.batch_execute("COMMIT"),
    )
    .await;
    let stored = stored?;
    committed?;
    for row in stored {
        let mut row = Row::postgres(&row);
        let (id, unread_count): (ConversationId, u64) = (row.id()?, row.count()?);
        let is_marked_unread = row.integer()? != 0;
        if let Some(stored) = decided.conversations.get_mut(&id) {
            stored.unread_count = unread_count;
            stored.is_marked_unread = is_marked_unread;
        }
    }
    Ok(raised.into_iter().map(|raised| raised.map(|raised| decided.receipted(&raised))).collect())
}

/// Where the message that the receipt names would be.
fn place(new: &NewReceipt) -> Option<(&str, u64)> {
    let (home, seq) = new.up_to.place()?;
    (home == new.conversation_id).then_some((new.conversation_id.as_str(), seq))
}

/// A receipt that is in place, and whether it said anything new.
struct Raised {
    conversation_id: ConversationId,
    up_to_seq: u64,
    is_news: bool,
}

/// The conversations as they will be.
#[derive(Default)]
struct Decided {
    conversations: HashMap<ConversationId, Stored>,
    messages: HashMap<(ConversationId, u64), MessageId>,
    newest: HashMap<ConversationId, Message>,
    touched: HashSet<ConversationId>,
    proven: Proven,
}

impl Decided {
    fn raise(&mut self, new: &NewReceipt) -> Look<Raised> {
        let stored = self.conversations.get_mut(&new.conversation_id);
        let proven = &self.proven;
        let Some(stored) = stored.filter(|stored| new.scope.reaches(stored, proven)) else {
            return Look::NoConversation;
        };
        let there = place(new)
            .filter(|(_, seq)| self.messages.get(&(new.conversation_id.clone(), *seq)) == Some(&new.up_to));
        let Some((_, up_to_seq)) = there else { return Look::NoMessage };
        let is_news = raise(&mut stored.marks, new.side, new.status, up_to_seq);
        if is_news {
            self.touched.insert(new.conversation_id.clone());
        }
        Look::Found(Raised { conversation_id: new.conversation_id.clone(), up_to_seq, is_news })
    }

    fn receipted(&self, raised: &Raised) -> Receipted {
        let stored = self.conversations.get(&raised.conversation_id).filter(|_| raised.is_news);
        let advanced = stored.cloned().map(|mut stored| {
            let newest = self.newest.get(&raised.conversation_id).cloned();
            stored.conversation.last_message =
                newest.map(|message| messages::with_status(message, stored.marks));
            Box::new(stored.into_inbox())
        });
        Receipted { up_to_seq: raised.up_to_seq, advanced }
    }
}
