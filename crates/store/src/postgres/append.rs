//! Appends, many in one transaction.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::Object;
use futures_util::future::{join, join3};
use protocol::{Activity, ConversationId, LocalId, Message, Timestamp};

use super::group::{Group, LOCK, column, proven};
use crate::error::Error;
use crate::operations::conversations::{self, Proven, Stored};
use crate::operations::messages::{self, Appended, NewMessage};
use crate::session::{Row, integer};

/// The appends.
pub(crate) struct Appends;

impl Group for Appends {
    type New = NewMessage;
    type Outcome = Appended;

    fn outcome_of_nonsense(new: &NewMessage) -> Option<Appended> {
        // Postgres can't hold this character, so there is no such conversation.
        new.conversation_id.contains('\0').then_some(Appended::NotFound)
    }

    async fn store(connection: &Object, batch: &[&NewMessage]) -> Result<Vec<Appended>, Error> {
        store(connection, batch).await
    }
}

/// Asked once the locks are had: it sees all that earlier holders have committed.
pub(super) const EARLIER: &str = "SELECT m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id \
    FROM unnest($1::text[], $2::text[]) AS v (conversation_id, local_id) \
    JOIN messages m ON m.conversation_id = v.conversation_id AND m.local_id = v.local_id";

/// One statement: a `seq` is never taken without its message.
pub(super) const STORE: &str = "WITH taken AS (UPDATE conversations c SET last_seq = v.last_seq, unread_count = v.unread_count, \
    status = v.status, updated_at = v.updated_at, waiting_since = v.waiting_since, first_reply_at = v.first_reply_at, \
    last_activity = v.last_activity, is_marked_unread = v.is_marked_unread \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[]) \
    AS v (id, last_seq, unread_count, status, updated_at, waiting_since, first_reply_at, last_activity, is_marked_unread) WHERE c.id = v.id) \
    INSERT INTO messages (conversation_id, seq, id, local_id, body, sender, sender_name, created_at, sender_id) \
    SELECT * FROM unnest($10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], \
    $17::bigint[], $18::text[])";

/// What happened by messages; few do anything.
pub(super) const HAPPENED: &str = "INSERT INTO activities (conversation_id, n, kind, at) \
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])";

async fn store(connection: &Object, batch: &[&NewMessage]) -> Result<Vec<Appended>, Error> {
    // Prepared beforehand: what is sent together below must be sent without a wait in between.
    let lock = connection.prepare_cached(LOCK).await?;
    let earlier = connection.prepare_cached(EARLIER).await?;
    let storing = connection.prepare_cached(STORE).await?;

    let ids: BTreeSet<&str> = batch.iter().map(|new| new.conversation_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let pairs = batch.iter().map(|new| (new.conversation_id.as_str(), new.local_id.as_str()));
    let (homes, names): (Vec<&str>, Vec<&str>) = pairs.collect::<BTreeSet<_>>().into_iter().unzip();
    let (begun, locked, earlier) = join3(
        connection.batch_execute("BEGIN"),
        connection.query(&lock, &[&ids]),
        connection.query(&earlier, &[&homes, &names]),
    )
    .await;
    begun?;
    let mut decided = Decided::default();
    for row in locked? {
        let stored = conversations::read(&mut Row::postgres(&row))?;
        decided.conversations.insert(stored.conversation.id.clone(), stored);
    }
    for row in earlier? {
        let message = messages::read(&mut Row::postgres(&row))?;
        decided.known.insert((message.conversation_id.clone(), message.local_id.clone()), message);
    }
    decided.proven = proven(connection, batch.iter().map(|new| &new.scope), &decided.conversations).await?;
    let outcomes: Vec<Appended> = batch.iter().map(|new| decided.append(new)).collect();

    let new: Vec<&Message> = outcomes.iter().filter_map(new_message).collect();
    if new.is_empty() {
        connection.batch_execute("COMMIT").await?;
        return Ok(outcomes);
    }
    let touched: BTreeSet<&str> = new.iter().map(|message| message.conversation_id.as_str()).collect();
    let rows: Vec<&Stored> =
        decided.conversations.values().filter(|row| touched.contains(row.conversation.id.as_str())).collect();
    let activity: Vec<&Activity> = outcomes.iter().filter_map(new_activity).collect();
    if !activity.is_empty() {
        // A trip of its own: it is seldom that a message does anything but to be there.
        let happened = connection.prepare_cached(HAPPENED).await?;
        connection
            .execute(
                &happened,
                &[
                    &column(&activity, |activity| activity.conversation_id.as_str()),
                    &column(&activity, |activity| integer(activity.n)),
                    &column(&activity, |activity| activity.kind.as_str()),
                    &column(&activity, |activity| activity.at.epoch_ms()),
                ],
            )
            .await?;
    }
    let (stored, committed) = join(
        connection.execute(
            &storing,
            &[
                &column(&rows, |row| row.conversation.id.as_str()),
                &column(&rows, |row| integer(row.conversation.last_seq)),
                &column(&rows, |row| integer(row.unread_count)),
                &column(&rows, |row| row.conversation.status.as_str()),
                &column(&rows, |row| row.conversation.updated_at.epoch_ms()),
                &column(&rows, |row| row.waiting_since.map(Timestamp::epoch_ms)),
                &column(&rows, |row| row.first_reply_at.map(Timestamp::epoch_ms)),
                &column(&rows, |row| integer(row.last_activity)),
                &column(&rows, |row| i64::from(row.is_marked_unread)),
                &column(&new, |message| message.conversation_id.as_str()),
                &column(&new, |message| integer(message.seq)),
                &column(&new, |message| message.id.as_str()),
                &column(&new, |message| message.local_id.as_str()),
                &column(&new, |message| message.body.as_str()),
                &column(&new, |message| message.sender.as_str()),
                &column(&new, |message| message.sender_name.as_deref()),
                &column(&new, |message| message.created_at.epoch_ms()),
                &column(&new, |message| message.sender_id.as_deref()),
            ],
        ),
        connection.batch_execute("COMMIT"),
    )
    .await;
    stored?;
    committed?;
    Ok(outcomes)
}

fn new_message(outcome: &Appended) -> Option<&Message> {
    match outcome {
        Appended::New(message, ..) => Some(message),
        Appended::Duplicate(_) | Appended::Conflict | Appended::NotFound => None,
    }
}

fn new_activity(outcome: &Appended) -> Option<&Activity> {
    match outcome {
        Appended::New(_, _, activity) => activity.as_deref(),
        Appended::Duplicate(_) | Appended::Conflict | Appended::NotFound => None,
    }
}

/// The conversations and messages as they will be.
#[derive(Default)]
struct Decided {
    conversations: HashMap<ConversationId, Stored>,
    known: HashMap<(ConversationId, LocalId), Message>,
    proven: Proven,
}

impl Decided {
    fn append(&mut self, new: &NewMessage) -> Appended {
        let name = (new.conversation_id.clone(), new.local_id.clone());
        let stored = self.conversations.get_mut(&new.conversation_id);
        let appended = messages::decide(new, stored, self.known.get(&name), &self.proven);
        if let Some(message) = new_message(&appended) {
            self.known.insert(name, message.clone());
        }
        appended
    }
}
