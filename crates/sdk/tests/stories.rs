//! Stories that nobody wrote: whatever happens in whatever order, nothing is lost, doubled or out of order.

use std::time::Duration;

use proptest::prelude::*;

use crate::story::{Happens, Story, fault};

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => Just(Happens::PersonWrites),
        1 => Just(Happens::PersonTypes),
        2 => Just(Happens::PersonReads),
        1 => Just(Happens::PersonScrolls),
        2 => (0..3usize).prop_map(Happens::PersonCancels),
        1 => Just(Happens::PersonRetries),
        4 => Just(Happens::AgentWrites),
        1 => (40..700u64).prop_map(Happens::AgentsWriteMany),
        1 => Just(Happens::AgentsReceive),
        2 => Just(Happens::AgentsRead),
        2 => Just(Happens::NetworkGoes),
        1 => Just(Happens::NetworkFallsSilent),
        3 => Just(Happens::NetworkComes),
        2 => Just(Happens::ConnectionIsCut),
        2 => (0..2000usize).prop_map(Happens::ConnectionIsCutAfter),
        1 => Just(Happens::ServerDies),
        2 => Just(Happens::ServerComes),
        1 => (0..20_000u64).prop_map(|ms| Happens::ServerLeaves(Duration::from_millis(ms))),
        2 => (1..12usize).prop_map(Happens::ServerForgets),
        6 => any::<u64>().prop_map(|number| Happens::ServerFails(fault(number))),
        1 => Just(Happens::AppGoesToBackground),
        2 => Just(Happens::AppComesToForeground),
        1 => Just(Happens::AppRestarts),
        4 => (0..2_000u64).prop_map(|ms| Happens::TimePasses(Duration::from_millis(ms))),
        2 => (0..120u64).prop_map(|seconds| Happens::TimePasses(Duration::from_secs(seconds))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_message_is_stored_once_and_in_order(seed: u64, story in prop::collection::vec(anything(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let mut told = Story::begin(seed, folder.path()).await;
            for what in &story {
                told.happen(what).await;
            }
            told.end_well().await;
        });
    }
}
