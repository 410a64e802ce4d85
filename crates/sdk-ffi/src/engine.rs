//! The thread that the client lives on.

use std::future::Future;
use std::pin::Pin;

use sdk::ClientError;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{SdkError, threads};

/// Something to do on the client's thread. Boxed, because the code that runs a task is there once for each type of it:
/// without this, the library is 3 % larger.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A runtime on a thread of its own. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    handle: Handle,
    /// Dropped with the engine, and then the thread ends.
    _alive: oneshot::Sender<()>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the machine gives no thread, or no way to wait for sockets.
    pub(crate) async fn start() -> Result<Self, SdkError> {
        let (started, is_started) = oneshot::channel();
        let (alive, is_dropped) = oneshot::channel::<()>();
        let (stop, is_stopped) = oneshot::channel::<()>();
        let live = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(runtime.handle().clone())).is_ok() {
                runtime.block_on(async {
                    // Nothing is ever sent on the first.
                    tokio::select! { _ = is_dropped => {}, Ok(()) = is_stopped => {} }
                });
            }
            // What still blocks, such as a look-up of a name, must not hold up the app.
            runtime.shutdown_background();
        };
        let no_thread = |error| SdkError::internal(format!("there is no thread for the client: {error}"));
        // Who is gone already needs not be asked.
        let stop = Box::new(move || {
            let _ = stop.send(());
        });
        threads::start("replyhq-sdk", stop, live).map_err(no_thread)?;
        let started =
            is_started.await.map_err(|_| SdkError::internal("the client's thread ended at once"))?;
        Ok(Self { handle: started.map_err(no_thread)?, _alive: alive })
    }

    /// The runtime's handle, for what wants to be called on it.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs work on the client's thread that nobody waits for.
    pub(crate) fn spawn(&self, work: Work<()>) -> JoinHandle<()> {
        self.handle.spawn(work)
    }

    /// Runs the work on the client's thread, to its end even if nobody waits for it any more.
    ///
    /// May be awaited on any executor, or none: all it does itself is wait for the answer.
    ///
    /// # Errors
    /// The work's own; `INTERNAL` if it panics; `CLOSED` if the thread is gone.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: Work<Result<T, ClientError>>,
    ) -> Work<Result<T, SdkError>> {
        let (answer, answered) = oneshot::channel();
        let running = self.spawn(Box::pin(async move {
            // Whoever waited may have stopped.
            let _ = answer.send(work.await);
        }));
        Box::pin(async move {
            match answered.await {
                Ok(outcome) => outcome.map_err(Into::into),
                Err(_) => Err(match running.await {
                    Err(error) if error.is_panic() => SdkError::internal(format!("the SDK failed: {error}")),
                    _ => SdkError::closed(),
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let engine = Engine::start().await.unwrap();
        let SdkError::Failed { code, detail } =
            engine.run::<()>(Box::pin(async { panic!("a defect") })).await.unwrap_err();
        assert_eq!(code, "INTERNAL");
        assert!(detail.contains("a defect"), "{detail}");
        assert_eq!(engine.run(Box::pin(async { Ok(7) })).await, Ok(7));
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_engine() {
        let engine = Engine::start().await.unwrap();
        let handle = engine.handle().clone();
        drop(engine);
        // Is never done; ends when the runtime does.
        assert!(handle.spawn(std::future::pending::<()>()).await.unwrap_err().is_cancelled());
    }
}
