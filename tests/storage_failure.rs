//! A disk that is full: an error to that sender, nothing announced, nothing lost, and service by itself when there is
//! room again. The kernel's limit on a file's size makes the writes fail for real.

use serde_json::json;
use testkit::{Backend, ServerProcess, eventually};
use tokio::process::Command;

use crate::BINARY;

async fn limit_file_size(server: &ServerProcess, limit: &str) {
    let status = Command::new("prlimit")
        .args([&format!("--pid={}", server.id()), &format!("--fsize={limit}:unlimited")])
        .status()
        .await
        .expect("prlimit, of util-linux");
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_error_to_the_sender_and_the_server_recovers_when_there_is_room() {
    let backend = Backend::sqlite();
    let server = ServerProcess::start(BINARY, &backend, &["--rate-limit-device=0"]).await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let mut sender = app.device("phone").await;
    let mut listener = app.agent().await;
    listener.done("conversation:join", json!({ "conversation_id": conversation })).await;
    let message = |number: u64| json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": "x".repeat(4_000) });
    sender.done("message:send", message(1)).await;

    limit_file_size(&server, "4096").await;
    for number in [2, 3] {
        assert_eq!(sender.refused("message:send", message(number)).await, "SERVER_ERROR");
    }
    let path = format!("/v1/conversations/{conversation}/messages");
    let answer = app.as_device("phone").post(&path, &json!({ "local_id": "rest", "body": "x" })).await;
    assert_eq!(answer.failure(), (500, "SERVER_ERROR"));
    // A moment's answer is given more than once.
    eventually("the server to say so", || async {
        let ready = app.as_agent().get("/readyz").await;
        (ready.status == 503 && ready.json["status"] == "database_unavailable").then_some(())
    })
    .await;
    // Reading goes on, and nobody has heard of what is not stored.
    assert_eq!(app.as_agent().get("/healthz").await.status, 200);
    assert_eq!(app.as_device("phone").get(&path).await.ok()["messages"].as_array().unwrap().len(), 1);
    let heard = listener.settled("message:new").await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    let metrics = app.as_agent().get("/metrics").await.text;
    let failed = |line: &&str| line.starts_with("replyhq_database_errors_total") && !line.ends_with(" 0");
    assert!(metrics.lines().any(|line| failed(&line)), "{metrics}");

    limit_file_size(&server, "unlimited").await;
    eventually("a ready server", || async {
        (app.as_agent().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    // The senders' retries settle it: stored once, in order, without a hole.
    for number in [2, 3, 1] {
        sender.done("message:send", message(number)).await;
    }
    let page = app.as_device("phone").get(&path).await.ok();
    let seqs: Vec<_> = page["messages"].as_array().unwrap().iter().map(|message| &message["seq"]).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(listener.settled("message:new").await.len(), 2);
}
