//! The scenarios, by kind.

pub(crate) mod agents;
pub(crate) mod fairness;
pub(crate) mod handshakes;
pub(crate) mod limits;
pub(crate) mod made_up;
pub(crate) mod memory;
pub(crate) mod readers;
pub(crate) mod sign_ins;
pub(crate) mod storms;
