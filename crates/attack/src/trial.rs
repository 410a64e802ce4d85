//! One scenario against one server: an undisturbed moment, the attack, and what is left of it.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::hostile::{self, Hostile, Tally};
use crate::record::Record;
use crate::scenario::Scenario;
use crate::server::{Binary, Server};
use crate::usage::{self, Memory};
use crate::victim::{Findings, Phase, Reading, Victim};
use crate::watch::{Peaks, Watch};

/// Before an attacker whose connection has ended comes back.
const COME_BACK: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(50);
const AUTHOR: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 1);
/// What memory may stay behind after an attack: a share of what there was, and MiB. A server that has just been started
/// grows by about 10 MiB with the first work it does, whoever asks for it: the database's caches and the threads' stacks.
const LEFT_SHARE: f64 = 0.25;
const LEFT: f64 = 12.0;

/// How long things go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Of the undisturbed moment.
    pub(crate) baseline: Duration,
    /// Of the attack.
    pub(crate) attack: Duration,
    /// After the attackers left.
    pub(crate) after: Duration,
    /// Whether it is the short run: fewer connections, too.
    pub(crate) is_short: bool,
}

/// A trial.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The server.
    pub(crate) server: Server,
    /// How long things go on.
    pub(crate) pace: Pace,
    /// What the attackers did.
    pub(crate) tally: Arc<Tally>,
    /// What is found.
    pub(crate) record: Record,
    has_victims: bool,
    victim: Option<Victim>,
    watch: Watch,
    crowd: JoinSet<()>,
    next: usize,
    before: Memory,
    cpu_before: f64,
    kernel_before: f64,
    peaks: Option<Peaks>,
    standing: usize,
    after: Option<Memory>,
    extra: Vec<(&'static str, String)>,
}

impl Trial {
    /// Starts the server.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(binary: &Binary, scenario: &Scenario, pace: Pace) -> Result<Self> {
        let server = Server::start(binary, scenario.flags, scenario.descriptors).await?;
        let watch = Watch::start(server.pid());
        let record = Record { scenario: scenario.name, server: binary.name, ..Record::default() };
        Ok(Self {
            server,
            pace,
            tally: Arc::default(),
            record,
            has_victims: scenario.has_victims,
            victim: None,
            watch,
            crowd: JoinSet::new(),
            next: 0,
            before: Memory::default(),
            cpu_before: 0.0,
            kernel_before: 0.0,
            peaks: None,
            standing: 0,
            after: None,
            extra: Vec::new(),
        })
    }

    /// One of two counts: in the short run there are fewer.
    pub(crate) fn sized(&self, count: usize, short: usize) -> usize {
        if self.pace.is_short { short } else { count }
    }

    /// The undisturbed moment, with the ordinary agent alone.
    pub(crate) async fn baseline(&mut self) -> Result<()> {
        self.baseline_with(Vec::new(), &[]).await
    }

    /// The undisturbed moment, with these agents too, who have `rooms` open.
    ///
    /// # Errors
    /// If the victims can't connect.
    pub(crate) async fn baseline_with(&mut self, agents: Vec<Reading>, rooms: &[String]) -> Result<()> {
        if self.has_victims {
            let victim = Victim::start(&self.server, agents, rooms).await?;
            victim.enter(Phase::Baseline);
            sleep(self.pace.baseline).await;
            victim.enter(Phase::Attacked);
            self.victim = Some(victim);
        }
        self.before = Memory::of(self.server.pid()).context("the server ended before it was attacked")?;
        self.cpu_before = usage::cpu_seconds(self.server.pid())?;
        self.kernel_before = usage::kernel_tcp()?;
        self.watch.begin_anew();
        Ok(())
    }

    /// The next attacker.
    pub(crate) fn hostile(&mut self) -> Hostile {
        self.next += 1;
        let index = self.next - 1;
        Hostile { index, source: hostile::address(index), ..self.author() }
    }

    /// One of those who are no attackers and prepare what is attacked.
    pub(crate) fn author(&self) -> Hostile {
        Hostile {
            index: usize::MAX,
            source: AUTHOR,
            server: self.server.address,
            app: self.server.app.clone(),
            tally: Arc::clone(&self.tally),
        }
    }

    /// `count` attackers, each of whom begins anew whenever it comes to an end.
    pub(crate) fn crowd<Attack>(
        &mut self,
        count: usize,
        attack: impl Fn(Hostile) -> Attack + Clone + Send + 'static,
    ) where
        Attack: Future<Output = Result<()>> + Send + 'static,
    {
        for _ in 0..count {
            let (hostile, attack) = (self.hostile(), attack.clone());
            self.crowd.spawn(async move {
                loop {
                    if let Err(error) = attack(hostile.clone()).await {
                        hostile.tally.complain(&error);
                    }
                    sleep(COME_BACK).await;
                }
            });
        }
    }

    /// `count` attackers who do not come back.
    pub(crate) fn wave<Attack>(
        &mut self,
        count: usize,
        attack: impl Fn(Hostile) -> Attack + Clone + Send + 'static,
    ) where
        Attack: Future<Output = Result<()>> + Send + 'static,
    {
        for _ in 0..count {
            let hostile = self.hostile();
            let tally = Arc::clone(&hostile.tally);
            let attack = attack(hostile);
            self.crowd.spawn(async move {
                if let Err(error) = attack.await {
                    tally.complain(&error);
                }
            });
        }
    }

    /// Lets the attack go on for its time, or until the server has taken too much.
    pub(crate) async fn last(&mut self) {
        self.wait(self.pace.attack, |_| false).await;
    }

    /// Lets the attack go on until all of a wave have come to an end, and at most `limit`.
    pub(crate) async fn last_until_done(&mut self, limit: Duration) {
        self.wait(limit, |trial| {
            while trial.crowd.try_join_next().is_some() {}
            trial.crowd.is_empty()
        })
        .await;
    }

    /// Waits until the server has let go of all attackers, and at most `limit`. True if it has.
    pub(crate) async fn until_gone(&mut self, limit: Duration) -> bool {
        let port = self.server.address.port();
        self.wait(limit, |_| usage::hostile_connections(port).is_ok_and(|count| count == 0)).await
    }

    /// Waits until `is_reached`, and at most `limit`, or until the server has taken too much.
    pub(crate) async fn wait(
        &mut self,
        limit: Duration,
        mut is_reached: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until && !self.watch.is_too_much() {
            if is_reached(self) {
                return true;
            }
            sleep(POLL).await;
        }
        is_reached(self)
    }

    /// Every agent asks for the sessions.
    pub(crate) async fn ask_sessions(&self) {
        if let Some(victim) = &self.victim {
            victim.ask_sessions().await;
        }
    }

    /// Takes note of the peaks and of who is still connected: the attack is over.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.peaks = Some(self.watch.peaks());
        self.standing = usage::hostile_connections(self.server.address.port())?;
        Ok(())
    }

    /// The attackers leave; some seconds later the memory is looked at again.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        self.leave_and(self.pace.after).await
    }

    async fn leave_and(&mut self, wait: Duration) -> Result<()> {
        if self.peaks.is_none() {
            self.end()?;
        }
        self.crowd.shutdown().await;
        sleep(wait).await;
        self.after = Some(Memory::of(self.server.pid()).context("the server has ended under the attack")?);
        Ok(())
    }

    /// The attackers leave, and within 10 s the memory must be about what it was.
    pub(crate) async fn leave_and_judge_memory(&mut self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(10);
        self.leave_and(Duration::ZERO).await?;
        let (pid, before) = (self.server.pid(), self.before.private);
        let most = before * (1.0 + LEFT_SHARE) + LEFT;
        let until = Instant::now() + LIMIT;
        let mut left = Memory::of(pid)?;
        while left.private > most && Instant::now() < until {
            sleep(POLL).await;
            left = Memory::of(pid)?;
        }
        self.after = Some(left);
        self.record.judge(
            left.private <= most,
            format!("after they left, {:.0} MiB of private memory stay (at most {most:.0})", left.private),
        );
        Ok(())
    }

    /// By how many MiB the private memory grew.
    pub(crate) fn growth(&self) -> f64 {
        (self.watch.peaks().memory.private - self.before.private).max(0.0)
    }

    /// The private memory that `connections` cost must be at most this many KiB each, beside `allowance` MiB.
    pub(crate) fn judge_growth(&mut self, connections: usize, most_kib: f64, allowance: f64) {
        let growth = (self.growth() - allowance).max(0.0);
        let each = growth * 1024.0 / connections as f64;
        let beside = if allowance > 0.0 { format!(", beside {allowance:.0} MiB") } else { String::new() };
        self.record.judge(
            each <= most_kib && !self.watch.is_too_much(),
            format!("{connections} connections took {each:.0} KiB each (at most {most_kib:.0}{beside})"),
        );
    }

    /// A figure that only this scenario has.
    pub(crate) fn figure(&mut self, name: &'static str, value: String) {
        self.extra.push((name, value));
    }

    /// Ends everything, the server last; attackers who have not left are still connected then.
    ///
    /// # Errors
    /// If the server has ended by itself, or does not end.
    pub(crate) async fn finish(mut self) -> Result<Record> {
        if self.peaks.is_none() {
            self.end()?;
        }
        let is_alive = usage::cpu_seconds(self.server.pid());
        let cpu = is_alive.context("the server has ended under the attack")? - self.cpu_before;
        let findings = match self.victim.take() {
            Some(victim) => Some(victim.finish().await?),
            None => None,
        };
        let is_too_much = self.watch.is_too_much();
        let ending = self.server.stop().await?;
        drop(self.watch);
        self.crowd.shutdown().await;

        let mut record = self.record;
        let (before, peaks) = (self.before, self.peaks.unwrap_or_default());
        let span = |of: fn(&Memory) -> f64| {
            let after = self.after.as_ref().map_or("–".to_owned(), |after| format!("{:.0}", of(after)));
            format!("{:.0} → {:.0} → {after} MiB", of(&before), of(&peaks.memory))
        };
        record.figure("resident", span(|memory| memory.resident));
        record.figure("private", span(|memory| memory.private));
        record.figure("kernel TCP", format!("{:.0} → {:.0} MiB", self.kernel_before, peaks.kernel_tcp));
        record.figure("descriptors", peaks.descriptors.to_string());
        record.figure("CPU", format!("{cpu:.1} s"));
        if let Some(findings) = &findings {
            add_victims(&mut record, findings);
        }
        let tally = &self.tally;
        record.figure("connected at the end", self.standing.to_string());
        record.figure(
            "the attack",
            format!(
                "{} connections, {:.1} MB sent{}",
                tally.opened(),
                tally.sent() as f64 / 1e6,
                if is_too_much { ", ended early: the server took too much" } else { "" }
            ),
        );
        let cut = if ending.was_cut { ", cut off" } else { "" };
        record.figure("SIGTERM", format!("{:.1} s, {}{cut}", ending.took.as_secs_f64(), ending.status));
        record.figures.append(&mut self.extra);
        if let Some(complaint) = tally.complaint() {
            record.figure("an attacker's end", complaint);
        }
        record.judge(ending.status.success(), format!("SIGTERM ended the server with {}", ending.status));
        record.judge(!ending.was_cut, format!("the shutdown had to cut connections off: {}", ending.was_cut));
        record.judge(tally.opened() > 0, format!("the attack had {} connections", tally.opened()));
        Ok(record)
    }
}

fn add_victims(record: &mut Record, findings: &Findings) {
    let Findings { baseline, attacked, .. } = findings;
    record.figure("ack, undisturbed", baseline.ack.shown());
    record.figure("ack, attacked", attacked.ack.shown());
    record.figure("login, undisturbed", baseline.login.shown());
    record.figure("login, attacked", attacked.login.shown());
    let Findings { sent, refused, unanswered, missing, failed_logins, devices_out, .. } = findings;
    let out = findings.agents.iter().filter(|agent| agent.thrown_out.is_some()).count();
    let agents = findings.agents.len();
    record.figure(
        "the victims",
        format!("{sent} sent, {refused} refused, {unanswered} unanswered, {missing} missing, {failed_logins} logins failed"),
    );
    record.figure("thrown out", format!("{devices_out} devices, {out} of {agents} agents"));
    if let Some(complaint) = &findings.complaint {
        record.figure("a victim's complaint", complaint.clone());
    }
    record.judge(
        refused + unanswered + missing + failed_logins == 0,
        format!(
            "the victims' {sent} messages: {refused} refused, {unanswered} unanswered, {missing} missing; {failed_logins} logins failed"
        ),
    );
    record.judge(*devices_out == 0, format!("{devices_out} times a victim's device was thrown out"));
    for agent in &findings.agents {
        let name = agent.name;
        let why = agent.thrown_out.as_deref();
        record.judge(
            why.is_none(),
            format!(
                "the agent who reads {name} {}",
                why.map_or("stayed".to_owned(), |why| format!("was thrown out: {why}"))
            ),
        );
        if let Some(answered) = agent.answered {
            let answer = if answered { "was answered" } else { "was not answered" };
            record.judge(answered, format!("sessions:list of the agent who reads {name} {answer}"));
        }
    }
}
