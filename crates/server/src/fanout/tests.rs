//! What a bus may do wrong and a subscriber never sees: envelopes lost, doubled, out of order.

use std::sync::Arc;
use std::time::Duration;

use chat::{Ambient, Chat, Device, Parts, Principal, Restrictions, Sending};
use cluster::Signal;
use proptest::prelude::*;
use protocol::rest::OpenConversation;
use protocol::{ConnectionId, ConversationId, InboxConversation, Message};
use socketio::{Config, Connection, Incoming, Meter};
use store::{Location, Purpose, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::oneshot;

use super::{Both, Fanout, Namespace, Peer, Standing};
use crate::metrics::Metrics;

/// A fan-out whose bus is the test itself: what is committed is announced only by [`Bench::announce`].
struct Bench {
    fanout: Arc<Fanout>,
    chat: Arc<Chat>,
    device: Principal,
    conversation: ConversationId,
    committed: Vec<(Message, InboxConversation)>,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("replyhq.db"));
        let (store, completions) =
            Store::open(&location, Purpose::Serve { alone: true }, Arc::new(|_| ())).await.unwrap();
        tokio::spawn(completions.run());
        let store = Arc::new(store);
        let metrics = Metrics::new(Arc::new(Meter::default()));
        let fanout = Fanout::new(Arc::clone(&store), Arc::default(), metrics);
        let chat = Chat::new(Parts::alone(Arc::clone(&store), Ambient::system()));
        let app = chat.create_app("Shop").await.unwrap();
        let device = Device {
            app_id: app.app_id,
            device_id: "phone".into(),
            address: None,
            person: None,
            restrictions: Restrictions::default(),
        };
        let opened = chat.open_conversation(&device, OpenConversation::default()).await.unwrap();
        Self {
            fanout,
            chat,
            device: Principal::Device(device),
            conversation: opened.id,
            committed: Vec::new(),
            _folder: folder,
        }
    }

    /// Commits so many messages; nobody hears of them.
    async fn commit(&mut self, count: usize) {
        for _ in 0..count {
            let (tell, told) = oneshot::channel();
            let sending = Sending {
                conversation_id: self.conversation.to_string(),
                local_id: format!("{}", self.committed.len()),
                body: "x".into(),
            };
            self.chat.send(&self.device, sending, |outcome| tell.send(outcome).unwrap());
            let message = told.await.unwrap().unwrap().message;
            let Principal::Device(device) = &self.device else { unreachable!("it is a device") };
            let page = chat::Page::of(None).unwrap();
            let conversation =
                self.chat.conversations_of(device, page).await.unwrap().conversations.remove(0);
            let inbox = InboxConversation {
                conversation,
                unread_count: 0,
                user_name: None,
                is_verified: false,
                assignee_id: None,
                waiting_since: None,
                first_reply_at: None,
                tags: Vec::new(),
                is_marked_unread: false,
                is_online: None,
            };
            self.committed.push((message, inbox));
        }
    }

    /// What the bus does with the message that has this `seq`.
    fn announce(&self, seq: usize) {
        let (message, inbox) = self.committed[seq - 1].clone();
        let app_id = inbox.conversation.app_id.clone();
        let signal = Signal::Message(Box::new(message), Box::new(inbox));
        self.fanout.deliver(&app_id, &signal);
    }

    /// A subscriber that has everything up to `last_seq`; returns the other end of its connection.
    fn subscribe(&self, last_seq: u64) -> Listener {
        let (near, far) = tokio::io::duplex(1 << 20);
        let mut connection = Connection::new(near, bytes::Bytes::new(), Arc::new(Config::default()), "sid");
        let peer = Peer {
            key: self.fanout.new_key(),
            connection_id: ConnectionId::from("conn_1"),
            namespace: Namespace::Client,
            outgoing: connection.outgoing(),
        };
        tokio::spawn(async move { while !matches!(connection.next().await, Incoming::Closed(_)) {} });
        self.fanout.hold(&self.conversation, &peer);
        let last = Both { messages: last_seq, activity: 0 };
        let standing = Standing { last, ..Standing::default() };
        self.fanout.release(&self.conversation, peer.key, standing, None, Both::default(), Vec::new());
        Listener { far, read: Vec::new() }
    }
}

struct Listener {
    far: DuplexStream,
    read: Vec<u8>,
}

impl Listener {
    /// The next `message:new`'s `seq`.
    async fn seq(&mut self) -> u64 {
        loop {
            if let Some(end) = self.read.windows(6).position(|window| window == b"\"seq\":") {
                let rest = &self.read[end + 6..];
                if let Some(stop) = rest.iter().position(|byte| !byte.is_ascii_digit()) {
                    let seq = std::str::from_utf8(&rest[..stop]).unwrap().parse().unwrap();
                    self.read.drain(..end + 6 + stop);
                    return seq;
                }
            }
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(20), self.far.read(&mut chunk));
            let count = read.await.expect("a message in time").unwrap();
            assert!(count > 0, "the connection ended");
            self.read.extend_from_slice(&chunk[..count]);
        }
    }

    async fn seqs(&mut self, count: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        for _ in 0..count {
            seqs.push(self.seq().await);
        }
        seqs
    }
}

#[tokio::test]
async fn a_message_that_the_bus_lost_is_read_before_the_next_one_goes_out() {
    let mut bench = Bench::new().await;
    bench.commit(1).await;
    let mut listener = bench.subscribe(1);
    bench.commit(5).await;
    bench.announce(2);
    bench.announce(6);
    assert_eq!(listener.seqs(5).await, [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn who_joins_while_messages_come_gets_none_twice_and_misses_none() {
    let mut bench = Bench::new().await;
    bench.commit(4).await;
    let mut early = bench.subscribe(2);
    bench.announce(3);
    // This one has read message 4 from the database before the bus brings it.
    let mut late = bench.subscribe(4);
    bench.announce(4);
    bench.commit(1).await;
    bench.announce(5);
    assert_eq!(early.seqs(3).await, [3, 4, 5]);
    assert_eq!(late.seqs(1).await, [5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the bus loses, doubles or reorders: as soon as the newest message is heard of, every subscriber has
    /// all of them, in order, each once.
    #[test]
    fn every_subscriber_gets_everything_in_order_once(announced in prop::collection::vec(1..=12usize, 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new().await;
            let mut listeners = [bench.subscribe(0), bench.subscribe(0)];
            bench.commit(12).await;
            for seq in announced.into_iter().chain([12]) {
                bench.announce(seq);
                tokio::task::yield_now().await;
            }
            bench.commit(1).await;
            bench.announce(13);
            for listener in &mut listeners {
                assert_eq!(listener.seqs(13).await, (1..=13).collect::<Vec<_>>());
            }
        });
    }
}
