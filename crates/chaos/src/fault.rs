//! What is done to the nodes, to Redis, to Postgres and to the network between them, and how it is undone.

use std::time::Duration;

use anyhow::Result;
use backing::{Passage, Signal};
use clap::ValueEnum;

use crate::site::Site;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// A node is killed with SIGKILL and started again
    NodeKill,
    /// A node is asked to end with SIGTERM and started again
    NodeRestart,
    /// A node is frozen with SIGSTOP, often for longer than its lease
    NodeFreeze,
    /// Redis is killed and comes back empty
    RedisKill,
    /// Redis is frozen
    RedisFreeze,
    /// FLUSHALL
    RedisFlush,
    /// One node's way to Redis is gone: connections stay open and carry nothing
    RedisCut,
    /// Postgres is killed with all its processes and started again
    PostgresKill,
    /// Postgres is frozen
    PostgresFreeze,
    /// All of Postgres's connections are terminated
    PostgresTerminate,
    /// Postgres refuses to write
    PostgresReadonly,
    /// One node's way to Postgres is gone
    PostgresCut,
    /// Postgres does what one node asks, and the answers never come
    AnswersLost,
    /// All connections of clients with one node are reset
    ClientsReset,
    /// Clients and one node don't hear each other, and connections stay open
    ClientsCut,
    /// All that clients and one node say to each other is slow
    ClientsSlow,
}

impl Kind {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// While it lasts nobody can be asked to deliver on every node within P4's five seconds: messages can't be read
    /// from the database, or not reach clients.
    pub(crate) fn stops_delivery(self) -> bool {
        !matches!(
            self,
            Self::NodeKill
                | Self::NodeRestart
                | Self::RedisKill
                | Self::RedisFreeze
                | Self::RedisFlush
                | Self::RedisCut
                | Self::ClientsReset
                | Self::ClientsSlow
        )
    }

    /// How long it lasts: the shortest and the longest, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::RedisFlush | Self::PostgresTerminate | Self::ClientsReset | Self::NodeRestart => (0, 0),
            Self::NodeKill => (200, 12_000),
            // Around the lease of seven seconds, on both sides.
            Self::NodeFreeze => (500, 14_000),
            Self::AnswersLost => (300, 3_000),
            _ => (500, 9_000),
        }
    }
}

/// One fault: what happens to which node, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The node that it is about, if it is about one.
    pub(crate) node: usize,
    /// From the harm to its end.
    pub(crate) lasts: Duration,
}

impl Fault {
    /// One of this kind, to a node and for a time that the seed decides.
    pub(crate) fn roll(kind: Kind, nodes: usize, random: &mut fastrand::Rng) -> Self {
        let (least, most) = kind.lasts();
        Self { kind, node: random.usize(..nodes), lasts: Duration::from_millis(random.u64(least..=most)) }
    }

    /// Does the harm.
    pub(crate) async fn begin(self, site: &mut Site) -> Result<()> {
        let node = &mut site.nodes[self.node];
        match self.kind {
            Kind::NodeKill => node.kill(),
            // Its clients see the whole of a polite end, so this takes as long as the node takes.
            Kind::NodeRestart => node.end().await?,
            Kind::NodeFreeze => node.signal(Signal::STOP)?,
            Kind::RedisKill => site.redis.kill(),
            Kind::RedisFreeze => site.redis.signal(Signal::STOP)?,
            Kind::RedisFlush => drop(site.redis.cli(&["FLUSHALL"]).await?),
            Kind::RedisCut => node.to_redis.set(Passage::Held),
            Kind::PostgresKill => site.postgres.kill(),
            Kind::PostgresFreeze => site.postgres.stop_processes()?,
            Kind::PostgresTerminate => {
                let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
                site.postgres.psql(others).await?;
            }
            Kind::PostgresReadonly => site.set_read_only(true).await?,
            Kind::PostgresCut => node.to_postgres.set(Passage::Held),
            Kind::AnswersLost => node.to_postgres.set(Passage::AnswersHeld),
            Kind::ClientsReset => node.front.cut(),
            Kind::ClientsCut => node.front.set(Passage::Held),
            Kind::ClientsSlow => node.front.set(Passage::Slow(Duration::from_millis(250))),
        }
        Ok(())
    }

    /// Undoes the harm.
    pub(crate) async fn end(self, site: &mut Site) -> Result<()> {
        match self.kind {
            Kind::NodeKill | Kind::NodeRestart => site.start_node(self.node).await?,
            Kind::NodeFreeze => site.nodes[self.node].signal(Signal::CONT)?,
            Kind::RedisKill => site.redis.run().await?,
            Kind::RedisFreeze => site.redis.signal(Signal::CONT)?,
            Kind::PostgresKill => site.postgres.run().await?,
            Kind::PostgresFreeze => site.postgres.continue_processes()?,
            Kind::PostgresReadonly => site.set_read_only(false).await?,
            // What was on the way is lost with its connection, as when a network comes back after a long time.
            Kind::RedisCut => restore(&site.nodes[self.node].to_redis),
            Kind::PostgresCut | Kind::AnswersLost => restore(&site.nodes[self.node].to_postgres),
            Kind::ClientsCut | Kind::ClientsSlow => site.nodes[self.node].front.set(Passage::Free),
            Kind::RedisFlush | Kind::PostgresTerminate | Kind::ClientsReset => {}
        }
        Ok(())
    }
}

fn restore(proxy: &backing::FaultProxy) {
    proxy.cut();
    proxy.set(Passage::Free);
}

/// All kinds in an order of their own, again and again, so that a short run has as many of them as it can.
pub(crate) struct Deck {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
    random: fastrand::Rng,
    nodes: usize,
}

impl Deck {
    pub(crate) fn new(kinds: Vec<Kind>, nodes: usize, random: fastrand::Rng) -> Self {
        Self { kinds, left: Vec::new(), random, nodes }
    }

    /// The next fault.
    pub(crate) fn draw(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.random.shuffle(&mut self.left);
        }
        let kind = self.left.pop().unwrap_or(Kind::NodeKill);
        Fault::roll(kind, self.nodes, &mut self.random)
    }

    /// A second fault that begins while the first lasts, about every fourth time; never of the same thing, which could
    /// not be undone twice.
    pub(crate) fn draw_second(&mut self, first: Fault) -> Option<(Duration, Fault)> {
        if self.random.u8(..4) != 0 {
            return None;
        }
        let second = self.draw();
        if thing(first) == thing(second) {
            self.left.push(second.kind);
            return None;
        }
        Some((first.lasts.mul_f64(self.random.f64()), second))
    }

    /// How long traffic goes on undisturbed before the next fault.
    pub(crate) fn calm(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(1_000..4_000))
    }
}

/// What the fault is done to.
fn thing(fault: Fault) -> (u8, usize) {
    match fault.kind {
        Kind::NodeKill | Kind::NodeRestart | Kind::NodeFreeze => (0, fault.node),
        Kind::RedisKill | Kind::RedisFreeze | Kind::RedisFlush => (1, 0),
        Kind::PostgresKill | Kind::PostgresFreeze | Kind::PostgresTerminate | Kind::PostgresReadonly => {
            (2, 0)
        }
        Kind::RedisCut => (3, fault.node),
        Kind::PostgresCut | Kind::AnswersLost => (4, fault.node),
        Kind::ClientsReset | Kind::ClientsCut | Kind::ClientsSlow => (5, fault.node),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_faults_and_each_kind_comes_before_any_comes_again() {
        let kinds = Kind::value_variants().to_vec();
        let deck = |seed| Deck::new(kinds.clone(), 3, fastrand::Rng::with_seed(seed));
        let draw = |seed| {
            let mut deck = deck(seed);
            (0..40).map(|_| deck.draw()).map(|f| (f.kind, f.node, f.lasts)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let first: HashSet<Kind> = draw(7)[..kinds.len()].iter().map(|fault| fault.0).collect();
        assert_eq!(first.len(), kinds.len());
    }

    #[test]
    fn a_second_fault_is_never_of_the_same_thing_and_begins_while_the_first_lasts() {
        let mut deck = Deck::new(Kind::value_variants().to_vec(), 3, fastrand::Rng::with_seed(3));
        let mut seconds = 0;
        for _ in 0..1_000 {
            let first = deck.draw();
            if let Some((after, second)) = deck.draw_second(first) {
                seconds += 1;
                assert_ne!(thing(first), thing(second));
                assert!(after <= first.lasts);
            }
        }
        assert!((100..400).contains(&seconds), "{seconds}");
    }
}
