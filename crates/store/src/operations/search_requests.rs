//! What the index of the search is asked to do that the messages don't say: to look at people anew, or to begin anew.

use protocol::{AppId, ConversationId};

use super::apps;
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session};
use crate::words;

/// What is to be done that the messages don't say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// What.
    pub what: Requested,
    version: i64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// To make the index of an app anew, or of all.
    Rebuild(Option<AppId>),
    /// To look at a person's conversations: they have another name or address.
    Person(AppId, String),
    /// To look at a device's conversations: it has another person, or they another name or address.
    Device(AppId, String),
}

impl Requested {
    fn row(&self) -> [&str; 3] {
        match self {
            Self::Rebuild(app_id) => ["rebuild", app_id.as_deref().unwrap_or(""), ""],
            Self::Person(app_id, id) => ["person", app_id, id],
            Self::Device(app_id, id) => ["device", app_id, id],
        }
    }

    /// Its conversations, where it is about some.
    fn of(kind: &str, app_id: &str, id: String) -> Self {
        let app = || AppId::from(app_id);
        match kind {
            "person" => Self::Person(app(), id),
            "device" => Self::Device(app(), id),
            _ => Self::Rebuild((!app_id.is_empty()).then(app)),
        }
    }
}

/// Asks for it; the one that makes the index does it.
pub(super) async fn request(session: &mut Session<'_>, what: &Requested) -> Result<(), Error> {
    const SQL: &str = "INSERT INTO search_requests (kind, app_id, id, version) VALUES ($1, $2, $3, 1) \
        ON CONFLICT (kind, app_id, id) DO UPDATE SET version = search_requests.version + 1";
    session.execute(SQL, &what.row().map(Param::Text)).await.map(drop)
}

/// Asks for the index of an app, or of all, to be made anew. False if there is no such app.
#[derive(Debug, Clone)]
pub struct RebuildSearch {
    /// Which app; all, without one.
    pub app_id: Option<AppId>,
}

impl Operation for RebuildSearch {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const INCOMPLETE: &str = "UPDATE search_state SET is_complete = 0 WHERE id = 1";
        if let Some(app_id) = &self.app_id
            && apps::find(session, app_id).await?.is_none()
        {
            return Ok(false);
        }
        request(session, &Requested::Rebuild(self.app_id.clone())).await?;
        session.execute(INCOMPLETE, &[]).await?;
        Ok(true)
    }
}

impl Write for RebuildSearch {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// The next thing that is asked for, if any is: what takes long last.
#[derive(Debug, Clone)]
pub struct NextSearchRequest;

impl Operation for NextSearchRequest {
    type Out = Option<SearchRequest>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str =
            "SELECT kind, app_id, id, version FROM search_requests ORDER BY kind, app_id, id LIMIT 1";
        let read = |row: &mut Row<'_>| {
            let what = Requested::of(&row.text()?, &row.text()?, row.text()?);
            Ok(SearchRequest { what, version: row.integer()? })
        };
        session.query_one(SQL, &[], read).await
    }
}

impl Read for NextSearchRequest {}

/// The conversations that a request is about, a page of them.
#[derive(Debug, Clone)]
pub struct ListRequested {
    /// The request.
    pub what: Requested,
    /// Behind this one.
    pub after: Option<ConversationId>,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListRequested {
    type Out = Vec<ConversationId>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const OF_PERSON: &str = "SELECT id FROM conversations WHERE app_id = $1 AND user_id = $2 AND is_proven = 1 \
            AND id > $3 ORDER BY id LIMIT $4";
        const OF_DEVICE: &str = "SELECT id FROM conversations WHERE app_id = $1 AND device_id = $2 AND id > $3 ORDER BY id LIMIT $4";
        let (sql, app_id, id) = match &self.what {
            Requested::Rebuild(_) => return Ok(Vec::new()),
            Requested::Person(app_id, id) => (OF_PERSON, app_id, id),
            Requested::Device(app_id, id) => (OF_DEVICE, app_id, id),
        };
        let params = [
            Param::Text(app_id),
            Param::Text(id),
            Param::Text(self.after.as_deref().unwrap_or("")),
            Param::Integer(self.limit.into()),
        ];
        session.query(sql, &params, |row| row.id()).await
    }
}

impl Read for ListRequested {}

/// It is done, unless it was asked for again meanwhile.
#[derive(Debug, Clone)]
pub struct EndSearchRequest {
    /// What was done.
    pub request: SearchRequest,
}

impl Operation for EndSearchRequest {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        end_request(session, &self.request).await
    }
}

impl Write for EndSearchRequest {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

async fn end_request(session: &mut Session<'_>, request: &SearchRequest) -> Result<(), Error> {
    const SQL: &str =
        "DELETE FROM search_requests WHERE kind = $1 AND app_id = $2 AND id = $3 AND version = $4";
    let [kind, app_id, id] = request.what.row().map(Param::Text);
    session.execute(SQL, &[kind, app_id, id, Param::Integer(request.version)]).await.map(drop)
}

/// Takes a part of an index away that is to be made anew. Once all of it is gone, what there is is indexed as what was there
/// before, and that is answered: true. Until then it is found no more, and nothing is lost if this ends in between.
#[derive(Debug, Clone)]
pub struct ForgetIndex {
    /// What is asked for.
    pub request: SearchRequest,
    /// How many documents, at most.
    pub limit: u32,
}

impl Operation for ForgetIndex {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const AGAIN: &str = "UPDATE search_state SET old_before = NULL, is_complete = 0 WHERE id = 1";
        let Requested::Rebuild(app_id) = &self.request.what else { return Ok(true) };
        if forget(session, app_id.as_ref(), self.limit).await? {
            return Ok(false);
        }
        session.execute(AGAIN, &[]).await?;
        end_request(session, &self.request).await?;
        Ok(true)
    }
}

impl Write for ForgetIndex {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Whether there was anything to forget: first documents, and when there are none, how far they went.
async fn forget(session: &mut Session<'_>, app_id: Option<&AppId>, limit: u32) -> Result<bool, Error> {
    const ALL_WORDS: &str = "INSERT INTO search_words (search_words) VALUES ('delete-all')";
    const ALL_DOCUMENTS: &str = "DELETE FROM search_documents";
    const ALL_PROGRESS: &str = "DELETE FROM search_progress";
    const APPS_PLACES: &str = "SELECT rowid FROM search_words WHERE search_words MATCH $1 LIMIT $2";
    const WORDS: &str = "DELETE FROM search_words WHERE rowid = $1";
    const DOCUMENT: &str = "DELETE FROM search_documents WHERE n = $1";
    const SOME_DOCUMENTS: &str =
        "DELETE FROM search_documents WHERE n IN (SELECT n FROM search_documents ORDER BY n LIMIT $1)";
    const SOME_PROGRESS: &str = "DELETE FROM search_progress WHERE conversation_id IN \
        (SELECT conversation_id FROM search_progress ORDER BY conversation_id LIMIT $1)";
    const APPS_DOCUMENTS: &str = "DELETE FROM search_documents WHERE n IN \
        (SELECT n FROM search_documents WHERE app_id = $1 ORDER BY n LIMIT $2)";
    const APPS_PROGRESS: &str = "DELETE FROM search_progress WHERE conversation_id IN \
        (SELECT conversation_id FROM search_progress WHERE app_id = $1 ORDER BY conversation_id LIMIT $2)";
    let most = || Param::Integer(limit.into());
    let is_sqlite = matches!(session, Session::Sqlite(_));
    let Some(app_id) = app_id else {
        if is_sqlite {
            session.execute(ALL_WORDS, &[]).await?;
            session.execute(ALL_DOCUMENTS, &[]).await?;
            session.execute(ALL_PROGRESS, &[]).await?;
            return Ok(false);
        }
        return Ok(session.execute(SOME_DOCUMENTS, &[most()]).await? > 0
            || session.execute(SOME_PROGRESS, &[most()]).await? > 0);
    };
    let had_documents = if is_sqlite {
        let question = format!("\"{}\"", words::of_app(app_id));
        let places =
            session.query(APPS_PLACES, &[Param::Text(&question), most()], |row| row.integer()).await?;
        for n in &places {
            session.execute(WORDS, &[Param::Integer(*n)]).await?;
            session.execute(DOCUMENT, &[Param::Integer(*n)]).await?;
        }
        !places.is_empty()
    } else {
        session.execute(APPS_DOCUMENTS, &[Param::Text(app_id), most()]).await? > 0
    };
    Ok(had_documents || session.execute(APPS_PROGRESS, &[Param::Text(app_id), most()]).await? > 0)
}
