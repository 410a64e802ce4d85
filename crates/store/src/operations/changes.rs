//! What was changed lately, for a node that may have missed the news. Postgres only.

use protocol::{ConversationId, InboxConversation};

use super::conversations::{self, Marks, Stored, columns};
use crate::error::Error;
use crate::session::{Param, Session};

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
    const OLDEST: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
    const SQL: &str = concat!(
        "SELECT change, ",
        columns!(),
        " FROM conversations WHERE (change, id) > ($1, $2) ORDER BY change, id LIMIT $3"
    );
    let oldest = session.query_one(OLDEST, &[], |row| row.integer()).await?.unwrap_or(0);
    let begin = |floor| ChangeCursor { change: floor, id: None, floor: None };
    let Some(since) = since else {
        return Ok(Changes { next: begin(oldest), ..Changes::default() });
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
    Ok(Changes { conversations: conversations.collect(), next, has_more })
}
