//! The sockets of this node: whom to tell that the server leaves, and which to close with their token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat::Chat;
use protocol::event::ServerShutdown;
use protocol::{Code, Failure, TokenId};
use socketio::{CloseReason, Frame, Outgoing};

use crate::fanout::{Namespace, SubscriberKey, frame};

/// How often the tokens of open connections are looked at. Revocation must close them within 5 s.
const TOKEN_CHECK_EVERY: Duration = Duration::from_secs(2);

/// The least time a client is asked to stay away: a restart takes about so long.
const RECONNECT_DELAY_MIN_MS: u64 = 500;

#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<SubscriberKey, Open>>,
}

struct Open {
    outgoing: Outgoing,
    /// `None` is a socket that has not been accepted in a namespace yet.
    namespace: Option<Namespace>,
    token_id: Option<TokenId>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<SubscriberKey, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket, or a namespace on one, is there.
    pub(crate) fn add(
        &self,
        key: SubscriberKey,
        outgoing: Outgoing,
        namespace: Option<Namespace>,
        token_id: Option<TokenId>,
    ) {
        self.open().insert(key, Open { outgoing, namespace, token_id });
    }

    pub(crate) fn remove(&self, key: SubscriberKey) {
        self.open().remove(&key);
    }

    /// Tells everyone that the server leaves, each with another time to come back, spread over `spread`.
    pub(crate) fn announce_shutdown(&self, spread: Duration) {
        let open = self.open();
        let told: Vec<_> = open.values().filter_map(|open| Some((&open.outgoing, open.namespace?))).collect();
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).max(told.len() as u64);
        for (index, (outgoing, namespace)) in told.iter().enumerate() {
            let share = u128::from(spread_ms) * index as u128 / told.len() as u128;
            let reconnect_delay_ms = RECONNECT_DELAY_MIN_MS + u64::try_from(share).unwrap_or(0);
            let shutdown =
                ServerShutdown { message: "the server is shutting down".into(), reconnect_delay_ms };
            if let Some(frame) = frame(*namespace, &shutdown) {
                outgoing.send(frame);
            }
        }
    }

    /// Asks every socket to write what waits and to end.
    pub(crate) fn close_all(&self) {
        for open in self.open().values() {
            open.outgoing.close(CloseReason::Shutdown);
        }
    }

    /// Closes the connections of tokens that open nothing any more, as long as it runs.
    pub(crate) async fn watch_tokens(&self, chat: &Chat) {
        let mut ticks = tokio::time::interval(TOKEN_CHECK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut tokens: Vec<_> = self.open().values().filter_map(|open| open.token_id.clone()).collect();
            tokens.sort_unstable();
            tokens.dedup();
            for token_id in tokens {
                // Where the database can't say, the connection stays: its token was good.
                if chat.is_token_valid(&token_id).await == Some(false) {
                    self.close_token(&token_id);
                }
            }
        }
    }

    fn close_token(&self, token_id: &TokenId) {
        let failure = Failure::new(Code::InvalidCredentials, "the token has expired or was revoked");
        for open in self.open().values().filter(|open| open.token_id.as_ref() == Some(token_id)) {
            if let Some(frame) = frame(Namespace::Admin, &failure) {
                open.outgoing.send(frame);
            }
            // Stock clients don't come back by themselves after this packet, and need not: they would be refused.
            open.outgoing.send(Frame::disconnect(Namespace::Admin.path()));
            open.outgoing.close(CloseReason::Server);
        }
    }
}
