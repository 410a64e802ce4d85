//! Carries this node's changes into Redis, renews its lease, puts back what Redis has forgotten, and takes out what dead
//! nodes have left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{AppId, ConnectionId, Session};
use redis::{FromRedisValue as _, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::scripts::{self, call};
use super::{Inner, State, Totals};
use crate::Observation;

/// How long a node counts as living after it was last heard of. As long as P6's ten seconds allow, so that as many as
/// possible come back to another node before they are called offline.
const LEASE: Duration = Duration::from_secs(7);

/// From one renewal to the next.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A node calls others dead only after it has heard from Redis for so long without a break: when Redis was away for all,
/// the others must have the time to come back as well.
const CONTACT: Duration = Duration::from_secs(3);

/// After Redis has forgotten an app, changes wait for so long, so that every node has put its connections back before
/// anyone's coming or going is judged.
const PUT_BACK: Duration = Duration::from_secs(2);

/// Changes in one round trip.
const BATCH: usize = 128;

/// Round trips after which the lease is looked after again, however many changes wait.
const CARRIES: usize = 64;

/// Connections that are taken out in one script.
const CLAIM_CHUNK: usize = 200;

/// How long a claim holds without a sign of life from the claimer.
const CLAIM: Duration = Duration::from_secs(5);

/// How long a node that was written off can't record anything, in seconds: far longer than any command is under way.
const TOMBSTONE_SECONDS: u32 = 86_400;

/// Apps whose record is compared with what this node knows, in one renewal.
const COMPARED: usize = 100;

/// How long a polite leave waits for Redis.
const RETIRE_PATIENCE: Duration = Duration::from_secs(2);

/// Socket.IO's word for a connection that ended without a farewell.
const DEAD: &str = "transport close";

/// What only the keeper knows.
#[derive(Default)]
struct Keeper {
    /// The nodes' epoch, once known.
    epoch: Option<String>,
    /// The apps in use, each with its epoch; without one, where Redis has forgotten the app and does not know it again yet.
    apps: HashMap<AppId, String>,
    /// Where the comparison of apps goes on.
    compared: usize,
    epochs_made: u64,
    contact_since: Option<Instant>,
    hold_until: Option<Instant>,
    /// Whether changes have waited for the others to put back what Redis forgot, and go before the next comparison.
    is_carry_due: bool,
}

pub(super) async fn run(inner: Arc<Inner>) {
    let mut keeper = Keeper::default();
    let mut ticks = tokio::time::interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        if let Err(error) = keeper.turn(&inner, &mut ticks).await {
            // Each problem is told once, however long it lasts.
            let problem = error.to_string();
            if keeper.contact_since.is_some() || problem != told {
                tracing::warn!(error = problem, "who is connected can't be kept in Redis");
                told = problem;
            }
            keeper.contact_since = None;
            inner.set_live(false);
        }
    }
}

/// Waits until Redis has nothing of this node any more, or is away.
pub(super) async fn all_carried(inner: &Inner) {
    let deadline = Instant::now() + RETIRE_PATIENCE;
    while Instant::now() < deadline && *inner.is_live.borrow() && !inner.state().kept.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Gives up the lease, if nothing is left under it.
pub(super) async fn retire(inner: &Inner) {
    let name = inner.name();
    let mut commands = redis::pipe();
    commands.cmd("ZREM").arg(scripts::LEASES).arg(&name);
    commands.cmd("HDEL").arg(scripts::COUNTS).arg(&name);
    commands.cmd("DEL").arg(scripts::apps_of(&name));
    let has_left = inner.state().kept.is_empty();
    if has_left && let Err(error) = inner.link.run(&commands).await {
        tracing::debug!(%error, "the lease was not given back; it ends by itself");
    }
}

impl Inner {
    fn set_live(&self, is_live: bool) {
        let changed = self.is_live.send_if_modified(|live| std::mem::replace(live, is_live) != is_live);
        if changed {
            (self.observer)(Observation::Live(is_live));
        }
    }
}

impl Keeper {
    /// The next thing to do.
    async fn turn(&mut self, inner: &Arc<Inner>, ticks: &mut Interval) -> RedisResult<()> {
        let may_carry = self.contact_since.is_some() && !self.is_holding();
        if may_carry && self.is_carry_due {
            return self.carry_all(inner).await;
        }
        let has_changes = !inner.state().changed.is_empty();
        tokio::select! {
            biased;
            _ = ticks.tick() => self.renew(inner).await,
            () = async {
                if !has_changes {
                    inner.dirty.notified().await;
                }
            }, if may_carry => self.carry(inner).await,
        }
    }

    /// Carries what had to wait, before anything is compared: what is not carried yet would look like something that Redis
    /// has lost, and be waited for again.
    async fn carry_all(&mut self, inner: &Arc<Inner>) -> RedisResult<()> {
        for _ in 0..CARRIES {
            // Holding: Redis has forgotten an app once more, and the others are to put it back first.
            if self.is_holding() || inner.state().changed.is_empty() {
                break;
            }
            self.carry(inner).await?;
        }
        self.is_carry_due = self.is_holding();
        Ok(())
    }

    fn is_holding(&self) -> bool {
        self.hold_until.is_some_and(|until| Instant::now() < until)
    }

    async fn renew(&mut self, inner: &Arc<Inner>) -> RedisResult<()> {
        let keys = [scripts::LEASES, scripts::CLAIMS, scripts::COUNTS, scripts::EPOCH].map(String::from);
        let mut command = call(&scripts::RENEW, &keys);
        let count = inner.state().kept.len();
        command.arg(inner.name()).arg(LEASE.as_millis() as u64).arg(count);
        command.arg(self.epoch.as_deref().unwrap_or_default()).arg(self.new_epoch(inner));
        let mut commands = redis::pipe();
        commands.add_command(command);
        let answer: Vec<Value> = inner.one(&commands).await?;
        let mut words = answer.into_iter().map(|value| String::from_redis_value(value).unwrap_or_default());
        let state = words.next().unwrap_or_default();
        let epoch = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let totals = Totals { connections: number(), nodes: number() };
        let ended: Vec<String> = words.collect();
        if state == "lost" {
            self.begin_another_life(inner);
            return Ok(());
        }
        *inner.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
        let since = *self.contact_since.get_or_insert_with(Instant::now);
        self.epoch = Some(epoch);
        if state == "forgotten" {
            for app in self.apps.keys().cloned().collect::<Vec<_>>() {
                self.put_back(inner, &app).await?;
            }
        }
        self.compare(inner).await?;
        inner.set_live(!self.is_holding());
        if since.elapsed() >= CONTACT {
            for node in ended.into_iter().filter(|node| *node != inner.name()) {
                tokio::spawn(claim(Arc::clone(inner), node));
            }
        }
        Ok(())
    }

    /// A name that Redis has not seen.
    fn new_epoch(&mut self, inner: &Inner) -> String {
        self.epochs_made += 1;
        format!("{}.{}", inner.name(), self.epochs_made)
    }

    /// The others have written this node off, as after a long freeze: they have called its devices offline. Its
    /// connections are closed, so that those come back and are online again for everyone.
    fn begin_another_life(&mut self, inner: &Arc<Inner>) {
        tracing::warn!("other nodes have written this one off; its connections are closed");
        self.apps.clear();
        {
            let mut state = inner.state();
            inner.life.fetch_add(1, Ordering::Relaxed);
            state.kept.clear();
            state.kept_of.clear();
        }
        self.epoch = None;
        (inner.observer)(Observation::WrittenOff);
        (inner.written_off)();
    }

    /// Whether Redis still has what this node has put there, for some of its apps at a time.
    async fn compare(&mut self, inner: &Arc<Inner>) -> RedisResult<()> {
        let mut apps: Vec<_> = self.apps.keys().cloned().collect();
        if apps.is_empty() || self.is_holding() || self.is_carry_due {
            return Ok(());
        }
        apps.sort_unstable();
        let from = self.compared % apps.len();
        let chosen: Vec<_> = apps.iter().cycle().skip(from).take(COMPARED.min(apps.len())).collect();
        self.compared = from + chosen.len();
        let name = inner.name();
        let mut commands = redis::pipe();
        for app in &chosen {
            commands.cmd("HGET").arg(scripts::about(app)).arg("epoch");
            commands.cmd("SCARD").arg(scripts::of_node(app, &name));
        }
        let mut answers = inner.link.run(&commands).await?.into_iter();
        for app in chosen {
            let (Some(epoch), Some(count)) = (answers.next(), answers.next()) else { break };
            let epoch = Option::<String>::from_redis_value(epoch?)?;
            let count = usize::from_redis_value(count?)?;
            let known = inner.state().kept_of.get(app).copied().unwrap_or(0);
            if epoch.as_ref() != self.apps.get(app) || count != known {
                self.put_back(inner, app).await?;
            }
        }
        Ok(())
    }

    /// Redis has forgotten the app, or some of it: what this node had there is put back. Nobody is told of it who has not
    /// been told meanwhile that the device is offline.
    async fn put_back(&mut self, inner: &Arc<Inner>, app: &AppId) -> RedisResult<()> {
        tracing::warn!(%app, "Redis has lost connections of this app; they are put back");
        (inner.observer)(Observation::PutBack);
        self.hold_until = Some(Instant::now() + PUT_BACK);
        self.is_carry_due = true;
        inner.set_live(false);
        // It stays among the apps: whatever fails from here on, the next comparison finds that it is still to be done.
        self.apps.insert(app.clone(), String::new());
        let Some(epoch) = self.use_app(inner, app).await? else { return Ok(()) };
        let kept: Vec<Session> = {
            let state = inner.state();
            let of_app = state.kept.values().filter(|session| session.app_id == *app);
            // Who has left is about to be taken out: put back, they would hide it that their device comes online again.
            of_app.filter(|session| state.lives.contains_key(&session.connection_id)).cloned().collect()
        };
        let name = inner.name();
        for sessions in kept.chunks(BATCH) {
            let mut commands = redis::pipe();
            for session in sessions {
                commands.add_command(join(app, &name, &epoch, session, "found"));
            }
            inner.link.run(&commands).await?;
        }
        self.take_out_strangers(inner, app, &epoch).await
    }

    /// Connections that Redis has under this node's name and this node does not have. Those that it has and does not know to
    /// be recorded are about to be carried over once more.
    async fn take_out_strangers(&self, inner: &Inner, app: &AppId, epoch: &str) -> RedisResult<()> {
        let name = inner.name();
        let mut commands = redis::pipe();
        commands.cmd("SMEMBERS").arg(scripts::of_node(app, &name));
        let recorded: Vec<String> = inner.one(&commands).await?;
        let mut commands = redis::pipe();
        {
            let state = inner.state();
            let is_here = |id: &str| state.kept.contains_key(id) || state.lives.contains_key(id);
            for id in recorded.iter().filter(|id| !is_here(id)) {
                commands.add_command(leave(app, &name, epoch, id, DEAD));
            }
        }
        if !commands.is_empty() {
            inner.link.run(&commands).await?;
        }
        Ok(())
    }

    /// The app's epoch, after it is noted that this node uses it. `None` if this node was written off.
    async fn use_app(&mut self, inner: &Inner, app: &AppId) -> RedisResult<Option<String>> {
        if let Some(epoch) = self.apps.get(app).filter(|epoch| !epoch.is_empty()) {
            return Ok(Some(epoch.clone()));
        }
        let name = inner.name();
        let mut commands = redis::pipe();
        let mut enlist = call(&scripts::ENLIST, &[scripts::LEASES.into(), scripts::apps_of(&name)]);
        enlist.arg(&name).arg(app.as_str());
        commands.add_command(enlist);
        if inner.one::<i64>(&commands).await? == 0 {
            return Ok(None);
        }
        let mut commands = redis::pipe();
        let mut register = call(&scripts::REGISTER, &[scripts::about(app)]);
        register.arg(self.new_epoch(inner));
        commands.add_command(register);
        let epoch: String = inner.one(&commands).await?;
        self.apps.insert(app.clone(), epoch.clone());
        Ok(Some(epoch))
    }

    /// Carries some changes into Redis.
    async fn carry(&mut self, inner: &Arc<Inner>) -> RedisResult<()> {
        let steps = next_steps(inner);
        if steps.is_empty() {
            return Ok(());
        }
        let outcome = self.carry_steps(inner, &steps).await;
        if outcome.is_err() {
            // Each step can be done twice, so what is not known to be done is done again.
            let mut state = inner.state();
            for step in steps.into_iter().rev() {
                state.changed.push_front(step.id().clone());
                step.keep_reason(&mut state);
            }
        }
        outcome
    }

    async fn carry_steps(&mut self, inner: &Arc<Inner>, steps: &[Step]) -> RedisResult<()> {
        let name = inner.name();
        let mut commands = Pipeline::new();
        for step in steps {
            let app = &step.session().app_id;
            let Some(epoch) = self.use_app(inner, app).await? else {
                return Err(written_off());
            };
            commands.add_command(match step {
                Step::Join(session) => join(app, &name, &epoch, session, "joined"),
                Step::Leave(session, reason) => leave(app, &name, &epoch, &session.connection_id, reason),
            });
        }
        let answers = inner.link.run(&commands).await?;
        let mut touched: Vec<AppId> = Vec::new();
        let mut forgotten = None;
        for (step, answer) in steps.iter().zip(answers) {
            let app = &step.session().app_id;
            match i64::from_redis_value(answer?)? {
                -2 => {
                    forgotten = Some(app.clone());
                    let mut state = inner.state();
                    state.note_change(step.id().clone());
                    step.keep_reason(&mut state);
                }
                -3 => return Err(written_off()),
                count => {
                    inner.settle(step, u32::try_from(count).unwrap_or(0).max(1));
                    if !touched.contains(app) {
                        touched.push(app.clone());
                    }
                }
            }
        }
        for app in touched {
            inner.announce_change(&app);
        }
        match forgotten {
            Some(app) => self.put_back(inner, &app).await,
            None => Ok(()),
        }
    }
}

fn written_off() -> RedisError {
    RedisError::from(std::io::Error::other("this node was written off"))
}

/// A connection to be recorded or taken out.
enum Step {
    Join(Session),
    Leave(Session, String),
}

impl Step {
    fn session(&self) -> &Session {
        match self {
            Self::Join(session) | Self::Leave(session, _) => session,
        }
    }

    fn id(&self) -> &ConnectionId {
        &self.session().connection_id
    }

    /// It is to be done again: why its connection is gone must be told then, too.
    fn keep_reason(&self, state: &mut State) {
        if let Self::Leave(_, reason) = self {
            state.reasons.insert(self.id().clone(), reason.clone());
        }
    }
}

/// What has to be done for the next of those that have changed. Who came and went meanwhile needs nothing.
fn next_steps(inner: &Inner) -> Vec<Step> {
    let mut state = inner.state();
    let life = inner.life.load(Ordering::Relaxed);
    let mut steps: Vec<Step> = Vec::new();
    while steps.len() < BATCH {
        let Some(id) = state.changed.pop_front() else { break };
        let is_kept = state.kept.contains_key(&id);
        // Those of an earlier life are about to be closed.
        let present =
            state.lives.get(&id).filter(|(begun, _)| *begun == life).map(|(_, session)| session.clone());
        match present {
            Some(session) if !is_kept => steps.push(Step::Join(session)),
            Some(_) => {}
            None => {
                let reason = state.reasons.remove(&id);
                if let Some(session) = state.kept.get(&id).cloned() {
                    steps.push(Step::Leave(session, reason.unwrap_or_else(|| DEAD.into())));
                }
            }
        }
    }
    steps
}

impl Inner {
    /// Redis has done the step.
    fn settle(&self, step: &Step, count: u32) {
        let mut state = self.state();
        match step {
            Step::Join(session) => {
                state.keep(session.clone());
                if !state.lives.contains_key(step.id()) {
                    // It left while it was recorded.
                    state.note_change(step.id().clone());
                }
                if let Some(tell) = state.joining.remove(step.id()) {
                    // Nobody waits any more where this fails.
                    let _ = tell.send(count);
                }
            }
            Step::Leave(..) => {
                state.drop_kept(step.id());
            }
        }
    }

    /// Tells all nodes that there is something new in the app's log.
    fn announce_change(&self, app: &AppId) {
        self.feeds.nudge(app);
        self.publisher.put(format!("C {app}\n").into_bytes());
    }
}

fn join(app: &AppId, name: &str, epoch: &str, session: &Session, kind: &str) -> redis::Cmd {
    let mut command = call(&scripts::JOIN, &scripts::of_change(app, name));
    let json = serde_json::to_string(session).unwrap_or_default();
    command.arg(epoch).arg(session.connection_id.as_str()).arg(session.device_id.as_str());
    command.arg(name).arg(json).arg(kind);
    command
}

fn leave(app: &AppId, name: &str, epoch: &str, id: &str, reason: &str) -> redis::Cmd {
    let mut command = call(&scripts::LEAVE, &scripts::of_change(app, name));
    command.arg(epoch).arg(id).arg(reason);
    command
}

/// Takes a dead node's connections out, if no other node does it already.
async fn claim(inner: Arc<Inner>, node: String) {
    if let Err(error) = try_claim(&inner, &node).await {
        // The claim ends by itself, and then whoever looks first goes on with it.
        tracing::warn!(%error, node, "a dead node's connections are not all taken out yet");
    }
}

async fn try_claim(inner: &Inner, node: &str) -> RedisResult<()> {
    let keys = [scripts::LEASES, scripts::CLAIMS, scripts::COUNTS].map(String::from);
    let mut take = call(&scripts::TAKE, &keys);
    take.arg(node).arg(CLAIM.as_millis() as u64);
    let mut commands = redis::pipe();
    commands.add_command(take);
    if inner.one::<i64>(&commands).await? == 0 {
        return Ok(());
    }
    tracing::warn!(node, "a node is dead; its connections are taken out");
    let mut commands = redis::pipe();
    commands.cmd("SMEMBERS").arg(scripts::apps_of(node));
    let apps: Vec<String> = inner.one(&commands).await?;
    for app in apps.into_iter().map(AppId::from) {
        loop {
            let mut commands = redis::pipe();
            let mut command = call(&scripts::CLAIM, &scripts::of_change(&app, node));
            command.arg(CLAIM_CHUNK).arg(DEAD).arg(TOMBSTONE_SECONDS);
            commands.add_command(command);
            let left: u64 = inner.one(&commands).await?;
            inner.announce_change(&app);
            if left == 0 {
                break;
            }
        }
    }
    let mut commands = redis::pipe();
    commands.cmd("ZREM").arg(scripts::CLAIMS).arg(node);
    commands.cmd("DEL").arg(scripts::apps_of(node));
    inner.link.run(&commands).await?;
    Ok(())
}
