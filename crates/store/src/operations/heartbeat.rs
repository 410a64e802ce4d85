//! Whether the database can be written to.

use protocol::Timestamp;

use crate::error::Error;
use crate::operation::{ADMINISTRATION, Operation, Write};
use crate::session::{Param, Session};

/// Writes and commits something small: an error says that writing does not work just now.
#[derive(Debug, Clone)]
pub struct CheckWritable {
    /// When.
    pub now: Timestamp,
}

impl Operation for CheckWritable {
    type Out = ();

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Out, Error> {
        const SQL: &str = "UPDATE heartbeat SET at = $1 WHERE id = 1";
        session.execute(SQL, &[Param::Integer(self.now.epoch_ms())]).await.map(|_| ())
    }
}

impl Write for CheckWritable {
    fn key(&self) -> &str {
        ADMINISTRATION
    }
}
