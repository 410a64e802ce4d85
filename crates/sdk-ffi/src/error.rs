//! What can go wrong, in the one form in which all languages hear of it.

use sdk::ClientError;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum SdkError {
    /// The only kind, so that a new code breaks no app.
    #[error("{detail} ({code})")]
    Failed {
        /// The SDK's own (`OFFLINE`, `QUEUE_FULL`, …: docs/sdk/README.md has all of them), or the server's.
        code: String,
        /// What is wrong, for a person who develops. Not called `message`: in Kotlin every exception has one already.
        detail: String,
    },
}

impl SdkError {
    fn new(code: &str, detail: impl Into<String>) -> Self {
        Self::Failed { code: code.to_owned(), detail: detail.into() }
    }

    /// The client is closed, or the app has let go of it.
    pub(crate) fn closed() -> Self {
        ClientError::Closed.into()
    }

    /// A defect of the SDK, or a machine that gives it no thread.
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new("INTERNAL", detail)
    }

    /// What was given to open a client with makes no sense.
    pub(crate) fn invalid_config(detail: impl Into<String>) -> Self {
        Self::new("INVALID_CONFIG", detail)
    }

    /// What was given as a person's attributes is not a JSON object.
    pub(crate) fn not_an_object(detail: impl Into<String>) -> Self {
        Self::new("INVALID_USER", detail)
    }
}

impl From<ClientError> for SdkError {
    fn from(error: ClientError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// What the app's listener threw. Without this, UniFFI would panic.
impl From<uniffi::UnexpectedUniFFICallbackError> for SdkError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::new("LISTENER_FAILED", error.reason)
    }
}
