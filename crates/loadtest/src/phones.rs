//! Many clients of the SDK, as apps have it, against one server that is killed in the middle and networks that go away.
//!
//! The clients are in this process. Each commits what it does to a file of its own, on the thread that it runs on, and
//! waits for the disk: on a person's device that holds up nobody else, and here it must not hold up a thousand others.
//! So they run on threads of their own, far more than there are cores, all of them on the tool's core. The disk is one
//! for all of them and the server: what is measured is the whole of it, and no limit of the server.

use crate::{
    answers::Agent,
    bench::Bench,
    history::{self, Entry, Written},
    http::Http,
    meter::Meter,
    metric::Outcome,
    options::Options,
    phone::{Journal, Phone},
    socket::{Login, Route},
    target::{App, Running, Target},
    usage::Memory,
};
use anyhow::{Context, Result, ensure};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const POLL: Duration = Duration::from_millis(20);
/// How long the clients may take for any one thing: three times the longest wait between two tries to connect, and more.
const PATIENCE: Duration = Duration::from_secs(120);
const AGENTS: usize = 16;
const CHECKERS: usize = 8;
/// Of every fourth client the network is away when the server is killed, of every other fourth it goes and comes at once.
const PARTS: usize = 4;
const AWAY: usize = 0;
const FLICKERING: usize = 1;

/// Opens the clients, lets everybody write, kills the server, and looks at what is there in the end.
pub(crate) async fn run(
    options: &Options,
    target: &Target,
    running: &mut Running,
    apps: &[App],
) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("loadtest-clients-").tempdir_in(&options.work_dir)?;
    let threads = Threads::start(options.client_threads)?;
    let app = apps.first().context("an app")?;
    let mut party = Party {
        options,
        group: format!("sdk, {} clients", options.clients),
        app,
        journal: Arc::default(),
        phones: Vec::new(),
        outcome: Outcome::default(),
        threads,
    };
    party.open(running, &folder).await?;
    party.write_in_peace(running, apps).await?;
    party.write_in_trouble(target, running).await?;
    party.check(running).await?;
    let outcome = party.close().await;
    folder.close().context("removing the clients' folders")?;
    Ok(outcome)
}

/// Everyone who takes part.
struct Party<'a> {
    options: &'a Options,
    group: String,
    app: &'a App,
    journal: Arc<Journal>,
    phones: Vec<Arc<Phone>>,
    outcome: Outcome,
    threads: Threads,
}

impl Party<'_> {
    /// Opens the clients, and reads the tool's memory before and after.
    async fn open(&mut self, running: &Running, folder: &tempfile::TempDir) -> Result<()> {
        let settling = Duration::from_secs(self.options.warmup);
        tokio::time::sleep(settling).await;
        let before = Memory::of(std::process::id())?;
        let began = Instant::now();
        let mut opening = JoinSet::new();
        for index in 0..self.options.clients {
            let url = format!("http://{}", running.address);
            let config = Phone::config(&url, self.app, &folder.path().join(index.to_string()));
            opening.spawn_on(Phone::open(config, Arc::clone(&self.journal)), self.threads.handle());
        }
        while let Some(phone) = opening.join_next().await {
            self.phones.push(Arc::new(phone??));
        }
        self.wait("online", Phone::is_online).await;
        self.add("until all are open and online", "s", began.elapsed().as_secs_f64());
        tokio::time::sleep(settling).await;
        let after = Memory::of(std::process::id())?;
        let each = (after.rss as f64 - before.rss as f64) / self.phones.len() as f64;
        self.add("RSS per client, online and idle", "KiB", each);
        Ok(())
    }

    /// The first half of what is written, with nothing in its way.
    async fn write_in_peace(&mut self, running: &Running, apps: &[App]) -> Result<()> {
        let half = self.half();
        let bench = Bench { options: self.options, running, apps };
        let meter = Meter::new()?;
        let before = bench.reading(&meter)?;
        let began = Instant::now();
        let (writing, answering) = self.start(running, 0..half);
        self.wait("rid of the first half", move |phone| {
            phone.accepted() == half && phone.state().queued == 0
        })
        .await;
        let sent = began.elapsed().as_secs_f64();
        self.wait("told the first answers", move |phone| phone.state().unread == half).await;
        let work = bench.reading(&meter)?.since(&before);
        self.finish(writing).await;
        let ends = self.finish(answering).await;
        // In peace no agent's connection ends.
        self.outcome.faults.broken += ends.into_iter().sum::<u64>();
        let all = (half * self.phones.len() as u64) as f64;
        self.add("persons' messages, acknowledged", "/s", all / sent);
        self.add("both sides' messages, stored and shown", "/s", 2.0 * all / work.elapsed);
        self.outcome.shares(&self.group, &work);
        Ok(())
    }

    /// The second half: while it is written networks go away, the server is killed, and all of it comes back.
    async fn write_in_trouble(&mut self, target: &Target, running: &mut Running) -> Result<()> {
        let (half, messages) = (self.half(), self.options.messages as u64);
        let (writing, answering) = self.start(running, half..messages);
        let third = half + (messages - half) / 3;
        self.wait_for_acks(third * self.phones.len() as u64).await;
        let flickering = self.each(self.part(FLICKERING), |phone| async move {
            phone.set_network(false).await?;
            phone.set_network(true).await
        });
        self.finish(flickering).await;
        let going = self.each(self.part(AWAY), |phone| async move { phone.set_network(false).await });
        self.finish(going).await;

        running.kill().await?;
        let killed = Instant::now();
        self.wait("offline", |phone| !phone.is_online()).await;
        let open = self.phones.iter().map(|phone| phone.state().queued).sum::<u64>();
        self.add("persons' messages waiting when killed", "", open as f64);
        target.start_again(running).await?;
        let back = Instant::now();
        self.add("the server was away for", "s", (back - killed).as_secs_f64());
        let coming = self.each(self.part(AWAY), |phone| async move { phone.set_network(true).await });
        self.finish(coming).await;

        self.wait("online again", Phone::is_online).await;
        self.add("until all are online again", "s", back.elapsed().as_secs_f64());
        self.wait("rid of all messages and told all answers", move |phone| {
            let state = phone.state();
            phone.accepted() == messages && state.queued == 0 && state.unread == messages
        })
        .await;
        self.add("until all is stored and shown", "s", back.elapsed().as_secs_f64());
        self.finish(writing).await;
        self.finish(answering).await;
        Ok(())
    }

    /// Compares what was written with what the server has and what the apps show.
    async fn check(&mut self, running: &Running) -> Result<()> {
        let messages = self.options.messages as u64;
        let agent = (0..messages).map(|number| Agent::local_id(running.start, number)).collect::<Vec<_>>();
        let mut checking = JoinSet::new();
        for checker in 0..CHECKERS {
            let own = self.phones.iter().skip(checker).step_by(CHECKERS);
            let (own, agent) = (own.cloned().collect::<Vec<_>>(), agent.clone());
            let credentials = format!("Authorization: Bearer {}\r\n", self.app.admin_token);
            let route = Route::nth(running.address, checker);
            checking.spawn_local(async move {
                let mut http = Http::connect(route, credentials).await?;
                let mut faults = crate::ledger::Faults::default();
                for phone in own {
                    phone.drain(PATIENCE).await?;
                    let written = Written { person: phone.written()?, agent: agent.clone() };
                    let stored = match phone.conversation() {
                        Some(conversation) => stored(&mut http, &conversation).await?,
                        None => Vec::new(),
                    };
                    faults += written.faults_at_server(&stored);
                    faults += history::faults_in_app(&stored, &phone.timeline().await?);
                    faults.refused += phone.state().wedged;
                }
                Ok(faults)
            });
        }
        for faults in self.finish(checking).await {
            self.outcome.faults += faults;
        }
        Ok(())
    }

    async fn close(mut self) -> Outcome {
        let closing = self.each(&self.phones, |phone| async move {
            phone.close().await;
            Ok(())
        });
        self.finish(closing).await;
        self.outcome.complaint = self.outcome.complaint.take().or_else(|| self.journal.complaint());
        self.outcome
    }

    fn half(&self) -> u64 {
        self.options.messages as u64 / 2
    }

    fn add(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.outcome.add(&self.group, name, unit, value);
    }

    /// Everybody begins to write these messages, the agents and the persons.
    fn start(&self, running: &Running, numbers: Range<u64>) -> (JoinSet<Result<()>>, JoinSet<Result<u64>>) {
        let mut answering = JoinSet::new();
        for agent in 0..AGENTS.min(self.phones.len()) {
            let agent = Agent {
                route: Route::nth(running.address, agent),
                login: Login::Agent {
                    app_id: self.app.app_id.clone(),
                    admin_token: self.app.admin_token.clone(),
                },
                start: running.start,
                body: self.options.body,
                phones: self.phones.iter().skip(agent).step_by(AGENTS).cloned().collect(),
            };
            answering.spawn_local(agent.write(numbers.clone()));
        }
        let body = self.options.body;
        let writing = self.each(&self.phones, |phone| {
            let numbers = numbers.clone();
            async move { phone.write(numbers, body).await }
        });
        (writing, answering)
    }

    /// Every fourth client.
    fn part(&self, first: usize) -> impl Iterator<Item = &Arc<Phone>> {
        self.phones.iter().skip(first).step_by(PARTS)
    }

    /// Does the same with each of these clients, on their threads.
    fn each<'a, F: Future<Output = Result<()>> + Send + 'static>(
        &self,
        phones: impl IntoIterator<Item = &'a Arc<Phone>>,
        act: impl Fn(Arc<Phone>) -> F,
    ) -> JoinSet<Result<()>> {
        let mut acting = JoinSet::new();
        for phone in phones {
            acting.spawn_on(act(Arc::clone(phone)), self.threads.handle());
        }
        acting
    }

    /// What came of these tasks. One that failed is broken.
    async fn finish<T: 'static>(&mut self, mut tasks: JoinSet<Result<T>>) -> Vec<T> {
        let mut results = Vec::new();
        while let Some(result) = tasks.join_next().await {
            match result.map_err(anyhow::Error::from).flatten() {
                Ok(result) => results.push(result),
                Err(error) => self.broken(1, format!("{error:#}")),
            }
        }
        results
    }

    fn broken(&mut self, count: u64, complaint: String) {
        self.outcome.faults.broken += count;
        self.outcome.complaint.get_or_insert(complaint);
    }

    /// Waits until the server has acknowledged so many messages of all persons together.
    async fn wait_for_acks(&mut self, count: u64) {
        let until = Instant::now() + PATIENCE;
        let acked = |phone: &Arc<Phone>| phone.accepted().saturating_sub(phone.state().queued);
        while self.phones.iter().map(acked).sum::<u64>() < count {
            if Instant::now() >= until {
                return self.broken(1, format!("{count} messages were not acknowledged in {PATIENCE:?}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all clients are so. Those who are not in time are broken.
    async fn wait(&mut self, what: &str, is_so: impl Fn(&Phone) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut others = self.phones.iter().filter(|phone| !is_so(phone));
            let Some(first) = others.next() else { return };
            if Instant::now() >= until {
                let count = 1 + others.count() as u64;
                let state = first.state();
                return self
                    .broken(count, format!("{count} are not {what} in {PATIENCE:?}; the first: {state:?}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The threads that the clients run on.
struct Threads(Option<Runtime>);

impl Threads {
    fn start(count: usize) -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(count).thread_name("clients").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        match &self.0 {
            Some(runtime) => runtime.handle(),
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A runtime can't be waited for within another; clients that are still open end at their next step.
            runtime.shutdown_background();
        }
    }
}

/// All messages of a conversation, as the admin side tells them.
async fn stored(http: &mut Http, conversation: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200&after={after}");
        let answer = http.request("GET", &path, "").await?;
        ensure!(answer.status == 200, "GET {path}: {}", answer.status);
        let page: serde_json::Value = serde_json::from_slice(answer.body)?;
        let messages = page.get("messages").and_then(|list| list.as_array()).context("no messages")?;
        for message in messages {
            entries.push(Entry::of_rest(message)?);
            after = message.get("id").and_then(|id| id.as_str()).context("no id")?.to_owned();
        }
        if page.get("has_more").and_then(serde_json::Value::as_bool) != Some(true) {
            return Ok(entries);
        }
    }
}
