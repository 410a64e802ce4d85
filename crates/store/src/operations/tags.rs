//! What the team sorts conversations by: short words on them, and an app's list of those that are offered.

use std::collections::BTreeSet;

use protocol::rest::KnownTag;
use protocol::{ActivityKind, Actor, AppId, ConversationId, Timestamp};

use super::activity::{self, Changed, Happening};
use super::audit::{self, Act};
use super::conversations::{self, Scope, Stored};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session};

/// Puts tags on a conversation and takes others off, and records that. Those that are new to the app go on its list.
#[derive(Debug, Clone)]
pub struct ChangeTags {
    /// How far the caller sees.
    pub scope: Scope,
    /// The conversation.
    pub id: ConversationId,
    /// What is put on; what is there already stays.
    pub add: Vec<String>,
    /// What is taken off, before anything is put on.
    pub remove: Vec<String>,
    /// How many a conversation may have.
    pub most: usize,
    /// How many an app's list may have.
    pub most_of_app: u64,
    /// Who does it.
    pub by: Actor,
    /// The record of it.
    pub act: Act,
}

/// What came of changing tags.
#[derive(Debug, Clone)]
pub enum Tagged {
    /// It is so.
    Done(Changed),
    /// The conversation would have more than it may.
    TooMany,
    /// The app's list would have more than it may.
    ListFull,
    /// There is no such conversation.
    NotFound,
}

/// A conversation's tags, in their order, from the text that the database keeps.
pub(crate) fn parse(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

impl Operation for ChangeTags {
    type Out = Tagged;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { scope, id, add, remove, most, most_of_app, by, act } = self;
        session.lock_conversation(id).await?;
        let Some(mut stored) = conversations::find(session, scope, id).await? else {
            return Ok(Tagged::NotFound);
        };
        let before: BTreeSet<String> = std::mem::take(&mut stored.tags).into_iter().collect();
        let kept = before.iter().filter(|tag| !remove.contains(tag));
        let after: BTreeSet<String> = kept.chain(add).cloned().collect();
        let (added, removed): (Vec<_>, Vec<_>) =
            (after.difference(&before).cloned().collect(), before.difference(&after).cloned().collect());
        if after.len() > *most {
            return Ok(Tagged::TooMany);
        }
        stored.tags = after.into_iter().collect();
        let mut activity = Vec::new();
        if !(added.is_empty() && removed.is_empty()) {
            if !add_to_list(session, &scope.app_id, &added, *most_of_app, act.at).await? {
                return Ok(Tagged::ListFull);
            }
            write(session, &stored, &added, &removed).await?;
            let happened = added.into_iter().map(|tag| (ActivityKind::Tagged, tag));
            for (kind, tag) in happened.chain(removed.into_iter().map(|tag| (ActivityKind::Untagged, tag))) {
                let happening =
                    Happening { body: Some(tag), ..Happening::new(kind, act.at, Some(by.clone()), None) };
                activity.push(activity::append(session, id, happening).await?);
            }
            audit::append(session, act).await?;
        }
        stored.conversation.last_message = conversations::last_message(session, &stored).await?;
        Ok(Tagged::Done(Changed { conversation: Box::new(stored.into_inbox()), activity }))
    }
}

impl Write for ChangeTags {
    fn key(&self) -> &str {
        &self.id
    }
}

async fn write(
    session: &mut Session<'_>,
    stored: &Stored,
    added: &[String],
    removed: &[String],
) -> Result<(), Error> {
    const SET: &str = "UPDATE conversations SET tags = $1 WHERE id = $2";
    const ADD: &str = "INSERT INTO conversation_tags (conversation_id, tag, app_id, status, updated_at) \
        VALUES ($1, $2, $3, $4, $5)";
    const REMOVE: &str = "DELETE FROM conversation_tags WHERE conversation_id = $1 AND tag = $2";
    let conversation = &stored.conversation;
    let tags = stored.tags.join("\n");
    session.execute(SET, &[Param::Text(&tags), Param::Text(&conversation.id)]).await?;
    for tag in added {
        let params = [
            Param::Text(&conversation.id),
            Param::Text(tag),
            Param::Text(&conversation.app_id),
            Param::Text(conversation.status.as_str()),
            Param::Integer(conversation.updated_at.epoch_ms()),
        ];
        session.execute(ADD, &params).await?;
    }
    for tag in removed {
        session.execute(REMOVE, &[Param::Text(&conversation.id), Param::Text(tag)]).await?;
    }
    Ok(())
}

/// False if the list would have more than it may; nothing is added then.
async fn add_to_list(
    session: &mut Session<'_>,
    app_id: &AppId,
    tags: &[String],
    most: u64,
    now: Timestamp,
) -> Result<bool, Error> {
    const KNOWN: &str = "SELECT 1 FROM tags WHERE app_id = $1 AND tag = $2";
    const COUNT: &str = "SELECT count(*) FROM tags WHERE app_id = $1";
    const ADD: &str = "INSERT INTO tags (app_id, tag, created_at) VALUES ($1, $2, $3)";
    let mut unknown = Vec::new();
    for tag in tags {
        if session.query_one(KNOWN, &[Param::Text(app_id), Param::Text(tag)], |_| Ok(())).await?.is_none() {
            unknown.push(tag);
        }
    }
    if unknown.is_empty() {
        return Ok(true);
    }
    session.lock(&format!("tags {app_id}")).await?;
    let count =
        session.query_one(COUNT, &[Param::Text(app_id)], |row| row.count()).await?.unwrap_or_default();
    let mut room = most.saturating_sub(count);
    for tag in unknown {
        // Somebody else may have added it before the lock was had.
        if session.query_one(KNOWN, &[Param::Text(app_id), Param::Text(tag)], |_| Ok(())).await?.is_some() {
            continue;
        }
        if room == 0 {
            return Ok(false);
        }
        room -= 1;
        let params = [Param::Text(app_id), Param::Text(tag), Param::Integer(now.epoch_ms())];
        session.execute(ADD, &params).await?;
    }
    Ok(true)
}

/// An app's list of tags in alphabetical order, with how many open conversations have each, at most
/// [`COUNTED`](protocol::limits::COUNTED).
#[derive(Debug, Clone)]
pub struct ListTags {
    /// The app.
    pub app_id: AppId,
}

impl Operation for ListTags {
    type Out = Vec<KnownTag>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT t.tag, (SELECT count(*) FROM (SELECT 1 FROM conversation_tags c WHERE c.app_id = $1 \
            AND c.tag = t.tag AND c.status = 'open' LIMIT 1000) AS counted) FROM tags t WHERE t.app_id = $1 ORDER BY t.tag";
        let read = |row: &mut Row<'_>| Ok(KnownTag { tag: row.text()?, open: row.count()? });
        session.query(SQL, &[Param::Text(&self.app_id)], read).await
    }
}

const _: () = assert!(protocol::limits::COUNTED == 1_000, "the statement has the number as text");

impl Read for ListTags {}

/// Adds a tag to an app's list. False if the list has as many as it may.
#[derive(Debug, Clone)]
pub struct AddTag {
    /// The app.
    pub app_id: AppId,
    /// The tag.
    pub tag: String,
    /// How many the list may have.
    pub most: u64,
    /// The record of it.
    pub act: Act,
}

impl Operation for AddTag {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let Self { app_id, tag, most, act } = self;
        let is_there = add_to_list(session, app_id, std::slice::from_ref(tag), *most, act.at).await?;
        if is_there {
            audit::append(session, act).await?;
        }
        Ok(is_there)
    }
}

impl Write for AddTag {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Takes a tag off an app's list; conversations keep it. False if it is not on it.
#[derive(Debug, Clone)]
pub struct RemoveTag {
    /// The app.
    pub app_id: AppId,
    /// The tag.
    pub tag: String,
    /// The record of it.
    pub act: Act,
}

impl Operation for RemoveTag {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const REMOVE: &str = "DELETE FROM tags WHERE app_id = $1 AND tag = $2";
        let Self { app_id, tag, act } = self;
        let was_there = session.execute(REMOVE, &[Param::Text(app_id), Param::Text(tag)]).await? > 0;
        if was_there {
            audit::append(session, act).await?;
        }
        Ok(was_there)
    }
}

impl Write for RemoveTag {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
