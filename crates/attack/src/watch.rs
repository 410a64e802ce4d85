//! Watches the server's process from a thread of its own, so that an attack that takes all of its thread's time hides
//! nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::usage::{self, Memory};

const EVERY: Duration = Duration::from_millis(100);
/// An attack ends where the server has taken this much, in MiB.
const MOST: f64 = 1_536.0;

/// The highest that was seen since the peaks were begun anew.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    /// The process's memory.
    pub(crate) memory: Memory,
    /// The kernel's for all TCP connections, in MiB.
    pub(crate) kernel_tcp: f64,
    /// Open descriptors.
    pub(crate) descriptors: usize,
}

#[derive(Debug, Default)]
struct State {
    peaks: Mutex<Peaks>,
    is_over: AtomicBool,
    is_too_much: AtomicBool,
}

/// The watcher. Dropped, it stops watching.
#[derive(Debug)]
pub(crate) struct Watch {
    pid: u32,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn start(pid: u32) -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                shared.look(pid);
                thread::sleep(EVERY);
            }
        });
        Self { pid, state, thread: Some(thread) }
    }

    /// Forgets the peaks so far.
    pub(crate) fn begin_anew(&self) {
        *self.state.peaks.lock().unwrap_or_else(PoisonError::into_inner) = Peaks::default();
    }

    /// The peaks, this moment included: an attack may be over before the next look.
    pub(crate) fn peaks(&self) -> Peaks {
        self.state.look(self.pid);
        *self.state.peaks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server has taken more memory than an attack may make it take.
    pub(crate) fn is_too_much(&self) -> bool {
        self.state.is_too_much.load(Ordering::Relaxed)
    }
}

impl State {
    fn look(&self, pid: u32) {
        // What can't be read is a process that has ended, which is noticed elsewhere.
        let memory = Memory::of(pid).unwrap_or_default();
        let kernel_tcp = usage::kernel_tcp().unwrap_or_default();
        let descriptors = usage::descriptors(pid).unwrap_or_default();
        if memory.resident > MOST {
            self.is_too_much.store(true, Ordering::Relaxed);
        }
        let mut peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        peaks.memory.resident = peaks.memory.resident.max(memory.resident);
        peaks.memory.private = peaks.memory.private.max(memory.private);
        peaks.kernel_tcp = peaks.kernel_tcp.max(kernel_tcp);
        peaks.descriptors = peaks.descriptors.max(descriptors);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within its next look, and a panic of it was told already.
            let _ = thread.join();
        }
    }
}
