//! Nodes on each kind of Redis, and what they do when its master dies; and TLS to Redis and to Postgres.

use std::process::Stdio;
use std::time::{Duration, Instant};

use backing::{
    Certificates, Postgres, PostgresOptions, Redis, RedisCluster, RedisOptions, RedisSentinel, Signal,
};
use serde_json::{Value, json};
use testkit::{Client, Http, ServerProcess, SharedRedis, TestApp, TestCluster, eventually, patiently};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::BINARY;

/// P5: what was committed while nodes did not hear each other arrives within this time.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// The bus's channel on a Redis Cluster.
const BUS: &str = "replyhq:bus";

/// The first servers of a Redis Cluster are its masters at the beginning.
const MASTERS: usize = 3;

async fn connections(app: &TestApp, device: &str) -> Value {
    let presence = app.as_agent().get(&format!("/v1/admin/devices/{device}/presence")).await.ok();
    presence["active_connections"].clone()
}

/// Waits until both nodes say that the device has so many connections.
async fn has_connections(nodes: [&TestApp; 2], device: &str, count: u64) {
    for node in nodes {
        eventually("presence to be right", || async {
            (connections(node, device).await == count).then_some(())
        })
        .await;
    }
}

/// Waits until a node hears the others.
async fn is_in_touch(node: &TestApp) {
    let ready = Http::new(node.address);
    eventually("the node to be in touch with Redis", || async {
        (ready.get("/readyz").await.json["status"] == "ok").then_some(())
    })
    .await;
}

/// A device on the first node in its conversation, an agent on the second who has joined it.
async fn both_sides(nodes: [&TestApp; 2]) -> (Client, Client, String) {
    let [here, there] = nodes;
    let (device, conversation) = here.device_in_conversation("phone").await;
    let mut agent = there.agent().await;
    agent.expect("connected").await;
    agent.done("conversation:join", json!({ "conversation_id": conversation })).await;
    agent.expect("conversation:joined").await;
    has_connections(nodes, "phone", 1).await;
    (device, agent, conversation)
}

/// Waits until the device hears the agent type: only the bus carries that, and while it is away it is lost.
async fn hears_typing(device: &mut Client, agent: &mut Client, conversation: &str) {
    patiently("typing to be heard", async {
        while device.settled("agent:typing").await.is_empty() {
            for event in ["typing:start", "typing:stop"] {
                agent.done(event, json!({ "conversation_id": conversation })).await;
            }
        }
    })
    .await;
}

/// Messages, typing and presence, from one node to the other.
async fn act_as_one<R: SharedRedis>(cluster: &TestCluster<R>) {
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, mut agent, conversation) = both_sides([&here, &there]).await;
    let sent = device.say(&conversation, "1", "hello").await;
    assert_eq!(agent.expect("message:new").await["id"], sent["id"]);
    // Only the bus carries this.
    agent.done("typing:start", json!({ "conversation_id": conversation })).await;
    assert_eq!(device.expect("agent:typing").await["is_typing"], true);
    let stats = there.as_agent().get("/v1/admin/stats").await.ok();
    assert_eq!(stats, json!({ "connections": 1, "devices_online": 1, "nodes": 2 }));
    device.cut();
    loop {
        let change = agent.expect("presence:change").await;
        if change["is_online"] == false {
            break;
        }
    }
    has_connections([&here, &there], "phone", 0).await;
}

/// What is sent while the master is dead arrives in time; when another is the master, all is as it was.
async fn survives<R: SharedRedis>(cluster: &mut TestCluster<R>, kill: impl AsyncFnOnce(&mut R)) {
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let nodes = [&here, &there];
    let (mut device, mut agent, conversation) = both_sides(nodes).await;
    let first = device.say(&conversation, "1", "hello").await;
    assert_eq!(agent.expect("message:new").await["id"], first["id"]);
    kill(&mut cluster.redis).await;
    let sent = device.say(&conversation, "2", "is anybody there?").await;
    let started = Instant::now();
    assert_eq!(agent.expect("message:new").await["id"], sent["id"]);
    assert!(started.elapsed() < ARRIVES_WITHIN, "{:?}", started.elapsed());
    // The other node can know of this one only by the new master.
    let second = here.device("tablet").await;
    has_connections(nodes, "tablet", 1).await;
    has_connections(nodes, "phone", 1).await;
    hears_typing(&mut device, &mut agent, &conversation).await;
    is_in_touch(&here).await;
    is_in_touch(&there).await;
    let last = device.say(&conversation, "3", "again").await;
    assert_eq!(agent.expect("message:new").await["id"], last["id"]);
    second.cut();
    has_connections(nodes, "tablet", 0).await;
    assert!(agent.settled("message:new").await.is_empty(), "nothing is doubled");
    // Presence was told in the order in which it happened, and once.
    let mut told = Vec::new();
    while told.len() < 2 {
        let change = agent.expect("presence:change").await;
        if change["device_id"] == "tablet" {
            told.push(change["is_online"].clone());
        }
    }
    assert_eq!(told, [json!(true), json!(false)]);
    assert!(agent.settled("presence:change").await.is_empty(), "nobody else came or went");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_the_master_that_sentinels_name_act_as_one() {
    let redis = RedisSentinel::start().await.unwrap();
    act_as_one(&TestCluster::on(BINARY, 2, redis).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_a_redis_cluster_act_as_one() {
    let redis = RedisCluster::start().await.unwrap();
    act_as_one(&TestCluster::on(BINARY, 2, redis).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_a_redis_with_tls_and_a_user_act_as_one() {
    let user = Some(("replyhq".to_owned(), "secret".to_owned()));
    let password = Some("of-others".to_owned());
    let options = RedisOptions { user, password, has_tls: true, ..RedisOptions::default() };
    let redis = Redis::start(options).await.unwrap();
    act_as_one(&TestCluster::on(BINARY, 2, redis).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_master_dies_nodes_follow_the_sentinels_and_nothing_is_lost_or_doubled() {
    let redis = RedisSentinel::start().await.unwrap();
    let mut cluster = TestCluster::on(BINARY, 2, redis).await;
    survives(&mut cluster, async |redis| redis.servers[0].kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_master_of_the_buss_shard_dies_nodes_follow_its_replica_and_nothing_is_lost_or_doubled() {
    let redis = RedisCluster::start().await.unwrap();
    let mut cluster = TestCluster::on(BINARY, 2, redis).await;
    survives(&mut cluster, async |redis| {
        let master = redis.master_of(BUS).await.unwrap();
        redis.servers[master].kill();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_master_hangs_nodes_follow_the_sentinels_and_nothing_is_lost_or_doubled() {
    let redis = RedisSentinel::start().await.unwrap();
    let mut cluster = TestCluster::on(BINARY, 2, redis).await;
    survives(&mut cluster, async |redis| redis.servers[0].signal(Signal::STOP).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_master_of_the_buss_shard_hangs_nodes_follow_its_replica_and_nothing_is_lost_or_doubled() {
    let redis = RedisCluster::start().await.unwrap();
    let mut cluster = TestCluster::on(BINARY, 2, redis).await;
    survives(&mut cluster, async |redis| {
        let master = redis.master_of(BUS).await.unwrap();
        redis.servers[master].signal(Signal::STOP).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_follow_slots_that_move_to_another_master() {
    let redis = RedisCluster::start().await.unwrap();
    let cluster = TestCluster::on(BINARY, 2, redis).await;
    let app = cluster.app().await;
    let (here, there) = (cluster.at(&app, 0), cluster.at(&app, 1));
    let (mut device, mut agent, conversation) = both_sides([&here, &there]).await;
    for (number, key) in [BUS, "{nodes}", &format!("{{{}}}", app.app_id)].into_iter().enumerate() {
        let from = cluster.redis.master_of(key).await.unwrap();
        let to = (from + 1) % MASTERS;
        cluster.redis.move_slot(key, to).await.unwrap();
        let name = format!("tablet-{number}");
        let tablet = there.device(&name).await;
        has_connections([&here, &there], &name, 1).await;
        has_connections([&here, &there], "phone", 1).await;
        tablet.cut();
        has_connections([&here, &there], &name, 0).await;
        is_in_touch(&here).await;
        is_in_touch(&there).await;
        hears_typing(&mut device, &mut agent, &conversation).await;
    }
    assert!(device.settled("message:new").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_a_certificate_by_somebody_else_is_refused_and_the_log_says_so() {
    let redis = Redis::start(RedisOptions { has_tls: true, ..RedisOptions::default() }).await.unwrap();
    let postgres = Postgres::start().await.unwrap();
    let others = Certificates::make(&["127.0.0.1"]).unwrap();
    let url = format!("rediss://127.0.0.1:{}?ssl_ca_certs={}", redis.port(), others.authority().display());
    let mut server = Command::new(BINARY)
        .args(["serve", "--listen=127.0.0.1:0", "--database-url", &postgres.url("postgres")])
        .args(["--redis-url", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    patiently("the log to tell of the certificate", async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("Redis can't be used") {
                assert!(line.contains("certificate"), "{line}");
                return;
            }
        }
        panic!("the server ended");
    })
    .await;
}

/// How a Postgres with TLS is reached by this host with this authority.
fn with_tls(postgres: &Postgres, host: &str, mode: &str, certificates: &Certificates) -> String {
    let authority = certificates.authority();
    let port = postgres.port();
    format!("postgres://postgres@{host}:{port}/postgres?sslmode={mode}&sslrootcert={}", authority.display())
}

async fn list(url: &str) -> (Option<i32>, String) {
    let listing = Command::new(BINARY).args(["app", "list", "--database-url", url]).output();
    let output = patiently("the command", listing).await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_with_tls_is_trusted_as_sslmode_says() {
    let options = PostgresOptions { has_tls: true, ..PostgresOptions::default() };
    let mut postgres = Postgres::create(options).unwrap();
    postgres.run().await.unwrap();
    let own = postgres.certificates().unwrap();
    let url = with_tls(&postgres, "localhost", "verify-full", own);
    let node = ServerProcess::start_on::<&str>(BINARY, vec!["--database-url".into(), url.into()], &[]).await;
    let app = node.app().await;
    let (mut device, conversation) = app.device_in_conversation("phone").await;
    device.say(&conversation, "1", "hello").await;

    let others = Certificates::make(&["localhost"]).unwrap();
    let plain = |mode: &str| format!("{}?sslmode={mode}", postgres.url("postgres"));
    for good in [
        with_tls(&postgres, "127.0.0.1", "verify-ca", own),
        with_tls(&postgres, "127.0.0.1", "require", own),
        plain("require"),
        plain("prefer"),
        postgres.url("postgres"),
    ] {
        assert_eq!(list(&good).await, (Some(0), String::new()), "{good}");
    }
    for bad in [
        with_tls(&postgres, "127.0.0.1", "verify-full", own),
        with_tls(&postgres, "localhost", "verify-full", &others),
        with_tls(&postgres, "localhost", "verify-ca", &others),
        with_tls(&postgres, "localhost", "require", &others),
    ] {
        let (code, complaint) = list(&bad).await;
        assert!(code != Some(0) && complaint.contains("certificate"), "{bad}: {code:?} {complaint}");
    }
    // This Postgres talks to nobody without TLS.
    assert_ne!(list(&plain("disable")).await.0, Some(0));
    let (code, complaint) = list(&plain("maybe")).await;
    assert!(code == Some(2) && complaint.contains("sslmode is one of"), "{code:?} {complaint}");
}
