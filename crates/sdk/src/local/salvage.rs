//! What a file still gives that can't be used any more: because it is damaged, or because a version to come has written it. The
//! history comes from the server again; whose file it is, and what waits to be sent, is nowhere else.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::rest::User;
use rusqlite::{Connection, Row};

use super::queue::{BEFORE_ALL, State};
use super::{LocalStore, Result, UNOPENED, connect};

/// What could be read.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    pub(crate) device_id: Option<String>,
    pub(crate) device_secret: Option<String>,
    pub(crate) user: Option<User>,
    /// Whether it is proved by tokens who that is.
    pub(crate) is_by_token: bool,
    /// By their names, which are unique.
    waiting: BTreeMap<String, Waiting>,
}

/// Where what is taken in waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was written before all that is here.
    Before,
    /// It was written after that.
    Behind,
}

/// A message that waits, or was set aside.
#[derive(Debug)]
struct Waiting {
    conversation_id: String,
    state: i64,
    body: String,
    created_at: i64,
    position: i64,
    wedged_code: Option<String>,
    wedged_message: Option<String>,
}

macro_rules! waiting {
    () => {
        "SELECT local_id, conversation_id, state, body, created_at, position, wedged_code, wedged_message FROM messages"
    };
}
/// Ways to the messages that wait, each through other pages than the ones before: by their index, and by the table from
/// either end.
const WAYS: [&str; 3] = [
    concat!(waiting!(), " INDEXED BY messages_waiting WHERE state IN (1, 2, 3)"),
    concat!(waiting!(), " NOT INDEXED WHERE state IN (1, 2, 3) ORDER BY rowid"),
    concat!(waiting!(), " NOT INDEXED WHERE state IN (1, 2, 3) ORDER BY rowid DESC"),
];

impl Salvaged {
    /// What is to be had from the file; nothing, if it can't even be opened.
    pub(crate) fn from_file(path: &Path) -> Self {
        connect(path).map_or_else(|_| Self::default(), |connection| Self::from_connection(&connection))
    }

    fn from_connection(connection: &Connection) -> Self {
        let mut salvaged = Self::default();
        let person = connection.query_row("SELECT device_id, user FROM person", [], |row| {
            Ok((row.get(0)?, row.get::<_, Option<String>>(1)?))
        });
        if let Ok((device_id, user)) = person {
            salvaged.device_id = Some(device_id);
            salvaged.user = user.and_then(|user| serde_json::from_str(&user).ok());
        }
        // Files of earlier versions don't have all.
        let secret = connection.query_row("SELECT device_secret FROM person", [], |row| row.get(0));
        salvaged.device_secret = secret.ok().flatten();
        let by_token = connection.query_row("SELECT is_by_token FROM person", [], |row| row.get(0));
        salvaged.is_by_token = by_token.unwrap_or(false);
        for way in WAYS {
            // As far as it goes.
            let Ok(mut statement) = connection.prepare(way) else { continue };
            let Ok(mut rows) = statement.query([]) else { continue };
            while let Ok(Some(row)) = rows.next() {
                if let Ok((local_id, message)) = read(row) {
                    salvaged.waiting.entry(local_id).or_insert(message);
                }
            }
        }
        salvaged
    }

    /// Only whose it is.
    pub(crate) fn without_messages(self) -> Self {
        Self { waiting: BTreeMap::new(), ..self }
    }

    /// How many messages wait, or were set aside.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(String, Waiting)> {
    let message = Waiting {
        conversation_id: row.get(1)?,
        state: row.get(2)?,
        body: row.get(3)?,
        created_at: row.get(4)?,
        position: row.get(5)?,
        wedged_code: row.get(6)?,
        wedged_message: row.get(7)?,
    };
    Ok((row.get(0)?, message))
}

impl LocalStore {
    /// What this file still gives.
    pub(crate) fn salvage(&self) -> Salvaged {
        Salvaged::from_connection(&self.connection)
    }

    /// Takes in what waits in another file, before all that waits here, or behind it.
    pub(crate) fn take_in(&mut self, salvaged: &Salvaged, place: Place) -> Result<()> {
        let shift = match place {
            Place::Before => -BEFORE_ALL,
            Place::Behind => self.last_position()?.saturating_add(BEFORE_ALL),
        };
        // What another device has begun to say, this one begins anew.
        let is_same_device = salvaged.device_id.as_deref() == Some(self.device_id.as_str());
        for (local_id, message) in &salvaged.waiting {
            let home = if is_same_device { message.conversation_id.as_str() } else { UNOPENED };
            self.write(
                "INSERT OR IGNORE INTO messages (local_id, conversation_id, state, body, sender, created_at, position, \
                 crashes, wedged_code, wedged_message) VALUES (?1, ?2, ?3, ?4, 'user', ?5, ?6, 0, ?7, ?8)",
                (
                    local_id,
                    home,
                    // Whatever it was doing, it waits now, or was set aside.
                    if message.state == State::Wedged as i64 { State::Wedged } else { State::Queued } as i64,
                    &message.body,
                    message.created_at,
                    message.position.saturating_add(shift),
                    &message.wedged_code,
                    &message.wedged_message,
                ),
            )?;
            self.bump(home)?;
        }
        // Where there is a conversation already, it goes on there.
        match self.newest_conversation()? {
            Some(home) if !is_same_device => self.move_unopened(&home),
            _ => Ok(()),
        }
    }
}
