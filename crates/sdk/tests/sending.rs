//! The outbox from outside: what is accepted, in which order it goes out, and what becomes of what fails.

use std::time::Duration;

use protocol::Code;
use sdk::{ClientError, ConnectionState, Delivery};
use tokio::time::{Instant, sleep};

use crate::connecting::start;
use crate::phone::{Phone, bodies};
use crate::world::{Fault, World};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_after_fifteen_seconds_and_stores_nothing_twice() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.fault(Fault::LoseAck);
    let before = Instant::now();
    phone.client.send(None, "one").await.expect("room");
    // Its own message:new tells the phone that it is stored.
    phone.shows(&["one"]).await;
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(
        (Instant::now() - before).as_secs(),
        0,
        "and the next one does not wait for the answer either"
    );
    world.fault(Fault::LoseAck);
    world.fault(Fault::Skip);
    phone.client.send(None, "three").await.expect("room");
    phone.shows(&["one", "two", "three"]).await;
    let tries = world.events("message:send");
    assert_eq!(tries.len(), 4, "one, two, three, and three again");
    let waited = tries[3].0 - tries[2].0;
    assert!((15_000..15_501).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(world.conversation().expect("one").messages.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_message_is_none() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.fault(Fault::AnswerWithAnother);
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(world.conversation().expect("one").messages.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_is_waited() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.fault(Fault::Refuse(Code::RateLimited));
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    let tries = world.events("message:send");
    assert_eq!((tries[2].0 - tries[1].0).as_millis(), 2_000);
}

#[tokio::test(start_paused = true)]
async fn what_never_goes_well_is_set_aside_and_the_next_goes_on() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    phone.client.send(None, "zero").await.expect("room");
    phone.shows(&["zero"]).await;
    world.fault(Fault::RefuseForGood);
    let one = phone.client.send(None, "one").await.expect("room");
    phone.client.send(None, "two").await.expect("room");
    let item = phone.item("set aside", |item| matches!(item.delivery, Delivery::Wedged { .. })).await;
    let Delivery::Wedged { code, .. } = &item.delivery else { panic!("it was wedged") };
    assert_eq!((item.body.as_str(), code.as_str()), ("one", "VALIDATION_ERROR"));
    phone.item("the next one", |item| item.body == "two" && item.delivery == Delivery::Sent).await;
    let state = phone.state("one set aside", |state| state.wedged == 1 && state.queued == 0).await;
    assert_eq!(state.conversations[0].last_message.as_ref().expect("one").body, "one");
    phone.client.retry(&one).await.expect("wedged");
    phone.shows(&["zero", "two", "one"]).await;
    assert!(matches!(phone.client.retry(&one).await, Err(ClientError::NotPossible(_))));
    assert_eq!(phone.client.retry(&"unheard of".into()).await, Err(ClientError::UnknownMessage));
}

#[tokio::test(start_paused = true)]
async fn what_waits_can_be_taken_back_and_what_is_under_way_can_not() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    phone.client.send(None, "zero").await.expect("room");
    phone.shows(&["zero"]).await;
    world.fault(Fault::Stall(5));
    let one = phone.client.send(None, "one").await.expect("room");
    let two = phone.client.send(None, "two").await.expect("room");
    phone.item("under way", |item| item.body == "one" && item.delivery == Delivery::Sending).await;
    assert!(matches!(phone.client.cancel(&one).await, Err(ClientError::NotPossible(_))));
    phone.client.cancel(&two).await.expect("it waits");
    phone.shows(&["zero", "one"]).await;
    assert!(matches!(phone.client.cancel(&one).await, Err(ClientError::NotPossible(_))));
    sleep(SECOND * 60).await;
    assert_eq!(world.conversation().expect("one").messages.len(), 2);
    assert!(matches!(phone.client.retry(&two).await, Err(ClientError::NotPossible(_))));
}

#[tokio::test(start_paused = true)]
async fn one_conversation_does_not_wait_for_another() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "first").await.expect("room");
    let first = phone.shows(&["first"]).await.conversation_id.clone().expect("opened");
    world.resolve();
    let second = world.open_another();
    world.cut();
    phone.state("two conversations", |state| state.conversations.len() == 2).await;
    phone.online().await;
    world.fault(Fault::LoseAck);
    world.fault(Fault::Skip);
    let began = Instant::now();
    phone.client.send(Some(first.clone()), "stuck").await.expect("room");
    phone.client.send(Some(first.clone()), "behind it").await.expect("room");
    phone.client.send(Some(second.clone()), "free").await.expect("room");
    let in_second = |world: &World| world.conversations()[1].messages.len();
    while in_second(&world) == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(Instant::now() - began < SECOND, "not held up");
    while world.conversations()[0].messages.len() < 3 {
        sleep(Duration::from_millis(10)).await;
    }
    let stored: Vec<_> =
        world.conversations()[0].messages.iter().map(|message| message.body.clone()).collect();
    assert_eq!(stored, ["first", "stuck", "behind it"], "in order within one");
    assert_eq!(phone.client.send(Some("conv_x".into()), "x").await, Err(ClientError::UnknownConversation));
}

#[tokio::test(start_paused = true)]
async fn five_hundred_wait_and_one_more_is_refused_with_a_clear_error() {
    let world = World::new(1);
    world.network(false);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.set_network(false).await.expect("open");
    for number in 0..500 {
        phone.client.send(None, &format!("{number}")).await.expect("room");
    }
    assert_eq!(phone.client.send(None, "one more").await, Err(ClientError::QueueFull));
    world.network(true);
    phone.client.set_network(true).await.expect("open");
    phone.state("all sent", |state| state.queued == 0).await;
    let stored = world.conversation().expect("one").messages;
    assert!(stored.iter().enumerate().all(|(at, message)| message.body == at.to_string()));
    assert_eq!(stored.len(), 500);
    phone.client.send(None, "one more").await.expect("room again");
}

#[tokio::test(start_paused = true)]
async fn a_month_without_a_network_counts_against_nothing() {
    let world = World::new(1);
    world.network(false);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.send(None, "one").await.expect("room");
    phone.client.set_network(false).await.expect("open");
    sleep(SECOND * 86_400 * 30).await;
    world.network(true);
    phone.client.set_network(true).await.expect("open");
    phone.shows(&["one"]).await;
}

#[tokio::test(start_paused = true)]
async fn texts_that_no_message_can_have_are_refused_before_they_are_queued() {
    let (_world, phone, _folder) = start().await;
    assert_eq!(phone.client.send(None, "").await, Err(ClientError::EmptyBody));
    assert_eq!(phone.client.send(None, &"x".repeat(5_001)).await, Err(ClientError::BodyTooLong));
    assert_eq!(phone.client.send(None, "a\0b").await, Err(ClientError::InvalidBody));
    phone.client.send(None, &"\u{1f642}".repeat(5_000)).await.expect("characters, not bytes");
    phone.state("sent", |state| state.queued == 0 && state.conversations.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_an_answer_sees_what_it_says() {
    let (_world, phone, _folder) = start().await;
    phone.client.set_network(false).await.expect("open");
    let one = phone.client.send(None, "one").await.expect("room");
    assert_eq!(phone.client.subscribe_state().current().queued, 1);
    phone.client.cancel(&one).await.expect("it waits");
    assert_eq!(phone.client.subscribe_state().current().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_queue_or_the_time() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    assert_eq!(phone.client.drain(SECOND * 30).await, Ok(0));
    assert_eq!(world.conversation().expect("one").messages.len(), 1);
    phone.client.set_network(false).await.expect("open");
    phone.client.send(None, "two").await.expect("room");
    let before = Instant::now();
    assert_eq!(phone.client.drain(SECOND * 3).await, Ok(1));
    assert_eq!((Instant::now() - before).as_secs(), 3);
    let waits = tokio::spawn({
        let client = phone.client.clone();
        async move { client.drain(Duration::MAX).await }
    });
    phone.client.set_network(true).await.expect("open");
    assert_eq!(waits.await.expect("no panic"), Ok(0), "for as long as it takes");
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_the_app_was_closed_is_sent_with_the_same_name() {
    let (world, phone, folder) = start().await;
    phone.online().await;
    phone.client.send(None, "zero").await.expect("room");
    phone.shows(&["zero"]).await;
    world.fault(Fault::LoseAck);
    world.fault(Fault::Skip);
    let one = phone.client.send(None, "one").await.expect("room");
    phone.item("under way", |item| item.delivery == Delivery::Sending).await;
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    let timeline = phone.shows(&["zero", "one"]).await;
    assert_eq!(timeline.items[1].local_id, one);
    assert_eq!(world.conversation().expect("one").messages.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_the_phone_is_shown_without_a_network() {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.agent_says(0, "two");
    phone.shows(&["one", "two"]).await;
    phone.client.close().await;
    world.network(false);
    let phone = Phone::in_world(&world, folder.path()).await;
    let timeline = phone.timeline("what is stored", |timeline| !timeline.items.is_empty()).await;
    assert_eq!(bodies(&timeline), ["one", "two"]);
    let state = phone.client.subscribe_state().current();
    assert_eq!((state.unread, state.conversations.len()), (1, 1));
    assert_ne!(state.connection, ConnectionState::Online);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_reason_enough_to_try_at_once() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "zero").await.expect("room");
    phone.shows(&["zero"]).await;
    for _ in 0..9 {
        world.fault(Fault::Refuse(Code::ServerError));
    }
    phone.client.send(None, "one").await.expect("room");
    while world.faults() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    // Up to a minute would be waited now; the seed makes it long.
    sleep(Duration::from_millis(100)).await;
    let tries = world.events("message:send").len();
    world.cut();
    phone.state("the loss", |state| state.connection != ConnectionState::Online).await;
    phone.online().await;
    let back = Instant::now();
    phone.shows(&["zero", "one"]).await;
    assert_eq!(world.events("message:send").len(), tries + 1);
    assert!(back.elapsed() < Duration::from_millis(100), "{:?}", back.elapsed());
}
