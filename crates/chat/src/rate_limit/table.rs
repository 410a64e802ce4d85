//! Where the limiter remembers its buckets: a table of one size. Keys are hashes, so that nobody's long names take
//! memory, and nothing is ever swept: where there is no place, the bucket that is nearest to full is forgotten, which
//! is the one that makes the least difference.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Arc, Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use protocol::limits::RATE_BUCKETS;

/// Places among which a key may be.
const WAYS: usize = 8;

/// One bucket: the hash of its key, and when it will be full.
#[derive(Clone, Copy, Default)]
struct Bucket {
    key: u64,
    full_at: u64,
}

/// All buckets of one server, whatever they limit.
#[derive(Clone)]
pub(super) struct Table {
    sets: Arc<[Mutex<[Bucket; WAYS]>]>,
    /// With a key of its own, so that nobody can foresee which names share a place.
    hasher: RandomState,
}

impl Table {
    pub(super) fn new() -> Self {
        let sets = (0..RATE_BUCKETS / WAYS).map(|_| Mutex::default()).collect();
        Self { sets, hasher: RandomState::new() }
    }

    /// The key of what is counted.
    pub(super) fn key(&self, of: impl Hash) -> u64 {
        // 0 is an empty place.
        self.hasher.hash_one(of).max(1)
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = usize::try_from(*key).unwrap_or_default() % self.sets.len();
        let mut set = self.sets[at].lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|bucket| bucket.key == *key);
        let (answer, full_at) = decide(known.map(|at| set[at].full_at.into()))?;
        let place = known.or_else(|| (0..WAYS).min_by_key(|at| set[*at].full_at)).unwrap_or_default();
        set[place] = Bucket { key: *key, full_at: full_at.as_u64() };
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_far_from_full_outlives_any_number_of_made_up_names() {
        let table = Table::new();
        let busy = table.key("busy");
        let set = |key: u64, full_at: u64| {
            table.measure_and_replace(&key, |_| Ok::<_, ()>(((), full_at.into()))).unwrap();
        };
        set(busy, 1_000_000);
        for name in 0..500_000u64 {
            set(table.key(name), name);
        }
        let found = table.measure_and_replace(&busy, Err::<((), Nanos), _>).unwrap_err();
        assert_eq!(found.map(Nanos::as_u64), Some(1_000_000));
        let places: usize = table.sets.iter().map(|set| set.lock().unwrap().len()).sum();
        assert_eq!(places, RATE_BUCKETS);
    }
}
