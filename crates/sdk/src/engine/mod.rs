//! The client's own task: it takes commands and reports, changes the local file in one transaction, and only when that is
//! committed sends, answers and shows. The rules it applies are elsewhere; here is in which order things happen.

mod command;
mod connecting;
mod context;
mod effect;
mod identity;
mod report;
mod sending;
mod showing;
mod syncing;
mod telling;
mod unknown;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::ConversationId;
use protocol::limits::DEVICE_ID_CHARS;
use protocol::rest::Unread;
use socketio::Outgoing;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::command::Command;
use self::connecting::LinkHandle;
use self::effect::Effect;
use self::identity::Naming;
use self::report::{Report, bounded};
use self::showing::{Standing, Views};
use crate::backoff::full_jitter;
use crate::config::Endpoint;
use crate::connection;
use crate::local::{Error, LocalStore, People};
use crate::outbox::{Failed, Outbox};
use crate::receipts::Receipts;
use crate::sync::Sync;
use crate::typing::Typing;
use crate::wire::tls::Dialer;
use crate::{
    ChatEvent, ClientError, ClientState, Config, LogLevel, Platform, TokenSource, WaitReason, limits, random,
};

/// Reports that may wait. A link that has told more waits until some are dealt with.
const REPORTS: usize = 256;
/// Inputs of one transaction: a burst is committed together, and nobody waits long for it.
const BATCH: usize = 64;
/// Bytes of the largest message from the server: a page of messages, and room for more.
const MAX_PAYLOAD: usize = 4 * 1024 * 1024;
/// From one look at the time to the next where nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// What the client is, all of it on one task.
pub(crate) struct Engine {
    platform: Arc<dyn Platform>,
    dialer: Dialer,
    socket_config: Arc<socketio::Config>,
    app_id: String,
    api_key: String,
    /// What agents are to know of the device, as JSON.
    device_context: Option<String>,
    people: People,
    store: LocalStore,

    connection: connection::State,
    link: Option<LinkHandle>,
    /// There while the server has accepted the connection.
    outgoing: Option<Outgoing>,
    probe: Probe,
    /// Why the last connection failed.
    trouble: WaitReason,
    /// Tells apart what this connection says from what older ones say.
    generation: u64,
    /// Tells apart answers for this person from those for others.
    epoch: u64,
    tasks: JoinSet<()>,
    tell: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,

    outbox: Outbox,
    receipts: Receipts,
    typing: Typing,
    syncs: HashMap<ConversationId, Sync>,
    /// What the server is to be told of the person, and asked for of their conversations.
    identifying: Errand,
    listing: Errand,
    /// What the server is to be told of the device.
    describing: Errand,
    /// What the server is to be told of devices that were left.
    leaving: Errand,
    /// Where the person's tokens come from, since the app has said it in this process.
    tokens: Option<Arc<dyn TokenSource>>,
    /// A token of theirs that no server has seen yet.
    fresh_token: Option<String>,
    /// Who is to be named by a token.
    naming: Option<Naming>,
    /// Tells apart who is to be named from who was before.
    naming_turn: u64,
    /// Conversations that somebody looks at and that are not known here, which the server was asked for.
    sought: HashSet<ConversationId>,

    /// When the local file was damaged and begun anew.
    mended_at: Option<Instant>,
    views: Views,
    listeners: Vec<mpsc::Sender<ChatEvent>>,
    /// What nobody listened to, and somebody has to hear.
    untold: Vec<ChatEvent>,
    effects: Vec<Effect>,
    drains: Vec<Drain>,
    is_closing: Option<oneshot::Sender<()>>,
    is_closed: bool,
}

/// What runs by itself: of one type, so that the code which runs it is in an app once.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Somebody who waits for the queue to be empty.
struct Drain {
    until: Instant,
    reply: oneshot::Sender<Result<u64, ClientError>>,
}

/// Whether the connection is asked for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    None,
    UnderWay,
    /// What it was asked for is older than the newest doubt.
    Again,
}

/// A request that is repeated until it goes well, while there is a connection.
#[derive(Debug, Default)]
struct Errand {
    is_wanted: bool,
    under_way_since: Option<Instant>,
    not_before: Option<Instant>,
    failures: u32,
}

impl Errand {
    fn want(&mut self) {
        *self = Self { is_wanted: true, under_way_since: self.under_way_since, ..Self::default() };
    }

    /// Whether to begin now; counts as begun.
    fn begin(&mut self, now: Instant) -> bool {
        let begins =
            self.is_wanted && !self.is_under_way() && self.not_before.is_none_or(|until| until <= now);
        if begins {
            self.under_way_since = Some(now);
            self.is_wanted = false;
            self.not_before = None;
        }
        begins
    }

    /// Begun by somebody who asks for it now.
    fn began(&mut self, now: Instant) {
        *self = Self { under_way_since: Some(now), ..Self::default() };
    }

    fn failed(&mut self, retry_after: Option<Duration>, now: Instant, chance: u64) {
        let wait = retry_after.unwrap_or_else(|| full_jitter(limits::RESEND, self.failures, chance));
        self.failures = self.failures.saturating_add(1);
        self.under_way_since = None;
        self.is_wanted = true;
        self.not_before = Some(now + wait);
    }

    fn is_under_way(&self) -> bool {
        self.under_way_since.is_some()
    }

    fn is_done(&self) -> bool {
        !self.is_wanted && !self.is_under_way()
    }

    fn done(&mut self) {
        self.under_way_since = None;
        self.failures = 0;
    }

    fn deadline(&self) -> Option<Instant> {
        if self.is_wanted && !self.is_under_way() { self.not_before } else { None }
    }
}

impl Engine {
    /// Opens the folder and prepares the first connection. Returns what shows the state as well.
    pub(crate) fn open(
        config: Config,
        platform: Arc<dyn Platform>,
    ) -> Result<(Self, watch::Receiver<Arc<ClientState>>), ClientError> {
        if config.app_id.is_empty() || config.api_key.is_empty() {
            return Err(ClientError::InvalidConfig("app_id and api_key are needed".into()));
        }
        let is_header = |text: &str| http::HeaderValue::from_str(text).is_ok();
        if !is_header(&config.app_id) || !is_header(&config.api_key) {
            return Err(ClientError::InvalidConfig("app_id or api_key has a character that is none".into()));
        }
        if let Some(device_id) = &config.first_device_id
            && (device_id.is_empty() || device_id.chars().count() > DEVICE_ID_CHARS || !is_header(device_id))
        {
            let what = format!("first_device_id has a character that is none, or not 1 to {DEVICE_ID_CHARS}");
            return Err(ClientError::InvalidConfig(what));
        }
        let dialer = Dialer::new(&config, Arc::clone(&platform))?;
        let device_context = config.device_context.as_ref().map(context::described).transpose()?;
        let mut people = People::open(
            &config.data_dir,
            &names(&config, dialer.endpoint()),
            &config.app_id,
            Arc::clone(&platform),
        )?;
        let mut store = people.current(config.first_device_id.clone())?;
        let socket_config = socketio::Config {
            max_payload: MAX_PAYLOAD,
            max_pending_events: limits::BUFFERED,
            ..socketio::Config::default()
        };
        let (tell, reports) = mpsc::channel(REPORTS);
        let connection = connection::State::new();
        let others = people.waiting_for_others();
        let shown = |store: &LocalStore| {
            let standing = Standing { connection: &connection, trouble: WaitReason::Lost, others };
            showing::state(store, &standing, &Typing::default(), &*platform)
        };
        let first = match shown(&store) {
            Err(error) if error.is_corruption() => {
                people.mend(&error, &mut store)?;
                shown(&store)?
            }
            first => first?,
        };
        let untold = people.take_recovered().into_iter().map(recovered).collect();
        let (views, shown) = Views::new(first);
        let engine = Self {
            dialer,
            socket_config: Arc::new(socket_config),
            app_id: config.app_id,
            api_key: config.api_key,
            device_context,
            people,
            store,
            connection,
            link: None,
            outgoing: None,
            probe: Probe::None,
            trouble: WaitReason::Lost,
            generation: 0,
            epoch: 0,
            tasks: JoinSet::new(),
            tell,
            reports,
            outbox: Outbox::default(),
            receipts: Receipts::default(),
            typing: Typing::default(),
            syncs: HashMap::new(),
            identifying: Errand::default(),
            listing: Errand::default(),
            describing: Errand::default(),
            leaving: Errand::default(),
            tokens: None,
            fresh_token: None,
            naming: None,
            naming_turn: 0,
            sought: HashSet::new(),
            mended_at: None,
            views,
            listeners: Vec::new(),
            untold,
            effects: Vec::new(),
            drains: Vec::new(),
            is_closing: None,
            is_closed: false,
            platform,
        };
        Ok((engine, shown))
    }

    /// Asks only what is unread.
    pub(crate) async fn fetch_unread(self) -> Result<u64, ClientError> {
        let rest = self.rest();
        match rest.get::<Unread>("/v1/unread").await {
            Ok(Unread { unread_count }) => Ok(unread_count),
            Err(Failed::ForNow { .. }) => Err(ClientError::Offline),
            Err(Failed::Barred(bar)) => {
                let (code, message) = bar.told();
                Err(ClientError::Server { code: code.as_str().into(), message: message.into() })
            }
            Err(Failed::ForGood { code, message }) => Err(ClientError::Server { code, message }),
        }
    }

    /// Works until the client is closed, or nobody has a handle to it any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.step(connection::Input::Start);
        self.turn();
        while !self.is_closed {
            let deadline = self.deadline();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.take_command(command),
                    None => self.close(None),
                },
                // The engine has a sender itself, so that there is always one.
                Some(report) = self.reports.recv() => self.take_report(report),
                () = sleep_until(deadline) => {}
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
            for _ in 0..BATCH {
                let Ok(report) = self.reports.try_recv() else { break };
                self.take_report(report);
            }
            for _ in 0..BATCH {
                if self.is_closed {
                    break;
                }
                let Ok(command) = commands.try_recv() else { break };
                self.take_command(command);
            }
            self.turn();
        }
        let closing = self.is_closing.take();
        // The folder is free before anybody hears of it.
        drop(self);
        if let Some(done) = closing {
            // Who does not wait does not need to know.
            let _ = done.send(());
        }
    }

    fn take_command(&mut self, command: Command) {
        let outcome = self.command(command);
        self.check(outcome);
    }

    fn take_report(&mut self, report: Report) {
        let outcome = self.report(report);
        self.check(outcome);
    }

    /// All that follows from what came in: what is due begins, the transaction ends, and then its effects are seen.
    fn turn(&mut self) {
        let outcome = self.advance(Instant::now());
        self.check(outcome);
        self.finish();
        self.answer_drains();
    }

    /// Commits, shows what changed, and then does what was put off until that is done: who has an answer sees what it says.
    /// What is done may leave something to commit again.
    fn finish(&mut self) {
        loop {
            if let Err(error) = self.store.commit() {
                return self.check(Err(error));
            }
            self.show_or_say();
            let effects = std::mem::take(&mut self.effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.perform(effect);
            }
        }
    }

    /// Begins what is due and possible.
    fn advance(&mut self, now: Instant) -> Result<(), Error> {
        if self.connection.deadline().is_some_and(|due| due <= now) {
            self.step(connection::Input::Tick);
        }
        self.outbox.tick(now);
        self.tell_silence(now);
        if self.is_online() {
            if self.outgoing.as_ref().is_some_and(|outgoing| outgoing.silent_for() >= limits::SILENCE) {
                self.doubt();
            }
            self.identify_if_needed(now)?;
            self.describe_if_needed(now)?;
            self.leave_if_needed(now);
            self.list_if_wanted(now);
            self.seek_unknown()?;
            self.ask_for_pages(now)?;
            self.send_heads(now)?;
            self.send_receipts(now)?;
        }
        if self.connection.is_draining() && self.is_done()? {
            self.step(connection::Input::Drained);
        }
        Ok(())
    }

    /// Whether there is a connection that is to go on: nothing is begun on one that is about to be closed.
    fn is_online(&self) -> bool {
        self.outgoing.is_some() && matches!(self.connection.phase, connection::Phase::Online { .. })
    }

    /// Whether nothing is left that the server should have.
    fn is_done(&self) -> Result<bool, Error> {
        Ok(self.receipts.is_idle() && self.people.left().is_none() && self.store.counts()?.queued == 0)
    }

    /// When something is due next.
    fn deadline(&self) -> Instant {
        let is_online = self.is_online();
        let always = [self.connection.deadline(), self.typing.deadline()];
        // While it is asked for a sign of life, its answer is what is waited for.
        let is_trusted = |_: &&Outgoing| self.probe == Probe::None;
        let silence = self
            .outgoing
            .as_ref()
            .filter(is_trusted)
            .map(|outgoing| Instant::now() + limits::SILENCE.saturating_sub(outgoing.silent_for()));
        let online = [
            silence,
            self.outbox.deadline(),
            self.receipts.deadline(),
            self.identifying.deadline(),
            self.waits_for_identity_until(),
            self.listing.deadline(),
            self.describing.deadline(),
            self.leaving.deadline(),
            self.syncs.values().filter_map(Sync::deadline).min(),
        ];
        let drains = self.drains.iter().map(|drain| drain.until);
        let due = always.into_iter().chain(online.into_iter().filter(|_| is_online)).flatten().chain(drains);
        due.min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Gives up what was begun if the local file failed: nothing of it counts, everything is tried again. A file that is damaged
    /// is begun anew.
    fn check(&mut self, outcome: Result<(), Error>) {
        let Err(error) = outcome else { return };
        self.store.roll_back();
        self.log(LogLevel::Error, &format!("the local file can't be used: {error}"));
        let failure = ClientError::Storage(error.to_string());
        for effect in std::mem::take(&mut self.effects) {
            self.abandon(effect, &failure);
        }
        if self.is_mended(&error) {
            self.begin_anew();
        } else {
            self.views.change_all();
            self.close_link();
            self.step(connection::Input::Lost);
        }
        for effect in std::mem::take(&mut self.effects) {
            self.perform(effect);
        }
        self.show_or_say();
    }

    /// Whether the local file was damaged, and is another one now.
    fn is_mended(&mut self, error: &Error) -> bool {
        let now = Instant::now();
        if !error.is_corruption() || self.mended_at.is_some_and(|at| now - at < limits::MEND_PAUSE) {
            return false;
        }
        self.mended_at = Some(now);
        let mended = self.people.mend(error, &mut self.store);
        let events: Vec<_> = self.people.take_recovered().into_iter().map(recovered).collect();
        for event in events {
            self.tell_or_keep(event);
        }
        if let Err(error) = &mended {
            self.log(LogLevel::Error, &format!("the local file can't be begun anew: {error}"));
        }
        mended.is_ok()
    }

    /// Shows what changed. What can't be read is shown the next time, or is damaged.
    fn show_or_say(&mut self) {
        let Err(error) = self.show() else { return };
        self.log(LogLevel::Error, &format!("the local file can't be read: {error}"));
        if self.is_mended(&error) {
            self.begin_anew();
            self.show_or_say();
        }
    }

    fn answer_drains(&mut self) {
        if self.drains.is_empty() {
            return;
        }
        let now = Instant::now();
        let counts = self.store.counts().map_err(ClientError::from);
        // Receipts are told when there is a connection again: nobody waits for that who only wants to be sure of what was written.
        let is_quiet = self.receipts.is_idle() || !self.is_online();
        let is_done = counts.as_ref().map_or(true, |counts| counts.queued == 0 && is_quiet);
        for drain in self.drains.extract_if(.., |drain| is_done || counts.is_err() || drain.until <= now) {
            // Who does not wait does not need to know.
            let _ = drain.reply.send(counts.clone().map(|counts| counts.queued));
        }
    }

    /// Runs beside the engine, until it ends or somebody else is there.
    fn spawn(&mut self, task: Task) {
        self.tasks.spawn(task);
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.platform.log(level, message);
    }

    fn chance(&self) -> u64 {
        random::chance(&*self.platform)
    }
}

/// Under which names the files may be, the present one first.
fn names(config: &Config, endpoint: &Endpoint) -> Vec<String> {
    let key = config.storage_key.as_ref().map(|key| format!("key\n{key}"));
    key.into_iter().chain([endpoint.authority.clone(), endpoint.written.clone()]).collect()
}

fn recovered(saved: u64) -> ChatEvent {
    ChatEvent::StorageRecovered { saved }
}

#[cfg(test)]
mod tests {
    use protocol::rest::ConversationAnswer;
    use protocol::{Conversation, ConversationStatus, Timestamp};

    use super::report::RestAnswer;
    use super::*;
    use crate::connection::{Input, Phase};
    use crate::wire::link::Told;
    use crate::wire::trouble::Trouble;

    struct Silent;

    impl Platform for Silent {
        fn log(&self, _level: LogLevel, _message: &str) {}

        fn dial(&self, _host: &str, _port: u16) -> crate::Dialing {
            Box::pin(std::future::pending())
        }
    }

    fn engine(folder: &tempfile::TempDir) -> Engine {
        let config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder.path());
        Engine::open(config, Arc::new(Silent)).unwrap().0
    }

    /// What comes together is taken in any order; here it comes in the worst one.
    #[tokio::test]
    async fn an_answer_for_who_has_gone_is_not_the_next_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = engine(&folder);
        let asked = engine.epoch;
        engine.take_command(Command::Logout { reply: oneshot::channel().0 });
        let conversation = Conversation {
            id: "conv_of_who_has_gone".into(),
            app_id: "app_1".into(),
            device_id: "dev_1".into(),
            user_id: None,
            status: ConversationStatus::Open,
            last_message: None,
            last_seq: 0,
            created_at: Timestamp::from_epoch_ms(0),
            updated_at: Timestamp::from_epoch_ms(0),
            unread_count: None,
        };
        let outcome = Ok(ConversationAnswer { conversation });
        let answer = RestAnswer::Open { local_id: "m_1".into(), context: None, outcome };
        engine.take_report(Report::Rest { epoch: asked, answer });
        engine.turn();
        assert_eq!(engine.store.conversations().unwrap(), []);
    }

    #[tokio::test]
    async fn the_end_of_an_old_connection_is_not_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = engine(&folder);
        engine.step(Input::Start);
        engine.turn();
        let old = engine.generation;
        engine.step(Input::Connected);
        engine.take_command(Command::SetApiKey { api_key: "another".into(), reply: oneshot::channel().0 });
        let late = Told::Ended(Trouble::new(WaitReason::Lost, "late"));
        engine.take_report(Report::Link { generation: old, told: late });
        assert!(matches!(engine.connection.phase, Phase::Connecting { .. }));
    }
}
