//! Who uses the app: a file for each person, and nothing of one for the next.

use std::path::Path;
use std::time::Duration;

use sdk::{ClientError, Config, ConnectionState, Delivery, User};
use serde_json::json;
use std::sync::Arc;
use tokio::time::sleep;

use crate::connecting::start;
use crate::phone::Phone;
use crate::world::{Fault, World};

pub(crate) fn person(id: &str) -> User {
    User { id: id.into(), name: Some(format!("Name of {id}")), email: None, attributes: None }
}

/// Whether any file below the folder holds these bytes.
pub(crate) fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder").any(|entry| {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(start_paused = true)]
async fn a_logout_leaves_nothing_behind_for_the_next_person() {
    let (world, phone, folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.client.send(None, "the secret of ada").await.expect("room");
    phone.shows(&["the secret of ada"]).await;
    world.agent_says(0, "an answer to ada");
    phone.state("unread", |state| state.unread == 1).await;
    let device = phone.client.subscribe_state().current().device_id.clone();
    phone.client.set_network(false).await.expect("open");
    phone.client.send(None, "not sent yet").await.expect("room");
    phone.client.logout().await.expect("it works");
    let state = phone.client.subscribe_state().current();
    assert_ne!(state.device_id, device);
    assert_eq!(
        (state.user_id.as_ref(), state.conversations.len(), state.unread, state.queued),
        (None, 0, 0, 0)
    );
    phone
        .timeline("nothing", |timeline| timeline.items.is_empty() && timeline.conversation_id.is_none())
        .await;
    for text in ["secret of ada", "answer to ada", "not sent yet", "Name of ada", "\"ada\""] {
        assert!(!holds(folder.path(), text), "{text}");
    }
    assert!(holds(folder.path(), device.as_str()), "the server has yet to be told that she has gone");
    phone.client.set_network(true).await.expect("open");
    phone.client.identify(person("bob")).await.expect("a person");
    phone.client.send(None, "bob here").await.expect("room");
    phone.shows(&["bob here"]).await;
    assert!(!holds(folder.path(), device.as_str()), "it was told");
    let conversations = world.conversations();
    assert_eq!(conversations.len(), 2);
    assert_ne!(conversations[0].device_id, conversations[1].device_id);
    assert_eq!(conversations[0].messages.len(), 2, "what ada had not sent is gone with her");
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_fails_changes_nothing() {
    let (world, phone, folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    let index = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .expect("an index");
    // A folder stands where the new index would be written.
    let in_the_way = index.with_extension("json.new");
    std::fs::create_dir(&in_the_way).expect("a folder");
    assert!(matches!(phone.client.logout().await, Err(ClientError::Storage(_))));
    phone.shows(&["one"]).await;
    phone.client.send(None, "two").await.expect("room");
    phone.shows(&["one", "two"]).await;
    assert_eq!(world.conversations().len(), 1, "the same device");
    std::fs::remove_dir(&in_the_way).expect("an empty folder");
    phone.client.logout().await.expect("it works");
    assert!(!holds(folder.path(), "one"));
    let databases = std::fs::read_dir(folder.path()).expect("a folder").filter(|entry| {
        entry.as_ref().expect("an entry").path().extension().is_some_and(|extension| extension == "db")
    });
    assert_eq!(databases.count(), 1, "what the failed one began is gone, too");
}

#[tokio::test(start_paused = true)]
async fn a_person_whom_the_server_refused_is_told_again_with_the_next_connection() {
    let (world, phone, _folder) = start().await;
    phone.online().await;
    world.fault(Fault::RefusePerson);
    phone.client.identify(person("ada")).await.expect("a person");
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!((world.users().len(), world.faults()), (0, 0), "asked once, and not again and again");
    world.cut();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.users().len(), 1);
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
}

#[tokio::test(start_paused = true)]
async fn each_person_has_what_is_theirs() {
    let (world, phone, _folder) = start().await;
    phone.client.send(None, "written before the login").await.expect("room");
    phone.shows(&["written before the login"]).await;
    let device = phone.client.subscribe_state().current().device_id.clone();
    phone.client.identify(person("ada")).await.expect("a person");
    assert_eq!(phone.client.subscribe_state().current().device_id, device, "it is ada's now");
    phone.client.identify(person("bob")).await.expect("a person");
    assert_ne!(phone.client.subscribe_state().current().device_id, device);
    phone.timeline("nothing of ada's", |timeline| timeline.items.is_empty()).await;
    phone.client.send(None, "bob").await.expect("room");
    phone.shows(&["bob"]).await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.shows(&["written before the login"]).await;
    assert_eq!(phone.client.subscribe_state().current().device_id, device);
    phone.client.logout().await.expect("it works");
    phone.client.identify(person("bob")).await.expect("a person");
    phone.shows(&["bob"]).await;
    assert_eq!(world.conversations().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_person_is_the_same_after_a_restart() {
    let (world, phone, folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.shows(&["one"]).await;
    assert_eq!(phone.client.subscribe_state().current().user_id, Some("ada".into()));
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_who_it_is_before_the_connection_and_once() {
    let world = World::new(1);
    world.network(false);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.identify(person("ada")).await.expect("offline, too");
    world.network(true);
    phone.client.set_network(true).await.expect("open");
    phone.online().await;
    assert_eq!(world.users(), [json!({ "id": "ada", "name": "Name of ada" })]);
    world.cut();
    sleep(Duration::from_secs(60)).await;
    phone.online().await;
    phone.client.identify(person("ada")).await.expect("the same");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.users().len(), 1, "the server knows");
    phone
        .client
        .identify(User { email: Some("ada@example.org".into()), ..person("ada") })
        .await
        .expect("more");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.users().len(), 2, "while it is connected");
    let wrong = User { id: "".into(), ..person("ada") };
    assert!(matches!(phone.client.identify(wrong).await, Err(ClientError::InvalidUser(_))));
}

#[tokio::test(start_paused = true)]
async fn one_folder_is_one_clients() {
    let (world, phone, folder) = start().await;
    let config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder.path());
    let second = sdk::ChatClient::open(config, Arc::new(world.clone())).await;
    assert_eq!(second.err(), Some(ClientError::AlreadyOpen));
    let config = Config::new("http://chat.example.com", "app_2", "rhq_key_1", folder.path());
    let other_app =
        sdk::ChatClient::open(config, Arc::new(world.clone())).await.expect("another app's files");
    other_app.close().await;
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.online().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_replaced_and_said_so() {
    let (world, phone, folder) = start().await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    phone.client.close().await;
    let database = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .expect("a database");
    std::fs::write(&database, vec![0x5a; 8192]).expect("damage");
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.client.send(None, "two").await.expect("room");
    // It is the same device still, so that the server has the rest.
    phone.shows(&["one", "two"]).await;
    assert!(world.log().contains("damaged"));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_can_not_be_is_a_clear_error() {
    let world = World::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    let config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", file.join("below"));
    let outcome = sdk::ChatClient::open(config, Arc::new(world.clone())).await;
    assert!(matches!(outcome.err(), Some(ClientError::Storage(_))));
    for (url, app_id, key) in
        [("chat.example.com", "app_1", "k"), ("http://a", "", "k"), ("http://a", "app_1", "k\n")]
    {
        let config = Config::new(url, app_id, key, folder.path());
        let outcome = sdk::ChatClient::open(config, Arc::new(world.clone())).await;
        assert!(matches!(outcome.err(), Some(ClientError::InvalidConfig(_))), "{url} {app_id}");
    }
    let phone = Phone::in_world(&world, &folder.path().join("made/when/missing")).await;
    phone.state("it works", |state| state.connection == ConnectionState::Online).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_one_person_never_reaches_the_next() {
    // At each step of the way of an answer the person logs out; some times, since what comes together is taken in any order.
    for steps in (0..25).chain(0..25).chain(0..25) {
        let (world, phone, folder) = start().await;
        phone.online().await;
        phone.client.send(None, "the secret of ada").await.expect("room");
        while world.conversation().is_none() {
            tokio::task::yield_now().await;
        }
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        phone.client.logout().await.expect("it works");
        sleep(Duration::from_secs(60)).await;
        let state = phone.client.subscribe_state().current();
        assert_eq!(state.conversations.len(), 0, "after {steps} steps");
        assert!(!holds(folder.path(), "secret of ada"), "after {steps} steps");
        for conversation in world.conversations() {
            assert!(!holds(folder.path(), conversation.id.as_str()), "after {steps} steps");
            assert_ne!(conversation.device_id, state.device_id.as_str());
        }
        phone.client.close().await;
    }
}

/// Somebody who has a file here already, and has written without a name since, with the network away.
async fn written_without_a_name() -> (World, Phone, tempfile::TempDir) {
    let (world, phone, folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.client.send(None, "ada").await.expect("room");
    phone.shows(&["ada"]).await;
    phone.client.set_network(false).await.expect("open");
    phone.client.send(None, "ada, later").await.expect("room");
    phone.client.identify(person("bob")).await.expect("a person");
    phone.client.logout().await.expect("it works");
    for text in ["nobody", "nobody again"] {
        phone.client.send(None, text).await.expect("room");
    }
    (world, phone, folder)
}

#[tokio::test(start_paused = true)]
async fn what_was_written_without_a_name_is_sent_although_the_person_has_a_file_here() {
    let (world, phone, folder) = written_without_a_name().await;
    phone.client.identify(person("ada")).await.expect("a person");
    let state = phone.client.subscribe_state().current();
    assert_eq!((state.queued, state.queued_for_others), (3, 0));
    phone.client.set_network(true).await.expect("open");
    phone.shows(&["ada", "ada, later", "nobody", "nobody again"]).await;
    assert_eq!(world.conversations().len(), 1, "in the one conversation that she has");
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.shows(&["ada", "ada, later", "nobody", "nobody again"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_another_person_is_counted() {
    let (world, phone, folder) = start().await;
    phone.client.set_network(false).await.expect("open");
    phone.client.identify(person("ada")).await.expect("a person");
    for text in ["one", "two"] {
        phone.client.send(None, text).await.expect("room");
    }
    phone.client.identify(person("bob")).await.expect("a person");
    let waiting = |phone: &Phone| {
        let state = phone.client.subscribe_state().current();
        (state.queued, state.queued_for_others)
    };
    phone.state("bob", |state| state.user_id == Some("bob".into())).await;
    assert_eq!(waiting(&phone), (0, 2));
    phone.client.close().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    assert_eq!(waiting(&phone), (0, 2), "after a restart, too");
    phone.client.identify(person("ada")).await.expect("a person");
    phone.shows(&["one", "two"]).await;
    assert_eq!(waiting(&phone), (0, 0));
    phone.client.set_network(false).await.expect("open");
    phone.client.send(None, "three").await.expect("room");
    phone.client.logout().await.expect("it works");
    assert_eq!(waiting(&phone), (0, 0), "what was given up is not counted");
}

#[tokio::test(start_paused = true)]
async fn changing_persons_while_a_message_is_under_way_is_no_crash() {
    let (world, phone, _folder) = start().await;
    phone.client.identify(person("ada")).await.expect("a person");
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    world.fault(Fault::Ignore);
    phone.client.send(None, "two").await.expect("room");
    for _ in 0..7 {
        phone.online().await;
        sleep(Duration::from_secs(1)).await;
        phone.item("it is under way", |item| item.delivery == Delivery::Sending).await;
        world.fault(Fault::Ignore);
        phone.client.identify(person("bob")).await.expect("a person");
        phone.online().await;
        phone.client.identify(person("ada")).await.expect("a person");
    }
    world.heal();
    phone.shows(&["one", "two"]).await;
}
