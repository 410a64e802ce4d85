//! The SDK's threads, all of them: what calls into an interpreter must have ended before that does. Python, at its end, ends a
//! thread that comes back from the outside in the middle of a call, and with it, since that goes through our frames, the
//! process.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What asks a thread to end.
pub(crate) type Stop = Box<dyn FnOnce() + Send>;

struct Threads {
    /// By their numbers; nothing for those that were asked.
    live: Vec<(u64, Option<Stop>)>,
    next: u64,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { live: Vec::new(), next: 0 });
static ENDED: Condvar = Condvar::new();

/// Starts a thread that ends when what it waits for ends, or soon after `stop` is called.
///
/// # Errors
/// If the machine gives none.
pub(crate) fn start(name: &str, stop: Stop, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let number = {
        let mut threads = locked();
        let number = threads.next;
        threads.next += 1;
        threads.live.push((number, Some(stop)));
        number
    };
    let ends = Ends(number);
    // Where there is no thread the closure is dropped, and this one is forgotten.
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let ends = ends;
            work();
            drop(ends);
        })
        .map(drop)
}

/// Forgets a thread when it has dropped all it had.
struct Ends(u64);

impl Drop for Ends {
    fn drop(&mut self) {
        locked().live.retain(|(number, _)| *number != self.0);
        ENDED.notify_all();
    }
}

/// Ends all clients that are open or were let go of, and waits until none of the SDK's threads is left: for a language whose
/// programs end while other threads run. What is queued stays on the device. Returns whether they ended within `timeout`.
#[uniffi::export]
pub fn shut_down_all(timeout: Duration) -> bool {
    let until = Instant::now() + timeout;
    // Outside the lock: what is stopped may end at once.
    let stops: Vec<_> = locked().live.iter_mut().filter_map(|(_, stop)| stop.take()).collect();
    for stop in stops {
        stop();
    }
    let mut threads = locked();
    while !threads.live.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        threads = ENDED.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

/// The list is whole after a panic, too: every change here is one call.
fn locked() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}
