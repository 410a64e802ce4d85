//! A person's story with an app, as a list of what happens, and the check that nothing went wrong in it: whatever the
//! network and the server did, everything accepted is on the server once and in order, and the phone shows what is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Code, Message};
use sdk::{
    ChatClient, ClientError, ClientState, Config, ConnectionState, Delivery, LocalId, Sender, Timeline,
};
use tokio::time::{sleep, timeout};

use crate::world::{Fault, World};

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Happens {
    PersonWrites,
    PersonTypes,
    PersonReads,
    PersonScrolls,
    /// Takes back the message that was written so many before the last one.
    PersonCancels(usize),
    /// Tries all again that were set aside.
    PersonRetries,
    AgentWrites,
    AgentsWriteMany(u64),
    AgentsReceive,
    AgentsRead,
    NetworkGoes,
    /// Without the system saying so.
    NetworkFallsSilent,
    NetworkComes,
    ConnectionIsCut,
    ConnectionIsCutAfter(usize),
    ServerDies,
    ServerComes,
    ServerLeaves(Duration),
    /// Its database goes back by so many messages, as after a failover.
    ServerForgets(usize),
    ServerFails(Fault),
    AppGoesToBackground,
    AppComesToForeground,
    /// Closed and opened again on the same folder.
    AppRestarts,
    TimePasses(Duration),
}

/// The phone of the story, and what is known of what happened.
pub(crate) struct Story<'a> {
    pub(crate) world: World,
    folder: &'a Path,
    client: ChatClient,
    /// What the client accepted, in order.
    accepted: Vec<(LocalId, String)>,
    cancelled: HashSet<LocalId>,
    written: u64,
    shows: Vec<tokio::task::JoinHandle<()>>,
}

impl<'a> Story<'a> {
    pub(crate) async fn begin(seed: u64, folder: &'a Path) -> Self {
        let world = World::new(seed);
        let client = open(&world, folder).await;
        let mut story = Self {
            world,
            folder,
            client,
            accepted: Vec::new(),
            cancelled: HashSet::new(),
            written: 0,
            shows: Vec::new(),
        };
        story.watch();
        story
    }

    /// Looks at each picture that is shown.
    fn watch(&mut self) {
        let mut timelines = self.client.subscribe_timeline(None);
        self.shows.push(tokio::spawn(async move {
            while let Some(timeline) = timelines.next().await.expect("a conversation") {
                check_picture(&timeline);
            }
        }));
    }

    pub(crate) async fn happen(&mut self, what: &Happens) {
        match what {
            Happens::PersonWrites => {
                self.written += 1;
                let body = format!("message {}", self.written);
                match self.client.send(None, &body).await {
                    Ok(local_id) => self.accepted.push((local_id, body)),
                    Err(error) => assert_eq!(error, ClientError::QueueFull),
                }
            }
            Happens::PersonTypes => self.client.typing(None, true).await.expect("open"),
            Happens::PersonReads => self.client.mark_read(None).await.expect("open"),
            Happens::PersonScrolls => match self.client.load_older(None).await {
                Ok(_) | Err(ClientError::Offline | ClientError::Server { .. }) => {}
                Err(error) => panic!("{error}"),
            },
            Happens::PersonCancels(before) => {
                let at = self.accepted.len().checked_sub(before + 1);
                if let Some((local_id, _)) = at.and_then(|at| self.accepted.get(at)) {
                    match self.client.cancel(local_id).await {
                        Ok(()) => drop(self.cancelled.insert(local_id.clone())),
                        Err(ClientError::NotPossible(_) | ClientError::UnknownMessage) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Happens::PersonRetries => self.retry_wedged().await,
            Happens::AgentWrites => drop(self.world.agent_says(0, "from an agent")),
            Happens::AgentsWriteMany(count) => {
                for _ in 0..*count {
                    self.world.agent_says(0, "many");
                }
            }
            Happens::AgentsReceive => self.world.agent_sees(0, false),
            Happens::AgentsRead => self.world.agent_sees(0, true),
            Happens::NetworkGoes => {
                self.world.network(false);
                self.client.set_network(false).await.expect("open");
            }
            Happens::NetworkFallsSilent => self.world.half_open(),
            Happens::NetworkComes => {
                self.world.network(true);
                self.client.set_network(true).await.expect("open");
            }
            Happens::ConnectionIsCut => self.world.cut(),
            Happens::ConnectionIsCutAfter(bytes) => self.world.cut_after(*bytes),
            Happens::ServerDies => self.world.power(false),
            Happens::ServerComes => self.world.power(true),
            Happens::ServerLeaves(delay) => self.world.leave(*delay),
            Happens::ServerForgets(count) => self.world.forget(*count),
            Happens::ServerFails(fault) => self.world.fault(*fault),
            Happens::AppGoesToBackground => self.client.set_foreground(false).await.expect("open"),
            Happens::AppComesToForeground => self.client.set_foreground(true).await.expect("open"),
            Happens::AppRestarts => {
                self.client.close().await;
                self.end_shows().await;
                self.client = open(&self.world, self.folder).await;
                self.watch();
            }
            Happens::TimePasses(time) => sleep(*time).await,
        }
    }

    /// Pictures that were wrong panicked where they were looked at.
    async fn end_shows(&mut self) {
        for show in self.shows.drain(..) {
            show.await.expect("every picture was right");
        }
    }

    async fn retry_wedged(&mut self) {
        let mut timelines = self.client.subscribe_timeline(None);
        let timeline = timelines.next().await.expect("a conversation").expect("an open client");
        for item in &timeline.items {
            if let Delivery::Wedged { .. } = item.delivery {
                // It may have gone out of that state meanwhile.
                let _ = self.client.retry(&item.local_id).await;
            }
        }
    }

    /// Everything works again: what has to become true does, and all that was promised is.
    pub(crate) async fn end_well(mut self) -> ClientState {
        self.world.heal();
        self.client.set_network(true).await.expect("open");
        self.client.set_foreground(true).await.expect("open");
        self.retry_wedged().await;
        let mut states = self.client.subscribe_state();
        let is_quiet = async {
            while let Some(state) = states.next().await {
                if state.connection == ConnectionState::Online && state.queued == 0 {
                    if state.wedged == 0 {
                        return;
                    }
                    // Set aside after the last look.
                    self.retry_wedged().await;
                }
            }
        };
        if timeout(Duration::from_secs(3600), is_quiet).await.is_err() {
            panic!("not sent: {:?}\n{}", self.client.subscribe_state().current(), self.world.log());
        }
        // What was skipped shows with what comes next; the real server never leaves it at that.
        self.world.agent_says(0, "the last one");
        // Pages, receipts and statuses come to rest.
        sleep(Duration::from_secs(180)).await;
        self.scroll_to_the_beginning().await;
        self.check_unread();
        self.client.mark_read(None).await.expect("open");
        sleep(Duration::from_secs(30)).await;
        self.check_server();
        self.check_phone().await;
        let state = self.client.subscribe_state().current();
        self.client.close().await;
        self.end_shows().await;
        (*state).clone()
    }

    /// Each accepted message is stored once, or was cancelled; in the order of writing.
    fn check_server(&self) {
        let conversations = self.world.conversations();
        assert!(conversations.len() <= 1, "one person, one conversation");
        let Some(conversation) = conversations.first() else {
            let kept =
                self.accepted.iter().filter(|(local_id, _)| !self.cancelled.contains(local_id)).count();
            assert_eq!(kept, 0, "nothing reached the server");
            return;
        };
        let stored: Vec<_> =
            conversation.messages.iter().filter(|message| message.sender == Sender::User).collect();
        let mut names = HashSet::new();
        for message in &stored {
            assert!(names.insert(message.local_id.clone()), "{} is stored twice", message.local_id);
        }
        for (local_id, body) in &self.accepted {
            let found = stored.iter().find(|message| message.local_id == *local_id);
            match found {
                Some(message) => assert_eq!(message.body, *body),
                None => assert!(self.cancelled.contains(local_id), "{body} is lost\n{}", self.world.log()),
            }
        }
        // One that was refused, or taken back while it was under way, is passed by those behind it; and so may be one that
        // the server has lost again, for that may be found out only after many pages.
        let keeps_its_place = |local_id: &&LocalId| {
            !self.world.was_refused(local_id)
                && !self.world.was_forgotten(local_id)
                && !self.cancelled.contains(*local_id)
        };
        let order: Vec<_> = stored.iter().map(|message| &message.local_id).filter(keeps_its_place).collect();
        let written: Vec<_> = self
            .accepted
            .iter()
            .map(|(local_id, _)| local_id)
            .filter(|local_id| names.contains(*local_id))
            .filter(keeps_its_place)
            .collect();
        assert_eq!(order, written, "out of order\n{}", self.world.log());
    }

    /// What was passed over because the phone was far behind is fetched.
    async fn scroll_to_the_beginning(&self) {
        for _ in 0..1000 {
            if !self.client.load_older(None).await.expect("a connection") {
                return;
            }
        }
        panic!("there is no beginning");
    }

    /// What the person has not read is what the agents wrote behind what the server was told was read.
    fn check_unread(&self) {
        let unread = self.client.subscribe_state().current().unread;
        let wanted = self.world.conversation().map_or(0, |conversation| {
            let is_unread = |message: &&Message| {
                message.sender == Sender::Agent && message.seq > conversation.device_read
            };
            conversation.messages.iter().filter(is_unread).count()
        });
        assert_eq!(unread, wanted as u64, "{}", self.world.log());
    }

    /// The phone shows what the server has, all of it once somebody has scrolled to the beginning.
    async fn check_phone(&self) {
        let mut timelines = self.client.subscribe_timeline(None);
        let timeline = timelines.next().await.expect("a conversation").expect("an open client");
        check_picture(&timeline);
        let Some(conversation) = self.world.conversation() else { return };
        let shown: Vec<_> = timeline.items.iter().map(|item| (item.seq, item.local_id.clone())).collect();
        let stored: Vec<_> = conversation
            .messages
            .iter()
            .map(|message| (Some(message.seq), message.local_id.clone()))
            .collect();
        assert_eq!(shown.len(), stored.len(), "{}", self.world.log());
        assert_eq!(shown, stored, "{}", self.world.log());
        assert!(!timeline.has_older);
        for item in timeline.items.iter().filter(|item| item.sender == Sender::User) {
            let seq = item.seq.expect("stored");
            let wanted = if seq <= conversation.agent_read {
                Delivery::Read
            } else if seq <= conversation.agent_delivered {
                Delivery::Delivered
            } else {
                Delivery::Sent
            };
            assert_eq!(item.delivery, wanted, "seq {seq}\n{}", self.world.log());
        }
        let newest_of_agents = conversation
            .messages
            .iter()
            .rfind(|message| message.sender == Sender::Agent)
            .map_or(0, |message| message.seq);
        assert_eq!(conversation.device_read, newest_of_agents, "the agents know what was read");
        assert_eq!(conversation.device_delivered, newest_of_agents, "the agents know what was received");
        let state = self.client.subscribe_state().current();
        assert_eq!((state.unread, state.queued, state.wedged), (0, 0, 0));
    }
}

async fn open(world: &World, folder: &Path) -> ChatClient {
    let config = Config::new("http://chat.example.com", "app_1", "rhq_key_1", folder);
    ChatClient::open(config, Arc::new(world.clone())).await.expect("an open client")
}

/// What holds in every picture: no message twice, the server's in its order and without a hole before any of an agent's.
fn check_picture(timeline: &Timeline) {
    let mut names = HashSet::new();
    let mut last: Option<u64> = None;
    let mut has_hole = false;
    let mut waits = false;
    for item in &timeline.items {
        assert!(names.insert(&item.local_id), "{} is shown twice", item.local_id);
        let Some(seq) = item.seq else {
            waits = true;
            continue;
        };
        assert!(!waits, "a stored message is shown after one that waits");
        if let Some(last) = last {
            assert!(seq > last, "out of order");
            has_hole |= seq != last + 1;
        }
        assert!(!has_hole || item.sender == Sender::User, "{seq} is shown after a hole");
        last = Some(seq);
    }
}

/// A fault from a number; as many kinds as there are.
pub(crate) fn fault(number: u64) -> Fault {
    match number % 14 {
        0 => Fault::LoseAck,
        1 => Fault::CutAfterCommit,
        2 => Fault::CutBeforeCommit,
        3 => Fault::Refuse(Code::RateLimited),
        4 => Fault::Refuse(Code::ServerError),
        5 => Fault::Refuse(Code::ShuttingDown),
        6 => Fault::RefuseForGood,
        7 => Fault::Double,
        8 => Fault::Skip,
        9 => Fault::Swap,
        10 => Fault::Stall(7),
        11 => Fault::Stall(40),
        12 => Fault::TornPage,
        _ => Fault::Status(503),
    }
}
