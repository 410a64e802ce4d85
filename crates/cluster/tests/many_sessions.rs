//! An app with a hundred thousand sessions on two nodes, on a real Redis: listed in pages, forgotten by Redis and put back,
//! and half of them gone with their node.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed; it says how long things took"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use backing::{Redis, RedisOptions};
use cluster::{Cluster, Counts, Node, RedisUrl};
use futures_util::StreamExt as _;
use protocol::{AppId, Session, Timestamp};

const HERE: usize = 60_000;
const THERE: usize = 40_000;
const PAGE: usize = 1_000;

/// Far more than is ever needed: these machines are noisy.
const PATIENCE: Duration = Duration::from_secs(120);

fn node(redis: &Redis, name: &str) -> Cluster {
    Cluster::of_many(Node {
        redis: RedisUrl::parse(&redis.url()).unwrap(),
        name: name.into(),
        deliver: Arc::new(|_| None),
        written_off: Arc::new(|| {}),
        observer: Arc::new(|_| {}),
    })
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !check().await {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{what}: {:.2} s", started.elapsed().as_secs_f64());
    started.elapsed()
}

/// Joins so many, each a device of its own, as fast as Redis takes them.
async fn join(node: &Cluster, app: &AppId, name: &str, count: usize) {
    let session = |number: usize| Session {
        connection_id: format!("conn_{name}_{number:06}").into(),
        app_id: app.clone(),
        device_id: format!("device-{name}-{number}").into(),
        connected_at: Timestamp::from_epoch_ms(0),
        user_info: None,
    };
    let joins = futures_util::stream::iter(0..count).map(|number| node.registry.join(session(number)));
    assert_eq!(joins.buffer_unordered(256).count().await, count);
}

async fn has(node: &Cluster, app: &AppId, connections: usize) -> bool {
    let counts = node.registry.counts(app).await;
    counts == Counts { connections: connections as u64, devices: connections as u64, nodes: counts.nodes }
}

/// The ids of all sessions, page by page.
async fn listed(node: &Cluster, app: &AppId) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let after = ids.last().map(|id| id.as_str().into());
        let page = node.registry.sessions(app, after.as_ref(), PAGE).await;
        assert!(page.sessions.len() <= PAGE);
        ids.extend(page.sessions.iter().map(|session| session.connection_id.to_string()));
        if !page.has_more {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sessions_are_listed_in_pages_put_back_and_taken_out_with_their_node() {
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let (here, there) = (node(&redis, "here"), node(&redis, "there"));
    let app: AppId = "app_1".into();
    eventually("both nodes to be in touch", async || here.is_live() && there.is_live()).await;
    let started = Instant::now();
    tokio::join!(join(&here, &app, "a", HERE), join(&there, &app, "b", THERE));
    println!("joining: {:.2} s", started.elapsed().as_secs_f64());
    for node in [&here, &there] {
        assert!(has(node, &app, HERE + THERE).await, "{:?}", node.registry.counts(&app).await);
        let ids = listed(node, &app).await;
        assert_eq!(ids.len(), HERE + THERE);
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
    }

    redis.cli(&["FLUSHALL"]).await.unwrap();
    // Until it is live again a node lists its own: it gives the others time to put theirs back.
    eventually("a wiped Redis to know all again", async || {
        has(&there, &app, HERE + THERE).await && there.is_live()
    })
    .await;
    assert_eq!(listed(&there, &app).await.len(), HERE + THERE);

    drop(here);
    eventually("the sessions of a dead node to be gone", async || has(&there, &app, THERE).await).await;
    let left = listed(&there, &app).await;
    assert!(left.len() == THERE && left.iter().all(|id| id.starts_with("conn_b_")));
}
