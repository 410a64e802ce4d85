//! A connection: how it is made, and what it is like whatever the database, the role or the server have as defaults.

use protocol::Timestamp;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::config::{CONNECT_LIMIT, PostgresConfig};
use super::pool::limited;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};

/// Sets, in one round trip, what we count on. It is said once the connection is there and not when it is asked for,
/// because poolers refuse such options or leave them away. What the URL itself asks for by `options` stays.
///
/// The limits are there so that a node that is frozen holds no locks, and a lost one no connection. An acknowledged
/// message is on the disk: `off` would acknowledge what is not, and every other value does. A lane retries what two
/// writers of one row do to each other only as read committed has it.
const PREPARE: &str = "SELECT set_config(name, CASE WHEN name = 'synchronous_commit' AND setting <> 'off' \
    THEN setting ELSE wanted END, false) \
    FROM (VALUES ('statement_timeout', '5s'), ('lock_timeout', '3s'), \
    ('idle_in_transaction_session_timeout', '10s'), ('idle_session_timeout', '0'), \
    ('default_transaction_isolation', 'read committed'), ('synchronous_commit', 'on')) \
    AS ours (name, wanted) JOIN pg_settings USING (name) WHERE source <> 'client'";

/// How often it is looked whether a pooler gives one of its connections to two of ours.
const LOOKS: usize = 3;

/// A connection beside the pool, and the end of it: it ends when the client is dropped or the way is cut.
pub(super) async fn connect(
    config: &PostgresConfig,
) -> Result<(Client, impl Future<Output = ()> + use<>), Error> {
    let connected = timeout(CONNECT_LIMIT, config.driver.connect(config.connector()?)).await;
    let (client, connection) = connected.map_err(|_| late())??;
    let task = tokio::spawn(connection);
    prepare(&client).await?;
    Ok((client, async move { drop(task.await) }))
}

/// Makes a new connection what it has to be.
pub(super) async fn prepare(client: &Client) -> Result<(), Error> {
    timeout(CONNECT_LIMIT, client.simple_query(PREPARE)).await.map_err(|_| late())??;
    Ok(())
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "no connection to Postgres in time")
}

/// Takes over what time it is there.
pub(super) async fn read_time(client: &Client, clock: &Clock) -> Result<(), Error> {
    const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let asked = Instant::now();
    let time: i64 = limited(async { Ok(client.query_one(TIME, &[]).await?.try_get(0)?) }).await?;
    clock.set(asked, Timestamp::from_epoch_ms(time));
    Ok(())
}

/// Refuses a database that could not keep what is promised, with the reason.
pub(super) async fn check(config: &PostgresConfig, clock: &Clock) -> Result<(), Error> {
    let refused = |detail: String| Err(Error::new(ErrorKind::Internal, detail));
    let (client, _end) = connect(config).await?;
    read_time(&client, clock).await?;
    let encoding = value(&client, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        return refused(format!(
            "this database is encoded as {encoding}, which can't hold every text; make one with ENCODING 'UTF8'"
        ));
    }
    if value(&client, "SHOW synchronous_commit").await? == "off" {
        return refused(
            "the URL asks for synchronous_commit=off: messages would be acknowledged and lost with the machine".into(),
        );
    }
    if value(&client, "SHOW fsync").await? == "off" {
        tracing::warn!(
            "Postgres runs with fsync=off: a crash of its machine loses or damages what it has confirmed"
        );
    }
    if is_shared(config, &client).await? {
        return refused(
            "a pooler gives one connection of Postgres to several of ours: it has to pool by session \
             (pool_mode = session), or to be left out"
                .into(),
        );
    }
    Ok(())
}

/// Whether the connection of Postgres behind this one is another's as soon as nothing is asked on it: then neither
/// locks nor settings nor prepared statements are where they are looked for.
async fn is_shared(config: &PostgresConfig, client: &Client) -> Result<bool, Error> {
    const WHO: &str = "SELECT pg_backend_pid()";
    let mut others = Vec::new();
    let mine = value(client, WHO).await?;
    for _ in 0..LOOKS {
        let (other, _) = connect(config).await?;
        limited(async { Ok(other.batch_execute("BEGIN").await?) }).await?;
        // Holds the connection that was mine, if poolers lend it, until the end of its transaction.
        if value(&other, WHO).await? == mine || value(client, WHO).await? != mine {
            return Ok(true);
        }
        others.push(other);
    }
    Ok(false)
}

/// The only value of an answer.
async fn value(client: &Client, sql: &str) -> Result<String, Error> {
    let rows = limited(async { Ok(client.simple_query(sql).await?) }).await?;
    let value = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(value.ok_or_else(|| Error::new(ErrorKind::Internal, "Postgres gives no answer"))?.to_owned())
}
