//! What was changed lately, for a node that may have missed the news. Postgres only.

use std::collections::HashMap;

use protocol::{ConversationId, InboxConversation, MessageId, Timestamp};

use super::conversations::{self, Marks, Stored, columns};
use crate::error::Error;
use crate::operation::{Operation, Read};
use crate::session::{Param, Row, Session};

/// Transactions before the present one among which is what was not seen of a server that lacks some: far more than there
/// are between two looks.
const LOOKED_BACK: i64 = 10_000;

/// Up to where changes have been seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeCursor {
    /// What had ended when the last walk began.
    seen: Ended,
    /// Within a walk of several pages: where it is.
    walk: Option<Walk>,
}

/// Which transactions had ended at some moment: what they have changed could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ended {
    /// All below this one …
    below: i64,
    /// … but these, in ascending order. One may be open for an hour, and nothing is read again for that.
    but: Vec<i64>,
}

impl Ended {
    fn has(&self, transaction: i64) -> bool {
        transaction < self.below && self.but.binary_search(&transaction).is_err()
    }
}

/// A cursor as it is kept: from where a walk began, so that none is taken for walked that was not.
pub(super) fn cursor_text(cursor: &ChangeCursor) -> String {
    let Ended { below, but } = &cursor.seen;
    let but: Vec<String> = but.iter().map(ToString::to_string).collect();
    format!("{below} {}", but.join(","))
}

/// A cursor that was kept.
pub(super) fn cursor(text: &str) -> ChangeCursor {
    let (below, but) = text.split_once(' ').unwrap_or((text, ""));
    let seen = Ended { below: below.parse().unwrap_or(0), but: transactions(but) };
    ChangeCursor { seen, walk: None }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Walk {
    /// What had ended when it began.
    next: Ended,
    /// Whether it is among those that were open, and has not come to what is newer.
    is_among_open: bool,
    /// The last row: its transaction and its id.
    last: (i64, ConversationId),
}

/// Conversations that were changed, and where to look on.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// In the order of the transactions that changed them.
    pub conversations: Vec<ChangedConversation>,
    /// Where to look on.
    pub next: ChangeCursor,
    /// Whether there are more now.
    pub has_more: bool,
    /// When the server that answered was started, in microseconds since the epoch: another one than before is another
    /// server, or the same with another past, and may lack what the one before had confirmed.
    pub server_started: i64,
    /// The transactions of this server are behind the cursor: it lacks some that were there, if only such as were not
    /// committed. `next` is from before them.
    pub is_behind: bool,
}

/// The last of a conversation that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Whose it is.
    pub conversation_id: ConversationId,
    /// The message and its `seq`, if any was given.
    pub message: Option<(u64, MessageId)>,
    /// The number of what happened last, and when it did, if any was given.
    pub activity: Option<(u64, Timestamp)>,
}

/// What the database has where somebody was given something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Where.
    pub conversation_id: ConversationId,
    /// Its last message's `seq`; `None` if there is no such conversation.
    pub last_seq: Option<u64>,
    /// The number of the last thing that happened in it.
    pub last_activity: u64,
    /// Whether it has what was given; true where nothing was.
    pub is_there: bool,
}

/// A conversation that was changed, as it is now.
#[derive(Debug, Clone)]
pub struct ChangedConversation {
    /// Without its last message.
    pub conversation: InboxConversation,
    /// Up to where each side has received and read.
    pub marks: Marks,
    /// The number of the last thing that happened beside its messages.
    pub last_activity: u64,
    /// Whether its device may show it: to nobody but the person whose it is.
    pub is_shown: bool,
    /// Whether what an inbox shows of it was changed, and not only up to where its device has read.
    pub is_inbox_news: bool,
}

/// The conversations that were changed since then, for a node that may have missed the news; it may be told of some again.
/// On SQLite there never are any: no other process changes them.
#[derive(Debug, Clone)]
pub struct ListChanges {
    /// The end of what is known. `None` asks only where to begin.
    pub since: Option<ChangeCursor>,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListChanges {
    type Out = Changes;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        if let Session::Sqlite(_) = session {
            return Ok(Changes::default());
        }
        const NOW: &str = "SELECT pg_snapshot_xmax(now)::text::bigint, \
             array_to_string(ARRAY(SELECT pg_snapshot_xip(now)::text), ','), \
             (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint \
             FROM (SELECT pg_current_snapshot()) AS present (now)";
        let now = session
            .query_one(NOW, &[], |row| Ok((row.integer()?, transactions(&row.text()?), row.integer()?)))
            .await?;
        let (below, but, server_started) = now.unwrap_or_default();
        let now = Ended { below, but };
        let begin = |seen| ChangeCursor { seen, walk: None };
        let Some(since) = &self.since else {
            return Ok(Changes { next: begin(now), server_started, ..Changes::default() });
        };
        if now.below < since.seen.below {
            let below = now.below.saturating_sub(LOOKED_BACK).max(0);
            let next = begin(Ended { below, but: Vec::new() });
            return Ok(Changes { next, server_started, is_behind: true, ..Changes::default() });
        }
        let walk = since.walk.clone().unwrap_or_else(|| {
            let is_among_open = !since.seen.but.is_empty();
            // No id is empty: before all rows of that transaction.
            let last = (if is_among_open { 0 } else { since.seen.below }, ConversationId::from(""));
            Walk { next: now, is_among_open, last }
        });
        let rows = page(session, &since.seen, &walk, self.limit).await?;
        let last = rows.last().map(|row| (row.change, row.stored.conversation.id.clone()));
        let walk = match last.filter(|_| rows.len() >= self.limit as usize) {
            Some(last) => Some(Walk { last, ..walk.clone() }),
            None if walk.is_among_open => {
                let last = (since.seen.below, ConversationId::from(""));
                Some(Walk { is_among_open: false, last, ..walk.clone() })
            }
            None => None,
        }
        .ok_or(walk.next);
        let next = match walk {
            Ok(walk) => ChangeCursor { seen: since.seen.clone(), walk: Some(walk) },
            Err(seen) => begin(seen),
        };
        let conversations = rows.into_iter().map(|row| {
            let Stored { marks, is_shown, is_proven, last_activity, .. } = row.stored;
            // Who is proven where says who may see a proven person's.
            let is_shown = is_shown || is_proven;
            let is_inbox_news = !since.seen.has(row.inbox_change);
            ChangedConversation {
                conversation: row.stored.into_inbox(),
                marks,
                last_activity,
                is_shown,
                is_inbox_news,
            }
        });
        let has_more = next.walk.is_some();
        Ok(Changes {
            conversations: conversations.collect(),
            has_more,
            next,
            server_started,
            is_behind: false,
        })
    }
}

impl Read for ListChanges {}

/// A row that was changed.
struct Changed {
    change: i64,
    inbox_change: i64,
    stored: Stored,
}

/// The next rows of a walk through what had not ended.
async fn page(
    session: &mut Session<'_>,
    seen: &Ended,
    walk: &Walk,
    limit: u32,
) -> Result<Vec<Changed>, Error> {
    const NEWER: &str = concat!(
        "SELECT change, inbox_change, ",
        columns!(),
        " FROM conversations WHERE (change, id) > ($1, $2) ORDER BY change, id LIMIT $3"
    );
    const OF_OPEN: &str = concat!(
        "SELECT change, inbox_change, ",
        columns!(),
        " FROM conversations WHERE (change, id) > ($1, $2) AND change = ANY(string_to_array($3, ',')::bigint[]) \
         ORDER BY change, id LIMIT $4"
    );
    let read = |row: &mut Row<'_>| {
        Ok(Changed {
            change: row.integer()?,
            inbox_change: row.integer()?,
            stored: conversations::read(row)?,
        })
    };
    let (change, id) = &walk.last;
    let (change, id, limit) = (Param::Integer(*change), Param::Text(id), Param::Integer(limit.into()));
    if walk.is_among_open {
        let open: Vec<String> = seen.but.iter().map(ToString::to_string).collect();
        session.query(OF_OPEN, &[change, id, Param::Text(&open.join(",")), limit], read).await
    } else {
        session.query(NEWER, &[change, id, limit], read).await
    }
}

/// The numbers in a list, in ascending order.
fn transactions(text: &str) -> Vec<i64> {
    let mut numbers: Vec<i64> = text.split(',').filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// What the database has where somebody was given something; one round trip for all of them. It may be another one, which
/// lacks what the one before had confirmed. Those whose id can't be a conversation's are left out. On SQLite nobody is
/// answered for: its file can't be another while it is open.
#[derive(Debug, Clone)]
pub struct Compare {
    /// What was given, and where.
    pub given: Vec<Given>,
}

impl Operation for Compare {
    type Out = Vec<Compared>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        if let Session::Sqlite(_) = session {
            return Ok(Vec::new());
        }
        const SQL: &str = "SELECT given.conversation_id, c.last_seq, m.id, COALESCE(c.last_activity, 0), a.at \
             FROM unnest(string_to_array($1, ','), string_to_array($2, ',')::bigint[], string_to_array($3, ',')::bigint[]) \
             AS given(conversation_id, seq, n) LEFT JOIN conversations c ON c.id = given.conversation_id \
             LEFT JOIN messages m ON m.conversation_id = given.conversation_id AND m.seq = given.seq \
             LEFT JOIN activities a ON a.conversation_id = given.conversation_id AND a.n = given.n";
        let given: HashMap<&str, &Given> = self
            .given
            .iter()
            .map(|given| (given.conversation_id.as_str(), given))
            .filter(|(id, _)| !id.is_empty() && !id.contains(','))
            .collect();
        let ids: Vec<_> = given.keys().copied().collect();
        let seq = |id: &&str| given[id].message.as_ref().map_or(0, |(seq, _)| *seq).to_string();
        let seqs: Vec<_> = ids.iter().map(seq).collect();
        let n = |id: &&str| given[id].activity.map_or(0, |(n, _)| n).to_string();
        let numbers: Vec<_> = ids.iter().map(n).collect();
        let params =
            [Param::Text(&ids.join(",")), Param::Text(&seqs.join(",")), Param::Text(&numbers.join(","))];
        let rows = session
            .query(SQL, &params, |row| {
                let message = (row.id::<ConversationId>()?, row.optional_integer()?, row.optional_text()?);
                Ok((message, row.count()?, row.optional_integer()?))
            })
            .await?;
        let compared = rows.into_iter().filter_map(|((conversation_id, last_seq, id), last_activity, at)| {
            let given = given.get(conversation_id.as_str())?;
            let has_message =
                given.message.as_ref().is_none_or(|(_, known)| id.as_deref() == Some(known.as_str()));
            let has_activity = given.activity.is_none_or(|(_, known)| at == Some(known.epoch_ms()));
            let is_there = has_message && has_activity;
            let last_seq = last_seq.map(|seq| u64::try_from(seq).unwrap_or(0));
            Some(Compared { conversation_id, last_seq, last_activity, is_there })
        });
        Ok(compared.collect())
    }
}

impl Read for Compare {}
