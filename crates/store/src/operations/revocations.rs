//! Devices whose connections have to go, in the order in which that was committed. Nodes are told of it on the bus; this is
//! where they find what the bus has lost, and what a command has done.

use protocol::{AppId, Code, DeviceId, Timestamp, UserId};

use crate::error::Error;
use crate::operation::{Operation, Read};
use crate::session::{Param, Session, integer};

/// For how long a node may be away and still find what it has missed.
const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Whoever was let in at a device before this has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its number: 1, 2, 3 … in the order of the commits.
    pub n: u64,
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// Connections that were let in under a lower version of the device go.
    pub version: u64,
    /// Why, in the words of [`Code`]. Those of a later version may be unknown.
    pub reason: String,
}

/// Holds up everyone else who revokes. To be had before any row is changed, and after a device's lock: who has it waits for
/// rows, so that who has rows must not wait for it.
pub(super) async fn lock(session: &mut Session<'_>) -> Result<(), Error> {
    session.lock("device revocations").await
}

/// As [`revoke`], at all devices that the person uses.
pub(super) async fn revoke_person(
    session: &mut Session<'_>,
    app_id: &AppId,
    user_id: &UserId,
    reason: Code,
    now: Timestamp,
) -> Result<(), Error> {
    const RAISE: &str = "UPDATE devices SET version = version + 1 WHERE app_id = $1 AND user_id = $2";
    const ADD: &str = "INSERT INTO device_revocations (n, app_id, device_id, version, reason, at) \
        SELECT COALESCE((SELECT MAX(n) FROM device_revocations), 0) + ROW_NUMBER() OVER (ORDER BY d.device_id), \
        d.app_id, d.device_id, d.version, $1, $2 FROM devices d WHERE d.app_id = $3 AND d.user_id = $4";
    lock(session).await?;
    session.execute(RAISE, &[Param::Text(app_id), Param::Text(user_id)]).await?;
    let params = [
        Param::Text(reason.as_str()),
        Param::Integer(now.epoch_ms()),
        Param::Text(app_id),
        Param::Text(user_id),
    ];
    session.execute(ADD, &params).await.map(drop)
}

/// What was let in at the device up to now is to be let in anew.
pub(super) async fn revoke(
    session: &mut Session<'_>,
    app_id: &AppId,
    device_id: &DeviceId,
    reason: Code,
    now: Timestamp,
) -> Result<(), Error> {
    const RAISE: &str = "UPDATE devices SET version = version + 1 WHERE app_id = $1 AND device_id = $2";
    // Two who add at once must not take the same number, nor one be seen before a lower one is.
    const ADD: &str = "INSERT INTO device_revocations (n, app_id, device_id, version, reason, at) \
        SELECT COALESCE((SELECT MAX(n) FROM device_revocations), 0) + 1, d.app_id, d.device_id, d.version, $1, $2 \
        FROM devices d WHERE d.app_id = $3 AND d.device_id = $4";
    // Of the old ones, a hundred at most go with each new one: nobody waits under the lock for a walk through all that is kept.
    const FORGET: &str = "DELETE FROM device_revocations WHERE at < $1 \
        AND n <= (SELECT MIN(n) FROM device_revocations) + 99 AND n < (SELECT MAX(n) FROM device_revocations)";
    lock(session).await?;
    session.execute(RAISE, &[Param::Text(app_id), Param::Text(device_id)]).await?;
    let params = [
        Param::Text(reason.as_str()),
        Param::Integer(now.epoch_ms()),
        Param::Text(app_id),
        Param::Text(device_id),
    ];
    session.execute(ADD, &params).await?;
    session.execute(FORGET, &[Param::Integer(now.epoch_ms() - KEPT_MS)]).await?;
    Ok(())
}

/// What has come since a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// In their order.
    pub revocations: Vec<Revocation>,
    /// The newest number there is.
    pub newest: u64,
    /// Whether some that came since are there no more, or the database is another one: any device may be meant.
    pub is_incomplete: bool,
}

/// What has come since a number, at most so much; without a number, only what the newest one is.
#[derive(Debug, Clone)]
pub struct ListRevocations {
    /// The last one that is known.
    pub since: Option<u64>,
    /// How many, at most.
    pub limit: u32,
}

impl Operation for ListRevocations {
    type Out = Revocations;

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const NEWEST: &str = "SELECT COALESCE(MAX(n), 0) FROM device_revocations";
        const SINCE: &str = "SELECT n, app_id, device_id, version, reason FROM device_revocations \
            WHERE n > $1 ORDER BY n LIMIT $2";
        let newest = session.query_one(NEWEST, &[], |row| row.count()).await?.unwrap_or_default();
        let Some(since) = self.since.filter(|since| *since != newest) else {
            return Ok(Revocations { newest, ..Revocations::default() });
        };
        if newest < since {
            return Ok(Revocations { newest, is_incomplete: true, ..Revocations::default() });
        }
        let params = [Param::Integer(integer(since)), Param::Integer(self.limit.into())];
        let revocations = session.query(SINCE, &params, |row| {
            Ok(Revocation {
                n: row.count()?,
                app_id: row.id()?,
                device_id: row.id()?,
                version: row.count()?,
                reason: row.text()?,
            })
        });
        let revocations = revocations.await?;
        let is_incomplete = revocations.first().is_none_or(|first| first.n != since + 1);
        Ok(Revocations { revocations, newest, is_incomplete })
    }
}

impl Read for ListRevocations {}
