//! What happens to an app's connections, read from its log in Redis by each node that has someone who watches the app:
//! in order, once, and without holes whatever the bus loses. The bus only says that there is something to read.
//!
//! Beside its place in the log a reader keeps which devices it has called online. Where the log does not go on at that
//! place, because Redis was wiped or too much was missed, it compares that with the record and says what has changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{AppId, DeviceId, Session};
use redis::{FromRedisValue as _, RedisResult};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Inner;
use super::scripts::{self, call};
use crate::Envelope;
use crate::registry::announcement::{joined, left, presence};

/// How often the log is looked at although nobody said that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After Redis has forgotten the app, all nodes have put back what they know by then.
const SETTLED_AFTER: Duration = Duration::from_millis(3_500);

/// How long a new watcher waits until the feed has begun.
const BEGIN_PATIENCE: Duration = Duration::from_secs(1);

/// Entries in one read.
const PAGE: usize = 500;

/// Devices in one step of a look at the whole record.
const SCAN: usize = 1_000;

/// The feeds that are read on this node.
#[derive(Default)]
pub(super) struct Feeds {
    table: Mutex<HashMap<AppId, Feed>>,
}

struct Feed {
    watchers: usize,
    nudge: Arc<Notify>,
    has_begun: watch::Receiver<bool>,
    /// Whether someone could not wait for it to begin.
    is_late: Arc<AtomicBool>,
    task: AbortHandle,
}

/// As long as it lives, the app's feed is read.
pub(crate) struct Watching {
    inner: Arc<Inner>,
    app_id: AppId,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut table = self.inner.feeds.table();
        if let Some(feed) = table.get_mut(&self.app_id) {
            feed.watchers -= 1;
            if feed.watchers == 0 {
                feed.task.abort();
                table.remove(&self.app_id);
            }
        }
    }
}

impl Feeds {
    fn table(&self) -> MutexGuard<'_, HashMap<AppId, Feed>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something new in the app's log.
    pub(super) fn nudge(&self, app_id: &AppId) {
        if let Some(feed) = self.table().get(app_id) {
            feed.nudge.notify_one();
        }
    }
}

/// Reads the app's feed on this node; returns once that has begun, or Redis is away.
pub(super) async fn watch(inner: &Arc<Inner>, app_id: &AppId) -> Watching {
    let (mut has_begun, is_late) = {
        let mut table = inner.feeds.table();
        let feed = table.entry(app_id.clone()).or_insert_with(|| begin(inner, app_id));
        feed.watchers += 1;
        (feed.has_begun.clone(), Arc::clone(&feed.is_late))
    };
    let watching = Watching { inner: Arc::clone(inner), app_id: app_id.clone() };
    // Where Redis is away, the feed begins when it is back.
    if tokio::time::timeout(BEGIN_PATIENCE, has_begun.wait_for(|begun| *begun)).await.is_err() {
        is_late.store(true, Ordering::Relaxed);
    }
    watching
}

fn begin(inner: &Arc<Inner>, app_id: &AppId) -> Feed {
    let nudge = Arc::new(Notify::new());
    let (begun, has_begun) = watch::channel(false);
    let is_late = Arc::new(AtomicBool::new(false));
    let reader = Reader {
        inner: Arc::clone(inner),
        app_id: app_id.clone(),
        is_late: Arc::clone(&is_late),
        place: None,
        settles_at: None,
    };
    let task = tokio::spawn(run(reader, Arc::clone(&nudge), begun));
    Feed { watchers: 0, nudge, has_begun, is_late, task: task.abort_handle() }
}

async fn run(mut reader: Reader, nudge: Arc<Notify>, begun: watch::Sender<bool>) {
    loop {
        match reader.read_on().await {
            Ok(()) => begun.send_if_modified(|begun| !std::mem::replace(begun, true)),
            Err(error) => {
                tracing::debug!(%error, "the feed can't be read");
                false
            }
        };
        // Either way it is time to look again.
        let _ = tokio::time::timeout(LOOK_EVERY, nudge.notified()).await;
    }
}

struct Reader {
    inner: Arc<Inner>,
    app_id: AppId,
    is_late: Arc<AtomicBool>,
    place: Option<Place>,
    /// When the record is whole again after Redis has forgotten it.
    settles_at: Option<Instant>,
}

/// Up to where the feed was read.
struct Place {
    epoch: String,
    number: u64,
    online: HashSet<DeviceId>,
}

/// An entry of the log.
struct Entry {
    number: u64,
    kind: Kind,
    session: Session,
    reason: String,
    count: u32,
}

enum Kind {
    Joined,
    /// Redis had forgotten it.
    Found,
    Left,
}

impl Reader {
    async fn read_on(&mut self) -> RedisResult<()> {
        if self.place.is_none() {
            let (mut place, _) = self.look().await?;
            if self.is_late.load(Ordering::Relaxed) {
                // Those who watch were answered from what this node knows itself. So that is what was said, and what
                // differs from it is told once the record is whole.
                let online = self.inner.state().actual.devices(&self.app_id);
                place = Place { epoch: String::new(), number: 0, online };
            }
            self.place = Some(place);
            return Ok(());
        }
        loop {
            let from = self.place.as_ref().map_or(0, |place| place.number);
            let mut commands = redis::pipe();
            commands.cmd("HMGET").arg(scripts::about(&self.app_id)).arg("epoch").arg("number");
            commands.cmd("XRANGE").arg(scripts::log(&self.app_id)).arg(format!("{}-0", from + 1)).arg("+");
            commands.arg("COUNT").arg(PAGE);
            let mut answers = self.inner.link.run(&commands).await?.into_iter();
            let (Some(about), Some(log)) = (answers.next(), answers.next()) else { return Ok(()) };
            let (epoch, number) = <(Option<String>, Option<u64>)>::from_redis_value(about?)?;
            if epoch.as_deref() != self.place.as_ref().map(|place| place.epoch.as_str()) {
                return self.begin_again().await;
            }
            let entries = entries(log?)?;
            let is_whole = match entries.first() {
                Some(first) => first.number == from + 1,
                None => number.is_none_or(|number| number <= from),
            };
            if !is_whole {
                return self.catch_up().await;
            }
            let count = entries.len();
            for entry in entries {
                self.tell(entry);
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }

    /// The record as it is now, and how many connections each device has.
    async fn look(&self) -> RedisResult<(Place, HashMap<DeviceId, u32>)> {
        let mut register = call(&scripts::REGISTER, &[scripts::about(&self.app_id)]);
        register.arg(format!("{}.feed.{}", self.inner.name(), self.app_id));
        let mut commands = redis::pipe();
        commands.add_command(register);
        commands.cmd("HGET").arg(scripts::about(&self.app_id)).arg("number");
        let mut answers = self.inner.link.run(&commands).await?.into_iter();
        let (Some(epoch), Some(number)) = (answers.next(), answers.next()) else {
            return Err(std::io::Error::other("an answer is missing").into());
        };
        let (epoch, number) = (String::from_redis_value(epoch?)?, u64::from_redis_value(number?)?);
        // What changes during the scan has a higher number, and is read from the log afterwards.
        let mut counts = HashMap::new();
        let mut cursor = 0_u64;
        loop {
            let mut commands = redis::pipe();
            commands.cmd("HSCAN").arg(scripts::devices(&self.app_id)).arg(cursor).arg("COUNT").arg(SCAN);
            let (next, devices): (u64, Vec<(String, i64)>) = self.inner.one(&commands).await?;
            let counted =
                devices.into_iter().map(|(device, count)| (device.into(), u32::try_from(count).unwrap_or(1)));
            counts.extend(counted);
            if next == 0 {
                let online = counts.keys().cloned().collect();
                return Ok((Place { epoch, number, online }, counts));
            }
            cursor = next;
        }
    }

    /// Redis has forgotten the app: waits until all nodes have put back what they know, and goes on from there.
    async fn begin_again(&mut self) -> RedisResult<()> {
        let settles_at = *self.settles_at.get_or_insert_with(|| Instant::now() + SETTLED_AFTER);
        if Instant::now() < settles_at {
            return Ok(());
        }
        self.settles_at = None;
        self.catch_up().await
    }

    /// Says what differs between what was said and what is.
    async fn catch_up(&mut self) -> RedisResult<()> {
        let (now, counts) = self.look().await?;
        let said = self.place.take().map(|place| place.online).unwrap_or_default();
        for device in said.difference(&now.online) {
            self.announce(&presence(self.app_id.clone(), device.clone(), false, 0, None));
        }
        for device in now.online.difference(&said) {
            let count = counts.get(device).copied().unwrap_or(1);
            self.announce(&presence(self.app_id.clone(), device.clone(), true, count, None));
        }
        self.place = Some(now);
        Ok(())
    }

    fn announce(&self, envelope: &Envelope) {
        // What is announced asks nothing.
        let _ = (self.inner.deliver)(envelope);
    }

    /// Tells of the connection, and of its device if that is not what was said of it last.
    fn tell(&mut self, entry: Entry) {
        let Some(place) = &mut self.place else { return };
        place.number = entry.number;
        let (app_id, device_id) = (self.app_id.clone(), entry.session.device_id.clone());
        let user_info = entry.session.user_info.clone();
        let edge = match entry.kind {
            // Whatever the count: it may have been called offline while its node could not say that it was not.
            Kind::Joined | Kind::Found => place.online.insert(device_id.clone()).then_some(true),
            Kind::Left => (entry.count == 0 && place.online.remove(&device_id)).then_some(false),
        };
        match entry.kind {
            Kind::Joined => self.announce(&joined(Box::new(entry.session))),
            Kind::Found => {}
            Kind::Left => self.announce(&left(entry.session, entry.reason)),
        }
        if let Some(is_online) = edge {
            self.announce(&presence(app_id, device_id, is_online, entry.count, user_info));
        }
    }
}

fn entries(log: redis::Value) -> RedisResult<Vec<Entry>> {
    let rows = Vec::<(String, HashMap<String, String>)>::from_redis_value(log)?;
    Ok(rows.into_iter().filter_map(|(id, fields)| entry(&id, &fields)).collect())
}

fn entry(id: &str, fields: &HashMap<String, String>) -> Option<Entry> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    Some(Entry {
        number: id.split('-').next()?.parse().ok()?,
        kind: match field("kind") {
            "joined" => Kind::Joined,
            "found" => Kind::Found,
            _ => Kind::Left,
        },
        session: serde_json::from_str(field("session")).ok()?,
        reason: field("reason").to_owned(),
        count: field("count").parse().ok()?,
    })
}
