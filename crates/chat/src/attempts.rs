//! Wrong passwords and codes: whoever tries them waits, longer each time, by the account that they try and by where they are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::limits::{ATTEMPTS_FREE_ACCOUNT, ATTEMPTS_FREE_ADDRESS, ATTEMPTS_WAIT_MAX};
use protocol::{Code, Failure};

use crate::Address;

/// For how long a failure is remembered, from the last one on.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// How many are remembered. Beyond it those go that were there longest.
const MOST: usize = 20_000;

/// Whom a failure is counted against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Account(String),
    Address(std::net::IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

/// What has failed lately.
#[derive(Default)]
pub(crate) struct Attempts {
    failures: Mutex<HashMap<Who, Failures>>,
}

fn parties(account: Option<&str>, address: Option<Address>) -> impl Iterator<Item = (Who, u32)> {
    let account = account.map(|account| (Who::Account(account.to_owned()), ATTEMPTS_FREE_ACCOUNT));
    // Behind a proxy that nobody has named is everybody.
    let address = address.filter(|address| !address.may_be_shared);
    let address = address.map(|address| (Who::Address(address.network()), ATTEMPTS_FREE_ADDRESS));
    account.into_iter().chain(address)
}

/// How long the next try has to wait after so many beyond those that are free.
fn wait(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(beyond) => Duration::from_secs(1 << beyond.min(16)).min(ATTEMPTS_WAIT_MAX),
    }
}

impl Attempts {
    /// Whether a try may be made now. It counts as failed until [`succeeded`](Self::succeeded) says otherwise: of many at
    /// once, none is free because the others are not done yet.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait.
    pub(crate) fn begin(
        &self,
        account: Option<&str>,
        address: Option<Address>,
        now: Duration,
    ) -> Result<(), Failure> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let left = parties(account, address).filter_map(|(who, free)| {
            let known = failures.get(&who).filter(|known| now < known.last + REMEMBERED)?;
            (known.last + wait(known.count, free)).checked_sub(now)
        });
        if let Some(left) = left.max().filter(|left| !left.is_zero()) {
            let retry_after_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            let message = format!("too many wrong tries; wait {retry_after_ms} ms");
            return Err(Failure {
                retry_after_ms: Some(retry_after_ms),
                ..Failure::new(Code::RateLimited, message)
            });
        }
        for (who, _) in parties(account, address) {
            if failures.len() >= MOST && !failures.contains_key(&who) {
                make_room(&mut failures, now);
            }
            let known = failures.entry(who).or_insert(Failures { count: 0, last: now });
            known.count = if now < known.last + REMEMBERED { known.count.saturating_add(1) } else { 1 };
            known.last = now;
        }
        Ok(())
    }

    /// The try was right: the account has no failures, and its address one less.
    pub(crate) fn succeeded(&self, account: Option<&str>, address: Option<Address>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, _) in parties(account, address) {
            match &who {
                Who::Account(_) => drop(failures.remove(&who)),
                Who::Address(_) => {
                    if let Some(known) = failures.get_mut(&who) {
                        known.count = known.count.saturating_sub(1);
                    }
                }
            }
        }
    }
}

fn make_room(failures: &mut HashMap<Who, Failures>, now: Duration) {
    failures.retain(|_, known| now < known.last + REMEMBERED);
    if failures.len() >= MOST {
        let mut times: Vec<_> = failures.values().map(|known| known.last).collect();
        let (_, median, _) = times.select_nth_unstable(MOST / 2);
        let median = *median;
        failures.retain(|_, known| known.last > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Option<Address> {
        Some(Address { ip: ip.parse().unwrap(), may_be_shared: false })
    }

    #[test]
    fn waits_grow_with_each_wrong_try_and_end_with_a_right_one() {
        let attempts = Attempts::default();
        let mut now = Duration::from_secs(1_000);
        for _ in 0..ATTEMPTS_FREE_ACCOUNT {
            attempts.begin(Some("ada"), None, now).unwrap();
        }
        let mut waits = Vec::new();
        for _ in 0..9 {
            let refused = attempts.begin(Some("ada"), None, now).unwrap_err();
            assert_eq!(refused.code, Code::RateLimited);
            let wait = refused.retry_after_ms.unwrap();
            waits.push(wait / 1_000);
            attempts.begin(Some("grace"), None, now).unwrap();
            attempts.succeeded(Some("grace"), None);
            now += Duration::from_millis(wait);
            attempts.begin(Some("ada"), None, now).unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        now += ATTEMPTS_WAIT_MAX;
        attempts.begin(Some("ada"), None, now).unwrap();
        attempts.succeeded(Some("ada"), None);
        for _ in 0..ATTEMPTS_FREE_ACCOUNT {
            attempts.begin(Some("ada"), None, now).unwrap();
        }
        assert!(attempts.begin(Some("ada"), None, now).is_err());
        assert!(attempts.begin(Some("ada"), None, now + REMEMBERED).is_ok());
    }

    #[test]
    fn who_tries_many_accounts_waits_by_where_they_are() {
        let attempts = Attempts::default();
        let now = Duration::from_secs(1_000);
        for number in 0..ATTEMPTS_FREE_ADDRESS {
            attempts.begin(Some(&number.to_string()), at("192.0.2.1"), now).unwrap();
        }
        assert!(attempts.begin(Some("another"), at("192.0.2.1"), now).is_err());
        attempts.begin(Some("another"), at("192.0.2.2"), now).unwrap();
        let behind = Some(Address { ip: "10.0.0.1".parse().unwrap(), may_be_shared: true });
        for number in 0..ATTEMPTS_FREE_ADDRESS * 2 {
            attempts.begin(Some(&format!("behind-{number}")), behind, now).unwrap();
        }
    }

    #[test]
    fn no_more_than_a_bound_is_remembered() {
        let attempts = Attempts::default();
        for number in 0..MOST as u64 * 2 {
            attempts.begin(Some(&number.to_string()), None, Duration::from_millis(number)).unwrap();
            assert!(attempts.failures.lock().unwrap().len() <= MOST);
        }
    }
}
