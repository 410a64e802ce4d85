//! The append-only record of administrative acts: there is an operation to add and one to read, and no other.

use protocol::{AppId, AuditEntry, Timestamp};

use crate::error::Error;
use crate::operation::{Operation, Read};
use crate::session::{Param, Session, integer};

/// An administrative act about to be recorded, in the transaction that does it.
#[derive(Debug, Clone)]
pub struct Act {
    /// Whose app.
    pub app_id: AppId,
    /// When.
    pub at: Timestamp,
    /// Who: `cli`, or an admin token's id.
    pub actor: String,
    /// What, as `noun.verb`.
    pub action: &'static str,
    /// On what.
    pub target: String,
    /// More about it; never a secret.
    pub details: Option<serde_json::Value>,
}

pub(super) async fn append(session: &mut Session<'_>, act: &Act) -> Result<(), Error> {
    // Two who add at once must not take the same id.
    session.lock("audit").await?;
    let details = act.details.as_ref().map(serde_json::Value::to_string);
    session
        .execute(
            "INSERT INTO audit_log (app_id, at, actor, action, target, details, id) \
             SELECT $1, $2, $3, $4, $5, $6, COALESCE(MAX(id), 0) + 1 FROM audit_log",
            &[
                Param::Text(&act.app_id),
                Param::Integer(act.at.epoch_ms()),
                Param::Text(&act.actor),
                Param::Text(act.action),
                Param::Text(&act.target),
                Param::OptionalText(details.as_deref()),
            ],
        )
        .await?;
    Ok(())
}

/// Acts, the newest first.
#[derive(Debug, Clone)]
pub struct ListActs {
    /// Of this app, or of all.
    pub app_id: Option<AppId>,
    /// Only those before the one with this number.
    pub before: Option<u64>,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListActs {
    type Out = Vec<AuditEntry>;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "SELECT id, at, actor, action, target, details FROM audit_log \
            WHERE (CAST($1 AS TEXT) IS NULL OR app_id = $1) AND id < $2 ORDER BY id DESC LIMIT $3";
        let params = [
            Param::OptionalText(self.app_id.as_deref()),
            Param::Integer(self.before.map_or(i64::MAX, integer)),
            Param::Integer(self.limit.into()),
        ];
        session
            .query(SQL, &params, |row| {
                Ok(AuditEntry {
                    id: row.count()?,
                    at: Timestamp::from_epoch_ms(row.integer()?),
                    actor: row.text()?,
                    action: row.text()?,
                    target: row.text()?,
                    details: row.optional_text()?.and_then(|text| serde_json::from_str(&text).ok()),
                })
            })
            .await
    }
}

impl Read for ListActs {}
