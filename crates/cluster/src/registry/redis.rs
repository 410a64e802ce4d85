//! The registry of many nodes, in Redis.
//!
//! Each node knows its own connections, and a keeper carries their changes into Redis, in order. Each join and leave is
//! one script, which writes the change into the app's log as well; nodes with agents of that app read the log. So what
//! Redis forgets can be put back, and what a node missed can be read again. While Redis is away, the node answers from
//! what it knows itself.

mod feed;
mod keeper;
mod scripts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{FromRedisValue as _, Pipeline, RedisResult, Value};
use protocol::{AppId, ConnectionId, DeviceId, Session};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;

use self::feed::Feeds;
pub(crate) use self::feed::Watching;
use super::memory::Record;
use super::{Edge, Joined, SessionList};
use crate::bus::Deliver;
use crate::redis::{Link, Publisher, RedisUrl};
use crate::{Observer, WrittenOff};

/// How long a joining connection waits for Redis before it goes on without. What it waits for is made up for later.
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

/// How long somebody who asks how many are connected waits for Redis before the answer is this node's own. One that hangs is
/// noticed a few seconds later, and then nobody asks it.
const ASK_PATIENCE: Duration = Duration::from_millis(500);

/// The registry's handle. The keeper ends with it.
pub(crate) struct Shared {
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

struct Inner {
    /// This process's name among nodes.
    node: Arc<str>,
    link: Link,
    state: Mutex<State>,
    /// Something waits for the keeper.
    dirty: Notify,
    /// Whether changes reach Redis just now.
    is_live: watch::Sender<bool>,
    /// The life that this node's connections belong to: another one begins when others have written the node off.
    life: AtomicU64,
    totals: Mutex<Totals>,
    feeds: Feeds,
    deliver: Deliver,
    publisher: Publisher,
    written_off: WrittenOff,
    observer: Observer,
}

/// All nodes together, as this one last heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live connections of devices.
    pub connections: u64,
    /// Nodes, this one included.
    pub nodes: u64,
}

/// What this node knows of its own connections.
#[derive(Default)]
struct State {
    /// As it is.
    actual: Record,
    /// Which life each of them belongs to.
    lives: HashMap<ConnectionId, (u64, Session)>,
    /// As Redis has it.
    kept: HashMap<ConnectionId, Session>,
    /// How many of those each app has, so that nobody has to count them.
    kept_of: HashMap<AppId, usize>,
    /// Those that may differ, in the order in which they changed.
    changed: VecDeque<ConnectionId>,
    /// Why those that are gone are gone.
    reasons: HashMap<ConnectionId, String>,
    /// Who waits for their join, and with it for how many connections the device has.
    joining: HashMap<ConnectionId, oneshot::Sender<u32>>,
}

/// Below so many changes nobody looks for some that need nothing any more.
const CHANGES_MIN: usize = 1_024;

impl State {
    /// The connection may differ from what Redis has. However long Redis is away: those who came and went meanwhile
    /// are not remembered.
    fn note_change(&mut self, id: ConnectionId) {
        self.changed.push_back(id);
        if self.changed.len() > CHANGES_MIN.max(2 * (self.lives.len() + self.kept.len())) {
            let (lives, kept) = (&self.lives, &self.kept);
            let mut seen = HashSet::new();
            self.changed
                .retain(|id| lives.contains_key(id) != kept.contains_key(id) && seen.insert(id.clone()));
            self.reasons.retain(|id, _| kept.contains_key(id));
        }
    }

    /// Redis has this session.
    fn keep(&mut self, session: Session) {
        let app_id = session.app_id.clone();
        if self.kept.insert(session.connection_id.clone(), session).is_none() {
            *self.kept_of.entry(app_id).or_default() += 1;
        }
    }

    /// Redis does not have this connection.
    fn drop_kept(&mut self, id: &ConnectionId) {
        let Some(session) = self.kept.remove(id) else { return };
        if let Some(count) = self.kept_of.get_mut(&session.app_id) {
            *count -= 1;
        }
    }
}

impl Shared {
    /// Starts the keeper; must be called within a runtime.
    pub(crate) fn start(
        url: &RedisUrl,
        node: Arc<str>,
        publisher: Publisher,
        deliver: Deliver,
        written_off: WrittenOff,
        observer: Observer,
    ) -> Self {
        let inner = Arc::new(Inner {
            node,
            link: Link::new(url, scripts::ALL),
            state: Mutex::default(),
            dirty: Notify::new(),
            is_live: watch::Sender::new(false),
            life: AtomicU64::new(1),
            totals: Mutex::default(),
            feeds: Feeds::default(),
            deliver,
            publisher,
            written_off,
            observer,
        });
        let keeper = tokio::spawn(keeper::run(Arc::clone(&inner))).abort_handle();
        Self { inner, keeper }
    }

    pub(super) async fn join(&self, session: Session) -> Joined {
        let inner = &self.inner;
        let id = session.connection_id.clone();
        let (tell, told) = oneshot::channel();
        let here = {
            let mut state = inner.state();
            let here = state.actual.join(session.clone());
            state.lives.insert(id.clone(), (inner.life.load(Ordering::Relaxed), session));
            state.joining.insert(id.clone(), tell);
            state.note_change(id.clone());
            here
        };
        inner.dirty.notify_one();
        if !*inner.is_live.borrow() {
            inner.state().joining.remove(&id);
            return here;
        }
        match tokio::time::timeout(JOIN_PATIENCE, told).await {
            Ok(Ok(count)) => {
                let edge = Edge::between(count as usize - 1, count as usize);
                Joined { edge, active_connections: count }
            }
            _ => {
                inner.state().joining.remove(&id);
                here
            }
        }
    }

    pub(super) fn leave(&self, app_id: &AppId, connection_id: &ConnectionId, reason: &str) -> Edge {
        let inner = &self.inner;
        let mut state = inner.state();
        let Some((_, after)) = state.actual.leave(app_id, connection_id) else { return Edge::Unchanged };
        state.lives.remove(connection_id);
        state.joining.remove(connection_id);
        state.reasons.insert(connection_id.clone(), reason.into());
        state.note_change(connection_id.clone());
        drop(state);
        inner.dirty.notify_one();
        Edge::between(after as usize + 1, after as usize)
    }

    pub(super) async fn connections_of(&self, app_id: &AppId, devices: &[DeviceId]) -> Vec<u32> {
        let inner = &self.inner;
        if !devices.is_empty() && *inner.is_live.borrow() {
            let mut commands = ::redis::pipe();
            let command = commands.cmd("HMGET").arg(scripts::devices(app_id));
            for device in devices {
                command.arg(device.as_str());
            }
            let asked = tokio::time::timeout(ASK_PATIENCE, inner.one::<Vec<Option<u32>>>(&commands)).await;
            if let Ok(Ok(counts)) = asked {
                return counts.into_iter().map(Option::unwrap_or_default).collect();
            }
        }
        let state = inner.state();
        devices.iter().map(|device| state.actual.connections_of(app_id, device)).collect()
    }

    pub(super) async fn sessions(
        &self,
        app_id: &AppId,
        after: Option<&ConnectionId>,
        limit: usize,
    ) -> SessionList {
        if *self.inner.is_live.borrow()
            && let Ok(list) = self.inner.sessions(app_id, after, limit).await
        {
            return list;
        }
        self.inner.state().actual.sessions(app_id, after, limit)
    }

    /// The app's connections, and its devices that have one.
    pub(super) async fn counts(&self, app_id: &AppId) -> (u64, u64) {
        let mut commands = ::redis::pipe();
        commands.cmd("ZCARD").arg(scripts::order(app_id));
        commands.cmd("HLEN").arg(scripts::devices(app_id));
        if *self.inner.is_live.borrow()
            && let Ok(Ok(answers)) = tokio::time::timeout(ASK_PATIENCE, self.inner.link.run(&commands)).await
        {
            let mut counts = answers.into_iter().map(|answer| u64::from_redis_value(answer.ok()?).ok());
            if let (Some(Some(connections)), Some(Some(devices))) = (counts.next(), counts.next()) {
                return (connections, devices);
            }
        }
        self.inner.state().actual.counts(app_id)
    }

    /// How many nodes have a lease.
    pub(super) async fn nodes(&self) -> u64 {
        let mut commands = ::redis::pipe();
        commands.cmd("ZCARD").arg(scripts::LEASES);
        let asked = tokio::time::timeout(ASK_PATIENCE, self.inner.link.run(&commands)).await;
        let answers = asked.ok().and_then(Result::ok);
        let nodes = answers.and_then(|answers| u64::from_redis_value(answers.into_iter().next()?.ok()?).ok());
        nodes.unwrap_or_else(|| self.totals().nodes).max(1)
    }

    pub(super) fn totals(&self) -> Totals {
        *self.inner.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_live(&self) -> bool {
        *self.inner.is_live.borrow()
    }

    /// The app's feed on this node, for as long as the answer lives.
    pub(super) async fn watch(&self, app_id: &AppId) -> Watching {
        feed::watch(&self.inner, app_id).await
    }

    /// What to do when another node says that an app's sessions have changed.
    pub(crate) fn on_change(&self) -> impl Fn(&AppId) + Send + 'static {
        let inner = Arc::clone(&self.inner);
        move |app_id| inner.feeds.nudge(app_id)
    }

    /// Waits until Redis has all changes, or is away; then gives the lease back.
    pub(super) async fn retire(&self) {
        keeper::all_carried(&self.inner).await;
        // It must not find its lease gone and take that for a death.
        self.keeper.abort();
        keeper::retire(&self.inner).await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the only command.
    async fn one<T: ::redis::FromRedisValue>(&self, command: &Pipeline) -> RedisResult<T> {
        let answers = self.link.run(command).await?;
        let answer = answers.into_iter().next().unwrap_or(Ok(Value::Nil))?;
        Ok(T::from_redis_value(answer)?)
    }

    /// Its name among nodes in this life.
    fn name(&self) -> String {
        format!("{}.{}", self.node, self.life.load(Ordering::Relaxed))
    }

    async fn sessions(
        &self,
        app_id: &AppId,
        after: Option<&ConnectionId>,
        limit: usize,
    ) -> RedisResult<SessionList> {
        let from = after.map_or("-".to_owned(), |after| format!("({after}"));
        let mut commands = ::redis::pipe();
        commands.cmd("ZRANGEBYLEX").arg(scripts::order(app_id)).arg(from).arg("+");
        commands.arg("LIMIT").arg(0).arg(limit + 1);
        let mut ids: Vec<String> = self.one(&commands).await?;
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        if ids.is_empty() {
            return Ok(SessionList { sessions: Vec::new(), has_more: false });
        }
        let mut commands = ::redis::pipe();
        commands.cmd("HMGET").arg(scripts::sessions(app_id)).arg(&ids);
        let records: Vec<Option<String>> = self.one(&commands).await?;
        // One that left between the two questions is not there any more.
        let sessions = records.into_iter().flatten().filter_map(|record| session_of(&record)).collect();
        Ok(SessionList { sessions, has_more })
    }
}

/// The session in a record: behind the node's name.
fn session_of(record: &str) -> Option<Session> {
    let (_, json) = record.split_once(' ')?;
    serde_json::from_str(json).inspect_err(|error| tracing::warn!(%error, "a session can't be read")).ok()
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;

    fn session(number: usize) -> Session {
        Session {
            connection_id: format!("conn_{number}").into(),
            app_id: "app_1".into(),
            device_id: "phone".into(),
            connected_at: Timestamp::from_epoch_ms(0),
            user_info: None,
        }
    }

    #[test]
    fn while_redis_is_away_those_who_came_and_went_are_not_remembered() {
        let mut state = State::default();
        state.keep(session(0));
        state.reasons.insert(session(0).connection_id, "ping timeout".into());
        state.note_change(session(0).connection_id);
        for number in 1..100 * CHANGES_MIN {
            let session = session(number);
            let id = session.connection_id.clone();
            state.lives.insert(id.clone(), (1, session));
            state.note_change(id.clone());
            state.lives.remove(&id);
            state.reasons.insert(id.clone(), "transport close".into());
            state.note_change(id);
        }
        assert!(state.changed.len() <= CHANGES_MIN + 1, "{}", state.changed.len());
        assert!(state.reasons.len() <= CHANGES_MIN + 1, "{}", state.reasons.len());
        assert!(state.changed.contains(&session(0).connection_id), "its leave is still to be told");
        assert_eq!(state.reasons[&session(0).connection_id], "ping timeout");
    }
}
