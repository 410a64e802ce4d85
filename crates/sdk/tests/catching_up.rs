//! Catching up, receipts and typing, from outside.

use std::time::Duration;

use sdk::{ClientError, Delivery, Sender};
use serde_json::json;
use tokio::time::sleep;

use crate::connecting::start;
use crate::phone::{Phone, bodies};
use crate::world::{FROM_THE_FUTURE, Fault, World};

const SECOND: Duration = Duration::from_secs(1);

/// A phone in a conversation of one message that is online.
async fn talking() -> (World, Phone, tempfile::TempDir) {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "hello").await.expect("room");
    phone.shows(&["hello"]).await;
    (world, phone, folder)
}

async fn away(world: &World, phone: &Phone) {
    world.network(false);
    phone.client.set_network(false).await.expect("open");
}

async fn back(world: &World, phone: &Phone) {
    world.network(true);
    phone.client.set_network(true).await.expect("open");
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_fetched_page_by_page() {
    let (world, phone, _folder) = talking().await;
    away(&world, &phone).await;
    for number in 0..333 {
        world.agent_says(0, &format!("{number}"));
    }
    back(&world, &phone).await;
    phone.state("all of them", |state| state.unread == 333).await;
    let timeline = phone.timeline("the newest page", |timeline| timeline.items.len() == 50).await;
    assert!(timeline.has_older);
    assert_eq!(timeline.items[49].body, "332");
    let joins = world.events("conversation:join");
    assert!(joins.len() >= 7, "from the phone's own last message on, page after page");
    while phone.client.load_older(None).await.expect("stored") {}
    let timeline = phone.timeline("all", |timeline| timeline.items.len() == 334).await;
    assert!(!timeline.has_older);
}

#[tokio::test(start_paused = true)]
async fn a_page_with_holes_is_asked_for_again() {
    let (world, phone, _folder) = talking().await;
    away(&world, &phone).await;
    for body in ["one", "two", "three", "four"] {
        world.agent_says(0, body);
    }
    world.fault(Fault::TornPage);
    back(&world, &phone).await;
    phone.shows(&["hello", "one", "two", "three", "four"]).await;
    assert_eq!(world.faults(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_far_behind_sees_the_newest_first_and_the_rest_on_scrolling() {
    let (world, phone, _folder) = talking().await;
    away(&world, &phone).await;
    for number in 0..2_000 {
        world.agent_says(0, &format!("{number}"));
    }
    back(&world, &phone).await;
    let timeline = phone.timeline("the newest", |timeline| bodies(timeline).last() == Some(&"1999")).await;
    assert_eq!((timeline.items.len(), timeline.items[0].body.as_str()), (50, "1950"));
    assert!(timeline.has_older);
    let joins = world.events("conversation:join").len();
    assert!(joins <= 4, "not page after page: {joins}");
    world.agent_says(0, "live");
    phone.timeline("live", |timeline| bodies(timeline).last() == Some(&"live")).await;
    away(&world, &phone).await;
    assert_eq!(phone.client.load_older(None).await, Ok(true), "one more is stored than a page shows");
    assert_eq!(phone.client.load_older(None).await, Err(ClientError::Offline), "the rest is not");
    back(&world, &phone).await;
    phone.online().await;
    world.fault(Fault::Status(503));
    assert_eq!(phone.client.load_older(None).await, Err(ClientError::Offline), "the server can't just now");
    let mut pages = 0;
    while phone.client.load_older(None).await.expect("online") {
        pages += 1;
        assert!(pages < 100);
    }
    let timeline = phone.timeline("all", |timeline| timeline.items.len() == 2_002).await;
    let seqs: Vec<_> = timeline.items.iter().map(|item| item.seq.expect("stored")).collect();
    assert!(seqs.iter().enumerate().all(|(at, seq)| *seq == at as u64 + 1));
    assert!(!timeline.has_older);
}

#[tokio::test(start_paused = true)]
async fn the_gap_is_still_known_after_a_restart() {
    let (world, phone, folder) = talking().await;
    away(&world, &phone).await;
    for number in 0..700 {
        world.agent_says(0, &format!("{number}"));
    }
    back(&world, &phone).await;
    phone.timeline("the newest", |timeline| bodies(timeline).last() == Some(&"699")).await;
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.online().await;
    let timeline = phone.timeline("the newest page", |timeline| !timeline.items.is_empty()).await;
    assert_eq!((timeline.items.len(), timeline.has_older), (50, true));
    while phone.client.load_older(None).await.expect("online") {}
    phone.timeline("all", |timeline| timeline.items.len() == 701).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_put_back_from_a_backup_is_believed() {
    let (world, phone, _folder) = talking().await;
    for body in ["one", "two", "three"] {
        world.agent_says(0, body);
    }
    phone.shows(&["hello", "one", "two", "three"]).await;
    away(&world, &phone).await;
    world.restore_backup(2);
    world.agent_says(0, "another two");
    phone.client.send(None, "mine").await.expect("room");
    back(&world, &phone).await;
    phone.shows(&["hello", "one", "another two", "mine"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_kind_that_only_a_later_version_knows_is_a_placeholder_and_stops_nothing() {
    let (world, phone, folder) = talking().await;
    away(&world, &phone).await;
    world.agent_says(0, FROM_THE_FUTURE);
    world.agent_says(0, "and on");
    back(&world, &phone).await;
    phone.shows(&["hello", "", "and on"]).await;
    let item = phone.item("the placeholder", |item| item.seq == Some(2)).await;
    assert_eq!((item.sender, item.body.as_str()), (Sender::System, ""));
    // It stays so, and what comes is heard.
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.online().await;
    world.agent_says(0, "live");
    phone.shows(&["hello", "", "and on", "live"]).await;
}

/// The bodies that the server has in its first conversation.
fn stored(world: &World) -> Vec<String> {
    let stored = world.conversation().expect("one");
    stored.messages.iter().map(|message| message.body.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_the_person_wrote_and_the_server_has_lost_is_sent_again_in_order_and_once() {
    let (world, phone, _folder) = talking().await;
    world.agent_says(0, "one");
    for body in ["mine 1", "mine 2"] {
        phone.client.send(None, body).await.expect("room");
    }
    phone.shows(&["hello", "one", "mine 1", "mine 2"]).await;
    world.agent_says(0, "lost");
    phone.shows(&["hello", "one", "mine 1", "mine 2", "lost"]).await;
    away(&world, &phone).await;
    world.restore_backup(2);
    world.agent_says(0, "another");
    phone.client.send(None, "later").await.expect("room");
    back(&world, &phone).await;
    let all = ["hello", "one", "another", "mine 1", "mine 2", "later"];
    phone.shows(&all).await;
    phone.state("an empty queue", |state| state.queued == 0).await;
    assert_eq!(stored(&world), all);
}

#[tokio::test(start_paused = true)]
async fn the_last_common_message_is_found_however_far_back_and_a_restart_of_the_app_changes_nothing() {
    let (world, phone, folder) = talking().await;
    for number in 0..200 {
        phone.client.send(None, &format!("mine {number}")).await.expect("room");
        world.agent_says(0, &format!("answer {number}"));
    }
    phone.state("an empty queue", |state| state.queued == 0).await;
    phone
        .timeline("all", |timeline| timeline.items.last().is_some_and(|item| item.body == "answer 199"))
        .await;
    let before = stored(&world);
    away(&world, &phone).await;
    phone.client.close().await;
    world.restore_backup(37);
    let phone = Phone::in_world(&world, folder.path()).await;
    back(&world, &phone).await;
    phone.state("an empty queue", |state| state.queued == 0).await;
    let is_mine = |body: &&String| body.starts_with("mine");
    let mut expected = before[..37].to_vec();
    expected.extend(before[37..].iter().filter(is_mine).cloned());
    assert_eq!(stored(&world), expected);
    // It took few questions, and the page that they led to.
    let joins = world.events("conversation:join").len();
    assert!(joins < 20, "{joins} joins");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_in_a_conversation_that_the_server_has_lost_is_sent_in_another_one() {
    let (world, phone, _folder) = talking().await;
    phone.client.send(None, "mine").await.expect("room");
    world.agent_says(0, "lost");
    phone.shows(&["hello", "mine", "lost"]).await;
    away(&world, &phone).await;
    world.lose_conversations();
    phone.client.send(None, "later").await.expect("room");
    back(&world, &phone).await;
    phone.state("an empty queue", |state| state.queued == 0).await;
    phone.shows(&["hello", "mine", "later"]).await;
    assert_eq!(stored(&world), ["hello", "mine", "later"]);
}

#[tokio::test(start_paused = true)]
async fn what_became_of_messages_while_the_phone_was_away_is_known_when_it_is_back() {
    let (world, phone, _folder) = talking().await;
    away(&world, &phone).await;
    world.agent_sees(0, true);
    back(&world, &phone).await;
    phone.item("read", |item| item.delivery == Delivery::Read).await;
}

#[tokio::test(start_paused = true)]
async fn agents_are_told_once_of_many_messages_that_were_received() {
    let (world, phone, _folder) = talking().await;
    for number in 0..20 {
        world.agent_says(0, &format!("{number}"));
        sleep(Duration::from_millis(10)).await;
    }
    sleep(SECOND).await;
    let receipts = world.events("delivery:receipt");
    assert_eq!(receipts.len(), 1, "{receipts:?}");
    assert_eq!(world.conversation().expect("one").device_delivered, 21);
    phone.client.mark_read(None).await.expect("open");
    phone.client.mark_read(None).await.expect("open");
    sleep(SECOND).await;
    assert_eq!(world.events("message:read").len(), 1);
    assert_eq!(world.conversation().expect("one").device_read, 21);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_offline_is_told_after_a_restart() {
    let (world, phone, folder) = talking().await;
    world.agent_says(0, "one");
    let state = phone.state("unread", |state| state.unread == 1).await;
    assert_eq!(state.conversations[0].unread, 1);
    away(&world, &phone).await;
    phone.client.mark_read(None).await.expect("open");
    phone.state("read", |state| state.unread == 0).await;
    phone.client.close().await;
    assert_eq!(world.conversation().expect("one").device_read, 0);
    world.network(true);
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.online().await;
    sleep(SECOND).await;
    assert_eq!(world.conversation().expect("one").device_read, 2);
    assert_eq!(phone.client.drain(SECOND).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_while_it_can_be_and_never_later() {
    let (world, phone, _folder) = talking().await;
    for _ in 0..5 {
        phone.client.typing(None, true).await.expect("open");
        sleep(SECOND).await;
    }
    assert_eq!(world.events("typing:start").len(), 2, "at the first key, and after three seconds");
    sleep(SECOND * 10).await;
    assert_eq!(world.events("typing:stop").len(), 1, "by silence");
    phone.client.typing(None, true).await.expect("open");
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["hello", "two"]).await;
    assert_eq!(world.events("typing:stop").len(), 2, "by sending");
    phone.client.typing(None, true).await.expect("open");
    phone.client.typing(None, false).await.expect("open");
    sleep(SECOND).await;
    assert_eq!(world.events("typing:stop").len(), 3, "by leaving the field");
    let starts = world.events("typing:start").len();
    away(&world, &phone).await;
    phone.client.typing(None, true).await.expect("open");
    back(&world, &phone).await;
    phone.online().await;
    sleep(SECOND * 10).await;
    assert_eq!(world.events("typing:start").len(), starts, "what was typed offline is not told");
}

#[tokio::test(start_paused = true)]
async fn an_agents_typing_is_shown_until_it_ends_or_nothing_is_heard() {
    let (world, phone, _folder) = talking().await;
    world.agent_types(0, true);
    phone.timeline("typing", |timeline| timeline.is_agent_typing).await;
    assert!(phone.client.subscribe_state().current().conversations[0].is_agent_typing);
    let began = tokio::time::Instant::now();
    phone.timeline("silence", |timeline| !timeline.is_agent_typing).await;
    assert_eq!((tokio::time::Instant::now() - began).as_secs(), 6);
    world.agent_types(0, true);
    phone.timeline("typing", |timeline| timeline.is_agent_typing).await;
    world.agent_says(0, "here it is");
    let timeline = phone.timeline("the message", |timeline| timeline.items.len() == 2).await;
    assert!(!timeline.is_agent_typing, "who has sent does not type");
    world.agent_types(0, true);
    phone.timeline("typing", |timeline| timeline.is_agent_typing).await;
    world.cut();
    phone.timeline("nothing is known", |timeline| !timeline.is_agent_typing).await;
}

#[tokio::test(start_paused = true)]
async fn each_message_is_shown_once_whatever_the_server_repeats_or_mixes_up() {
    let (world, phone, _folder) = talking().await;
    for fault in [Fault::Double, Fault::Swap, Fault::Skip, Fault::Double, Fault::Swap] {
        world.fault(fault);
        world.agent_says(0, "x");
        world.agent_says(0, "y");
    }
    phone
        .timeline("all", |timeline| {
            timeline.items.len() == 11
                && timeline.items.iter().skip(1).all(|item| item.sender == Sender::Agent)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_talks_nonsense_is_not_believed_and_not_died_of() {
    let (world, phone, _folder) = talking().await;
    let conversation = world.conversation().expect("one");
    let known = &conversation.messages[0];
    let far = json!({ "id": "msg_x", "local_id": "x", "conversation_id": conversation.id, "seq": u64::MAX, "body": "x",
        "sender": "agent", "created_at": "2026-01-01T00:00:00.000Z", "status": "sent" });
    let elsewhere = json!({ "id": "msg_y", "local_id": "y", "conversation_id": "", "seq": 1, "body": "x",
        "sender": "agent", "created_at": "2026-01-01T00:00:00.000Z", "status": "sent" });
    let status = json!({ "conversation_id": "conv_none", "up_to_seq": u64::MAX, "status": "read", "by": "agent",
        "at": "2026-01-01T00:00:00.000Z" });
    let events = [
        "message:new",
        "message:status",
        "conversation:joined",
        "agent:typing",
        "server:shutdown",
        "connected",
        "new:thing",
    ];
    for payload in
        [json!(null), json!([]), json!(7), json!("x"), json!({ "seq": -1 }), far, elsewhere, status]
    {
        for event in events {
            if event != "server:shutdown" || !payload.is_object() {
                world.say(event, &payload);
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    world.say("message:new", &serde_json::to_value(known).expect("JSON"));
    world.agent_says(0, "sense");
    let timeline = phone.shows(&["hello", "sense"]).await;
    assert_eq!(timeline.items[1].seq, Some(2));
    sleep(SECOND * 120).await;
    world.agent_says(0, "again");
    phone.shows(&["hello", "sense", "again"]).await;
    assert_eq!(phone.client.subscribe_state().current().conversations.len(), 1);
}
