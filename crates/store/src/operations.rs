//! What can be asked of the database, one file a noun: whole [`Operation`](crate::Operation)s over a
//! [`Session`](crate::session::Session), in SQL that both databases accept. No operation opens or ends a transaction; its caller does.

pub(crate) mod activity;
pub(crate) mod agents;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod canned_replies;
pub(crate) mod changes;
pub(crate) mod conversations;
pub(crate) mod counts;
pub(crate) mod credentials;
pub(crate) mod devices;
pub(crate) mod heartbeat;
pub(crate) mod identity_keys;
pub(crate) mod inbox;
pub(crate) mod indexing;
pub(crate) mod messages;
pub(crate) mod people;
pub(crate) mod receipts;
pub(crate) mod revocations;
pub(crate) mod search;
pub(crate) mod search_requests;
pub(crate) mod tags;
pub(crate) mod tokens;

#[cfg(test)]
mod plans;
