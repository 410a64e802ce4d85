//! What is stored is found again, however the server's address is written, and when it moves.

use std::path::Path;

use sdk::Config;

use crate::phone::Phone;
use crate::world::World;

const ADDRESS: &str = "http://chat.example.com";

async fn open(world: &World, folder: &Path, url: &str, storage_key: Option<&str>) -> Phone {
    let mut config = Config::new(url, "app_1", "rhq_key_1", folder);
    config.storage_key = storage_key.map(str::to_owned);
    Phone::with(world, config).await
}

/// A device that has said something, closed again.
async fn used(url: &str, storage_key: Option<&str>) -> (World, tempfile::TempDir) {
    let world = World::new(3);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = open(&world, folder.path(), url, storage_key).await;
    phone.client.send(None, "one").await.expect("room");
    phone.shows(&["one"]).await;
    phone.client.close().await;
    (world, folder)
}

/// Whether it is the same device, with all that it had; and still after it was forgotten under which name it began.
async fn is_found(world: &World, folder: &Path, url: &str, storage_key: Option<&str>) -> bool {
    let phone = open(world, folder, url, storage_key).await;
    let is_same =
        phone.client.subscribe_state().current().device_id.as_str() == world.conversations()[0].device_id;
    phone.client.close().await;
    is_same
}

#[tokio::test(start_paused = true)]
async fn the_spelling_of_the_address_does_not_matter() {
    let (world, folder) = used(ADDRESS, None).await;
    for url in ["http://Chat.Example.COM/", "HTTP://chat.example.com:80", "http://chat.example.com/support"] {
        assert!(is_found(&world, folder.path(), url, None).await, "{url}");
    }
    for url in ["http://chat.example.org", "http://chat.example.com:8080"] {
        assert!(!is_found(&world, folder.path(), url, None).await, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_key_the_address_may_move() {
    let (world, folder) = used(ADDRESS, Some("support")).await;
    assert!(is_found(&world, folder.path(), "https://elsewhere.example", Some("support")).await);
    assert!(!is_found(&world, folder.path(), ADDRESS, Some("another")).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_before_there_was_a_key_goes_on_under_it() {
    let (world, folder) = used(ADDRESS, None).await;
    assert!(is_found(&world, folder.path(), ADDRESS, Some("support")).await);
    assert!(
        is_found(&world, folder.path(), "http://elsewhere.example", Some("support")).await,
        "it is noted"
    );
    assert!(is_found(&world, folder.path(), ADDRESS, None).await, "an app that goes back finds it, too");
}

/// Earlier versions took the address as it was written.
#[tokio::test(start_paused = true)]
async fn what_was_stored_under_an_odd_spelling_is_found() {
    let (world, folder) = used("http://chat.example.com:8080", None).await;
    // The names that the earlier version gave for `http://Chat.Example.com:8080`, which are hashes.
    let tag = |server: &str| {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(format!("{server}\napp_1").as_bytes());
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (now, before) = (tag("chat.example.com:8080"), tag("Chat.Example.com:8080"));
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("text").replace(&now, &before);
        std::fs::rename(&path, folder.path().join(name)).expect("a file");
    }
    let index = folder.path().join(format!("{before}.json"));
    let text = std::fs::read_to_string(&index).expect("an index").replace(&now, &before);
    std::fs::write(&index, text).expect("an index");
    assert!(is_found(&world, folder.path(), "http://Chat.Example.com:8080", None).await);
    assert!(is_found(&world, folder.path(), "http://chat.example.com:8080", None).await, "and from then on");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_comes_from_another_sdk_goes_on_as_the_device_that_it_was() {
    let world = World::new(5);
    let folder = tempfile::tempdir().expect("a folder");
    let open = async |first: &str| {
        let mut config = Config::new(ADDRESS, "app_1", "rhq_key_1", folder.path());
        config.first_device_id = Some(first.to_owned());
        sdk::ChatClient::open(config, std::sync::Arc::new(world.clone())).await
    };
    for odd in ["", "a\nb", &"x".repeat(129)] {
        assert!(matches!(open(odd).await.err(), Some(sdk::ClientError::InvalidConfig(_))), "{odd:?}");
    }
    let client = open("android_1f3a").await.expect("a client");
    assert_eq!(client.subscribe_state().current().device_id.as_str(), "android_1f3a");
    client.close().await;
    let client = open("another").await.expect("a client");
    assert_eq!(client.subscribe_state().current().device_id.as_str(), "android_1f3a", "the first counts");
    client.logout().await.expect("it works");
    let next = client.subscribe_state().current().device_id.clone();
    assert!(next.starts_with("dev_"), "{next}: who comes next is somebody else");
    client.close().await;
}
