//! A disk that is full: an error to the caller, nothing half-done, and service by itself when there is room again. The
//! kernel's limit on a file's size makes the writes fail for real; it is a whole process's, so that this test runs
//! itself as a child.

use std::process::{Command, Stdio};
use std::time::Duration;

use sdk::{ClientError, Delivery};
use testkit::{TestServer, eventually};

use crate::phone::{Phone, bodies};

/// Set for the child: where the server is, its app and key, and the folder.
const SCRIPT: &str = "REPLYHQ_SDK_FULL_DISK";

fn limit_file_size(limit: &str) {
    let status = Command::new("prlimit")
        .args([&format!("--pid={}", std::process::id()), &format!("--fsize={limit}:unlimited")])
        .status()
        .expect("prlimit, of util-linux");
    assert!(status.success());
}

#[tokio::test]
async fn child() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let [url, app_id, api_key, folder] = script.split(' ').collect::<Vec<_>>()[..] else {
        panic!("a wrong script: {script}")
    };
    let phone = Phone::open(url, app_id, api_key, folder.as_ref()).await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    limit_file_size("4096");
    for _ in 0..3 {
        let outcome = phone.client.send(None, &"two".repeat(1_000)).await;
        assert!(matches!(outcome, Err(ClientError::Storage(_))), "{outcome:?}");
    }
    let timeline = phone.timeline("what is stored", |timeline| !timeline.items.is_empty()).await;
    assert_eq!(bodies(&timeline), ["one"], "what was refused is not shown");
    limit_file_size("unlimited");
    let sent = eventually("room again", || async { phone.client.send(None, "three").await.ok() }).await;
    let item = phone.item("three", |item| item.local_id == sent && item.delivery == Delivery::Sent).await;
    assert_eq!(item.seq, Some(2));
    assert_eq!(phone.client.drain(Duration::from_secs(5)).await, Ok(0));
    phone.client.close().await;
    println!("all is well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_error_and_not_an_end() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("http://{} {} {} {}", app.address, app.app_id, app.api_key, folder.path().display());
    let this = std::env::current_exe().expect("this test");
    let output = tokio::task::spawn_blocking(move || {
        // The signal that comes with the limit would end the process: a full disk sends none.
        Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --exact full_disk::child --nocapture --test-threads=1"])
            .arg(this)
            .env(SCRIPT, script)
            .stderr(Stdio::inherit())
            .output()
            .expect("a child")
    });
    let said = String::from_utf8(output.await.expect("a child").stdout).expect("text");
    assert!(said.contains("all is well"), "{said}");
}
