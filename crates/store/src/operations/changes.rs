//! What was changed lately, for a node that may have missed the news. Postgres only.

use std::collections::HashMap;

use protocol::{ConversationId, InboxConversation, MessageId};

use super::conversations::{self, Marks, Stored, columns};
use crate::error::Error;
use crate::session::{Param, Session};

/// Transactions before the present one among which is what was not seen of a server that lacks some: far more than there
/// are between two looks.
const LOOKED_BACK: i64 = 10_000;

/// Up to where changes have been seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeCursor {
    /// The last row's transaction.
    change: i64,
    /// The last row; none at the beginning of a walk, before all rows of its transaction.
    id: Option<ConversationId>,
    /// Within a walk of several pages: where the next walk begins. Below it nothing could be committed any more when
    /// this walk began.
    floor: Option<i64>,
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

/// The last message of a conversation that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Whose it is.
    pub conversation_id: ConversationId,
    /// The message and its `seq`, if any was given.
    pub message: Option<(u64, MessageId)>,
}

/// What the database has where somebody was given something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Where.
    pub conversation_id: ConversationId,
    /// Its last message's `seq`; `None` if there is no such conversation.
    pub last_seq: Option<u64>,
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
    /// Whether its device shows it: to nobody but the person whose it is.
    pub is_shown: bool,
}

/// The changes at and after `since`; must be asked in a transaction that sees one state.
pub(crate) async fn since(
    session: &mut Session<'_>,
    since: Option<&ChangeCursor>,
    limit: u32,
) -> Result<Changes, Error> {
    const OLDEST: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, \
         (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint";
    const SQL: &str = concat!(
        "SELECT change, ",
        columns!(),
        " FROM conversations WHERE (change, id) > ($1, $2) ORDER BY change, id LIMIT $3"
    );
    let now = session.query_one(OLDEST, &[], |row| Ok((row.integer()?, row.integer()?))).await?;
    let (oldest, server_started) = now.unwrap_or_default();
    let begin = |floor| ChangeCursor { change: floor, id: None, floor: None };
    let Some(since) = since else {
        return Ok(Changes { next: begin(oldest), server_started, ..Changes::default() });
    };
    let floor = since.floor.unwrap_or(oldest);
    let params = [
        Param::Integer(since.change),
        // No id is empty.
        Param::Text(since.id.as_ref().map_or("", ConversationId::as_str)),
        Param::Integer(limit.into()),
    ];
    let rows = session.query(SQL, &params, |row| Ok((row.integer()?, conversations::read(row)?))).await?;
    let has_more = rows.len() >= limit as usize;
    let next = match rows.last() {
        Some((change, stored)) if has_more => {
            ChangeCursor { change: *change, id: Some(stored.conversation.id.clone()), floor: Some(floor) }
        }
        _ => begin(floor),
    };
    let conversations = rows.into_iter().map(|(_, stored)| {
        let Stored { marks, is_shown, .. } = stored;
        ChangedConversation { conversation: stored.into_inbox(), marks, is_shown }
    });
    let is_behind = oldest < since.floor.unwrap_or(since.change);
    if is_behind {
        let next = begin(oldest.saturating_sub(LOOKED_BACK).max(0));
        return Ok(Changes { next, server_started, is_behind, ..Changes::default() });
    }
    Ok(Changes { conversations: conversations.collect(), next, has_more, server_started, is_behind })
}

/// What the database has where somebody was given something; one round trip for all of them. Those whose id can't be a
/// conversation's are left out.
pub(crate) async fn compare(session: &mut Session<'_>, given: &[Given]) -> Result<Vec<Compared>, Error> {
    const SQL: &str = "SELECT given.conversation_id, c.last_seq, m.id FROM unnest(string_to_array($1, ','), \
         string_to_array($2, ',')::bigint[]) AS given(conversation_id, seq) \
         LEFT JOIN conversations c ON c.id = given.conversation_id \
         LEFT JOIN messages m ON m.conversation_id = given.conversation_id AND m.seq = given.seq";
    let given: HashMap<&str, &Given> = given
        .iter()
        .map(|given| (given.conversation_id.as_str(), given))
        .filter(|(id, _)| !id.is_empty() && !id.contains(','))
        .collect();
    let ids: Vec<_> = given.keys().copied().collect();
    let seq = |id: &&str| given[id].message.as_ref().map_or(0, |(seq, _)| *seq).to_string();
    let seqs: Vec<_> = ids.iter().map(seq).collect();
    let params = [Param::Text(&ids.join(",")), Param::Text(&seqs.join(","))];
    let rows = session
        .query(SQL, &params, |row| {
            Ok((row.id::<ConversationId>()?, row.optional_integer()?, row.optional_text()?))
        })
        .await?;
    let compared = rows.into_iter().filter_map(|(conversation_id, last_seq, id)| {
        let message = given.get(conversation_id.as_str())?.message.as_ref();
        let is_there = message.is_none_or(|(_, known)| id.as_deref() == Some(known.as_str()));
        let last_seq = last_seq.map(|seq| u64::try_from(seq).unwrap_or(0));
        Some(Compared { conversation_id, last_seq, is_there })
    });
    Ok(compared.collect())
}
