//! Which of the credentials that opened something are good no longer, of whatever kind: one question for all.

use protocol::{AppId, Timestamp, TokenId};
use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::operation::{Operation, Read};
use crate::session::{Param, Session};

/// What opened a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Credential {
    /// An admin token, and the version of its agent, or 0 where it has none.
    Token(TokenId, u64),
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

/// Why a credential opens nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// It is over.
    Gone,
    /// It opens something else than it did: to be shown again.
    Changed,
}

/// `$2` as rows (app, id, version): the app of a key, or none for a token.
macro_rules! void {
    ($shown:literal) => {
        concat!(
            "SELECT shown.app, shown.id, shown.version, CAST(CASE WHEN shown.app IS NULL AND t.id IS NOT NULL \
             AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $1) \
             AND (t.agent_id IS NULL OR g.is_disabled = 0) THEN 1 ELSE 0 END AS BIGINT) FROM ",
            $shown,
            " LEFT JOIN admin_tokens t ON shown.app IS NULL AND t.id = shown.id \
             LEFT JOIN agents g ON g.id = t.agent_id \
             LEFT JOIN apps a ON a.id = shown.app WHERE CASE \
             WHEN shown.app IS NULL THEN t.id IS NULL OR t.revoked_at IS NOT NULL OR t.expires_at <= $1 \
             OR (t.agent_id IS NOT NULL AND (g.id IS NULL OR g.is_disabled <> 0 OR g.version <> shown.version)) \
             WHEN a.id IS NULL OR substr(a.api_key_hash, 1, 16) = shown.id THEN a.id IS NULL \
             ELSE a.old_key_hash IS NULL OR substr(a.old_key_hash, 1, 16) <> shown.id OR a.old_key_until <= $1 END"
        )
    };
}

const VOID_SQLITE: &str = void!(
    "(SELECT json_extract(value, '$.app') AS app, json_extract(value, '$.id') AS id, \
     json_extract(value, '$.version') AS version FROM json_each($2)) AS shown"
);
const VOID_POSTGRES: &str =
    void!("jsonb_to_recordset(CAST(CAST($2 AS TEXT) AS jsonb)) AS shown (app text, id text, version bigint)");

/// Those of the credentials that are revoked, expired, replaced, or were never there, or open something else than they did; one
/// question for all.
#[derive(Debug, Clone)]
pub struct FindVoid {
    /// Those that are asked about.
    pub shown: Vec<Credential>,
    /// When.
    pub now: Timestamp,
}

impl Operation for FindVoid {
    type Out = Vec<(Credential, Void)>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        let rows: Vec<_> = self
            .shown
            .iter()
            .map(|credential| match credential {
                Credential::Token(id, version) => json!({ "app": null, "id": id, "version": version }),
                Credential::Key(app_id, KeyId(key)) => {
                    json!({ "app": app_id, "id": format!("{key:016x}"), "version": 0 })
                }
            })
            .collect();
        let text = serde_json::to_string(&rows)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let sql = match session {
            Session::Sqlite(_) => VOID_SQLITE,
            Session::Postgres(_) => VOID_POSTGRES,
        };
        session
            .query(sql, &[Param::Integer(self.now.epoch_ms()), Param::Text(&text)], |row| {
                let (app_id, id, version) = (row.optional_text()?, row.text()?, row.count()?);
                let void = if row.integer()? == 0 { Void::Gone } else { Void::Changed };
                let credential = match app_id {
                    None => Credential::Token(id.into(), version),
                    Some(app_id) => Credential::Key(app_id.into(), KeyId::of(&id)),
                };
                Ok((credential, void))
            })
            .await
    }
}

impl Read for FindVoid {}
