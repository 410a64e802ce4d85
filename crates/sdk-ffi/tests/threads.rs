//! The SDK's threads end with their clients, and all at once where a program ends. One test, since the threads are the process's.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use replyhq_sdk::{ClientConfig, LogLevel, LogListener, SdkClient, SdkError, shut_down_all};
use tempfile::TempDir;

/// How long anything may take. Far more than is ever needed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Log;

impl LogListener for Log {
    fn on_log(&self, _level: LogLevel, _message: String) -> Result<(), SdkError> {
        Ok(())
    }
}

async fn client(folder: &TempDir) -> Result<Arc<SdkClient>, SdkError> {
    let config = ClientConfig {
        server_url: "http://127.0.0.1:9".into(),
        app_id: "app_1".into(),
        api_key: "rhq_key_1".into(),
        data_dir: folder.path().to_str().unwrap().into(),
        extra_root_certificates_pem: None,
        system_root_certificates: Vec::new(),
        pinned_public_keys: Vec::new(),
        proxy_url: None,
        storage_key: None,
        first_device_id: None,
        describes_device: true,
        device_context_json: None,
    };
    SdkClient::open(config, Some(Arc::new(Log))).await
}

/// The SDK's threads that live.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    // One that has ended meanwhile has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.join("comm")).ok());
    names.filter(|name| name.starts_with("replyhq-")).count()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited for {what}: {} threads", threads());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn no_thread_is_left_by_whatever_way_a_client_ends() {
    assert!(shut_down_all(Duration::ZERO), "there are none");
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let open = client(&folder).await.unwrap();
        // A thread has its name once it runs.
        until("both threads", || threads() == 2);
        open.shut_down().await;
        drop(open);
        until("a client that was shut down", || threads() == 0);
        drop(client(&folder).await.unwrap());
        until("a client that was let go of", || threads() == 0);
    }
    let open = client(&folder).await.unwrap();
    assert!(client(&folder).await.is_err(), "the folder is taken");
    until("a client that could not be opened", || threads() == 2);

    let another = tempfile::tempdir().unwrap();
    let other = client(&another).await.unwrap();
    open.send(None, "on the disk".into()).await.unwrap();
    until("all four threads", || threads() == 4);
    assert!(shut_down_all(PATIENCE));
    // The kernel wakes who joins a thread a moment before it takes it off its list.
    until("all to be gone, although both clients are still held", || threads() == 0);
    let SdkError::Failed { code, .. } = open.send(None, "too late".into()).await.unwrap_err();
    assert_eq!(code, "CLOSED");
    drop((open, other));
    let again = client(&folder).await.unwrap();
    assert_eq!(again.state().queued, 1, "and what was written is there");
    assert!(shut_down_all(PATIENCE));
}
