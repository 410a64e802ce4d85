//! What a team writes again and again.

use protocol::{AppId, CannedReply, CannedReplyId, Timestamp};

use super::audit::{self, Act};
use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Read, Write};
use crate::session::{Param, Row, Session};

/// The columns that [`read`] takes, in its order.
macro_rules! canned_columns {
    () => {
        "SELECT id, shortcut, text, created_at, updated_at FROM canned_replies "
    };
}

fn read(row: &mut Row<'_>) -> Result<CannedReply, Error> {
    Ok(CannedReply {
        id: row.id()?,
        shortcut: row.text()?,
        text: row.text()?,
        created_at: Timestamp::from_epoch_ms(row.integer()?),
        updated_at: Timestamp::from_epoch_ms(row.integer()?),
    })
}

/// An app's canned replies, by their shortcuts.
#[derive(Debug, Clone)]
pub struct ListCannedReplies {
    /// The app.
    pub app_id: AppId,
    /// Behind this shortcut; empty is from the first on.
    pub after: String,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListCannedReplies {
    type Out = Vec<CannedReply>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str =
            concat!(canned_columns!(), "WHERE app_id = $1 AND shortcut > $2 ORDER BY shortcut LIMIT $3");
        let params = [Param::Text(&self.app_id), Param::Text(&self.after), Param::Integer(self.limit.into())];
        session.query(SQL, &params, read).await
    }
}

impl Read for ListCannedReplies {}

/// What came of writing a canned reply.
#[derive(Debug, Clone)]
pub enum Canned {
    /// It is so.
    Done(CannedReply),
    /// Another one of the app has that shortcut.
    Taken,
    /// The app has as many as it may.
    TooMany,
    /// There is none of that id in the app.
    NotFound,
}

/// Adds a canned reply.
#[derive(Debug, Clone)]
pub struct AddCannedReply {
    /// The app.
    pub app_id: AppId,
    /// It.
    pub reply: CannedReply,
    /// How many an app may have.
    pub most: u64,
    /// The record of it.
    pub act: Act,
}

impl Operation for AddCannedReply {
    type Out = Canned;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const COUNT: &str = "SELECT count(*) FROM canned_replies WHERE app_id = $1";
        const ADD: &str = "INSERT INTO canned_replies (id, app_id, shortcut, text, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $5)";
        let Self { app_id, reply, most, act } = self;
        lock(session, app_id).await?;
        if of_shortcut(session, app_id, &reply.shortcut).await?.is_some() {
            return Ok(Canned::Taken);
        }
        let count = session.query_one(COUNT, &[Param::Text(app_id)], |row| row.count()).await?;
        if count.unwrap_or_default() >= *most {
            return Ok(Canned::TooMany);
        }
        let params = [
            Param::Text(&reply.id),
            Param::Text(app_id),
            Param::Text(&reply.shortcut),
            Param::Text(&reply.text),
            Param::Integer(reply.created_at.epoch_ms()),
        ];
        session.execute(ADD, &params).await?;
        audit::append(session, act).await?;
        Ok(Canned::Done(reply.clone()))
    }
}

impl Write for AddCannedReply {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Changes a canned reply; what is not given stays.
#[derive(Debug, Clone)]
pub struct ChangeCannedReply {
    /// The app.
    pub app_id: AppId,
    /// Which.
    pub id: CannedReplyId,
    /// Its new shortcut.
    pub shortcut: Option<String>,
    /// Its new text.
    pub text: Option<String>,
    /// The record of it.
    pub act: Act,
}

impl Operation for ChangeCannedReply {
    type Out = Canned;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const CHANGE: &str =
            "UPDATE canned_replies SET shortcut = $1, text = $2, updated_at = $3 WHERE id = $4";
        let Self { app_id, id, shortcut, text, act } = self;
        lock(session, app_id).await?;
        let Some(before) = find(session, app_id, id).await? else { return Ok(Canned::NotFound) };
        let after = CannedReply {
            shortcut: shortcut.clone().unwrap_or_else(|| before.shortcut.clone()),
            text: text.clone().unwrap_or_else(|| before.text.clone()),
            updated_at: act.at,
            ..before.clone()
        };
        let other = of_shortcut(session, app_id, &after.shortcut).await?;
        if other.is_some_and(|other| other != *id) {
            return Ok(Canned::Taken);
        }
        if (&after.shortcut, &after.text) == (&before.shortcut, &before.text) {
            return Ok(Canned::Done(before));
        }
        let params = [
            Param::Text(&after.shortcut),
            Param::Text(&after.text),
            Param::Integer(after.updated_at.epoch_ms()),
            Param::Text(id),
        ];
        session.execute(CHANGE, &params).await?;
        audit::append(session, act).await?;
        Ok(Canned::Done(after))
    }
}

impl Write for ChangeCannedReply {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Removes a canned reply. False if there is none of that id in the app.
#[derive(Debug, Clone)]
pub struct RemoveCannedReply {
    /// The app.
    pub app_id: AppId,
    /// Which.
    pub id: CannedReplyId,
    /// The record of it.
    pub act: Act,
}

impl Operation for RemoveCannedReply {
    type Out = bool;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const REMOVE: &str = "DELETE FROM canned_replies WHERE id = $1 AND app_id = $2";
        let Self { app_id, id, act } = self;
        let was_there = session.execute(REMOVE, &[Param::Text(id), Param::Text(app_id)]).await? > 0;
        if was_there {
            audit::append(session, act).await?;
        }
        Ok(was_there)
    }
}

impl Write for RemoveCannedReply {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}

/// Two who write at once see what the other has written.
async fn lock(session: &mut Session<'_>, app_id: &AppId) -> Result<(), Error> {
    session.lock(&format!("canned replies {app_id}")).await
}

async fn find(
    session: &mut Session<'_>,
    app_id: &AppId,
    id: &CannedReplyId,
) -> Result<Option<CannedReply>, Error> {
    const SQL: &str = concat!(canned_columns!(), "WHERE id = $1 AND app_id = $2");
    session.query_one(SQL, &[Param::Text(id), Param::Text(app_id)], read).await
}

async fn of_shortcut(
    session: &mut Session<'_>,
    app_id: &AppId,
    shortcut: &str,
) -> Result<Option<CannedReplyId>, Error> {
    const SQL: &str = "SELECT id FROM canned_replies WHERE app_id = $1 AND shortcut = $2";
    session.query_one(SQL, &[Param::Text(app_id), Param::Text(shortcut)], |row| row.id()).await
}
