//! What the wrappers rely on: how listeners are called, and what happens when they are slow, wrong or gone. No server is
//! needed for that.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use replyhq_sdk::{
    ClientConfig, ClientState, ConnectionState, Delivery, LogLevel, LogListener, SdkClient, SdkError,
    StateListener, Timeline, TimelineListener, User,
};
use tempfile::TempDir;

/// How long anything may take. Far more than is ever needed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client whose server is not there.
async fn client(folder: &TempDir, logger: Option<Arc<dyn LogListener>>) -> Arc<SdkClient> {
    let client = SdkClient::open(config(folder), logger).await.unwrap();
    client.set_network(false).await.unwrap();
    client.identify(person("u1")).await.unwrap();
    client
}

fn config(folder: &TempDir) -> ClientConfig {
    ClientConfig {
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
    }
}

fn person(id: &str) -> User {
    User { id: id.into(), name: Some("Ann".into()), email: None, attributes_json: None }
}

/// A listener that does with each snapshot what the test says.
struct Listener<F>(F);

impl<F: Fn(ClientState) -> Result<(), SdkError> + Send + Sync> StateListener for Listener<F> {
    fn on_state(&self, state: ClientState) -> Result<(), SdkError> {
        (self.0)(state)
    }

    fn on_closed(&self) -> Result<(), SdkError> {
        Err(broken())
    }
}

impl<F: Fn(Timeline) -> Result<(), SdkError> + Send + Sync> TimelineListener for Listener<F> {
    fn on_timeline(&self, timeline: Timeline) -> Result<(), SdkError> {
        (self.0)(timeline)
    }

    fn on_failed(&self, _code: String, _detail: String) -> Result<(), SdkError> {
        Err(broken())
    }

    fn on_closed(&self) -> Result<(), SdkError> {
        Err(broken())
    }
}

impl<F: Fn(LogLevel, String) -> Result<(), SdkError> + Send + Sync> LogListener for Listener<F> {
    fn on_log(&self, level: LogLevel, message: String) -> Result<(), SdkError> {
        (self.0)(level, message)
    }
}

fn broken() -> SdkError {
    SdkError::Failed { code: "LISTENER_FAILED".into(), detail: "boo".into() }
}

fn until<T>(heard: &mpsc::Receiver<T>, fits: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let next = heard.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap();
        if fits(&next) {
            return next;
        }
    }
}

#[tokio::test]
async fn what_is_sent_without_a_network_is_queued_and_heard_of() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(&folder, None).await;
    let (tell, timelines) = mpsc::channel();
    let _timelines = client.subscribe_timeline(
        None,
        Arc::new(Listener(move |timeline: Timeline| {
            tell.send(timeline).unwrap_or_default();
            Ok(())
        })),
    );
    assert_eq!(until(&timelines, |_| true).items, [], "the present one comes first");
    let first = client.send(None, "One".into()).await.unwrap();
    let second = client.send(None, "Two".into()).await.unwrap();
    assert_ne!(first, second);
    let timeline = until(&timelines, |timeline| timeline.items.len() == 2);
    let bodies: Vec<_> = timeline.items.iter().map(|item| item.body.as_str()).collect();
    assert_eq!(bodies, ["One", "Two"]);
    assert!(timeline.items.iter().all(|item| item.delivery == Delivery::Queued), "{timeline:?}");
    assert_eq!((client.state().queued, client.state().connection), (2, ConnectionState::Offline));
    client.cancel(second).await.unwrap();
    until(&timelines, |timeline| timeline.items.len() == 1);
    assert_eq!(client.drain(Duration::from_millis(10)).await, Ok(1));
}

#[tokio::test]
async fn a_slow_listener_holds_nothing_up_and_hears_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(&folder, None).await;
    let (is_begun, begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = heard.clone();
    let _subscription = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        all.lock().unwrap().push(state.queued);
        let _ = is_begun.send(());
        let _ = may_go_on.lock().unwrap().recv();
        Ok(())
    })));
    begun.recv_timeout(PATIENCE).unwrap();
    for _ in 0..50 {
        client.send(None, "Hello".into()).await.unwrap();
    }
    assert_eq!(client.state().queued, 50, "nothing waited for the listener");
    // It goes on, and is done after a few calls, not fifty.
    drop(go_on);
    while heard.lock().unwrap().last() != Some(&50) {
        begun.recv_timeout(PATIENCE).unwrap();
    }
    assert!(heard.lock().unwrap().len() < 5, "{heard:?}");
}

#[tokio::test]
async fn a_listener_that_fails_or_panics_is_logged_and_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, lines) = mpsc::channel();
    // This one fails as well, which harms nothing.
    let logger = Listener(move |level, line| {
        let _ = log.send((level, line));
        Err(broken())
    });
    let client = client(&folder, Some(Arc::new(logger))).await;
    let (tell, states) = mpsc::channel();
    let is_first = AtomicBool::new(true);
    let _subscription = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        if is_first.swap(false, Ordering::Relaxed) {
            return Err(broken());
        }
        tell.send(state.queued).unwrap_or_default();
        panic!("a listener's defect")
    })));
    let (level, line) = until(&lines, |(_, line)| line.contains("listener"));
    assert_eq!((level, line.as_str()), (LogLevel::Error, "a listener of the app failed: boo"));
    client.send(None, "One".into()).await.unwrap();
    until(&states, |queued| *queued == 1);
    client.send(None, "Two".into()).await.unwrap();
    until(&states, |queued| *queued == 2);
}

#[tokio::test]
async fn after_cancel_no_call_is_begun_even_by_the_listener_itself() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(&folder, None).await;
    let (tell, states) = mpsc::channel();
    let own = Arc::new(Mutex::new(None::<Arc<replyhq_sdk::SdkSubscription>>));
    let cancelled_inside = own.clone();
    let subscription = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        if let Some(own) = cancelled_inside.lock().unwrap().take() {
            own.cancel();
        }
        tell.send(state.queued).unwrap_or_default();
        Ok(())
    })));
    until(&states, |queued| *queued == 0);
    *own.lock().unwrap() = Some(subscription.clone());
    client.send(None, "One".into()).await.unwrap();
    until(&states, |queued| *queued == 1);
    client.send(None, "Two".into()).await.unwrap();
    subscription.cancel();

    // Another one, to know that everything before it was delivered.
    let (tell, later) = mpsc::channel();
    let also = tell.clone();
    let dropped = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        also.send(state.queued).unwrap_or_default();
        Ok(())
    })));
    until(&later, |queued| *queued == 2);
    assert!(states.recv().is_err(), "it was let go of without being called again");
    drop(dropped);
    client.send(None, "Three".into()).await.unwrap();
    let _last = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        tell.send(state.queued + 100).unwrap_or_default();
        Ok(())
    })));
    assert_eq!(later.recv_timeout(PATIENCE), Ok(103), "what was dropped was called again");
}

#[tokio::test]
async fn errors_have_a_code_and_a_closed_client_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let code = |error: SdkError| match error {
        SdkError::Failed { code, .. } => code,
    };
    let wrong = ClientConfig { server_url: "nowhere".into(), ..config(&folder) };
    assert_eq!(code(SdkClient::open(wrong, None).await.unwrap_err()), "INVALID_CONFIG");
    let client = client(&folder, None).await;
    assert_eq!(code(SdkClient::open(config(&folder), None).await.unwrap_err()), "ALREADY_OPEN");
    assert_eq!(code(client.send(None, String::new()).await.unwrap_err()), "EMPTY_BODY");
    assert_eq!(code(client.cancel("another".into()).await.unwrap_err()), "UNKNOWN_MESSAGE");
    assert_eq!(code(client.identify(person("")).await.unwrap_err()), "INVALID_USER");

    let (tell, states) = mpsc::channel();
    let _subscription = client.subscribe_state(Arc::new(Listener(move |state: ClientState| {
        tell.send(state.connection).unwrap_or_default();
        Ok(())
    })));
    client.shut_down().await;
    until(&states, |connection| *connection == ConnectionState::Closed);
    assert!(states.recv().is_err(), "it was let go of after it heard that the client is closed");
    assert_eq!(client.state().connection, ConnectionState::Closed);
    client.shut_down().await;
    assert_eq!(code(client.send(None, "Hello".into()).await.unwrap_err()), "CLOSED");
}

#[tokio::test]
async fn a_client_that_is_let_go_of_closes_itself() {
    let folder = tempfile::tempdir().unwrap();
    drop(client(&folder, None).await);
    let deadline = Instant::now() + PATIENCE;
    while let Err(SdkError::Failed { code, detail }) = SdkClient::open(config(&folder), None).await {
        assert_eq!(code, "ALREADY_OPEN", "{detail}");
        assert!(Instant::now() < deadline, "the folder is still in use");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
