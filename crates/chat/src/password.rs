//! Passwords: argon2id, on threads of their own, so that nobody who tries passwords takes time from those who talk.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64_NOPAD;
use protocol::limits::{PASSWORD_BYTES, PASSWORD_CHARS_MIN, PASSWORDS_WAITING};
use protocol::{Code, Failure};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, oneshot};

/// KiB of memory, passes and lanes of one hash: OWASP's first choice, twice as long. About 50 ms on a core of 2020.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 4;
const LANES: u32 = 1;

/// Bytes of a hash, and of its salt.
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// How it is written what was hashed how. What other numbers stand there is still read.
const BEGINNING: &str = "$argon2id$v=19$";

/// What is asked again after this, where too many passwords wait.
const RETRY_AFTER_MS: u64 = 1_000;

/// How much less these threads get than those who talk, in the words of `nice`.
const NICENESS: i32 = 10;

/// Is there for whoever has no password: checking it takes as long as any.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=4,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How long a thread keeps its memory for the next password. Got and given back for each, what the allocator had in between grew to
/// ten times as much, and the kernel's work on it held up those who talk.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What one password at a time is hashed in.
type Memory = Vec<Block>;

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads that hash. They begin with the first password.
#[derive(Default)]
pub(crate) struct Hashers {
    queue: Mutex<Option<SyncSender<Work>>>,
    /// The server leaves: nobody's password is waited for any more.
    is_leaving: Arc<AtomicBool>,
}

impl Hashers {
    /// Those who wait are sent away: the server leaves, and a queue of them would take longer than it has.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// What is kept of a password.
    ///
    /// # Errors
    /// `RATE_LIMITED` if too many wait; `SERVER_ERROR`.
    pub(crate) async fn hash(&self, password: String, salt: [u8; SALT_BYTES]) -> Result<String, Failure> {
        self.run(move |memory| hash(&password, &salt, memory)).await?.ok_or_else(failed)
    }

    /// Whether the password is the one that `kept` was made of. Without any it takes as long, and is none.
    ///
    /// # Errors
    /// `RATE_LIMITED` if too many wait; `SERVER_ERROR`.
    pub(crate) async fn matches(&self, password: String, kept: Option<String>) -> Result<bool, Failure> {
        self.run(move |memory| {
            let matches = matches(&password, kept.as_deref().unwrap_or(NOBODYS), memory);
            matches && kept.is_some()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (tell, told) = oneshot::channel();
        let work: Work = Box::new(move |memory| {
            // Who asked may have gone.
            let _ = tell.send(work(memory));
        });
        let queue = self.queue.lock().await.get_or_insert_with(|| begin(&self.is_leaving)).clone();
        queue.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) => Failure {
                retry_after_ms: Some(RETRY_AFTER_MS),
                ..Failure::new(Code::RateLimited, "too many passwords are being checked; try again")
            },
            TrySendError::Disconnected(_) => failed(),
        })?;
        told.await.map_err(|_| {
            if self.is_leaving.load(Ordering::Relaxed) {
                Failure::new(Code::ShuttingDown, "the server is leaving; try again")
            } else {
                failed()
            }
        })
    }
}

fn failed() -> Failure {
    Failure::new(Code::ServerError, "the password could not be checked just now; try again")
}

/// Half of the machine's processors at most hash.
fn begin(is_leaving: &Arc<AtomicBool>) -> SyncSender<Work> {
    let (send, receive) = mpsc::sync_channel::<Work>(PASSWORDS_WAITING);
    let receive = Arc::new(std::sync::Mutex::new(receive));
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for _ in 0..(processors / 2).max(1) {
        let (receive, is_leaving) = (Arc::clone(&receive), Arc::clone(is_leaving));
        let hashing = thread::Builder::new().name("passwords".into()).spawn(move || {
            // Where it may not be nice, it is as any.
            let _ = rustix::process::nice(NICENESS);
            let mut memory = Memory::new();
            loop {
                let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(KEPT_FOR);
                match next {
                    Ok(work) if is_leaving.load(Ordering::Relaxed) => drop(work),
                    Ok(work) => work(&mut memory),
                    Err(RecvTimeoutError::Timeout) => memory = Memory::new(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        if let Err(error) = hashing {
            tracing::error!(%error, "no thread to check passwords on");
        }
    }
    send
}

/// Checks a password that is to be set.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub(crate) fn check_form(password: &str) -> Result<(), Failure> {
    if password.is_empty() {
        return Err(Failure::missing("password"));
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Failure::invalid(format!("a password has at least {PASSWORD_CHARS_MIN} characters")));
    }
    if password.len() > PASSWORD_BYTES {
        return Err(Failure::invalid(format!("a password has at most {PASSWORD_BYTES} bytes")));
    }
    Ok(())
}

fn argon2(memory_kib: u32, passes: u32, lanes: u32) -> Option<Argon2<'static>> {
    let params = Params::new(memory_kib, passes, lanes, Some(HASH_BYTES)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The bytes that come of a password.
fn hashed(argon2: &Argon2<'_>, password: &str, salt: &[u8], memory: &mut Memory) -> Option<[u8; HASH_BYTES]> {
    let mut hash = [0; HASH_BYTES];
    // What is in it from the last one is written over.
    memory.resize(argon2.params().block_count(), Block::new());
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory.as_mut_slice())
        .ok()?;
    Some(hash)
}

fn hash(password: &str, salt: &[u8], memory: &mut Memory) -> Option<String> {
    let hash = hashed(&argon2(MEMORY_KIB, PASSES, LANES)?, password, salt, memory)?;
    let (salt, hash) = (BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(&hash));
    Some(format!("{BEGINNING}m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
}

fn matches(password: &str, kept: &str, memory: &mut Memory) -> bool {
    let parts = || {
        let (numbers, rest) = kept.strip_prefix(BEGINNING)?.split_once('$')?;
        let (salt, hash) = rest.split_once('$')?;
        let number = |name: &str| {
            let pair = numbers.split(',').find_map(|pair| pair.strip_prefix(name))?;
            pair.parse::<u32>().ok()
        };
        let argon2 = argon2(number("m=")?, number("t=")?, number("p=")?)?;
        Some((argon2, BASE64_NOPAD.decode(salt.as_bytes()).ok()?, BASE64_NOPAD.decode(hash.as_bytes()).ok()?))
    };
    let Some((argon2, salt, kept)) = parts() else { return false };
    hashed(&argon2, password, &salt, memory).is_some_and(|hash| bool::from(hash.as_slice().ct_eq(&kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With memory in which others were hashed before.
    #[test]
    fn only_the_password_itself_matches_what_is_kept_of_it() {
        let mut memory = Memory::new();
        let kept = hash("correct horse battery", &[7; SALT_BYTES], &mut memory).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=4,p=1$"), "{kept}");
        assert!(matches("correct horse battery", &kept, &mut memory));
        for wrong in ["", "correct horse", "Correct horse battery"] {
            assert!(!matches(wrong, &kept, &mut memory), "{wrong:?}");
        }
        assert_ne!(kept, hash("correct horse battery", &[8; SALT_BYTES], &mut memory).unwrap());
        assert_eq!(kept, hash("correct horse battery", &[7; SALT_BYTES], &mut Memory::new()).unwrap());
        for nonsense in ["", "$", BEGINNING, "plain", &kept[..kept.len() - 4]] {
            assert!(!matches("correct horse battery", nonsense, &mut memory));
        }
        assert!(!matches("", NOBODYS, &mut memory) && !matches("x", NOBODYS, &mut memory));
        let parts = NOBODYS.split('$').collect::<Vec<_>>();
        assert_eq!(parts[3], kept.split('$').nth(3).unwrap(), "nobody's takes as long as any");
        // One that costs less, as an operator may have brought it, and then a usual one again.
        let cheap = hashed(&argon2(64, 1, 1).unwrap(), "x", &[7; SALT_BYTES], &mut memory).unwrap();
        let cheap = format!(
            "{BEGINNING}m=64,t=1,p=1${}${}",
            BASE64_NOPAD.encode(&[7; SALT_BYTES]),
            BASE64_NOPAD.encode(&cheap)
        );
        assert!(matches("x", &cheap, &mut memory) && matches("correct horse battery", &kept, &mut memory));
    }

    #[tokio::test]
    async fn who_waits_is_sent_away_when_the_server_leaves() {
        let hashers = Hashers::default();
        let mut all: Vec<_> =
            (0..PASSWORDS_WAITING).map(|_| Box::pin(hashers.matches("x".into(), None))).collect();
        for one in &mut all {
            assert!(futures_util::poll!(one).is_pending());
        }
        hashers.leave();
        let mut sent_away = 0;
        for one in all {
            sent_away += usize::from(one.await.is_err_and(|failure| failure.code == Code::ShuttingDown));
        }
        // But for those whose turn it was.
        assert!(sent_away >= PASSWORDS_WAITING / 2, "{sent_away}");
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let hashers = Hashers::default();
        let all = (0..PASSWORDS_WAITING * 2).map(|_| hashers.matches("x".into(), None));
        let mut refused = 0;
        // They are all asked for before the first is done.
        let mut all: Vec<_> = all.map(Box::pin).collect();
        for one in &mut all {
            if let std::task::Poll::Ready(Err(failure)) = futures_util::poll!(one) {
                assert_eq!(failure.code, Code::RateLimited);
                refused += 1;
            }
        }
        assert!((PASSWORDS_WAITING / 2..=PASSWORDS_WAITING).contains(&refused), "{refused}");
    }
}
