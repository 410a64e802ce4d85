//! Clients of the protocol before Socket.IO: a plain WebSocket at `/v1/realtime`, and a dialect of REST. They are compiled
//! into apps that people have, so that they can't change: how they behave is taken as it is, and is described in
//! `docs/migrating.md`. Off unless the operator asks for it.
//!
//! Nothing here knows a rule of its own: it is a transport over [`live`](crate::live), and handlers over `chat`. When the
//! last old app is gone the room is torn down alone: this module, [`Wire::Legacy`](crate::fanout::Wire), and
//! `socketio`'s plain connection go, and with them each line that no longer compiles.

mod moved;
mod rest;
mod socket;
mod wire;

use clap::Args;
use clap::builder::BoolishValueParser;
use std::time::SystemTime;

pub(crate) use self::rest::{HEALTH, beside};
pub(crate) use self::socket::{is_for_old_socket, upgrade};
pub(crate) use self::wire::frame;

/// What an operator can set for old clients.
#[derive(Debug, Clone, Args)]
pub struct LegacySettings {
    /// Serve clients of the protocol before Socket.IO: /v1/realtime, their dialect of REST, and /health. Without it
    /// /v1/realtime answers 410
    #[arg(long = "legacy", env = "REPLYHQ_LEGACY", value_parser = BoolishValueParser::new())]
    pub legacy: bool,

    /// When old clients will no longer be served, as in 2027-06-30: told them in the Sunset header of every answer
    #[arg(long, value_name = "DATE", env = "REPLYHQ_LEGACY_SUNSET", value_parser = parse_date)]
    pub legacy_sunset: Option<SystemTime>,

    /// A text that old clients show as a message in the conversation, once a device: that there is a newer app, say
    #[arg(long, value_name = "TEXT", env = "REPLYHQ_LEGACY_NOTICE", value_parser = parse_notice)]
    pub legacy_notice: Option<String>,
}

fn parse_date(text: &str) -> Result<SystemTime, String> {
    let time = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    humantime::parse_rfc3339(&time)
        .map_err(|_| "expected a date such as 2027-06-30, or a time such as 2027-06-30T12:00:00Z".into())
}

fn parse_notice(text: &str) -> Result<String, String> {
    protocol::input::body(text).map_err(|failure| failure.message)?;
    Ok(text.to_owned())
}
