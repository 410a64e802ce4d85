//! The thread on which the app's listeners are called, one call at a time.
//!
//! Nothing queues up behind a slow listener: what is delivered is always the newest, and a client's log drops lines.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use crate::{ClientState, LogLevel, SdkError, Timeline};

/// Lines of the log that wait for a slow listener; further ones are lost, and counted.
const LINES: usize = 1000;

/// Hears the SDK's log. No message and no key is ever in it.
#[uniffi::export(with_foreign)]
pub trait LogListener: Send + Sync {
    /// A line.
    ///
    /// # Errors
    /// Whatever is thrown is ignored.
    fn on_log(&self, level: LogLevel, message: String) -> Result<(), SdkError>;
}

/// Hears how the client stands.
#[uniffi::export(with_foreign)]
pub trait StateListener: Send + Sync {
    /// The newest state. First the present one; then one for whatever has changed since the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log, and the listener is called again.
    fn on_state(&self, state: ClientState) -> Result<(), SdkError>;

    /// The client is closed, and the last state was heard. This is the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log.
    fn on_closed(&self) -> Result<(), SdkError>;
}

/// Hears of the messages of a conversation.
#[uniffi::export(with_foreign)]
pub trait TimelineListener: Send + Sync {
    /// The newest timeline. First the present one; then one for whatever has changed since the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log, and the listener is called again.
    fn on_timeline(&self, timeline: Timeline) -> Result<(), SdkError>;

    /// The client is closed, and the last timeline was heard. This is the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log.
    fn on_closed(&self) -> Result<(), SdkError>;
}

/// Something that has news for the app. It is in the thread's queue at most once, so the queue has a bound.
trait Outlet: Send + Sync {
    /// Calls the listener with all that is new.
    fn deliver(&self);
}

/// The way to the thread, which ends when all of them are dropped.
#[derive(Clone)]
pub(crate) struct DeliveryThread {
    due: mpsc::Sender<Arc<dyn Outlet>>,
}

impl DeliveryThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the machine gives none.
    pub(crate) fn start() -> Result<Self, SdkError> {
        let (due, outlets) = mpsc::channel::<Arc<dyn Outlet>>();
        let deliver_all = move || {
            for outlet in outlets {
                // A defect in one delivery must not end all others; the panic has been printed.
                let _ = catch_unwind(AssertUnwindSafe(|| outlet.deliver()));
            }
        };
        thread::Builder::new()
            .name("replyhq-calls".into())
            .spawn(deliver_all)
            .map_err(|error| SdkError::internal(format!("there is no thread for listeners: {error}")))?;
        Ok(Self { due })
    }

    fn is_due(&self, outlet: Arc<dyn Outlet>) {
        // The thread is there as long as this is.
        let _ = self.due.send(outlet);
    }
}

/// What a listener hears.
pub(crate) enum News<'a, T> {
    Snapshot(&'a T),
    /// There is nothing more to hear.
    Closed,
}

type Listen<T> = Arc<dyn Fn(News<'_, T>) -> Result<(), SdkError> + Send + Sync>;

/// The newest snapshot, and the listener that is to hear of it.
pub(crate) struct Newest<T> {
    undelivered: Mutex<Undelivered<T>>,
    listener: Mutex<Option<Listen<T>>>,
    log: Log,
}

struct Undelivered<T> {
    snapshot: Option<Arc<T>>,
    has_closed: bool,
    is_due: bool,
}

impl<T: Send + Sync + 'static> Newest<T> {
    pub(crate) fn new(
        log: Log,
        listener: impl Fn(News<'_, T>) -> Result<(), SdkError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let undelivered = Undelivered { snapshot: None, has_closed: false, is_due: false };
        Arc::new(Self {
            undelivered: Mutex::new(undelivered),
            listener: Mutex::new(Some(Arc::new(listener))),
            log,
        })
    }

    /// Takes the place of what was not delivered yet.
    pub(crate) fn offer(self: &Arc<Self>, thread: &DeliveryThread, snapshot: Arc<T>) {
        self.change(thread, |undelivered| undelivered.snapshot = Some(snapshot));
    }

    /// To be told after the last snapshot.
    pub(crate) fn close(self: &Arc<Self>, thread: &DeliveryThread) {
        self.change(thread, |undelivered| undelivered.has_closed = true);
    }

    fn change(self: &Arc<Self>, thread: &DeliveryThread, change: impl FnOnce(&mut Undelivered<T>)) {
        let mut undelivered = locked(&self.undelivered);
        change(&mut undelivered);
        if !std::mem::replace(&mut undelivered.is_due, true) {
            thread.is_due(self.clone());
        }
    }
}

impl<T> Newest<T> {
    /// Forgets the listener: no call is begun after this. One that was begun may go on.
    pub(crate) fn cancel(&self) {
        // Dropped when no lock is held: that may run code of the app's.
        let listener = locked(&self.listener).take();
        drop(listener);
    }

    fn tell(&self, news: News<'_, T>) {
        let listener = locked(&self.listener).clone();
        if let Some(listener) = listener
            && let Err(SdkError::Failed { detail, .. }) = listener(news)
        {
            self.log.write(LogLevel::Error, format!("a listener of the app failed: {detail}"));
        }
    }
}

impl<T: Send + Sync> Outlet for Newest<T> {
    fn deliver(&self) {
        let (snapshot, has_closed) = {
            let mut undelivered = locked(&self.undelivered);
            undelivered.is_due = false;
            (undelivered.snapshot.take(), undelivered.has_closed)
        };
        if let Some(snapshot) = snapshot {
            self.tell(News::Snapshot(&snapshot));
        }
        if has_closed {
            self.tell(News::Closed);
            self.cancel();
        }
    }
}

/// The log of one client, on its way to the app.
#[derive(Clone)]
pub(crate) struct Log(Option<Arc<LogLines>>);

struct LogLines {
    waiting: Mutex<Waiting>,
    listener: Arc<dyn LogListener>,
    thread: DeliveryThread,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<(LogLevel, String)>,
    lost: u64,
}

impl Log {
    /// A log that nobody hears has no listener.
    pub(crate) fn new(listener: Option<Arc<dyn LogListener>>, thread: &DeliveryThread) -> Self {
        let lines = |listener| LogLines { waiting: Mutex::default(), listener, thread: thread.clone() };
        Self(listener.map(|listener| Arc::new(lines(listener))))
    }

    /// Never waits.
    pub(crate) fn write(&self, level: LogLevel, line: String) {
        let Some(log) = &self.0 else { return };
        let mut waiting = locked(&log.waiting);
        if waiting.lines.len() == LINES {
            waiting.lost += 1;
            return;
        }
        waiting.lines.push_back((level, line));
        if waiting.lines.len() == 1 {
            log.thread.is_due(log.clone());
        }
    }
}

impl sdk::Platform for Log {
    fn log(&self, level: sdk::LogLevel, message: &str) {
        self.write(level.into(), message.to_owned());
    }
}

impl Outlet for LogLines {
    fn deliver(&self) {
        let Waiting { lines, lost } = std::mem::take(&mut *locked(&self.waiting));
        for (level, line) in lines {
            // Where else could it be told?
            let _ = self.listener.on_log(level, line);
        }
        if lost > 0 {
            let _ =
                self.listener.on_log(LogLevel::Warn, format!("{lost} lines were lost: logging is too slow"));
        }
    }
}

/// The data is whole after a panic, too: every change here is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
