//! The SDK's threads, all of them: what calls into an interpreter must have ended before that does. Python, at its end, ends a
//! thread that comes back from the outside in the middle of a call, and with it, since that goes through our frames, the
//! process.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What asks a thread to end.
pub(crate) type Stop = Box<dyn FnOnce() + Send>;

struct Thread {
    number: u64,
    /// Nothing once it was asked.
    stop: Option<Stop>,
    /// Nothing while it is being started.
    handle: Option<JoinHandle<()>>,
    /// It has done all that it had to, and is as good as gone.
    has_ended: bool,
}

struct Threads {
    all: Vec<Thread>,
    next: u64,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { all: Vec::new(), next: 0 });
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
        threads.all.retain(|thread| !thread.has_ended || thread.handle.is_none());
        threads.all.push(Thread { number, stop: Some(stop), handle: None, has_ended: false });
        number
    };
    // Dropped after the work, and, where there is no thread, with it.
    let ends = Ends(number);
    let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let ends = ends;
        work();
        drop(ends);
    });
    let mut threads = locked();
    match handle {
        Ok(handle) => {
            if let Some(thread) = threads.all.iter_mut().find(|thread| thread.number == number) {
                thread.handle = Some(handle);
            }
            Ok(())
        }
        Err(error) => {
            threads.all.retain(|thread| thread.number != number);
            Err(error)
        }
    }
}

/// Says that a thread has dropped all it had.
struct Ends(u64);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(thread) = locked().all.iter_mut().find(|thread| thread.number == self.0) {
            thread.has_ended = true;
        }
        ENDED.notify_all();
    }
}

/// Ends all clients that are open or were let go of, and waits until none of the SDK's threads is left: for a language whose
/// programs end while other threads run. What is queued stays on the device. Returns whether they ended within `timeout`.
#[uniffi::export]
pub fn shut_down_all(timeout: Duration) -> bool {
    let until = Instant::now() + timeout;
    // Outside the lock: what is stopped may end at once.
    let stops: Vec<_> = locked().all.iter_mut().filter_map(|thread| thread.stop.take()).collect();
    for stop in stops {
        stop();
    }
    let mut threads = locked();
    while threads.all.iter().any(|thread| !thread.has_ended) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        threads = ENDED.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    let ended = std::mem::take(&mut threads.all);
    drop(threads);
    for thread in ended {
        // What it panicked with has been printed.
        let _ = thread.handle.map(JoinHandle::join);
    }
    true
}

/// The list is whole after a panic, too: every change here is one call.
fn locked() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}
