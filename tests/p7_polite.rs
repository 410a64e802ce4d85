//! P7: on SIGTERM not ready; everyone told, each with another delay; every accepted send answered; closed; exit code 0.

use std::collections::HashSet;

use serde_json::json;
use testkit::{Backend, ServerProcess, eventually};
use tokio::net::TcpStream;

use crate::BINARY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_told_to_end_tells_everyone_answers_every_accepted_send_and_exits_with_0() {
    let backend = Backend::fresh().await;
    let flags = ["--rate-limit-device=0", "--reconnect-spread=3s"];
    let mut server = ServerProcess::start(BINARY, &backend, &flags).await;
    let app = server.app().await;
    let mut devices = Vec::new();
    for number in 0..30 {
        let conversation = app.conversation(&format!("device-{number}")).await;
        let mut device = app.device(&format!("device-{number}")).await;
        device.expect("conversation:joined").await;
        devices.push((device, conversation));
    }
    let mut agent = app.agent().await;
    agent.expect("connected").await;
    // A namespace less on the same server: a socket that never asked for one is closed as well.
    let mut silent = testkit::Client::open(server.address(), "/client").await;

    let mut asked = Vec::new();
    for (device, conversation) in &mut devices {
        for number in 0..20 {
            let payload =
                json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": "x" });
            asked.push(device.ask("message:send", payload).await);
        }
    }
    server.signal("TERM").await;
    let mut delays = HashSet::new();
    let (mut stored, mut refused) = (0, 0);
    for (index, (device, _)) in devices.iter_mut().enumerate() {
        for number in 0..20 {
            // Accepted or refused, but never left without an answer, unless it was still in the kernel's buffer.
            match device.try_ack(asked[index * 20 + number]).await {
                Some(answer) if answer["success"] == true => stored += 1,
                Some(answer) => {
                    assert_eq!(answer["error"], "SHUTTING_DOWN", "{answer}");
                    refused += 1;
                }
                None => {}
            }
        }
        let shutdown = device.expect("server:shutdown").await;
        assert!(shutdown["message"].is_string());
        let delay_ms = shutdown["reconnect_delay_ms"].as_u64().unwrap();
        assert!(delays.insert(delay_ms), "{delay_ms} twice");
        assert!(!device.closed().await, "a disconnect packet would keep stock clients from coming back");
    }
    let last = agent.expect("server:shutdown").await["reconnect_delay_ms"].as_u64().unwrap();
    assert!(delays.insert(last));
    let (first, last) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(last - first >= 2_000, "spread over 3 s: {first} to {last}");
    agent.closed().await;
    silent.closed().await;
    assert_eq!(server.ended().await.code(), Some(0));

    // What was acknowledged is there, and nothing that was refused.
    let server = ServerProcess::start(BINARY, &backend, &flags).await;
    let mut found = 0;
    for (_, conversation) in &devices {
        let path = format!("/v1/admin/conversations/{conversation}/messages?limit=200");
        let app = testkit::TestApp { address: server.address(), ..app.clone() };
        found += app.as_agent().get(&path).await.ok()["messages"].as_array().unwrap().len();
    }
    assert!(stored > 0);
    assert!(found >= stored && found <= 600 - refused, "{found} found, {stored} stored, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_is_not_ready_and_lets_nobody_in() {
    let backend = Backend::fresh().await;
    let flags = ["--shutdown-timeout=2s"];
    let mut server = ServerProcess::start(BINARY, &backend, &flags).await;
    let address = server.address();
    let app = server.app().await;
    assert_eq!(app.as_agent().get("/readyz").await.status, 200);
    // A client that takes nothing holds the shutdown up, though not for ever.
    let _unread = app.device("phone").await;
    server.signal("TERM").await;
    eventually("a closed listener", || async { TcpStream::connect(address).await.err() }).await;
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_not_held_up_by_a_client_that_never_reads() {
    let backend = Backend::fresh().await;
    let flags = ["--rate-limit-agent=0", "--shutdown-timeout=3s"];
    let mut server = ServerProcess::start(BINARY, &backend, &flags).await;
    let app = server.app().await;
    let conversation = app.conversation("phone").await;
    let _never_reads = app.device("phone").await;
    let mut agent = app.agent().await;
    for number in 0..100 {
        let body = "x".repeat(4_000);
        let payload =
            json!({ "conversation_id": conversation, "local_id": format!("{number}"), "body": body });
        agent.done("message:send", payload).await;
    }
    server.signal("INT").await;
    agent.expect("server:shutdown").await;
    assert_eq!(server.ended().await.code(), Some(0));
}
