//! What can be searched, and how it is found. How it comes to be indexed is in [`indexing`](super::indexing).
//!
//! A document is a message, a note, or what is known of who writes in a conversation. Its place `n` is made of when that was and of what it
//! is, so that both databases have the same documents in the same order, and a page ends at a number. [`Words`] are cut before
//! they come here. SQLite keeps them in an FTS5 table without texts, Postgres as a `tsvector` under a GIN index: the statements
//! that match are siblings, all others have one text.

use std::collections::{HashMap, HashSet};

use protocol::{
    Activity, AgentId, AppId, ConversationId, ConversationStatus, InboxConversation, Message, Timestamp,
};
use serde_json::{Value, json};

use super::conversations::{self, Scope, columns};
use super::indexing::state;
use super::{activity, messages};
use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read};
use crate::session::{Param, Row, Session, integer};
use crate::words::{self, Sought};

/// Documents that match and are looked at for one page, where only conversations of some kind are wanted.
const LOOKED_AT: i64 = 2_000;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Message,
    Note,
    Person,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Note => "note",
            Self::Person => "person",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Message, Self::Note, Self::Person].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a document stands among all others: by its time, and within a millisecond in an order that any node would give it. A
/// conversation's messages stand by their `seq`, and its notes by their `n`, however many there are of one time: every 1,024 of
/// them count as a millisecond. Where that place is taken, it is the next one below that is free.
pub(super) fn place(at: Timestamp, conversation_id: &ConversationId, kind: Kind, seq: u64) -> i64 {
    const TIME_BITS: u32 = 43;
    let at = at.epoch_ms().saturating_add(integer(seq >> 10)).clamp(0, (1 << TIME_BITS) - 1);
    // FNV-1a: it must never change.
    let hash =
        conversation_id.bytes().chain(kind.as_str().bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    at << 20 | integer((hash & 0x3FF) << 10 | seq & 0x3FF)
}

/// Looks for documents, newest first.
#[derive(Debug, Clone)]
pub struct Search {
    /// How far the caller sees. A device sees nothing.
    pub scope: Scope,
    /// What each document has to have.
    pub sought: Sought,
    /// Only in conversations with this status, if set.
    pub status: Option<ConversationStatus>,
    /// Only in conversations that are with this agent, if set.
    pub assignee_id: Option<AgentId>,
    /// Behind this place, if set.
    pub after: Option<i64>,
    /// How many, at most.
    pub limit: u32,
}

/// What a [`Search`] has found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// The place behind which it goes on, if it does. There may be more though nothing was found up to it.
    pub next: Option<i64>,
    /// Whether all that is stored has been indexed; what has come in the last moments aside.
    pub is_complete: bool,
}

/// A document that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its place: what is behind it is behind this.
    pub place: i64,
    /// Where it is.
    pub conversation: InboxConversation,
    /// What it is.
    pub what: HitWhat,
}

/// What was found.
#[derive(Debug, Clone)]
pub enum HitWhat {
    /// A message.
    Message(Box<Message>),
    /// What agents wrote for each other; it has a body.
    Note(Box<Activity>),
    /// Who writes in the conversation: all that is known of them, as one text.
    Person(String),
}

/// A document's place, and where it belongs.
struct Match {
    n: i64,
    conversation_id: ConversationId,
    kind: Kind,
    /// A note's is its number among the activity.
    seq: u64,
    status: String,
    assignee_id: Option<String>,
}

fn read_match(row: &mut Row<'_>) -> Result<Match, Error> {
    Ok(Match {
        n: row.integer()?,
        conversation_id: row.id()?,
        kind: kind(&row.text()?)?,
        seq: row.count()?,
        status: row.text()?,
        assignee_id: row.optional_text()?,
    })
}

fn kind(text: &str) -> Result<Kind, Error> {
    Kind::parse(text).ok_or_else(|| Error::new(ErrorKind::Internal, format!("kind of a document {text:?}")))
}

/// A page of matches, with what is asked of their conversations.
macro_rules! with_conversation {
    ($app:literal, $($page:tt)*) => {
        concat!(
            "SELECT d.n, d.conversation_id, d.kind, d.seq, c.status, c.assignee_id FROM (", $($page)*,
            ") AS d JOIN conversations c ON c.id = d.conversation_id AND c.app_id = ", $app, " ORDER BY d.n DESC"
        )
    };
}

/// The index goes through the words' own places, newest first, and stops.
const MATCHING_SQLITE: &str = with_conversation!(
    "$4",
    "SELECT o.n, o.conversation_id, o.kind, o.seq FROM \
     (SELECT rowid AS n FROM search_words WHERE search_words MATCH $1 AND rowid < $2 ORDER BY rowid DESC LIMIT $3) AS found \
     JOIN search_documents o ON o.n = found.n AND o.app_id = $4"
);

/// What is frequent is among the newest: those are looked at one after another, for a GIN index knows no order and would bring all
/// there are.
const NEWEST_POSTGRES: &str = with_conversation!(
    "$1",
    "SELECT n, conversation_id, kind, seq FROM (SELECT n, conversation_id, kind, seq, words FROM search_documents \
     WHERE app_id = $1 AND n < $2 ORDER BY n DESC LIMIT 4000) AS newest \
     WHERE words @@ CAST(CAST($3 AS TEXT) AS tsquery) ORDER BY n DESC LIMIT $4"
);

/// What is not, is found by the index, all of it, and then sorted. The index is asked for `$3` only; the function is the same as
/// `@@` and goes by no index.
const MATCHING_POSTGRES: &str = with_conversation!(
    "$1",
    "SELECT n, conversation_id, kind, seq FROM (SELECT n, conversation_id, kind, seq, words FROM search_documents \
     WHERE app_id = $1 AND n < $2 AND words @@ CAST(CAST($3 AS TEXT) AS tsquery) OFFSET 0) AS found \
     WHERE ts_match_vq(words, CAST(CAST($4 AS TEXT) AS tsquery)) ORDER BY n DESC LIMIT $5"
);

/// The words as FTS5 is asked: strings, each a word's beginning. Nothing in a word has a meaning there.
fn question_sqlite(app_id: &AppId, sought: &Sought) -> String {
    let mut question = format!("\"{}\"", words::of_app(app_id));
    for word in sought.iter() {
        question.push_str(" AND \"");
        question.push_str(word);
        question.push_str("\"*");
    }
    question
}

/// The words as a `tsquery` is written, in quotes: nothing in a word has a meaning there.
fn question_postgres<'w>(app_id: &AppId, words: impl Iterator<Item = &'w str>) -> String {
    let mut question = format!("'{}'", words::of_app(app_id));
    for word in words {
        question.push_str(" & '");
        question.push_str(word);
        question.push_str("':*");
    }
    question
}

/// Whether a word says enough to be looked up by: what begins with one or two letters is a part of the whole index.
fn is_telling(word: &str) -> bool {
    word.chars().count() > 2 || !word.is_ascii()
}

impl Search {
    async fn matches(&self, session: &mut Session<'_>, limit: i64) -> Result<Vec<Match>, Error> {
        let app_id = &self.scope.app_id;
        let (app, before) = (|| Param::Text(app_id), || Param::Integer(self.after.unwrap_or(i64::MAX)));
        if let Session::Sqlite(_) = session {
            let question = question_sqlite(app_id, &self.sought);
            let params = [Param::Text(&question), before(), Param::Integer(limit), app()];
            return session.query(MATCHING_SQLITE, &params, read_match).await;
        }
        let whole = question_postgres(app_id, self.sought.iter());
        let params = [app(), before(), Param::Text(&whole), Param::Integer(limit)];
        let newest = session.query(NEWEST_POSTGRES, &params, read_match).await?;
        if integer(newest.len() as u64) >= limit {
            return Ok(newest);
        }
        let telling = question_postgres(app_id, self.sought.iter().filter(|word| is_telling(word)));
        let has_telling = self.sought.iter().any(is_telling);
        let by_index = if has_telling { &telling } else { &whole };
        let params = [app(), before(), Param::Text(by_index), Param::Text(&whole), Param::Integer(limit)];
        session.query(MATCHING_POSTGRES, &params, read_match).await
    }
}

impl Operation for Search {
    type Out = Found;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        if self.scope.device_id.is_some() {
            return Err(Error::new(ErrorKind::Internal, "a device has no search"));
        }
        let is_complete = state(session).await?.is_complete;
        if self.sought.is_empty() {
            return Ok(Found { is_complete, ..Found::default() });
        }
        let is_any = self.status.is_none() && self.assignee_id.is_none();
        let wanted = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let looked_at =
            if is_any { i64::from(self.limit) + 1 } else { LOOKED_AT.max(i64::from(self.limit) + 1) };
        let matches = self.matches(session, looked_at).await?;
        let has_seen_all = integer(matches.len() as u64) < looked_at;
        let last_seen = matches.last().map(|found| found.n);
        let is_wanted = |found: &Match| {
            self.status.is_none_or(|status| found.status == status.as_str())
                && self
                    .assignee_id
                    .as_ref()
                    .is_none_or(|id| found.assignee_id.as_deref() == Some(id.as_str()))
        };
        let mut matches: Vec<Match> = matches.into_iter().filter(is_wanted).collect();
        let has_more = matches.len() > wanted;
        matches.truncate(wanted);
        let next = match matches.last() {
            Some(last) if has_more => Some(last.n),
            _ if has_seen_all => None,
            _ => last_seen,
        };
        let hits = hits(session, &self.scope.app_id, matches).await?;
        Ok(Found { hits, next, is_complete })
    }
}

impl Read for Search {}

/// `$1` as rows (conversation, seq).
macro_rules! named_sqlite {
    () => {
        "(SELECT json_extract(value, '$.c') AS c, json_extract(value, '$.s') AS s, json_extract(value, '$.u') AS u \
         FROM json_each($1)) AS v"
    };
}
pub(super) use named_sqlite;

macro_rules! named_postgres {
    () => {
        "jsonb_to_recordset(CAST(CAST($1 AS TEXT) AS jsonb)) AS v (c TEXT, s BIGINT, u BIGINT)"
    };
}
pub(super) use named_postgres;

// The conversations are found by their names, which the order of the tables keeps a planner from turning round.
macro_rules! conversations_named {
    ($named:expr) => {
        concat!(
            "SELECT page.*, m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id \
             FROM (SELECT ",
            columns!(),
            " FROM ",
            $named,
            " CROSS JOIN conversations WHERE id = v.c AND app_id = $2) AS page \
             LEFT JOIN messages AS m ON m.conversation_id = page.id AND m.seq = page.last_seq"
        )
    };
}

macro_rules! messages_named {
    ($named:expr) => {
        concat!(
            "SELECT m.conversation_id, m.seq, m.id, m.local_id, m.body, m.sender, m.sender_name, m.created_at, m.sender_id FROM ",
            $named,
            " JOIN messages m ON m.conversation_id = v.c AND m.seq > v.s AND m.seq <= v.u ORDER BY m.conversation_id, m.seq"
        )
    };
}
pub(super) use messages_named;

macro_rules! notes_named {
    ($named:expr) => {
        concat!(
            "SELECT a.conversation_id, a.n, a.kind, a.at, a.by_id, a.by_name, a.to_id, a.to_name, a.body, a.local_id FROM ",
            $named,
            " JOIN activities a ON a.conversation_id = v.c AND a.n > v.s AND a.n <= v.u AND a.kind = 'note' \
             ORDER BY a.conversation_id, a.n"
        )
    };
}
pub(super) use notes_named;

macro_rules! people_named {
    ($named:expr) => {
        concat!(
            "SELECT p.conversation_id, p.person FROM search_progress p WHERE p.conversation_id IN (SELECT v.c FROM ",
            $named,
            ")"
        )
    };
}

/// A statement about what its first parameter names.
macro_rules! by_database {
    ($session:expr, $statement:ident) => {
        match $session {
            Session::Sqlite(_) => $statement!(named_sqlite!()),
            Session::Postgres(_) => $statement!(named_postgres!()),
        }
    };
}
pub(super) use by_database;

pub(super) fn named<'c>(rows: impl IntoIterator<Item = (&'c ConversationId, u64, u64)>) -> String {
    let rows = rows.into_iter().map(|(id, after, until)| json!({ "c": id, "s": after, "u": until }));
    Value::Array(rows.collect()).to_string()
}

async fn hits(session: &mut Session<'_>, app_id: &AppId, matches: Vec<Match>) -> Result<Vec<Hit>, Error> {
    if matches.is_empty() {
        return Ok(Vec::new());
    }
    let ids: HashSet<&ConversationId> = matches.iter().map(|found| &found.conversation_id).collect();
    let homes = named(ids.into_iter().map(|id| (id, 0, 0)));
    let of = |kind: Kind| {
        let found = matches.iter().filter(move |found| found.kind == kind);
        named(found.map(|found| (&found.conversation_id, found.seq.saturating_sub(1), found.seq)))
    };
    let has = |kind: Kind| matches.iter().any(|found| found.kind == kind);
    let with_newest = |row: &mut Row<'_>| {
        let mut stored = conversations::read(row)?;
        stored.conversation.last_message = messages::read_beside(row, stored.marks)?;
        Ok((stored.conversation.id.clone(), stored))
    };
    let sql = by_database!(session, conversations_named);
    let rows = session.query(sql, &[Param::Text(&homes), Param::Text(app_id)], with_newest).await?;
    let homes_by_id: HashMap<_, _> = rows.into_iter().collect();
    let (mut messages, mut notes, mut people) = (HashMap::new(), HashMap::new(), HashMap::new());
    if has(Kind::Message) {
        let sql = by_database!(session, messages_named);
        let rows = session.query(sql, &[Param::Text(&of(Kind::Message))], messages::read).await?;
        let place = |message: &Message| (message.conversation_id.clone(), message.seq);
        messages.extend(rows.into_iter().map(|message| (place(&message), message)));
    }
    if has(Kind::Note) {
        let sql = by_database!(session, notes_named);
        let rows = session.query(sql, &[Param::Text(&of(Kind::Note))], activity::read).await?;
        let place = |note: &Activity| (note.conversation_id.clone(), note.n);
        notes.extend(rows.into_iter().map(|note| (place(&note), note)));
    }
    if has(Kind::Person) {
        let sql = by_database!(session, people_named);
        let read = |row: &mut Row<'_>| Ok((row.id::<ConversationId>()?, row.text()?));
        people.extend(session.query(sql, &[Param::Text(&homes)], read).await?);
    }
    let hit = |found: Match| {
        let home = homes_by_id.get(&found.conversation_id)?.clone();
        let place = (found.conversation_id.clone(), found.seq);
        let what = match found.kind {
            Kind::Message => {
                let message = messages.remove(&place)?;
                HitWhat::Message(Box::new(messages::with_status(message, home.marks)))
            }
            Kind::Note => HitWhat::Note(Box::new(notes.remove(&place)?)),
            Kind::Person => HitWhat::Person(people.get(&found.conversation_id)?.clone()),
        };
        Some(Hit { place: found.n, conversation: home.into_inbox(), what })
    };
    Ok(matches.into_iter().filter_map(hit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stand_by_their_time_and_then_by_their_seq_for_ever() {
        let at = |ms, seq| place(Timestamp::from_epoch_ms(ms), &"conv_1".into(), Kind::Message, seq);
        assert!(at(1, 9) < at(2, 1) && at(2, 1) < at(2, 2) && at(-5, 1) >= 0);
        assert!(at(i64::MAX, 1) > at(4_000_000_000_000, 1_023));
        assert!(at(1, 1_023) < at(1, 1_024) && at(1, 1_024) < at(1, 1_025));
        // What is stored must stay where it is.
        assert_eq!(at(1_700_000_000_000, 7), 1_782_579_200_000_264_199);
    }

    #[test]
    fn a_question_is_one_for_either_database() {
        let sought = Sought::of("\"Ann*\" NEAR(x:y) & O'Neil ann@example.com").unwrap();
        let app = AppId::from("a");
        let words: Vec<_> = sought.iter().collect();
        assert_eq!(words, ["ann＠example．com", "near", "oneil", "x", "y"]);
        assert_eq!(
            question_sqlite(&app, &sought),
            "\"＃61＃\" AND \"ann＠example．com\"* AND \"near\"* AND \"oneil\"* AND \"x\"* AND \"y\"*"
        );
        assert_eq!(
            question_postgres(&app, sought.iter()),
            "'＃61＃' & 'ann＠example．com':* & 'near':* & 'oneil':* & 'x':* & 'y':*"
        );
    }
}
