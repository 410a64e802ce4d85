//! A write on its way through its queue.

use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::operation::Operation;
use crate::session::Session;

/// One write with what is to be done when it is over.
pub(crate) trait Job: Send {
    /// Does it, within a transaction. May be called again after that was rolled back.
    fn run<'a>(&'a mut self, session: &'a mut Session<'_>) -> BoxFuture<'a, Result<(), Error>>;
    /// It is not stored, for this reason.
    fn fail(&mut self, error: Error);
    /// Tells the caller.
    fn finish(self: Box<Self>);
}

/// A write with its outcome: what to do, and whom to tell.
pub(crate) struct Write<O: Operation, Done> {
    operation: O,
    outcome: Result<O::Out, Error>,
    done: Done,
}

impl<O: Operation, Done> Write<O, Done> {
    pub(crate) fn new(operation: O, done: Done) -> Self {
        Self { operation, outcome: Err(Error::closed()), done }
    }
}

impl<O, Done> Job for Write<O, Done>
where
    O: Operation,
    Done: FnOnce(Result<O::Out, Error>) + Send,
{
    fn run<'a>(&'a mut self, session: &'a mut Session<'_>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.outcome = Ok(self.operation.run(session).await?);
            Ok(())
        })
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Err(error);
    }

    fn finish(self: Box<Self>) {
        (self.done)(self.outcome);
    }
}
