//! What a connection does, whatever the transport: who it is, what it asks, what it is told. Never knows how that travels.

mod login;
mod peer;

pub(crate) use self::login::{
    Login, Visitor, connection_id, login_agent, login_device, login_vetted, tell_refused, vet_device,
};
pub(crate) use self::peer::Peer;
