//! What a connection does, whatever the transport: who it is, what it asks, what it is told. Never knows how that travels.

mod login;
mod peer;

pub(crate) use self::login::{Login, Visitor, connection_id, login_agent, login_device, tell_refused};
pub(crate) use self::peer::Peer;
