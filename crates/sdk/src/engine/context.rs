//! What agents are to know of the device: told when there is a conversation to tell it for, and when it has changed.

use protocol::limits::CONTEXT_BYTES;
use protocol::rest::Done;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::effect::Effect;
use super::report::Asked;
use super::{Engine, bounded};
use crate::local::Error;
use crate::outbox::Failed;
use crate::{ClientError, LogLevel};

/// What the app says of the device, and what the SDK knows itself, which the app's own words go before.
///
/// # Errors
/// If that is too much.
pub(super) fn described(told: &Map<String, Value>) -> Result<String, ClientError> {
    let mut context = Map::new();
    context.insert("sdk_version".to_owned(), env!("CARGO_PKG_VERSION").into());
    context.insert("platform".to_owned(), std::env::consts::OS.into());
    context.extend(told.clone());
    let context = Value::Object(context).to_string();
    if context.len() > CONTEXT_BYTES {
        let what = format!("device_context has more than {CONTEXT_BYTES} bytes of JSON");
        return Err(ClientError::InvalidConfig(what));
    }
    Ok(context)
}

impl Engine {
    /// What the server has not been told of the device.
    pub(super) fn untold_context(&self) -> Result<Option<String>, Error> {
        let told = self.store.context()?;
        Ok(self.device_context.clone().filter(|context| told.as_ref() != Some(context)))
    }

    pub(super) fn describe_if_needed(&mut self, now: Instant) -> Result<(), Error> {
        if self.describing.begin(now) {
            // Who has never written is nobody whom agents see.
            let is_known = self.store.newest_conversation()?.is_some();
            match self.untold_context()?.filter(|_| is_known) {
                Some(context) => self.effects.push(Effect::Ask(Asked::Describe { context })),
                None => self.describing.done(),
            }
        }
        Ok(())
    }

    pub(super) fn described(&mut self, context: &str, outcome: Result<Done, Failed>) -> Result<(), Error> {
        match outcome {
            Ok(_) => {
                self.describing.done();
                self.store.context_was_told(context)
            }
            Err(Failed::ForNow { retry_after }) => {
                let chance = self.chance();
                self.describing.failed(bounded(retry_after), Instant::now(), chance);
                Ok(())
            }
            Err(Failed::Barred(bar)) => self.barred(bar),
            Err(Failed::ForGood { code, .. }) => {
                self.log(LogLevel::Warn, &format!("the server does not take what the device is: {code}"));
                self.describing.done();
                Ok(())
            }
        }
    }
}
