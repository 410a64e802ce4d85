//! The connection, on a clock that the test moves.

use std::time::Duration;

use protocol::Code;
use sdk::{ConnectionState, Delivery};

use crate::phone::Phone;
use crate::world::{Fault, World};

async fn start() -> (World, Phone, tempfile::TempDir) {
    let world = World::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = Phone::in_world(&world, folder.path()).await;
    (world, phone, folder)
}

#[tokio::test(start_paused = true)]
async fn a_lost_ack_is_asked_for_again_and_stores_nothing_twice() {
    let (world, phone, _folder) = start().await;
    world.fault(Fault::LoseAck);
    world.fault(Fault::Refuse(Code::RateLimited));
    phone.client.send(None, "one").await.expect("room");
    phone.item("sent", |item| item.body == "one" && item.delivery == Delivery::Sent).await;
    let stored = world.conversation().expect("a conversation");
    assert_eq!(stored.messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leaving_servers_delay_is_kept_to_the_millisecond_even_if_the_socket_closes_first() {
    let (world, phone, _folder) = start().await;
    phone.state("online", |state| state.connection == ConnectionState::Online).await;
    let before = world.dials().len();
    let left = tokio::time::Instant::now();
    world.leave(Duration::from_millis(7_777));
    phone.state("waiting", |state| matches!(state.connection, ConnectionState::Waiting { .. })).await;
    phone.client.set_network(true).await.expect("open");
    phone.client.set_foreground(true).await.expect("open");
    phone.state("online again", |state| state.connection == ConnectionState::Online).await;
    let waited = world.dials()[before] - left;
    assert!(waited >= Duration::from_millis(7_777) && waited < Duration::from_millis(7_800), "{waited:?}");
}
