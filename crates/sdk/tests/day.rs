//! A day in the life of a phone: networks that come and go, an app that is looked at now and then, a server that is
//! deployed, all in seconds.

use std::time::Duration;

use tokio::time::Instant;

use crate::story::{Happens, Story, fault};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // A linear congruential generator, as Knuth gives it; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn seconds(&mut self, from: u64, to: u64) -> Happens {
        Happens::TimePasses(Duration::from_millis(from * 1_000 + self.below((to - from) * 1_000)))
    }
}

/// A stretch of the day.
fn stretch(random: &mut Random) -> Vec<Happens> {
    match random.below(8) {
        // A chat.
        0 | 1 => {
            let mut chat = vec![Happens::AppComesToForeground];
            for _ in 0..random.below(6) + 1 {
                chat.extend([Happens::PersonTypes, random.seconds(1, 20), Happens::PersonWrites]);
                chat.extend([random.seconds(1, 40), Happens::AgentsRead, Happens::AgentWrites]);
                chat.push(Happens::PersonReads);
            }
            chat
        }
        // A tunnel, with something written in it.
        2 => vec![
            Happens::NetworkGoes,
            Happens::PersonWrites,
            random.seconds(5, 600),
            Happens::PersonWrites,
            Happens::NetworkComes,
            random.seconds(1, 60),
        ],
        // A network that dies without a word, as on leaving the house.
        3 => vec![
            Happens::PersonWrites,
            Happens::NetworkFallsSilent,
            Happens::AgentWrites,
            random.seconds(1, 300),
            Happens::NetworkGoes,
            random.seconds(1, 10),
            Happens::NetworkComes,
        ],
        // The pocket.
        4 => vec![
            Happens::AppGoesToBackground,
            random.seconds(60, 5_000),
            Happens::AgentsWriteMany(random.below(80) + 1),
            random.seconds(60, 5_000),
            Happens::AppComesToForeground,
            random.seconds(1, 60),
            Happens::PersonReads,
        ],
        // A deployment.
        5 => vec![
            Happens::ServerLeaves(Duration::from_millis(random.below(15_000))),
            Happens::ServerDies,
            Happens::PersonWrites,
            random.seconds(1, 30),
            Happens::ServerComes,
            random.seconds(1, 120),
        ],
        // The system ends the app, and the person opens it again.
        6 => vec![
            Happens::PersonWrites,
            Happens::AppRestarts,
            Happens::AppComesToForeground,
            random.seconds(1, 30),
        ],
        // A bad server.
        _ => vec![
            Happens::ServerFails(fault(random.below(14))),
            Happens::PersonWrites,
            Happens::AgentWrites,
            random.seconds(1, 60),
            Happens::ConnectionIsCutAfter(usize::try_from(random.below(3_000)).expect("small")),
            Happens::AgentWrites,
            random.seconds(1, 120),
        ],
    }
}

#[test]
fn a_day_of_a_phone_loses_nothing() {
    for seed in [1, 20_261_124] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let mut random = Random(seed);
            let began = Instant::now();
            let mut story = Story::begin(seed, folder.path()).await;
            let mut stretches = 0;
            while began.elapsed() < DAY {
                for what in stretch(&mut random) {
                    story.happen(&what).await;
                }
                stretches += 1;
            }
            assert!(stretches > 50, "a full day");
            let conversation = story.world.conversation().expect("one");
            assert!(conversation.messages.len() > 100, "{} messages", conversation.messages.len());
            story.end_well().await;
        });
    }
}
