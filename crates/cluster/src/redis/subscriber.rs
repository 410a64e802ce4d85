//! Hears what the other nodes publish. A subscription counts as one only as long as this node's own messages come back
//! through it: a connection can look alive and carry nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, Msg, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, ServerErrorKind,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::sentinel::check_master;
use super::shards::Shards;
use super::url::{Place, RedisUrl};
use super::{CHANNEL, CONNECT_TIMEOUT, Publisher, RESPONSE_TIMEOUT, connect, failed, limited, send};
use crate::Envelope;

/// From one proof to the next.
const PROVE_EVERY: Duration = Duration::from_secs(1);

/// After so long without a proof the subscription is made anew.
const PROOF_TIMEOUT: Duration = Duration::from_secs(4);

/// From one attempt to the next.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Messages of a sharded channel that may wait to be read.
const WAITING: usize = 8_192;

/// Kinds of what can't be read that are told of; whoever says more than so many different things says nonsense.
const UNREADABLE_MAX: usize = 32;

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
    let source = Source::new(&url);
    let mut told = String::new();
    let mut unreadable = HashSet::new();
    loop {
        if let Err(error) = hear(&source, &node, &publisher, &is_proven, &mut unreadable, &mut take).await {
            // Each problem is told once, however long it lasts.
            let problem = error.to_string();
            let was_proven = is_proven.send_if_modified(|proven| std::mem::replace(proven, false));
            if was_proven || problem != told {
                tracing::warn!(error = problem, "other nodes are not heard: Redis can't be used");
                told = problem;
            }
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

/// Where subscriptions come from.
enum Source {
    /// One server, or the master that sentinels name.
    Server(RedisUrl),
    /// The shard of the channel's slot.
    Cluster(Box<Shards>),
}

/// A subscription that was confirmed.
enum Subscription {
    Channel(PubSubStream),
    /// The connection carries the channel for as long as it is held.
    Shard(mpsc::Receiver<PushInfo>, MultiplexedConnection),
}

impl Source {
    fn new(url: &RedisUrl) -> Self {
        match url.place() {
            Place::Cluster(seeds) => Self::Cluster(Box::new(Shards::new(seeds.clone(), &[]))),
            Place::Server(_) | Place::Sentinels(_) => Self::Server(url.clone()),
        }
    }

    async fn subscribe(&self) -> RedisResult<Subscription> {
        match self {
            Self::Server(url) => limited(channel(url)).await.map(Subscription::Channel),
            Self::Cluster(shards) => {
                let subscribed = limited(shard(shards)).await;
                if subscribed.is_err() {
                    shards.forget_map();
                }
                subscribed
            }
        }
    }
}

async fn channel(url: &RedisUrl) -> RedisResult<PubSubStream> {
    let mut subscription = match url.place() {
        Place::Server(client) => client.get_async_pubsub().await?,
        Place::Sentinels(sentinels) => {
            let master = sentinels.master().await?;
            check_master(&mut connect(&master, &[]).await?).await?;
            master.get_async_pubsub().await?
        }
        Place::Cluster(_) => return Err(failed("a cluster has no single server")),
    };
    subscription.subscribe(CHANNEL).await?;
    Ok(subscription.into_on_message())
}

/// Sharded channels came with Redis 7, and so RESP3 is there too: messages come as pushes on an ordinary connection.
async fn shard(shards: &Shards) -> RedisResult<Subscription> {
    let client = shards.master_of(CHANNEL).await?;
    let info = client.get_connection_info();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.clone().set_redis_settings(settings))?;
    let (pushes, pushed) = mpsc::channel(WAITING);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        // What does not fit is lost, as the bus may lose anything.
        .set_push_sender(move |push| pushes.try_send(push));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = redis::pipe();
    command.cmd("SSUBSCRIBE").arg(CHANNEL);
    for answer in send(&mut connection, &command).await? {
        answer.map_err(|error| match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => {
                failed(format!("a Redis Cluster needs Redis 7 or newer, for sharded channels: {error}"))
            }
            _ => error,
        })?;
    }
    Ok(Subscription::Shard(pushed, connection))
}

impl Subscription {
    /// The next message.
    async fn next(&mut self) -> RedisResult<Vec<u8>> {
        match self {
            Self::Channel(messages) => {
                let message = messages.next().await.ok_or_else(ended)?;
                Ok(message.get_payload_bytes().to_vec())
            }
            Self::Shard(pushed, _connection) => loop {
                let push = pushed.recv().await.ok_or_else(ended)?;
                match push.kind {
                    PushKind::SMessage => {
                        let message = Msg::from_push_info(push).ok_or_else(ended)?;
                        return Ok(message.get_payload_bytes().to_vec());
                    }
                    // The slot went to another shard, or the connection broke.
                    PushKind::SUnsubscribe | PushKind::Disconnection => return Err(ended()),
                    _ => {}
                }
            },
        }
    }
}

fn ended() -> RedisError {
    failed("the subscription ended")
}

async fn hear(
    source: &Source,
    node: &str,
    publisher: &Publisher,
    is_proven: &watch::Sender<bool>,
    unreadable: &mut HashSet<String>,
    take: &mut impl FnMut(Received),
) -> RedisResult<()> {
    let mut subscription = source.subscribe().await?;
    let proof = format!("P {node}\n").into_bytes();
    let mut ticks = tokio::time::interval(PROVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut proven_at = Instant::now();
    loop {
        tokio::select! {
            message = subscription.next() => {
                let bytes = message?;
                if bytes == proof {
                    proven_at = Instant::now();
                    is_proven.send_if_modified(|proven| !std::mem::replace(proven, true));
                } else if let Some(received) = read(&bytes, node, unreadable) {
                    take(received);
                }
            }
            _ = ticks.tick() => {
                if proven_at.elapsed() > PROOF_TIMEOUT {
                    return Err(failed("what this node publishes does not come back to it"));
                }
                publisher.put(proof.clone());
            }
        }
    }
}

fn read(bytes: &[u8], node: &str, unreadable: &mut HashSet<String>) -> Option<Received> {
    if let Some(app) = bytes.strip_prefix(b"C ") {
        return Some(Received::Changed(std::str::from_utf8(app).ok()?.trim_end().into()));
    }
    match Envelope::decode(bytes, node) {
        Ok(envelope) => envelope.map(Received::Envelope),
        Err(error) => {
            // Each kind is told once: during an upgrade a newer node may say it with each message.
            if unreadable.len() < UNREADABLE_MAX && unreadable.insert(error.signal.clone()) {
                tracing::warn!(%error, "another node published what this one can't read");
            }
            None
        }
    }
}
