//! A server that leaves answers everything that it has stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chat::{Ambient, Chat, Device, Parts, Principal, Restrictions, Sending};
use protocol::rest::OpenConversation;
use store::{Location, Purpose, Store};

/// Rounds, each with its own moment between the writes and the end.
const ROUNDS: u32 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_stored_after_the_last_write_was_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("replyhq.db"));
    let (store, completions) =
        Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.unwrap();
    tokio::spawn(completions.run());
    let store = Arc::new(store);
    let new_chat = || Chat::new(Parts::alone(Arc::clone(&store), Ambient::system()));
    let chat = new_chat();
    let app = chat.create_app("Shop").await.unwrap();
    let device = Device {
        app_id: app.app_id,
        device_id: "phone".into(),
        address: None,
        person: None,
        restrictions: Restrictions::default(),
    };
    let conversation = chat.open_conversation(&device, OpenConversation::default()).await.unwrap().id;
    let late = Arc::new(AtomicU64::new(0));
    for round in 0..ROUNDS {
        let chat = new_chat();
        let is_over = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (chat, is_over, late) = (Arc::clone(&chat), Arc::clone(&is_over), Arc::clone(&late));
                let (device, conversation) = (Principal::Device(device.clone()), conversation.to_string());
                std::thread::spawn(move || {
                    for number in 0.. {
                        let sending = Sending {
                            conversation_id: conversation.clone(),
                            local_id: format!("{round}-{sender}-{number}"),
                            body: "x".into(),
                        };
                        let (is_over, late) = (Arc::clone(&is_over), Arc::clone(&late));
                        let is_taken = chat.send(&device, sending, move |outcome| {
                            let is_late = outcome.is_ok() && is_over.load(Ordering::SeqCst);
                            late.fetch_add(u64::from(is_late), Ordering::SeqCst);
                        });
                        if !is_taken {
                            return;
                        }
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        chat.drain();
        chat.in_flight().below(1).await;
        is_over.store(true, Ordering::SeqCst);
        tokio::task::spawn_blocking(move || senders.into_iter().for_each(|sender| sender.join().unwrap()))
            .await
            .unwrap();
    }
    chat.in_flight().below(1).await;
    assert_eq!(late.load(Ordering::SeqCst), 0, "stored when everybody had been sent away");
}
