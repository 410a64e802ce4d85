//! What is counted, what comes first, what is told once, and what it costs: on a clock that the test moves.

use std::time::Duration;

use protocol::{ConversationId, Message, MessageId, MessageStatus, Sender, Timestamp};
use sdk::{ChatEvent, ClientError, Config, ConnectionState, User};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::connecting::start;
use crate::phone::{Phone, bodies};
use crate::world::{Fault, World};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The device has a conversation from before with so many messages of agents, the last of which are as new as `at`.
fn history(world: &World, phone: &Phone, count: u64, at: Timestamp) -> ConversationId {
    let id = ConversationId::new(at, count);
    let message = |seq| Message {
        id: MessageId::new(&id, seq, seq),
        local_id: format!("a{seq}").into(),
        conversation_id: id.clone(),
        seq,
        body: format!("answer {seq}"),
        sender: Sender::Agent,
        sender_name: None,
        sender_id: None,
        created_at: at,
        status: MessageStatus::Sent,
    };
    let device_id = phone.client.subscribe_state().current().device_id.to_string();
    world.has(id.clone(), device_id, (1..=count).map(message).collect());
    id
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_in_a_long_absence_is_counted_by_the_server() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    phone.client.set_network(false).await.expect("open");
    history(&world, &phone, 4_321, Timestamp::from_epoch_ms(1_800_000_000_000));
    phone.client.set_network(true).await.expect("open");
    phone.timeline("the newest page", |timeline| timeline.items.len() == 50).await;
    let unread = || phone.client.subscribe_state().current().unread;
    assert_eq!(unread(), 4_321);
    assert_eq!(phone.client.load_older(None).await, Ok(true));
    assert_eq!(unread(), 4_321, "as many as before, whatever somebody scrolls through");
    world.agent_says(0, "one more");
    phone.state("one more", |state| state.unread == 4_322).await;
    phone.client.mark_read(None).await.expect("open");
    phone.state("all is read", |state| state.unread == 0).await;
    world.agent_says(0, "and one");
    phone.state("one that is new", |state| state.unread == 1).await;
    world.cut();
    sleep(SECOND * 60).await;
    assert_eq!(unread(), 1);
}

#[tokio::test(start_paused = true)]
async fn reading_asks_for_no_list() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    sleep(SECOND * 5).await;
    let before = world.lists();
    for number in 1..=5 {
        world.agent_says(0, "an answer");
        phone.state("unread", |state| state.unread == 1).await;
        phone.client.mark_read(None).await.expect("open");
        sleep(SECOND * 5).await;
        assert_eq!(world.conversations()[0].device_read, 1 + number, "it is told");
    }
    assert_eq!(world.lists(), before);
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_can_be_asked_for_its_badge() {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let config = || Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder.path());
    let ask = async || sdk::ChatClient::fetch_unread(config(), std::sync::Arc::new(world.clone())).await;
    assert_eq!(ask().await, Err(ClientError::AlreadyOpen));
    phone.client.close().await;
    for body in ["two", "three", "four"] {
        world.agent_says(0, body);
    }
    assert_eq!(ask().await, Ok(3));
    world.network(false);
    assert_eq!(ask().await, Err(ClientError::Offline));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_a_day_ahead_does_not_choose_the_conversation() {
    let (world, phone, _folder) = start().await;
    world.sleep_device(DAY);
    phone.client.send(None, "in the first").await.expect("room");
    phone.shows(&["in the first"]).await;
    let first = world.conversations()[0].id.clone();
    let second = world.open_another();
    world.agent_says(1, "in the second");
    world.cut();
    phone.timeline("the second", |timeline| timeline.conversation_id.as_ref() == Some(&second)).await;
    // What is written last is the newest, sent or not.
    phone.client.set_network(false).await.expect("open");
    phone.client.send(Some(first.clone()), "again in the first").await.expect("room");
    phone.timeline("the first", |timeline| timeline.conversation_id.as_ref() == Some(&first)).await;
    phone.client.set_network(true).await.expect("open");
    phone.shows(&["in the first", "again in the first"]).await;
    sleep(SECOND).await;
    world.agent_says(1, "in the second again");
    phone.timeline("the second again", |timeline| timeline.conversation_id.as_ref() == Some(&second)).await;
    let shown = phone.client.subscribe_state().current();
    let ahead = Timestamp::from_epoch_ms(1_800_000_000_000).plus(DAY / 2);
    assert!(shown.conversations.iter().all(|conversation| conversation.updated_at < ahead), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_nobody_waits_for_a_receipt() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.agent_says(0, "two");
    phone.state("an answer", |state| state.unread == 1).await;
    phone.client.set_network(false).await.expect("open");
    phone.client.mark_read(None).await.expect("open");
    let began = Instant::now();
    assert_eq!(phone.client.drain(SECOND * 60).await, Ok(0));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    phone.client.set_network(true).await.expect("open");
    phone.online().await;
    assert_eq!(phone.client.drain(SECOND * 60).await, Ok(0));
    assert_eq!(world.conversations()[0].device_read, 2, "with one, it is told first");
}

#[tokio::test(start_paused = true)]
async fn a_person_with_long_numbers_is_told_once() {
    let (world, phone, _folder) = start().await;
    // Numbers that a fast reader of JSON takes for their neighbours.
    let attributes =
        json!({ "a": 28.310_636_987_636_766, "b": 463_383_292.566_412_03, "c": 0.1, "d": f64::MAX });
    let attributes = attributes.as_object().cloned();
    let person = User { id: "ada".into(), name: None, email: None, attributes };
    for _ in 0..3 {
        phone.client.identify(person.clone()).await.expect("a person");
        phone.online().await;
        sleep(SECOND * 5).await;
        world.cut();
        sleep(SECOND * 60).await;
    }
    assert_eq!(world.users(), [serde_json::to_value(&person).expect("JSON")]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_are_told_once() {
    let (world, phone, folder) = start().await;
    let mut events = phone.client.subscribe_events();
    let mut arrived = async || match events.next().await {
        Some(ChatEvent::MessageArrived { message, .. }) => message.body,
        other => panic!("{other:?}"),
    };
    phone.client.send(None, "mine").await.expect("room");
    phone.shows(&["mine"]).await;
    world.fault(Fault::Double);
    world.agent_says(0, "live");
    assert_eq!(arrived().await, "live", "and not what the person wrote");
    world.network(false);
    phone.state("no connection", |state| state.connection != ConnectionState::Online).await;
    world.agent_says(0, "missed");
    world.network(true);
    assert_eq!(arrived().await, "missed");
    world.cut();
    sleep(SECOND * 60).await;
    world.agent_says(0, "later");
    assert_eq!(arrived().await, "later", "each once, whatever was fetched again meanwhile");
    phone.client.close().await;

    // On a new device what was read elsewhere is old.
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.mark_read(None).await.expect("open");
    let mut events = phone.client.subscribe_events();
    phone.online().await;
    world.agent_says(0, "the last");
    let event = events.next().await;
    let Some(ChatEvent::MessageArrived { message, conversation_id }) = event else { panic!("{event:?}") };
    assert_eq!((message.body.as_str(), conversation_id), ("the last", world.conversations()[0].id.clone()));
    phone.client.close().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn what_the_device_is_is_told_with_the_first_message_and_when_it_changes() {
    let world = World::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let open = async |context: Option<Value>| {
        let mut config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder.path());
        config.device_context = context.map(|context| context.as_object().expect("an object").clone());
        let phone = Phone::with(&world, config).await;
        phone.online().await;
        sleep(SECOND * 60).await;
        phone
    };
    let device = |phone: &Phone| phone.client.subscribe_state().current().device_id.to_string();
    let told = |app_version: &str| json!({ "app_version": app_version, "platform": std::env::consts::OS, "sdk_version": env!("CARGO_PKG_VERSION") });
    let phone = open(Some(json!({ "app_version": "1" }))).await;
    assert_eq!(world.contexts(), [], "who has never written is nobody");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let first = (device(&phone), told("1"));
    assert_eq!(world.contexts(), std::slice::from_ref(&first));
    world.cut();
    sleep(SECOND * 60).await;
    assert_eq!(world.contexts().len(), 1, "once");
    phone.client.close().await;
    let phone = open(Some(json!({ "app_version": "2" }))).await;
    assert_eq!(world.contexts(), [first, (device(&phone), told("2"))]);
    phone.client.close().await;
    let phone = open(None).await;
    phone.client.close().await;
    assert_eq!(world.contexts().len(), 2, "switched off, nothing is told");
    let mut config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder.path());
    config.device_context = json!({ "x": "x".repeat(9_000) }).as_object().cloned();
    let refused = sdk::ChatClient::open(config, std::sync::Arc::new(world.clone())).await;
    assert!(matches!(refused.err(), Some(ClientError::InvalidConfig(_))));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_none_is_an_error_once_that_is_known() {
    let (world, phone, _folder) = start().await;
    phone.client.set_network(false).await.expect("open");
    let mut timelines = phone.client.subscribe_timeline(Some("conv_unknown".into()));
    let first = timelines.next().await.expect("not known yet").expect("open");
    assert_eq!(first.items, []);
    phone.client.set_network(true).await.expect("open");
    assert_eq!(timelines.next().await, Err(ClientError::UnknownConversation));
    assert_eq!(timelines.next().await, Ok(None), "nothing follows");
    // One that another program of the device's opened is found.
    phone.client.set_network(false).await.expect("open");
    let id = history(&world, &phone, 2, Timestamp::from_epoch_ms(1_800_000_000_000));
    let mut timelines = phone.client.subscribe_timeline(Some(id));
    phone.client.set_network(true).await.expect("open");
    loop {
        let timeline = timelines.next().await.expect("there is one").expect("open");
        if bodies(&timeline) == ["answer 1", "answer 2"] {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_is_shown_by_pages() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "sent").await.expect("room");
    phone.shows(&["sent"]).await;
    phone.client.set_network(false).await.expect("open");
    let texts: Vec<_> = (0..120).map(|number| format!("waits {number}")).collect();
    for text in &texts {
        phone.client.send(None, text).await.expect("room");
    }
    let newest = phone.timeline("the newest", |timeline| timeline.items.len() == 50).await;
    assert_eq!(bodies(&newest), texts[70..]);
    assert!(newest.has_older);
    assert_eq!(phone.client.load_older(None).await, Ok(true), "without a network");
    phone.timeline("more", |timeline| bodies(timeline) == texts[20..]).await;
    assert_eq!(phone.client.load_older(None).await, Ok(false));
    let all: Vec<_> = std::iter::once("sent").chain(texts.iter().map(String::as_str)).collect();
    phone.timeline("all", |timeline| bodies(timeline) == all).await;
    phone.client.set_network(true).await.expect("open");
    phone.shows(&all).await;
    assert_eq!(world.conversations()[0].messages.len(), 121);
}
