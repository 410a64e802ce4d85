//! The connection, on a clock that the test moves.

use std::time::Duration;

use sdk::{ClientError, ConnectionState, Delivery};
use tokio::time::{Instant, sleep};

use crate::people::person;
use crate::phone::Phone;
use crate::world::{Fault, World};

pub(crate) async fn start() -> (World, Phone, tempfile::TempDir) {
    let world = World::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    (world, phone, folder)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_leaving_servers_delay_is_kept_whatever_the_app_says_meanwhile() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    let before = world.dials().len();
    let left = Instant::now();
    world.leave(Duration::from_millis(7_777));
    phone.state("waiting", |state| matches!(state.connection, ConnectionState::Waiting { .. })).await;
    phone.client.set_network(true).await.expect("open");
    phone.client.set_foreground(true).await.expect("open");
    phone.online().await;
    let waited = world.dials()[before] - left;
    assert!(waited >= Duration::from_millis(7_777) && waited < Duration::from_millis(7_800), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_with_too_many_connections_does_not_push_its_others_out_in_circles() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    let before = world.dials().len();
    let told = Instant::now();
    world.crowd_out();
    phone.state("waiting", |state| matches!(state.connection, ConnectionState::Waiting { .. })).await;
    phone.online().await;
    assert_eq!((world.dials()[before] - told).as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_lost_network_closes_at_once_and_is_not_tried_until_it_is_back() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.network(false);
    phone.client.set_network(false).await.expect("open");
    let state = phone.client.subscribe_state().current();
    assert_eq!(state.connection, ConnectionState::Offline, "at once");
    let dials = world.dials().len();
    sleep(SECOND * 86_400).await;
    assert_eq!(world.dials().len(), dials, "a day without a try");
    world.network(true);
    let back = Instant::now();
    phone.client.set_network(true).await.expect("open");
    phone.online().await;
    assert_eq!(world.dials()[dials], back, "tried at once");
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_tried_ever_more_rarely() {
    let world = World::new(5);
    world.power(false);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    sleep(SECOND * 3600).await;
    let tries = world.dials().len();
    // Full jitter with a cap of 30 s: 15 s on average.
    assert!((150..350).contains(&tries), "{tries} in an hour");
    world.power(true);
    phone.online().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_pauses_everything_until_there_is_another() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.refuse_key(Some("rhq_key_1"));
    world.cut();
    phone.state("refused", |state| state.connection == ConnectionState::AuthFailed).await;
    phone.client.send(None, "one").await.expect("room");
    let dials = world.dials().len();
    sleep(SECOND * 3600).await;
    phone.client.set_network(false).await.expect("open");
    phone.client.set_network(true).await.expect("open");
    assert_eq!(world.dials().len(), dials, "the old key is not tried again");
    assert!(matches!(phone.client.set_api_key("a\nb".into()).await, Err(ClientError::InvalidConfig(_))));
    phone.client.set_api_key("rhq_key_2".into()).await.expect("open");
    phone.shows(&["one"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stops_working_while_a_conversation_is_opened_wedges_nothing() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.refuse_key(Some("rhq_key_1"));
    phone.client.send(None, "one").await.expect("room");
    let state = phone.state("refused", |state| state.connection == ConnectionState::AuthFailed).await;
    assert_eq!((state.queued, state.wedged), (1, 0));
    phone.client.set_api_key("rhq_key_2".into()).await.expect("open");
    phone.shows(&["one"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_in_between_answers_is_not_the_servers_word() {
    for status in [302, 200, 400, 401, 403, 404, 405, 407, 410, 413, 418, 422, 429, 451, 502] {
        let (world, phone, _folder) = start().await;
        phone.online().await;
        world.fault(Fault::Status(status));
        phone.client.send(None, "one").await.expect("room");
        phone.shows(&["one"]).await;
        assert_eq!(phone.client.subscribe_state().current().wedged, 0, "{status}");
        world.fault(Fault::Status(status));
        phone.client.identify(person("ada")).await.expect("a person");
        for _ in 0..60 {
            sleep(SECOND).await;
        }
        assert_eq!(world.users().len(), 1, "{status}: told, and once");
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_background_what_waits_is_sent_first() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.fault(Fault::Stall(4));
    phone.client.send(None, "one").await.expect("room");
    let before = Instant::now();
    phone.client.set_foreground(false).await.expect("open");
    phone.state("at rest", |state| state.connection == ConnectionState::Offline).await;
    assert_eq!((Instant::now() - before).as_secs(), 4, "as soon as it is sent");
    assert_eq!(world.conversation().expect("one").messages.len(), 1);
    assert_eq!(phone.client.subscribe_state().current().queued, 0);
    assert_eq!(world.connected().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_the_background_nothing_is_waited_for_longer_than_ten_seconds() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    // Neither the answer nor the live message tells that it is stored.
    world.fault(Fault::LoseAck);
    world.fault(Fault::Skip);
    phone.client.send(None, "one").await.expect("room");
    let before = Instant::now();
    phone.client.set_foreground(false).await.expect("open");
    phone.state("at rest", |state| state.connection == ConnectionState::Offline).await;
    assert_eq!((Instant::now() - before).as_secs(), 10);
    phone.client.send(None, "two").await.expect("room");
    sleep(SECOND * 3600).await;
    assert_eq!(phone.client.subscribe_state().current().queued, 2, "an app at rest does nothing");
    phone.client.set_foreground(true).await.expect("open");
    phone.shows(&["one", "two"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_app_in_the_background_is_closed_at_once() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    phone.client.set_foreground(false).await.expect("open");
    assert_eq!(phone.client.subscribe_state().current().connection, ConnectionState::Offline);
    sleep(SECOND).await;
    assert_eq!(world.connected().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_says_so_and_ends_its_streams() {
    let (_world, phone, folder) = start().await;
    let mut states = phone.client.subscribe_state();
    let mut timelines = phone.client.subscribe_timeline(None);
    phone.client.send(None, "one").await.expect("room");
    phone.client.close().await;
    phone.client.close().await;
    assert_eq!(phone.client.send(None, "two").await, Err(ClientError::Closed));
    assert_eq!(phone.client.subscribe_state().current().connection, ConnectionState::Closed);
    while let Some(state) = states.next().await {
        drop(state);
    }
    while let Some(timeline) = timelines.next().await.expect("a conversation") {
        drop(timeline);
    }
    assert!(phone.client.subscribe_timeline(None).next().await.expect("no failure").is_none());
    let again = Phone::in_world(&World::new(1), folder.path()).await;
    let timeline = again.timeline("what was written", |timeline| !timeline.items.is_empty()).await;
    assert_eq!(timeline.items[0].body, "one");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_client() {
    let (world, phone, folder) = start().await;
    phone.online().await;
    drop(phone);
    sleep(SECOND * 5).await;
    assert_eq!(world.connected().len(), 0);
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.send(None, "one").await.expect("room");
    phone.item("sent", |item| item.delivery == Delivery::Sent).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_old_connection_still_says_does_not_count() {
    let (world, phone, _folder) = start().await;
    for number in 0..60 {
        phone.online().await;
        world.cut();
        // The end of the old connection and the wish for a new one come together, in either order.
        for _ in 0..number % 6 {
            tokio::task::yield_now().await;
        }
        phone.client.set_api_key(format!("rhq_key_{number}")).await.expect("open");
    }
    phone.online().await;
    sleep(SECOND * 120).await;
    assert_eq!(world.connected().len(), 1);
    assert_eq!(phone.client.subscribe_state().current().connection, ConnectionState::Online);
}
