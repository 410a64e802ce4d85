//! The file that lasts on a phone, whichever version of the SDK has written it: older ones have left those in
//! `tests/files/VERSION`, each a data folder as it was, with what its server had in `server.json`.

use std::fs;
use std::path::{Path, PathBuf};

use protocol::Message;
use rusqlite::Connection;
use sdk::{ChatEvent, ConnectionState, Delivery, EventSubscription, User};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::phone::{Phone, bodies};
use crate::world::{Fault, World};

/// Set to a version to write the file of that one, which is the newest.
const WRITE: &str = "REPLYHQ_WRITE_FILE";
const SERVER: &str = "server.json";

/// What the files of all versions hold: what is stored, what was refused for good, and what waits.
const STORED: [&str; 3] = ["one", "an answer", "two"];
const REFUSED: &str = "refused";
const WAITING: [&str; 2] = ["three", "four, with an emoji 🎉"];

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn ada() -> User {
    User { id: "ada".into(), name: Some("Ada".into()), email: None, attributes: None }
}

/// A person's day up to here, in this folder; what the server has.
async fn live(folder: &Path) -> World {
    let world = World::new(7);
    let phone = Phone::in_world(&world, folder).await;
    phone.client.identify(ada()).await.expect("a person");
    phone.client.send(None, STORED[0]).await.expect("room");
    phone.shows(&STORED[..1]).await;
    world.agent_says(0, STORED[1]);
    phone.shows(&STORED[..2]).await;
    phone.client.mark_read(None).await.expect("open");
    phone.client.send(None, STORED[2]).await.expect("room");
    phone.shows(&STORED).await;
    world.fault(Fault::RefuseForGood);
    phone.client.send(None, REFUSED).await.expect("room");
    phone.state("the refusal", |state| state.wedged == 1).await;
    world.network(false);
    for body in WAITING {
        phone.client.send(None, body).await.expect("room");
    }
    phone.client.close().await;
    world
}

/// Writes the file of the newest version, when asked to: before it is released, and never again.
#[tokio::test(start_paused = true)]
async fn write() {
    let Ok(version) = std::env::var(WRITE) else { return };
    let folder = files().join(version);
    fs::create_dir(&folder).expect("a version that has no file yet");
    let world = live(&folder).await;
    let stored = world.conversation().expect("a conversation");
    let server = json!({ "id": stored.id, "device_id": stored.device_id, "messages": stored.messages });
    fs::write(folder.join(SERVER), format!("{server:#}\n")).expect("a file");
}

/// A copy of what a version has left, and its server, to which there is no way yet.
fn left_by(version: &Path) -> (World, TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(version).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let server = fs::read(version.join(SERVER)).expect("what the server had");
    let server: Value = serde_json::from_slice(&server).expect("JSON");
    let messages: Vec<Message> = serde_json::from_value(server["messages"].clone()).expect("messages");
    let text = |name: &str| server[name].as_str().expect("a text").to_owned();
    let world = World::new(8);
    world.has(text("id").into(), text("device_id"), messages);
    world.network(false);
    (world, folder, text("device_id"))
}

/// All that the server has and all that waits, in order.
fn in_the_end() -> Vec<&'static str> {
    [&STORED[..], &WAITING].concat()
}

#[tokio::test(start_paused = true)]
async fn what_every_version_has_left_is_there_and_goes_on() {
    let mut versions = 0;
    for entry in fs::read_dir(files()).expect("the files") {
        versions += 1;
        let (world, folder, device_id) = left_by(&entry.expect("an entry").path());
        let phone = Phone::in_world(&world, folder.path()).await;
        let state = phone.state("what waits", |state| (state.queued, state.wedged) == (2, 1)).await;
        assert_eq!(
            (state.device_id.as_str(), state.user_id.as_deref(), state.unread),
            (device_id.as_str(), Some("ada"), 0)
        );
        let timeline = phone.timeline("all of it", |timeline| timeline.items.len() == 6).await;
        let [shown, refused, waiting] =
            [&bodies(&timeline)[..3], &bodies(&timeline)[3..4], &bodies(&timeline)[4..]];
        assert_eq!((shown, refused, waiting), (&STORED[..], &[REFUSED][..], &WAITING[..]));
        world.network(true);
        phone.state("all is sent", |state| (state.queued, state.wedged) == (0, 1)).await;
        let refused = phone.item("what was refused", |item| item.body == REFUSED).await;
        assert!(matches!(refused.delivery, Delivery::Wedged { .. }), "{:?}", refused.delivery);
        phone.client.retry(&refused.local_id).await.expect("it waits again");
        phone.state("that, too", |state| (state.queued, state.wedged) == (0, 0)).await;
        let stored = world.conversation().expect("a conversation").messages;
        let stored: Vec<&str> = stored.iter().map(|message| message.body.as_str()).collect();
        assert_eq!(stored, [&in_the_end()[..], &[REFUSED]].concat());
        // Whatever wrote the file, the device's name is its own from here on, and stays that.
        let secret = world.secret_of(&device_id).expect("it has shown one");
        phone.client.close().await;
        let phone = Phone::in_world(&world, folder.path()).await;
        phone.online().await;
        assert_eq!(world.secret_of(&device_id), Some(secret));
        phone.client.close().await;
    }
    assert!(versions > 0);
}

/// The databases in a folder.
fn databases(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect()
}

fn version(database: &Path) -> i64 {
    let connection = Connection::open(database).expect("a database");
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version")
}

fn set_version(database: &Path, version: i64) {
    let connection = Connection::open(database).expect("a database");
    connection.execute_batch(&format!("PRAGMA user_version = {version}")).expect("room");
}

/// A version that nobody knows yet.
const TO_COME: i64 = 1_000;

/// A folder of the newest version after one to come has written to it; the version it was of.
async fn after_a_version_to_come() -> (World, TempDir, i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let world = live(folder.path()).await;
    let [database] = &databases(folder.path())[..] else { panic!("one person") };
    let known = version(database);
    set_version(database, TO_COME);
    (world, folder, known)
}

#[tokio::test(start_paused = true)]
async fn who_goes_back_to_an_older_app_goes_on_and_what_waited_is_sent_by_the_newer_one() {
    let (world, folder, known) = after_a_version_to_come().await;
    let device_id = world.conversation().expect("a conversation").device_id;
    let phone = Phone::in_world(&world, folder.path()).await;
    let state = phone.client.subscribe_state().current();
    assert_eq!(
        (state.device_id.as_str(), state.user_id.as_deref(), state.queued),
        (device_id.as_str(), Some("ada"), 0)
    );
    assert!(world.log().contains("written by a newer version of the app"), "{}", world.log());
    world.network(true);
    phone.shows(&STORED).await;
    phone.client.send(None, "by the older app").await.expect("room");
    let mut shown = [&STORED[..], &["by the older app"]].concat();
    phone.shows(&shown).await;
    world.network(false);
    phone.client.send(None, "and still waiting").await.expect("room");
    phone.client.close().await;
    // Started again, it is all the same.
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.state("what waits", |state| state.queued == 1).await;
    phone.client.close().await;
    let aside: Vec<_> =
        databases(folder.path()).into_iter().filter(|database| version(database) == TO_COME).collect();
    let [aside] = &aside[..] else { panic!("the file of the version to come is kept: {aside:?}") };

    // The newer app is back.
    set_version(aside, known);
    let phone = Phone::in_world(&world, folder.path()).await;
    phone.state("what waits in both", |state| (state.queued, state.wedged) == (3, 1)).await;
    assert_eq!(databases(folder.path()).len(), 1, "what was kept is taken in, and gone");
    world.network(true);
    phone.state("all is sent", |state| (state.queued, state.wedged) == (0, 1)).await;
    shown.extend(WAITING);
    shown.push("and still waiting");
    let stored = world.conversation().expect("a conversation").messages;
    let stored: Vec<&str> = stored.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(stored, shown);
    phone.client.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_of_a_version_to_come_is_kept_when_its_person_comes_back_too() {
    for was_somebody in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let world = live(folder.path()).await;
        let [of_ada] = &databases(folder.path())[..] else { panic!("one person") };
        let phone = Phone::in_world(&world, folder.path()).await;
        phone.client.identify(User { id: "bob".into(), ..ada() }).await.expect("a person");
        if !was_somebody {
            phone.client.logout().await.expect("it works");
            phone.client.send(None, "without a name").await.expect("room");
        }
        phone.client.close().await;
        let known = version(of_ada);
        set_version(of_ada, TO_COME);

        let phone = Phone::in_world(&world, folder.path()).await;
        phone.client.identify(ada()).await.expect("a person");
        phone.client.close().await;
        assert_eq!(version(of_ada), TO_COME, "it is there, as it was");
        set_version(of_ada, known);
        let phone = Phone::in_world(&world, folder.path()).await;
        let waiting = 2 + u64::from(!was_somebody);
        phone.state("what waits in all", |state| (state.queued, state.wedged) == (waiting, 1)).await;
        phone.client.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_logs_out_leaves_no_file_of_a_version_to_come() {
    let (world, folder, _) = after_a_version_to_come().await;
    let phone = Phone::in_world(&world, folder.path()).await;
    assert_eq!(databases(folder.path()).len(), 2);
    phone.client.logout().await.expect("it works");
    phone.client.close().await;
    let [left] = &databases(folder.path())[..] else { panic!("one file, for nobody") };
    assert_ne!(version(left), TO_COME);
}

/// How often the app was told that what was stored was damaged, until the client was closed.
async fn recoveries(events: &mut EventSubscription) -> usize {
    let mut count = 0;
    while let Some(event) = events.next().await {
        count += usize::from(matches!(event, ChatEvent::StorageRecovered { .. }));
    }
    count
}

/// What the server has in the end, after the phone with this folder was used once more.
async fn used_once_more(world: &World, folder: &Path, what: &str) -> (Vec<String>, u64) {
    let phone = Phone::in_world(world, folder).await;
    let mut events = phone.client.subscribe_events();
    world.network(true);
    phone.client.identify(ada()).await.expect(what);
    phone.client.send(None, "afterwards").await.expect(what);
    phone
        .state("all is sent", |state| state.queued == 0 && state.connection == ConnectionState::Online)
        .await;
    phone.timeline(what, |timeline| bodies(timeline).contains(&"afterwards")).await;
    let wedged = phone.client.subscribe_state().current().wedged;
    phone.client.close().await;
    let begun_anew = world.log().matches("the local file is damaged and begun anew").count();
    assert_eq!(recoveries(&mut events).await, begun_anew, "{what}: the app is told each time");
    assert!(begun_anew <= 1, "{what}");
    // And it was no accident.
    let phone = Phone::in_world(world, folder).await;
    let mut events = phone.client.subscribe_events();
    phone.timeline(what, |timeline| bodies(timeline).contains(&"afterwards")).await;
    phone.client.close().await;
    assert_eq!(recoveries(&mut events).await, 0, "{what}: once");
    let stored = world.conversations().into_iter().flat_map(|conversation| conversation.messages);
    (stored.map(|message| message.body).collect(), wedged)
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_damaged_is_made_anew_from_the_files() {
    for damage in ["", "{", "null", "[1]", "\0\0\0\0", "{\"current\":7}"] {
        let folder = tempfile::tempdir().expect("a folder");
        let world = live(folder.path()).await;
        let device_id = world.conversation().expect("a conversation").device_id;
        let index =
            fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let index = index.into_iter().find(|path| path.extension().is_some_and(|end| end == "json"));
        fs::write(index.expect("an index"), damage).expect("room");
        let phone = Phone::in_world(&world, folder.path()).await;
        let state = phone.client.subscribe_state().current();
        assert_eq!(
            (state.device_id.as_str(), state.user_id.as_deref(), state.queued, state.wedged),
            (device_id.as_str(), Some("ada"), 2, 1),
            "{damage:?}"
        );
        phone.client.close().await;
        let (stored, _) = used_once_more(&world, folder.path(), damage).await;
        let expected = [&in_the_end()[..], &["afterwards"]].concat();
        assert_eq!(stored, expected, "{damage:?}");
    }
}

/// Whatever page of the file is damaged, and however: the chat goes on, as the same device, nothing comes twice, and what can
/// still be read of what waits is sent.
#[tokio::test(start_paused = true)]
async fn a_file_of_which_any_page_is_damaged_is_begun_anew() {
    const PAGE: usize = 4096;
    let (mut rescued, mut damaged) = (0, 0);
    let mut page = 0;
    loop {
        let mut pages = 0;
        for filling in [Filling::Zeros, Filling::Ones, Filling::Noise, Filling::Cut] {
            let folder = tempfile::tempdir().expect("a folder");
            let world = live(folder.path()).await;
            let device_id = world.conversation().expect("a conversation").device_id;
            let [database] = &databases(folder.path())[..] else { panic!("one person") };
            let mut bytes = fs::read(database).expect("a file");
            pages = bytes.len() / PAGE;
            filling.damage(&mut bytes, page * PAGE, PAGE);
            fs::write(database, &bytes).expect("room");
            let what = format!("page {page} of {pages}, {filling:?}");
            let (stored, wedged) = used_once_more(&world, folder.path(), &what).await;
            let count = |body: &str| stored.iter().filter(|stored| *stored == body).count();
            for body in in_the_end() {
                assert!(count(body) <= 1, "{what}: {body} came twice: {stored:?}");
            }
            assert_eq!(count("afterwards"), 1, "{what}: {stored:?}");
            let devices = world.conversations().into_iter().map(|conversation| conversation.device_id);
            assert!(devices.into_iter().all(|device| device == device_id), "{what}");
            damaged += 1;
            rescued += usize::from(WAITING.iter().all(|body| count(body) == 1) && wedged == 1);
        }
        page += 1;
        if page >= pages {
            break;
        }
    }
    // All but what is in the table's own page, or lost with all that comes after a cut.
    assert!(damaged >= 24 && rescued * 2 > damaged, "{rescued} of {damaged}");
}

#[derive(Debug, Clone, Copy)]
enum Filling {
    Zeros,
    Ones,
    Noise,
    /// The file ends there.
    Cut,
}

impl Filling {
    fn damage(self, bytes: &mut Vec<u8>, from: usize, count: usize) {
        let mut noise = 1_u32;
        match self {
            Self::Cut => bytes.truncate(from),
            _ => bytes[from..from + count].iter_mut().for_each(|byte| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = match self {
                    Self::Zeros => 0,
                    Self::Ones => 0xff,
                    Self::Noise | Self::Cut => noise.to_be_bytes()[0],
                };
            }),
        }
    }
}
