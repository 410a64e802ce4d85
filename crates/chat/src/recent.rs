//! What was read a moment ago: who asks over REST shows a credential with each request, and need not have it read each time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For how long what was read is believed: by so much later a credential that was withdrawn is refused.
const LIFETIME: Duration = Duration::from_secs(1);

/// How many are kept. Beyond it all are read anew.
const MOST: usize = 10_000;

/// What was read, by its key.
pub(crate) struct Recent<K, V> {
    entries: Mutex<HashMap<K, (Duration, V)>>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// What was read, if it is believed at `now`.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: Duration) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, value) = entries.get(key)?;
        is_believed(*read_at, now).then(|| value.clone())
    }

    /// Keeps what was asked for at `now`.
    pub(crate) fn put(&self, key: K, value: V, now: Duration) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(&key) {
            entries.retain(|_, (read_at, _)| is_believed(*read_at, now));
            if entries.len() >= MOST {
                entries.clear();
            }
        }
        entries.insert(key, (now, value));
    }

    /// Forgets what is kept: it is known to be another now.
    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Forgets all that is kept.
    pub(crate) fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Changes what is kept, which is no newer for that.
    pub(crate) fn change<Q: Eq + Hash + ?Sized>(&self, key: &Q, change: impl FnOnce(&mut V))
    where
        K: Borrow<Q>,
    {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = entries.get_mut(key) {
            change(value);
        }
    }
}

fn is_believed(read_at: Duration, now: Duration) -> bool {
    now < read_at + LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_was_read_is_believed_for_a_second_and_no_longer_for_being_asked_for() {
        let recent = Recent::default();
        recent.put("a", 1, ms(5_000));
        assert_eq!(recent.get("a", ms(5_999)), Some(1));
        recent.change("a", |value| *value = 2);
        assert_eq!(recent.get("a", ms(5_999)), Some(2));
        assert_eq!(recent.get("a", ms(6_000)), None);
        assert_eq!(recent.get("b", ms(5_999)), None);
    }

    #[test]
    fn no_more_than_a_bound_is_kept() {
        let recent = Recent::default();
        for key in 0..MOST {
            recent.put(key, (), ms(key as u64 / 10));
        }
        recent.put(0, (), ms(1_500));
        let kept = || recent.entries.lock().unwrap().len();
        assert_eq!(kept(), MOST);
        recent.put(MOST, (), ms(1_500));
        assert!(kept() < MOST / 2, "those that are believed no more went first: {}", kept());
        for key in MOST..3 * MOST {
            recent.put(key, (), ms(1_500));
            assert!(kept() <= MOST);
        }
        assert_eq!(recent.get(&(3 * MOST - 1), ms(1_501)), Some(()));
    }
}
