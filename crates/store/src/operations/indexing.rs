//! The index of the search, made behind the commits and never within them.
//!
//! What is new is found by what is there, not by being told: on SQLite by the rows behind the last one that is indexed, on Postgres
//! by the transactions that changed conversations. How far a conversation is indexed stands in its row of `search_progress`,
//! which changes with the documents in one transaction: whoever does it, and however often, nothing is indexed twice or missed.

use std::collections::{HashMap, HashSet};

use protocol::{AppId, ConversationId, Timestamp};
use serde_json::{Value, json};

use super::changes::{self, ChangeCursor, ListChanges};
use super::search::{
    self, Kind, by_database, messages_named, named, named_postgres, named_sqlite, notes_named,
};
use super::{activity, messages};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session, integer};
use crate::words::{self, Words};

/// Between the parts of what is known of a person.
const BESIDE: &str = " · ";

/// How far the index is, and who makes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchState {
    /// Where it goes on with what is new; `None` before the first time.
    pub seen: Option<Seen>,
    /// Behind which conversation it goes on with what was there before; `None` before the first one.
    pub old_before: Option<ConversationId>,
    /// Whether all of that is done.
    pub is_complete: bool,
}

/// Where the index goes on with what is new. Opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// As it is kept.
    text: String,
    /// Within a walk of many pages on Postgres: where it is. Not kept: whoever begins the walk anew finds little to do.
    walk: Option<ChangeCursor>,
}

impl Seen {
    fn kept(text: String) -> Self {
        Self { text, walk: None }
    }
}

pub(super) async fn state(session: &mut Session<'_>) -> Result<SearchState, Error> {
    const SQL: &str = "SELECT seen, old_before, is_complete FROM search_state WHERE id = 1";
    let read = |row: &mut Row<'_>| {
        Ok(SearchState {
            seen: row.optional_text()?.map(Seen::kept),
            old_before: row.optional_text()?.map(ConversationId::from),
            is_complete: row.integer()? != 0,
        })
    };
    Ok(session.query_one(SQL, &[], read).await?.unwrap_or_default())
}

/// Takes the making of the index, or keeps it; `None` if another node has it. On SQLite there is no other.
#[derive(Debug, Clone)]
pub struct HoldIndexing {
    /// Who asks.
    pub holder: String,
    /// When.
    pub now: Timestamp,
    /// For how long it is theirs, in milliseconds.
    pub for_ms: i64,
}

impl Operation for HoldIndexing {
    type Out = Option<SearchState>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const HOLD: &str = "UPDATE search_state SET holder = $1, held_until = $2 \
            WHERE id = 1 AND (holder IS NULL OR holder = $1 OR held_until < $3)";
        if let Session::Postgres(_) = session {
            let now = self.now.epoch_ms();
            let params = [Param::Text(&self.holder), Param::Integer(now + self.for_ms), Param::Integer(now)];
            if session.execute(HOLD, &params).await? == 0 {
                return Ok(None);
            }
        }
        state(session).await.map(Some)
    }
}

impl Write for HoldIndexing {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Lets go of it, for another node to go on at once.
#[derive(Debug, Clone)]
pub struct EndIndexing {
    /// Who had it.
    pub holder: String,
}

impl Operation for EndIndexing {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE search_state SET holder = NULL WHERE id = 1 AND holder = $1";
        session.execute(SQL, &[Param::Text(&self.holder)]).await.map(drop)
    }
}

impl Write for EndIndexing {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Finds conversations in which there is something new.
#[derive(Debug, Clone)]
pub struct ListFresh {
    /// The end of what is indexed.
    pub seen: Option<Seen>,
    /// How many, at most: of each kind of rows on SQLite, of conversations on Postgres.
    pub limit: u32,
}

/// What a [`ListFresh`] has found.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// Each once.
    pub conversations: Vec<ConversationId>,
    /// The end of what is indexed, once these are.
    pub seen: Option<Seen>,
    /// Whether there are more now.
    pub has_more: bool,
    /// Messages and activity that wait, where that is known.
    pub waiting: u64,
}

impl Operation for ListFresh {
    type Out = Fresh;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        match session {
            Session::Sqlite(_) => fresh_by_row(session, self.seen.as_ref(), self.limit).await,
            Session::Postgres(_) => fresh_by_change(session, self.seen.as_ref(), self.limit).await,
        }
    }
}

impl Read for ListFresh {}

/// Rows are never taken away, and one writer adds them: what is new is above what was the last.
async fn fresh_by_row(session: &mut Session<'_>, seen: Option<&Seen>, limit: u32) -> Result<Fresh, Error> {
    const MESSAGES: &str =
        "SELECT rowid, conversation_id FROM messages WHERE rowid > $1 ORDER BY rowid LIMIT $2";
    const CONVERSATIONS: &str =
        "SELECT rowid, id FROM conversations WHERE rowid > $1 ORDER BY rowid LIMIT $2";
    // Whatever it was: an index of the notes alone would be written with each of them.
    const ACTIVITY: &str =
        "SELECT rowid, conversation_id FROM activities WHERE rowid > $1 ORDER BY rowid LIMIT $2";
    const LAST: &str = "SELECT (SELECT coalesce(max(rowid), 0) FROM messages) + (SELECT coalesce(max(rowid), 0) FROM activities)";
    let mut kept = seen.map_or("", |seen| seen.text.as_str()).split(' ').map(|row| row.parse().unwrap_or(0));
    let mut last: [i64; 3] = std::array::from_fn(|_| kept.next().unwrap_or(0));
    let newest = session.query_one(LAST, &[], |row| row.integer()).await?.unwrap_or_default();
    let waiting = u64::try_from(newest - last[0] - last[2]).unwrap_or(0);
    let (mut conversations, mut known, mut has_more) = (Vec::new(), HashSet::new(), false);
    for (sql, last) in [MESSAGES, CONVERSATIONS, ACTIVITY].into_iter().zip(&mut last) {
        let params = [Param::Integer(*last), Param::Integer(limit.into())];
        let rows =
            session.query(sql, &params, |row| Ok((row.integer()?, row.id::<ConversationId>()?))).await?;
        has_more |= rows.len() >= limit as usize;
        *last = rows.last().map_or(*last, |(row, _)| *row);
        conversations.extend(rows.into_iter().map(|(_, id)| id).filter(|id| known.insert(id.clone())));
    }
    let seen = Seen::kept(last.map(|row| row.to_string()).join(" "));
    Ok(Fresh { conversations, seen: Some(seen), has_more, waiting })
}

/// By the transactions that changed them, whichever node's they were.
async fn fresh_by_change(session: &mut Session<'_>, seen: Option<&Seen>, limit: u32) -> Result<Fresh, Error> {
    let since = seen.map(|seen| seen.walk.clone().unwrap_or_else(|| changes::cursor(&seen.text)));
    let changes = ListChanges { since, limit }.run(session).await?;
    Ok(Fresh {
        conversations: changes
            .conversations
            .into_iter()
            .map(|changed| changed.conversation.conversation.id)
            .collect(),
        seen: Some(Seen { text: changes::cursor_text(&changes.next), walk: Some(changes.next) }),
        has_more: changes.has_more,
        waiting: 0,
    })
}

/// The conversations that were there before, newest first.
#[derive(Debug, Clone)]
pub struct ListOld {
    /// The last one that is done; `None` before the first one.
    pub before: Option<ConversationId>,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListOld {
    type Out = Vec<ConversationId>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const FIRST: &str = "SELECT id FROM conversations ORDER BY id DESC LIMIT $1";
        const NEXT: &str = "SELECT id FROM conversations WHERE id < $1 ORDER BY id DESC LIMIT $2";
        let limit = Param::Integer(self.limit.into());
        match &self.before {
            None => session.query(FIRST, &[limit], |row| row.id()).await,
            Some(before) => session.query(NEXT, &[Param::Text(before), limit], |row| row.id()).await,
        }
    }
}

impl Read for ListOld {}

/// Reads what of these conversations is not indexed.
#[derive(Debug, Clone)]
pub struct LoadUnindexed {
    /// Which.
    pub conversations: Vec<ConversationId>,
    /// How many messages and how much activity, at most.
    pub limit: u64,
}

/// What a [`LoadUnindexed`] has found.
#[derive(Debug, Clone, Default)]
pub struct Unindexed {
    /// What there is to do; empty if all is done.
    pub parts: Vec<Part>,
    /// Messages and activity that wait, these among them.
    pub waiting: u64,
    /// When the first of them was stored.
    pub oldest: Option<Timestamp>,
}

/// What of one conversation is to be indexed next. Its words are cut when it is made.
#[derive(Debug, Clone)]
pub struct Part {
    conversation_id: ConversationId,
    app_id: AppId,
    before: Option<Progress>,
    after: Progress,
    documents: Vec<Document>,
}

impl Part {
    /// How many documents there are.
    pub fn documents(&self) -> usize {
        self.documents.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    seq: u64,
    activity: u64,
    person: String,
}

impl Progress {
    /// Of a conversation of which nothing is indexed.
    const NONE: &'static Self = &Self { seq: 0, activity: 0, person: String::new() };
}

#[derive(Debug, Clone)]
struct Document {
    n: i64,
    kind: Kind,
    seq: u64,
    text: String,
    words: String,
}

impl Document {
    fn new(at: Timestamp, conversation_id: &ConversationId, kind: Kind, seq: u64, text: String) -> Self {
        Self { n: search::place(at, conversation_id, kind, seq), kind, seq, text, words: String::new() }
    }

    fn cut(&mut self, app_id: &AppId) {
        self.words = words::of_app(app_id);
        for word in Words::of(&std::mem::take(&mut self.text)).iter() {
            self.words.push(' ');
            self.words.push_str(word);
        }
    }
}

/// A conversation, and how far it is indexed.
struct Standing {
    id: ConversationId,
    app_id: AppId,
    created_at: Timestamp,
    last_seq: u64,
    last_activity: u64,
    person: String,
    before: Option<Progress>,
}

impl Standing {
    fn indexed(&self) -> &Progress {
        self.before.as_ref().unwrap_or(Progress::NONE)
    }

    /// How many messages wait, and how much activity.
    fn waiting(&self) -> u64 {
        let Progress { seq, activity, .. } = self.indexed();
        self.last_seq.saturating_sub(*seq) + self.last_activity.saturating_sub(*activity)
    }

    fn has_another_person(&self) -> bool {
        self.before.as_ref().is_none_or(|before| before.person != self.person)
    }
}

macro_rules! standing {
    ($named:expr) => {
        concat!(
            "SELECT c.id, c.app_id, c.created_at, c.last_seq, c.last_activity, c.user_name, COALESCE(q.name, d.user_name), \
             COALESCE(q.email, d.user_email), c.user_id, c.device_id, p.seq, p.activity, p.person FROM ",
            $named,
            " JOIN conversations c ON c.id = v.c LEFT JOIN search_progress p ON p.conversation_id = c.id \
             LEFT JOIN people q ON c.is_proven = 1 AND q.app_id = c.app_id AND q.user_id = c.user_id \
             LEFT JOIN devices d ON c.is_proven = 0 AND d.is_proven = 0 AND d.app_id = c.app_id \
             AND d.device_id = c.device_id AND d.user_id = c.user_id"
        )
    };
}

fn read_standing(row: &mut Row<'_>) -> Result<Standing, Error> {
    let (id, app_id) = (row.id()?, row.id()?);
    let created_at = Timestamp::from_epoch_ms(row.integer()?);
    let (last_seq, last_activity) = (row.count()?, row.count()?);
    let mut known: Vec<String> = Vec::new();
    for _ in 0..5 {
        // The name that it was written under, the present one, the address, the person's id, the device's.
        let part = row.optional_text()?.filter(|part| !part.is_empty() && !known.contains(part));
        known.extend(part);
    }
    let person = known.join(BESIDE).replace('\0', "");
    let count = |number| u64::try_from(number).unwrap_or(0);
    let (seq, activity) = (row.optional_integer()?.map(count), row.optional_integer()?.map(count));
    let said = row.optional_text()?;
    let before =
        seq.zip(activity).zip(said).map(|((seq, activity), person)| Progress { seq, activity, person });
    Ok(Standing { id, app_id, created_at, last_seq, last_activity, person, before })
}

impl Operation for LoadUnindexed {
    type Out = Unindexed;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let rows = named(self.conversations.iter().map(|id| (id, 0, 0)));
        let sql = by_database!(session, standing);
        let mut standing = session.query(sql, &[Param::Text(&rows)], read_standing).await?;
        let waiting = standing.iter().map(Standing::waiting).sum();
        standing.retain(|row| row.waiting() > 0 || row.has_another_person());
        let mut room = self.limit;
        let mut parts = Vec::new();
        for row in standing {
            if room == 0 {
                break;
            }
            let Progress { seq, activity, .. } = *row.indexed();
            let until_seq = row.last_seq.min(seq + room).max(seq);
            let left = room - (until_seq - seq);
            let until_activity = row.last_activity.min(activity + left).max(activity);
            room = (left - (until_activity - activity)).min(room - 1);
            let mut documents = Vec::new();
            if row.has_another_person() {
                let person = Document::new(row.created_at, &row.id, Kind::Person, 0, row.person.clone());
                documents.push(person);
            }
            parts.push(Part {
                conversation_id: row.id,
                app_id: row.app_id,
                before: row.before,
                after: Progress { seq: until_seq, activity: until_activity, person: row.person },
                documents,
            });
        }
        let (mut messages, mut notes) = (Vec::new(), Vec::new());
        if let Some(rows) = new_of(&parts, |progress| progress.seq) {
            let sql = by_database!(session, messages_named);
            messages = session.query(sql, &[Param::Text(&rows)], messages::read).await?;
        }
        if let Some(rows) = new_of(&parts, |progress| progress.activity) {
            let sql = by_database!(session, notes_named);
            notes = session.query(sql, &[Param::Text(&rows)], activity::read).await?;
        }
        let times = messages.iter().map(|message| message.created_at);
        let oldest = times.chain(notes.iter().map(|note| note.at)).min();
        let places: HashMap<ConversationId, usize> =
            parts.iter().enumerate().map(|(place, part)| (part.conversation_id.clone(), place)).collect();
        let mut put = |id: &ConversationId, document: Document| {
            if let Some(part) = places.get(id).and_then(|place| parts.get_mut(*place)) {
                part.documents.push(document);
            }
        };
        for message in messages {
            let (at, id) = (message.created_at, &message.conversation_id);
            put(id, Document::new(at, id, Kind::Message, message.seq, message.body));
        }
        for note in notes {
            let id = &note.conversation_id;
            let text = note.body.unwrap_or_default();
            put(id, Document::new(note.at, id, Kind::Note, note.n, text));
        }
        Ok(Unindexed { parts, waiting, oldest })
    }
}

impl Read for LoadUnindexed {}

/// What is new in these parts, by the number that it goes by; `None` if nothing is.
fn new_of(parts: &[Part], number: impl Fn(&Progress) -> u64) -> Option<String> {
    let spans = parts.iter().map(|part| {
        let from = number(part.before.as_ref().unwrap_or(Progress::NONE));
        (&part.conversation_id, from, number(&part.after))
    });
    let mut spans = spans.filter(|(_, from, until)| until > from).peekable();
    spans.peek().is_some().then(|| named(spans))
}

/// How far the index is after something was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// What is new is indexed up to here.
    Seen(Seen),
    /// What was there before is, up to this conversation; without one, all of it.
    Old(Option<ConversationId>),
}

/// Indexes what is to be, and notes how far that is. What another node has done meanwhile is not done again. Answers how many
/// documents were indexed.
#[derive(Debug, Clone)]
pub struct Index {
    parts: Vec<Part>,
    mark: Option<Mark>,
}

impl Index {
    /// With the words cut, which is most of the work and none of the database's.
    pub fn new(mut parts: Vec<Part>, mark: Option<Mark>) -> Self {
        let mut taken = HashSet::new();
        for part in &mut parts {
            for document in &mut part.documents {
                document.cut(&part.app_id);
                while !taken.insert(document.n) {
                    document.n -= 1;
                }
            }
        }
        Self { parts, mark }
    }
}

/// `$1` as rows (conversation, app, seq, activity, person, and what they were).
macro_rules! progress_sqlite {
    () => {
        "(SELECT json_extract(value, '$.c') AS c, json_extract(value, '$.a') AS a, json_extract(value, '$.s') AS s, \
         json_extract(value, '$.n') AS n, json_extract(value, '$.p') AS p, json_extract(value, '$.bs') AS bs, \
         json_extract(value, '$.bn') AS bn, json_extract(value, '$.bp') AS bp FROM json_each($1)) AS v"
    };
}

macro_rules! progress_postgres {
    () => {
        "jsonb_to_recordset(CAST(CAST($1 AS TEXT) AS jsonb)) AS v \
         (c TEXT, a TEXT, s BIGINT, n BIGINT, p TEXT, bs BIGINT, bn BIGINT, bp TEXT)"
    };
}

macro_rules! begin_progress {
    ($rows:expr) => {
        concat!(
            "INSERT INTO search_progress (conversation_id, app_id, seq, activity, person) SELECT v.c, v.a, v.s, v.n, v.p FROM ",
            $rows,
            " WHERE v.bp IS NULL ORDER BY v.c ON CONFLICT (conversation_id) DO NOTHING RETURNING conversation_id"
        )
    };
}

macro_rules! go_on {
    ($rows:expr) => {
        concat!(
            "UPDATE search_progress SET seq = v.s, activity = v.n, person = v.p FROM ",
            $rows,
            " WHERE search_progress.conversation_id = v.c AND search_progress.seq = v.bs \
             AND search_progress.activity = v.bn AND search_progress.person = v.bp RETURNING conversation_id"
        )
    };
}

impl Operation for Index {
    type Out = u64;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let mut indexed = 0;
        if !self.parts.is_empty() {
            let rows = self.parts.iter().map(|part| {
                let before = part.before.as_ref();
                json!({ "c": part.conversation_id, "a": part.app_id, "s": part.after.seq, "n": part.after.activity,
                    "p": part.after.person, "bs": before.map(|before| before.seq),
                    "bn": before.map(|before| before.activity), "bp": before.map(|before| &before.person) })
            });
            let rows = Value::Array(rows.collect()).to_string();
            let statements = match session {
                Session::Sqlite(_) => [begin_progress!(progress_sqlite!()), go_on!(progress_sqlite!())],
                Session::Postgres(_) => [begin_progress!(progress_postgres!()), go_on!(progress_postgres!())],
            };
            let mut mine: HashSet<ConversationId> = HashSet::new();
            for sql in statements {
                mine.extend(session.query(sql, &[Param::Text(&rows)], |row| row.id()).await?);
            }
            let parts = self.parts.iter().filter(|part| mine.contains(&part.conversation_id));
            let documents: Vec<(&Part, &Document)> =
                parts.flat_map(|part| part.documents.iter().map(move |document| (part, document))).collect();
            match session {
                Session::Sqlite(_) => put_sqlite(session, &documents).await?,
                Session::Postgres(_) => put_postgres(session, &documents).await?,
            }
            indexed = documents.len() as u64;
        }
        match &self.mark {
            None => {}
            Some(Mark::Seen(seen)) => {
                const SEEN: &str = "UPDATE search_state SET seen = $1 WHERE id = 1";
                session.execute(SEEN, &[Param::Text(&seen.text)]).await?;
            }
            Some(Mark::Old(before)) => {
                const OLD: &str = "UPDATE search_state SET old_before = $1, is_complete = $2 WHERE id = 1";
                let is_complete = Param::Integer(before.is_none().into());
                session.execute(OLD, &[Param::OptionalText(before.as_deref()), is_complete]).await?;
            }
        }
        Ok(indexed)
    }
}

impl Write for Index {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

async fn put_sqlite(session: &mut Session<'_>, documents: &[(&Part, &Document)]) -> Result<(), Error> {
    const AT: &str = "SELECT conversation_id, kind, seq FROM search_documents WHERE n = $1";
    const PUT: &str =
        "INSERT INTO search_documents (n, app_id, conversation_id, kind, seq) VALUES ($1, $2, $3, $4, $5)";
    const FORGET: &str = "DELETE FROM search_words WHERE rowid = $1";
    const WORDS: &str = "INSERT INTO search_words (rowid, words) VALUES ($1, $2)";
    for (part, document) in documents {
        let mut n = document.n;
        let read = |row: &mut Row<'_>| Ok((row.id::<ConversationId>()?, row.text()?, row.count()?));
        let is_there = loop {
            match session.query_one(AT, &[Param::Integer(n)], read).await? {
                None => break false,
                Some((id, kind, seq))
                    if id == part.conversation_id
                        && kind == document.kind.as_str()
                        && seq == document.seq =>
                {
                    break true;
                }
                Some(_) => n -= 1,
            }
        };
        if is_there {
            session.execute(FORGET, &[Param::Integer(n)]).await?;
        } else {
            let params = [
                Param::Integer(n),
                Param::Text(&part.app_id),
                Param::Text(&part.conversation_id),
                Param::Text(document.kind.as_str()),
                Param::Integer(integer(document.seq)),
            ];
            session.execute(PUT, &params).await?;
        }
        session.execute(WORDS, &[Param::Integer(n), Param::Text(&document.words)]).await?;
    }
    Ok(())
}

/// All in one statement; who finds their place taken is put below it by the next one.
async fn put_postgres(session: &mut Session<'_>, documents: &[(&Part, &Document)]) -> Result<(), Error> {
    const PUT: &str = "INSERT INTO search_documents (n, app_id, conversation_id, kind, seq, words) \
        SELECT v.n, v.a, v.c, v.k, v.s, array_to_tsvector(string_to_array(v.w, ' ')) \
        FROM jsonb_to_recordset(CAST(CAST($1 AS TEXT) AS jsonb)) AS v (n BIGINT, a TEXT, c TEXT, k TEXT, s BIGINT, w TEXT) \
        ORDER BY v.n ON CONFLICT (n) DO UPDATE SET words = excluded.words \
        WHERE search_documents.conversation_id = excluded.conversation_id AND search_documents.kind = excluded.kind \
        AND search_documents.seq = excluded.seq RETURNING n";
    let mut left: Vec<(i64, &Part, &Document)> =
        documents.iter().map(|(part, document)| (document.n, *part, *document)).collect();
    while !left.is_empty() {
        let rows = left.iter().map(|(n, part, document)| {
            json!({ "n": n, "a": part.app_id, "c": part.conversation_id, "k": document.kind.as_str(),
                "s": document.seq, "w": document.words })
        });
        let rows = Value::Array(rows.collect()).to_string();
        let put: HashSet<i64> =
            session.query(PUT, &[Param::Text(&rows)], |row| row.integer()).await?.into_iter().collect();
        left.retain(|(n, ..)| !put.contains(n));
        let mut taken = HashSet::new();
        for (n, ..) in &mut left {
            *n -= 1;
            while !taken.insert(*n) {
                *n -= 1;
            }
        }
    }
    Ok(())
}
