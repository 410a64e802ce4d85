//! Tokens that the app fetches, asked for on the thread of its listeners.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::delivery::{DeliveryThread, Log, Outlet};
use crate::{LogLevel, SdkError};

/// Fetches tokens by which the app's own backend proves who uses the app.
#[uniffi::export(with_foreign)]
pub trait TokenListener: Send + Sync {
    /// A token is wanted. Returns at once; the request is answered when the app has one. Never called while the app is in the
    /// background.
    ///
    /// # Errors
    /// Whatever is thrown counts as that there is no token.
    fn on_token_wanted(&self, request: Arc<TokenRequest>) -> Result<(), SdkError>;
}

/// A token that is wanted. Let go of without an answer, there is none.
#[derive(uniffi::Object)]
pub struct TokenRequest {
    answer: Mutex<Option<oneshot::Sender<Result<String, String>>>>,
}

#[uniffi::export]
impl TokenRequest {
    /// Here it is. Only the first answer counts.
    pub fn give(&self, token: String) {
        self.answer(Ok(token));
    }

    /// There is none; the reason is for a person who develops.
    pub fn fail(&self, detail: String) {
        self.answer(Err(detail));
    }
}

impl TokenRequest {
    fn answer(&self, outcome: Result<String, String>) {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Who does not wait any more needs none.
        let _ = answer.map(|answer| answer.send(outcome));
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").finish_non_exhaustive()
    }
}

/// The app's tokens, as the client asks for them.
pub(crate) struct Tokens {
    listener: Arc<dyn TokenListener>,
    thread: DeliveryThread,
    log: Log,
}

impl Tokens {
    pub(crate) fn new(listener: Arc<dyn TokenListener>, thread: DeliveryThread, log: Log) -> Self {
        Self { listener, thread, log }
    }
}

impl sdk::TokenSource for Tokens {
    fn fetch(&self) -> sdk::FetchingToken {
        let (answer, answered) = oneshot::channel();
        let request = Arc::new(TokenRequest { answer: Mutex::new(Some(answer)) });
        let Self { listener, log, .. } = self;
        let wanted =
            Wanted { listener: listener.clone(), request: Mutex::new(Some(request)), log: log.clone() };
        self.thread.is_due(Arc::new(wanted));
        Box::pin(
            async move { answered.await.unwrap_or_else(|_| Err("the app let go of the request".to_owned())) },
        )
    }
}

/// A call of the listener that is due.
struct Wanted {
    listener: Arc<dyn TokenListener>,
    request: Mutex<Option<Arc<TokenRequest>>>,
    log: Log,
}

impl Outlet for Wanted {
    fn deliver(&self) {
        let Some(request) = self.request.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        if let Err(SdkError::Failed { detail, .. }) = self.listener.on_token_wanted(request.clone()) {
            self.log.write(LogLevel::Error, format!("the app's function for tokens failed: {detail}"));
            request.fail(detail);
        }
    }
}
