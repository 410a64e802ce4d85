//! Who the server is told is there: by the app's word, by tokens, as nobody any more; and what it answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sdk::{ClientError, ConnectionState, Delivery, FetchingToken, Identity, TokenSource};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::connecting::start;
use crate::people::{holds, person};
use crate::phone::Phone;
use crate::world::{Fault, World};

const SECOND: Duration = Duration::from_secs(1);

fn token(user_id: &str, number: usize) -> String {
    let claims = json!({ "sub": user_id, "exp": number }).to_string();
    format!("e30.{}.signature", BASE64URL_NOPAD.encode(claims.as_bytes()))
}

/// An app's backend, which knows who is signed in.
#[derive(Clone)]
struct Backend {
    user_id: &'static str,
    fetched: Arc<AtomicUsize>,
    takes: Duration,
    failure: Arc<Mutex<Option<String>>>,
}

impl Backend {
    fn of(user_id: &'static str) -> Self {
        Self { user_id, fetched: Arc::default(), takes: Duration::from_millis(50), failure: Arc::default() }
    }

    /// How often a token was asked for.
    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn fails(&self, why: Option<&str>) {
        *self.failure.lock().expect("no test panics with the lock") = why.map(str::to_owned);
    }
}

impl TokenSource for Backend {
    fn fetch(&self) -> FetchingToken {
        let number = self.fetched.fetch_add(1, Ordering::Relaxed) + 1;
        let Self { user_id, takes, failure, .. } = self.clone();
        Box::pin(async move {
            sleep(takes).await;
            let failure = failure.lock().expect("no test panics with the lock").clone();
            failure.map_or_else(|| Ok(token(user_id, number)), Err)
        })
    }
}

/// What the server was told of who is there, without the devices.
fn told(world: &World) -> Vec<Value> {
    world.identified().into_iter().map(|(_, said)| said).collect()
}

fn by(user_id: &str, number: usize) -> Value {
    json!({ "token": token(user_id, number) })
}

async fn device_of(phone: &Phone) -> String {
    phone.client.subscribe_state().current().device_id.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_told_before_the_connection() {
    let (world, phone, folder) = start().await;
    let backend = Backend::of("ada");
    phone.client.set_network(false).await.expect("open");
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    let state = phone.client.subscribe_state().current();
    assert_eq!(state.user_id.as_deref(), Some("ada"), "at once, and without a network");
    phone.client.send(None, "one").await.expect("room");
    sleep(SECOND * 60).await;
    assert_eq!(backend.fetched(), 0, "there is nobody to show it to");
    phone.client.set_network(true).await.expect("open");
    phone.shows(&["one"]).await;
    assert_eq!((backend.fetched(), told(&world)), (1, vec![by("ada", 1)]));
    for _ in 0..3 {
        world.cut();
        sleep(SECOND * 60).await;
        phone.online().await;
    }
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    phone.shows(&["one"]).await;
    sleep(SECOND * 600).await;
    assert_eq!(
        (backend.fetched(), told(&world).len()),
        (1, 1),
        "the device is bound, whatever becomes of the token"
    );
}

#[tokio::test(start_paused = true)]
async fn a_function_alone_names_the_person_by_its_token() {
    let (world, phone, folder) = start().await;
    let backend = Backend::of("ada");
    backend.fails(Some("the backend is away"));
    phone.client.send(None, "as nobody").await.expect("room");
    phone.shows(&["as nobody"]).await;
    let failed = phone.client.identify(Identity::by_token(backend.clone())).await;
    assert_eq!(failed, Err(ClientError::Token("the backend is away".into())));
    assert_eq!(phone.client.subscribe_state().current().user_id, None, "nothing is changed by what failed");
    backend.fails(None);
    phone.client.identify(Identity::by_token(backend.clone())).await.expect("a person");
    assert_eq!(phone.client.subscribe_state().current().user_id.as_deref(), Some("ada"));
    phone.client.send(None, "as ada").await.expect("room");
    phone.shows(&["as nobody", "as ada"]).await;
    sleep(SECOND * 60).await;
    assert_eq!((backend.fetched(), told(&world)), (2, vec![by("ada", 2)]), "what named her is what is told");
    assert!(!holds(folder.path(), &token("ada", 2)), "a token is never written down");
}

#[tokio::test(start_paused = true)]
async fn who_is_named_last_is_there_whichever_token_comes_last() {
    let (_world, phone, _folder) = start().await;
    let slow = Backend { takes: SECOND * 5, ..Backend::of("slow") };
    let first = tokio::spawn({
        let (client, slow) = (phone.client.clone(), slow.clone());
        async move { client.identify(Identity::by_token(slow)).await }
    });
    while slow.fetched() == 0 {
        tokio::task::yield_now().await;
    }
    phone.client.identify(person("ada")).await.expect("a person");
    assert!(matches!(first.await.expect("no panic"), Err(ClientError::NotPossible(_))));
    sleep(SECOND * 60).await;
    assert_eq!(phone.client.subscribe_state().current().user_id.as_deref(), Some("ada"));
    let first = tokio::spawn({
        let client = phone.client.clone();
        async move { client.identify(Identity::by_token(slow)).await }
    });
    sleep(SECOND).await;
    phone.client.logout().await.expect("it works");
    assert!(matches!(first.await.expect("no panic"), Err(ClientError::NotPossible(_))));
    sleep(SECOND * 60).await;
    assert_eq!(phone.client.subscribe_state().current().user_id, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_holds_nothing_up_and_is_asked_once() {
    let (world, phone, _folder) = start().await;
    phone.client.set_network(false).await.expect("open");
    let backend = Backend { takes: SECOND * 20, ..Backend::of("ada") };
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.client.set_network(true).await.expect("open");
    let began = Instant::now();
    phone.shows(&["one"]).await;
    assert!(began.elapsed() < SECOND * 5, "{:?}", began.elapsed());
    assert!(told(&world).is_empty());
    sleep(SECOND * 60).await;
    assert_eq!((backend.fetched(), told(&world)), (1, vec![by("ada", 1)]));
    let hangs = Backend { takes: SECOND * 100_000, ..Backend::of("bob") };
    let failed = phone.client.identify(Identity::by_token(hangs)).await;
    assert_eq!(failed, Err(ClientError::Token("the app gave no token within 30 s".into())));
}

#[tokio::test(start_paused = true)]
async fn no_token_is_asked_for_in_the_background() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    let backend = Backend::of("ada");
    phone.client.set_foreground(false).await.expect("open");
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    // What waits is sent in the background, and that needs a connection.
    world.fault(Fault::Stall(3));
    phone.client.set_foreground(true).await.expect("open");
    phone.client.set_foreground(false).await.expect("open");
    sleep(SECOND * 60).await;
    let asked = backend.fetched();
    phone.client.send(None, "one").await.expect("room");
    sleep(SECOND * 3600).await;
    assert_eq!(backend.fetched(), asked);
    phone.client.set_foreground(true).await.expect("open");
    phone.shows(&["one"]).await;
    sleep(SECOND * 60).await;
    assert!(backend.fetched() <= asked + 1 && told(&world).len() == 1, "{asked} {}", backend.fetched());

    phone.client.set_foreground(false).await.expect("open");
    let bob = Backend::of("bob");
    let naming = tokio::spawn({
        let (client, bob) = (phone.client.clone(), bob.clone());
        async move { client.identify(Identity::by_token(bob)).await }
    });
    sleep(SECOND * 3600).await;
    assert_eq!(bob.fetched(), 0);
    phone.client.set_foreground(true).await.expect("open");
    naming.await.expect("no panic").expect("a person");
    assert_eq!(phone.client.subscribe_state().current().user_id.as_deref(), Some("bob"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_anew_is_told_anew_and_nothing_is_lost() {
    let (world, phone, _folder) = start().await;
    let backend = Backend::of("ada");
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let device = device_of(&phone).await;
    // While it is connected, while it is away, and in the middle of a message.
    world.unbind(&device);
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(told(&world), [by("ada", 1), by("ada", 2)]);
    phone.client.set_network(false).await.expect("open");
    world.unbind(&device);
    phone.client.send(None, "three").await.expect("room");
    phone.client.set_network(true).await.expect("open");
    phone.shows(&["one", "two", "three"]).await;
    world.fault(Fault::Stall(2));
    phone.client.send(None, "four").await.expect("room");
    sleep(SECOND).await;
    world.unbind(&device);
    phone.shows(&["one", "two", "three", "four"]).await;
    assert_eq!((backend.fetched(), told(&world).len()), (4, 4), "{:?}", told(&world));
    assert_eq!(phone.client.subscribe_state().current().wedged, 0);
    assert_eq!(world.conversations().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_there_by_the_apps_word_or_is_nobody_is_told_anew_as_that() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.unbind(&device_of(&phone).await);
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(told(&world), [json!({ "user": null })]);
    phone.client.identify(person("ada")).await.expect("a person");
    while world.users().is_empty() {
        sleep(SECOND).await;
    }
    world.unbind(&device_of(&phone).await);
    phone.client.send(None, "three").await.expect("room");
    phone.shows(&["one", "two", "three"]).await;
    assert_eq!(world.users().len(), 2);
    assert_eq!(phone.client.subscribe_state().current().wedged, 0);
}

#[tokio::test(start_paused = true)]
async fn without_tokens_the_app_is_shown_that_the_server_asks() {
    let (world, phone, folder) = start().await;
    phone.client.identify(Identity::proven("ada", Backend::of("ada"))).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    phone.client.close().await;
    // Another process, whose app has not said anything yet.
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.shows(&["one"]).await;
    world.unbind(&device_of(&phone).await);
    phone.client.send(None, "two").await.expect("room");
    phone.state("it is asked", |state| state.connection == ConnectionState::IdentityRequired).await;
    sleep(SECOND * 3600).await;
    let dials = world.dials().len();
    sleep(SECOND * 3600).await;
    assert_eq!((world.dials().len(), told(&world).len()), (dials, 1), "nothing is tried that can't go well");
    phone.item("it waits", |item| item.body == "two" && item.delivery == Delivery::Queued).await;
    let backend = Backend::of("ada");
    phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
    phone.shows(&["one", "two"]).await;
    assert_eq!((backend.fetched(), told(&world).len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_or_whose_tokens_prove_nothing_is_asked_ever_more_rarely() {
    for is_unbound in [false, true] {
        let (world, phone, _folder) = start().await;
        let backend = Backend::of("ada");
        phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
        phone.client.send(None, "one").await.expect("room");
        phone.shows(&["one"]).await;
        if is_unbound {
            world.unbind(&device_of(&phone).await);
        } else {
            phone.client.logout().await.expect("it works");
            phone.client.identify(Identity::proven("ada", backend.clone())).await.expect("a person");
        }
        let before = backend.fetched();
        backend.fails(Some("away"));
        sleep(SECOND * 3600).await;
        let asked = backend.fetched() - before;
        assert!((10..=200).contains(&asked), "{asked} in an hour, {is_unbound}");
        backend.fails(None);
        world.refuse_tokens(true);
        sleep(SECOND * 3600).await;
        let again = backend.fetched() - before - asked;
        assert!((10..=200).contains(&again), "{again} in an hour, {is_unbound}");
        let state = phone.client.subscribe_state().current();
        // As nobody: the key is good.
        let standing = if is_unbound { ConnectionState::IdentityRequired } else { ConnectionState::Online };
        assert_eq!(state.connection, standing);
        world.refuse_tokens(false);
        sleep(SECOND * 600).await;
        assert_eq!(told(&world).iter().filter(|said| !said["token"].is_null()).count(), 2);
        phone.online().await;
        assert!(!world.log().contains("e30."), "a token in the log");
    }
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_told_of_before_the_connection_is_told_of_on_it() {
    for is_blocked in [false, true] {
        let (world, phone, _folder) = start().await;
        phone.client.set_network(false).await.expect("open");
        phone.client.identify(person("ada")).await.expect("a person");
        if is_blocked {
            world.fault(Fault::BlockPerson);
            phone.client.set_network(true).await.expect("open");
            phone.state("blocked", |state| state.connection == ConnectionState::Blocked).await;
            phone.client.network_changed().await.expect("open");
        } else {
            world.refuse_key(Some("rhq_key_1"));
            phone.client.set_network(true).await.expect("open");
            phone.state("refused", |state| state.connection == ConnectionState::AuthFailed).await;
            phone.client.set_api_key("rhq_key_2".into()).await.expect("open");
        }
        phone.online().await;
        sleep(SECOND * 120).await;
        assert_eq!(world.users().len(), 1, "told, and once; blocked: {is_blocked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_connect_that_this_version_can_do_nothing_about_is_tried_again() {
    for code in ["IDENTITY_REQUIRED", "A_NEW_ONE", "AUTH_ERROR"] {
        let (world, phone, _folder) = start().await;
        phone.online().await;
        world.refuse_connections(Some(code));
        world.cut();
        let before = world.dials().len();
        sleep(SECOND * 120).await;
        assert!(world.dials().len() > before + 2, "{code}");
        world.refuse_connections(None);
        phone.online().await;
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_token_is_never_shown_to_the_server() {
    let (world, phone, _folder) = start().await;
    phone.client.identify(Identity::proven("ada", Backend::of("bob"))).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    sleep(SECOND * 600).await;
    assert_eq!(told(&world), Vec::<Value>::new());
    assert!(world.log().contains("somebody else's"), "{}", world.log());
}

#[tokio::test(start_paused = true)]
async fn a_logout_is_told_to_the_server_now_or_later() {
    let nobody = json!({ "user": null });
    let (world, phone, folder) = start().await;
    phone.client.identify(Identity::proven("ada", Backend::of("ada"))).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let first = device_of(&phone).await;
    phone.client.logout().await.expect("it works");
    phone.online().await;
    sleep(SECOND).await;
    assert_eq!(world.identified()[1..], [(first.clone(), nobody.clone())], "now");
    assert!(!holds(folder.path(), &first));

    // Without a network, by a process that ends; and the server is busy when the next one comes.
    phone.client.identify(person("bob")).await.expect("a person");
    sleep(SECOND * 5).await;
    let second = device_of(&phone).await;
    phone.client.set_network(false).await.expect("open");
    phone.client.logout().await.expect("it works");
    phone.client.identify(person("cy")).await.expect("a person");
    let third = device_of(&phone).await;
    phone.client.logout().await.expect("it works");
    phone.client.close().await;
    world.power(false);
    let phone = Phone::in_world(&world, folder.path()).await;
    sleep(SECOND * 60).await;
    world.disown(&third);
    for _ in 0..3 {
        world.fault(Fault::Status(503));
    }
    world.power(true);
    phone.online().await;
    sleep(SECOND * 120).await;
    let told: Vec<_> = world.identified().into_iter().filter(|(_, said)| *said == nobody).collect();
    assert_eq!(told, [(first, nobody.clone()), (second.clone(), nobody)], "later, and once");
    for device in [second, third] {
        assert!(!holds(folder.path(), &device), "{device}");
    }
    assert_eq!(phone.client.subscribe_state().current().connection, ConnectionState::Online);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_goes_to_the_background_right_after_a_logout_has_told_of_it() {
    let (world, phone, _folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    while world.users().is_empty() {
        sleep(SECOND).await;
    }
    phone.client.logout().await.expect("it works");
    phone.client.set_foreground(false).await.expect("open");
    sleep(SECOND * 60).await;
    assert_eq!(told(&world).last(), Some(&json!({ "user": null })));
    assert_eq!(phone.client.subscribe_state().current().connection, ConnectionState::Offline);
}

#[tokio::test(start_paused = true)]
async fn who_is_blocked_is_shown_it_and_what_they_write_waits() {
    for is_connected in [true, false] {
        let (world, phone, _folder) = start().await;
        phone.client.send(None, "one").await.expect("room");
        phone.shows(&["one"]).await;
        if is_connected {
            world.block(true);
        } else {
            phone.client.set_network(false).await.expect("open");
            world.block(true);
            phone.client.set_network(true).await.expect("open");
        }
        phone.state("blocked", |state| state.connection == ConnectionState::Blocked).await;
        phone.client.send(None, "two").await.expect("room");
        let before = world.dials().len();
        sleep(SECOND * 3600).await;
        let tries = world.dials().len() - before;
        assert!((5..=25).contains(&tries), "{tries} in an hour");
        let state = phone.client.subscribe_state().current();
        assert_eq!((state.queued, state.wedged), (1, 0));
        world.block(false);
        phone.shows(&["one", "two"]).await;
    }
}
