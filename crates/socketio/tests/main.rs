//! The promises of the crate, checked over real sockets with a client made of bytes, and with a server made of them. Tests of time run on
//! in-memory streams under a paused clock.

#[path = "../examples/support/echo.rs"]
mod echo;

#[cfg(test)]
mod acks;
#[cfg(test)]
mod both_ends;
#[cfg(test)]
mod client;
#[cfg(test)]
mod client_end;
#[cfg(test)]
mod client_session;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod packets;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod server;
#[cfg(test)]
mod session;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod zombies;
