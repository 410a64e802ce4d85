//! The thread on which the app's listeners are called, one call at a time.
//!
//! Nothing queues up behind a slow listener: what is delivered is always the newest, and a client's log drops lines.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::{ChatEvent, ClientState, LogLevel, SdkError, Timeline, threads};

/// Events that wait for a slow listener; further ones are missed.
const EVENTS: usize = 256;
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

    /// There is no such conversation: `UNKNOWN_CONVERSATION`. This is the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log.
    fn on_failed(&self, code: String, detail: String) -> Result<(), SdkError>;

    /// The client is closed, and the last timeline was heard. This is the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log.
    fn on_closed(&self) -> Result<(), SdkError>;
}

/// Hears of what happens once, apart from the pictures.
#[uniffi::export(with_foreign)]
pub trait EventListener: Send + Sync {
    /// Something happened; each is told once, in its order. Who is too slow misses those after the first 256 that wait.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log, and the listener is called again.
    fn on_event(&self, event: ChatEvent) -> Result<(), SdkError>;

    /// The client is closed. This is the last call.
    ///
    /// # Errors
    /// Whatever is thrown goes to the log.
    fn on_closed(&self) -> Result<(), SdkError>;
}

/// Something that has news for the app. It is in the thread's queue at most once, so the queue has a bound.
pub(crate) trait Outlet: Send + Sync {
    /// Calls the listener with all that is new.
    fn deliver(&self);
}

/// The way to the thread, which ends when all of them are dropped.
#[derive(Clone)]
pub(crate) struct DeliveryThread {
    due: Arc<mpsc::Sender<Due>>,
}

/// What the thread is to do.
enum Due {
    Deliver(Arc<dyn Outlet>),
    /// Tell that all before is delivered.
    Flush(oneshot::Sender<()>),
    Stop,
}

impl DeliveryThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the machine gives none.
    pub(crate) fn start() -> Result<Self, SdkError> {
        let (due, all_due) = mpsc::channel::<Due>();
        let deliver_all = move || {
            for due in all_due {
                match due {
                    Due::Deliver(outlet) => {
                        // A defect in one delivery must not end all others; the panic has been printed.
                        let _ = catch_unwind(AssertUnwindSafe(|| outlet.deliver()));
                    }
                    Due::Flush(flushed) => {
                        // Whoever waited may have stopped.
                        let _ = flushed.send(());
                    }
                    Due::Stop => break,
                }
            }
        };
        let due = Arc::new(due);
        // What could stop it does not keep it.
        let stop = Arc::downgrade(&due);
        let stop = Box::new(move || {
            // It may have ended already.
            let _ = stop.upgrade().map(|due| due.send(Due::Stop));
        });
        threads::start("replyhq-calls", stop, deliver_all)
            .map_err(|error| SdkError::internal(format!("there is no thread for listeners: {error}")))?;
        Ok(Self { due })
    }

    /// Waits until all that is due now is delivered.
    pub(crate) async fn flush(&self) {
        let (flushed, is_flushed) = oneshot::channel();
        if self.due.send(Due::Flush(flushed)).is_ok() {
            // Where the thread has ended, nothing is left to be delivered.
            let _ = is_flushed.await;
        }
    }

    /// Calls what the outlet has for the app, after all that is due already.
    pub(crate) fn is_due(&self, outlet: Arc<dyn Outlet>) {
        // Where the thread was stopped, the program ends.
        let _ = self.due.send(Due::Deliver(outlet));
    }
}

/// What a listener hears.
pub(crate) enum News<'a, T> {
    Snapshot(&'a T),
    /// It is over before the client is.
    Failed(&'a SdkError),
    /// There is nothing more to hear.
    Closed,
}

/// How it ends.
pub(crate) enum End {
    Failed(SdkError),
    Closed,
}

type Listen<T> = Arc<dyn Fn(News<'_, T>) -> Result<(), SdkError> + Send + Sync>;

/// The newest snapshot, or what happened in its order, and the listener that is to hear of it.
pub(crate) struct Newest<T> {
    undelivered: Mutex<Undelivered<T>>,
    listener: Mutex<Option<Listen<T>>>,
    log: Log,
}

struct Undelivered<T> {
    snapshots: VecDeque<Arc<T>>,
    end: Option<End>,
    is_due: bool,
}

impl<T: Send + Sync + 'static> Newest<T> {
    pub(crate) fn new(
        log: Log,
        listener: impl Fn(News<'_, T>) -> Result<(), SdkError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let undelivered = Undelivered { snapshots: VecDeque::new(), end: None, is_due: false };
        Arc::new(Self {
            undelivered: Mutex::new(undelivered),
            listener: Mutex::new(Some(Arc::new(listener))),
            log,
        })
    }

    /// Takes the place of what was not delivered yet.
    pub(crate) fn offer(self: &Arc<Self>, thread: &DeliveryThread, snapshot: Arc<T>) {
        self.change(thread, |undelivered| {
            undelivered.snapshots.clear();
            undelivered.snapshots.push_back(snapshot);
        });
    }

    /// To be delivered behind what was not delivered yet, unless that is too much. Returns whether it is.
    pub(crate) fn append(self: &Arc<Self>, thread: &DeliveryThread, next: Arc<T>) -> bool {
        let mut is_kept = true;
        self.change(thread, |undelivered| {
            is_kept = undelivered.snapshots.len() < EVENTS;
            if is_kept {
                undelivered.snapshots.push_back(next);
            }
        });
        is_kept
    }

    /// To be told after the last snapshot.
    pub(crate) fn end(self: &Arc<Self>, thread: &DeliveryThread, end: End) {
        self.change(thread, |undelivered| undelivered.end = Some(end));
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
        let (snapshots, end) = {
            let mut undelivered = locked(&self.undelivered);
            undelivered.is_due = false;
            (std::mem::take(&mut undelivered.snapshots), undelivered.end.take())
        };
        for snapshot in snapshots {
            self.tell(News::Snapshot(&snapshot));
        }
        if let Some(end) = end {
            self.tell(match &end {
                End::Failed(error) => News::Failed(error),
                End::Closed => News::Closed,
            });
            self.cancel();
        }
    }
}

/// The log of one client, on its way to the app.
#[derive(Clone)]
pub(crate) struct Log(Option<Arc<LogLines>>);

struct LogLines {
    waiting: Mutex<Waiting>,
    listener: Mutex<Option<Arc<dyn LogListener>>>,
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
        let lines = |listener| LogLines {
            waiting: Mutex::default(),
            listener: Mutex::new(Some(listener)),
            thread: thread.clone(),
        };
        Self(listener.map(|listener| Arc::new(lines(listener))))
    }

    /// Forgets the listener.
    pub(crate) fn end(&self) {
        if let Some(log) = &self.0 {
            // Dropped when no lock is held: that may run code of the app's.
            let listener = locked(&log.listener).take();
            drop(listener);
        }
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
        let Some(listener) = locked(&self.listener).clone() else { return };
        for (level, line) in lines {
            // Where else could it be told?
            let _ = listener.on_log(level, line);
        }
        if lost > 0 {
            let _ = listener.on_log(LogLevel::Warn, format!("{lost} lines were lost: logging is too slow"));
        }
    }
}

/// The data is whole after a panic, too: every change here is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
