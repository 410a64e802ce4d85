//! Which of the credentials that opened something are good no longer, of whatever kind: one question for all.

use protocol::{AppId, Timestamp, TokenId};
use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read};
use crate::session::{Param, Session};

/// What opened a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Credential {
    /// An agent's token.
    Token(TokenId),
    /// One of an app's keys.
    Key(AppId, KeyId),
}

/// Which of an app's keys: the first 64 bits of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

/// Digits of a hash that name a key.
const KEY_DIGITS: usize = 16;

impl KeyId {
    /// The key with this hash, in hexadecimal.
    pub fn of(hash: &str) -> Self {
        let digits = hash.get(..KEY_DIGITS).unwrap_or(hash);
        Self(u64::from_str_radix(digits, 16).unwrap_or_default())
    }
}

/// `$1` as rows (app, id): the app of a key, or none for a token.
macro_rules! void {
    ($shown:literal) => {
        concat!(
            "SELECT shown.app, shown.id FROM ",
            $shown,
            " LEFT JOIN admin_tokens t ON shown.app IS NULL AND t.id = shown.id \
             LEFT JOIN apps a ON a.id = shown.app WHERE CASE \
             WHEN shown.app IS NULL THEN t.id IS NULL OR t.revoked_at IS NOT NULL OR t.expires_at <= $2 \
             WHEN a.id IS NULL OR substr(a.api_key_hash, 1, 16) = shown.id THEN a.id IS NULL \
             ELSE a.old_key_hash IS NULL OR substr(a.old_key_hash, 1, 16) <> shown.id OR a.old_key_until <= $2 END"
        )
    };
}

const VOID_SQLITE: &str = void!(
    "(SELECT json_extract(value, '$.app') AS app, json_extract(value, '$.id') AS id FROM json_each($1)) AS shown"
);
const VOID_POSTGRES: &str =
    void!("jsonb_to_recordset(CAST(CAST($1 AS TEXT) AS jsonb)) AS shown (app text, id text)");

/// Those of the credentials that are revoked, expired, replaced, or were never there; one question for all.
#[derive(Debug, Clone)]
pub struct FindVoid {
    /// Those that are asked about.
    pub shown: Vec<Credential>,
    /// When.
    pub now: Timestamp,
}

impl Operation for FindVoid {
    type Out = Vec<Credential>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let rows: Vec<_> = self
            .shown
            .iter()
            .map(|credential| match credential {
                Credential::Token(id) => json!({ "app": null, "id": id }),
                Credential::Key(app_id, KeyId(key)) => json!({ "app": app_id, "id": format!("{key:016x}") }),
            })
            .collect();
        let text = serde_json::to_string(&rows)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let sql = match session {
            Session::Sqlite(_) => VOID_SQLITE,
            Session::Postgres(_) => VOID_POSTGRES,
        };
        session
            .query(sql, &[Param::Text(&text), Param::Integer(self.now.epoch_ms())], |row| {
                let (app_id, id) = (row.optional_text()?, row.text()?);
                Ok(match app_id {
                    None => Credential::Token(id.into()),
                    Some(app_id) => Credential::Key(app_id.into(), KeyId::of(&id)),
                })
            })
            .await
    }
}

impl Read for FindVoid {}
