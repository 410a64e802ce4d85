//! Hears what the other nodes publish. A subscription counts as one only as long as this node's own messages come back
//! through it: a connection can look alive and carry nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::RedisResult;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::link::timed_out;
use super::{CHANNEL, CONNECT_TIMEOUT, Publisher, RESPONSE_TIMEOUT, RedisUrl};
use crate::Envelope;

/// From one proof to the next.
const PROVE_EVERY: Duration = Duration::from_secs(1);

/// After so long without a proof the subscription is made anew.
const PROOF_TIMEOUT: Duration = Duration::from_secs(4);

/// From one attempt to the next.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// What came over the bus.
pub(crate) enum Received {
    /// Another node's envelope.
    Envelope(Envelope),
    /// The app's sessions have changed.
    Changed(protocol::AppId),
}

/// Hears for as long as the process lives, and says in `is_proven` whether it does.
pub(crate) async fn subscribe(
    url: RedisUrl,
    node: Arc<str>,
    publisher: Publisher,
    is_proven: watch::Sender<bool>,
    mut take: impl FnMut(Received),
) {
    loop {
        if let Err(error) = hear(&url, &node, &publisher, &is_proven, &mut take).await {
            tracing::debug!(%error, "the subscription broke off");
        }
        is_proven.send_if_modified(|proven| std::mem::replace(proven, false));
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

async fn hear(
    url: &RedisUrl,
    node: &str,
    publisher: &Publisher,
    is_proven: &watch::Sender<bool>,
    take: &mut impl FnMut(Received),
) -> RedisResult<()> {
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, url.0.get_async_pubsub());
    let mut subscription = connecting.await.map_err(|_| timed_out())??;
    let subscribing = tokio::time::timeout(RESPONSE_TIMEOUT, subscription.subscribe(CHANNEL));
    subscribing.await.map_err(|_| timed_out())??;
    let mut messages = subscription.into_on_message();
    let proof = format!("P {node}\n").into_bytes();
    let mut ticks = tokio::time::interval(PROVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut proven_at = Instant::now();
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return Err(timed_out()) };
                let bytes = message.get_payload_bytes();
                if bytes == proof {
                    proven_at = Instant::now();
                    is_proven.send_if_modified(|proven| !std::mem::replace(proven, true));
                } else if let Some(received) = read(bytes, node) {
                    take(received);
                }
            }
            _ = ticks.tick() => {
                if proven_at.elapsed() > PROOF_TIMEOUT {
                    return Err(timed_out());
                }
                publisher.put(proof.clone());
            }
        }
    }
}

fn read(bytes: &[u8], node: &str) -> Option<Received> {
    if let Some(app) = bytes.strip_prefix(b"C ") {
        return Some(Received::Changed(std::str::from_utf8(app).ok()?.trim_end().into()));
    }
    match Envelope::decode(bytes, node) {
        Ok(envelope) => envelope.map(Received::Envelope),
        Err(error) => {
            tracing::warn!(%error, "another node published what this one can't read");
            None
        }
    }
}
