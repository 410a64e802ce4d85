//! The sockets of this node: whom to tell that the server leaves, and which to close with their token.

mod table;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat::{Chat, Credential, Revoked, Void};
use cluster::{OpenedFor, ProvenAt, SilentConnection};
use protocol::event::{ConversationOpened, ServerShutdown};
use protocol::{AppId, Code, ConnectionId, DeviceId, Failure, UserId};
use socketio::{CloseReason, Outgoing};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::table::Table;
use crate::fanout::{Channel, Namespace, SubscriberKey, Wire, frame, left};

/// How often the credentials of open connections are looked at. Withdrawal must close them within 5 s.
const CREDENTIAL_CHECK_EVERY: Duration = Duration::from_secs(2);

/// Credentials in one question: most installations have fewer open at a time.
const CREDENTIALS_AT_ONCE: usize = 10_000;

/// The least time a client is asked to stay away: a restart takes about so long.
const RECONNECT_DELAY_MIN_MS: u64 = 500;

#[derive(Default)]
pub(crate) struct Connections {
    table: Mutex<Table>,
    told_of_revocation: Notify,
}

struct Open {
    outgoing: Outgoing,
    /// `None` is a socket that has not been accepted in a namespace yet.
    namespace: Option<Namespace>,
    owner: Owner,
}

/// Whose a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// That is not known yet.
    Nobody,
    /// Of somebody who says that they are this device; with what happens to it meanwhile, if anything.
    Claimed(AppId, DeviceId, ConnectionId, Option<Box<Meanwhile>>),
    /// This device's.
    Device(OfDevice),
    /// An agent's.
    Agent(Credential),
}

/// A connection of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfDevice {
    pub(crate) app_id: AppId,
    pub(crate) device_id: DeviceId,
    pub(crate) connection_id: ConnectionId,
    pub(crate) credential: Credential,
    /// Who is proven to be there, if anybody is.
    pub(crate) person: Option<UserId>,
    /// The device's version when it was let in: revoked are those with a lower one.
    pub(crate) version: u64,
    /// While it says who is there itself: what happens to the device meanwhile.
    pub(crate) identifying: Option<Box<Meanwhile>>,
}

/// What happens to a device while it is being found out how one of its connections stands: what was read of the device may be
/// older than this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meanwhile {
    revoked: Option<Revoked>,
    /// The newest proof: the device's version then, and who is there.
    proven: Option<(u64, UserId)>,
}

impl Meanwhile {
    /// Signals come in any order; who is proven under a version is so until there is another.
    fn note_proven(&mut self, proven: &ProvenAt) {
        if self.proven.as_ref().is_none_or(|(version, _)| *version <= proven.version) {
            self.proven = Some((proven.version, proven.user_id.clone()));
        }
    }
}

impl OfDevice {
    /// Somebody is proven there, if it still is as it was then.
    fn note_proven(&mut self, version: u64, user_id: &UserId) {
        if self.person.is_none() && self.version == version {
            self.person = Some(user_id.clone());
        }
    }
}

/// A connection's place in the table while it logs in. Given up when dropped, unless it was let in.
pub(crate) struct Claim<'a> {
    connections: &'a Connections,
    key: SubscriberKey,
    is_kept: bool,
}

impl Claim<'_> {
    /// The connection was let in, and goes out by itself.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.connections.remove(self.key);
        }
    }
}

impl Open {
    fn channel(&self) -> Option<Channel> {
        Some(Channel::of(self.namespace?, &self.outgoing))
    }

    /// A device's, once it was let in.
    fn connection_id(&self) -> Option<&ConnectionId> {
        match &self.owner {
            Owner::Device(of) => Some(&of.connection_id),
            Owner::Claimed(..) | Owner::Agent(_) | Owner::Nobody => None,
        }
    }

    /// As [`connection_id`](Self::connection_id), or what it will be.
    fn name(&self) -> Option<&ConnectionId> {
        match &self.owner {
            Owner::Claimed(_, _, connection_id, _) => Some(connection_id),
            Owner::Device(of) => Some(&of.connection_id),
            Owner::Agent(_) | Owner::Nobody => None,
        }
    }

    /// Whose it is, or says that it is.
    fn device(&self) -> Option<(AppId, DeviceId)> {
        match &self.owner {
            Owner::Claimed(app_id, device_id, ..) => Some((app_id.clone(), device_id.clone())),
            Owner::Device(of) => Some((of.app_id.clone(), of.device_id.clone())),
            Owner::Agent(_) | Owner::Nobody => None,
        }
    }

    /// Who is proven to be at its device.
    fn person(&self) -> Option<(AppId, UserId)> {
        match &self.owner {
            Owner::Device(of) => Some((of.app_id.clone(), of.person.clone()?)),
            Owner::Claimed(..) | Owner::Agent(_) | Owner::Nobody => None,
        }
    }

    /// What it was let in by.
    fn credential(&self) -> Option<&Credential> {
        match &self.owner {
            Owner::Device(OfDevice { credential, .. }) | Owner::Agent(credential) => Some(credential),
            Owner::Claimed(..) | Owner::Nobody => None,
        }
    }

    /// Tells it why it has to go, and closes it. Stock clients don't come back by themselves after this packet.
    fn put_out(&self, namespace: Namespace, failure: &Failure) {
        let channel = Channel::of(namespace, &self.outgoing);
        if let Some(frame) = frame(channel, failure) {
            self.outgoing.send(frame);
        }
        if let Some(wire) = self.outgoing.wire() {
            self.outgoing.send(wire.disconnect(namespace.path()));
        }
        self.outgoing.close(CloseReason::Server);
    }

    /// Closes it if it was let in before. Stock clients come back, and find out how they stand; but for those who are blocked.
    fn revoke(&mut self, revoked: &Revoked) {
        match &mut self.owner {
            Owner::Device(of) if of.version >= revoked.version => return,
            Owner::Device(OfDevice { identifying: Some(meanwhile), .. }) => {
                meanwhile.revoked = Some(revoked.clone());
                return;
            }
            // Whether it was looked at before or after, the version will tell under which it is let in.
            Owner::Claimed(.., meanwhile) => {
                meanwhile.get_or_insert_default().revoked = Some(revoked.clone());
                return;
            }
            Owner::Device(_) | Owner::Agent(_) | Owner::Nobody => {}
        }
        if let (Code::Blocked, Some(namespace)) = (revoked.failure.code, self.namespace) {
            return self.put_out(namespace, &revoked.failure);
        }
        if let Some(frame) = self.channel().and_then(|channel| frame(channel, &revoked.failure)) {
            self.outgoing.send(frame);
        }
        self.outgoing.close(CloseReason::Server);
    }

    /// Somebody is proven at its device.
    fn note_proven(&mut self, proven: &ProvenAt) {
        match &mut self.owner {
            Owner::Claimed(.., meanwhile) => meanwhile.get_or_insert_default().note_proven(proven),
            Owner::Device(of) => {
                if let Some(meanwhile) = &mut of.identifying {
                    meanwhile.note_proven(proven);
                }
                of.note_proven(proven.version, &proven.user_id);
            }
            Owner::Agent(_) | Owner::Nobody => {}
        }
    }

    /// It is known how it stands, by what was read before some of this happened.
    fn catch_up(&mut self, meanwhile: &Meanwhile) {
        if let (Owner::Device(of), Some((version, user_id))) = (&mut self.owner, &meanwhile.proven) {
            of.note_proven(*version, user_id);
        }
        if let Some(revoked) = &meanwhile.revoked {
            self.revoke(revoked);
        }
    }

    fn tell_shutdown(&self, reconnect_delay_ms: u64) {
        let Some(channel) = self.channel() else { return };
        let message = "the server is shutting down".into();
        if let Some(frame) = frame(channel, &ServerShutdown { message, reconnect_delay_ms }) {
            self.outgoing.send(frame);
        }
    }
}

impl Connections {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket, or a namespace on one, is there. While the server leaves, it is told so at once.
    pub(crate) fn add(
        &self,
        key: SubscriberKey,
        outgoing: Outgoing,
        namespace: Option<Namespace>,
        owner: Owner,
    ) {
        let mut open = Open { outgoing, namespace, owner };
        let mut table = self.table();
        if let (Some(delay_ms), Some(_)) = (&mut table.next_delay_ms, namespace) {
            open.tell_shutdown(*delay_ms);
            *delay_ms += 1;
        }
        if let Some(Open { owner: Owner::Claimed(.., Some(meanwhile)), .. }) = table.remove(key) {
            open.catch_up(&meanwhile);
        }
        table.insert(key, open);
    }

    /// A device logs in: from here on it is closed if somebody else comes to the device, and known to be whose it is if they
    /// are proven there, whatever is read from here on of who is there.
    pub(crate) fn claim(
        &self,
        key: SubscriberKey,
        outgoing: Outgoing,
        app_id: AppId,
        device_id: DeviceId,
        connection_id: ConnectionId,
    ) -> Claim<'_> {
        self.add(key, outgoing, None, Owner::Claimed(app_id, device_id, connection_id, None));
        Claim { connections: self, key, is_kept: false }
    }

    pub(crate) fn remove(&self, key: SubscriberKey) {
        self.table().remove(key);
    }

    /// Tells everyone that the server leaves, each with another time to come back, spread over `spread`; and from here
    /// on everyone who comes in meanwhile.
    pub(crate) fn announce_shutdown(&self, spread: Duration) {
        let mut table = self.table();
        let told: Vec<_> = table.all().filter(|open| open.namespace.is_some()).collect();
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).max(told.len() as u64);
        for (index, open) in told.iter().enumerate() {
            let share = u128::from(spread_ms) * index as u128 / told.len() as u128;
            open.tell_shutdown(RECONNECT_DELAY_MIN_MS.saturating_add(u64::try_from(share).unwrap_or(0)));
        }
        table.next_delay_ms = Some(RECONNECT_DELAY_MIN_MS.saturating_add(spread_ms));
    }

    /// Asks every socket to write what waits and to end. Old clients know no delay: each comes back a second after its
    /// connection ended, so that their ends are spread, over at most `spread`.
    pub(crate) async fn close_all(&self, spread: Duration) {
        let old: Vec<_> = {
            let table = self.table();
            let outgoing = table.all().map(|open| &open.outgoing);
            let (old, others): (Vec<_>, Vec<_>) =
                outgoing.partition(|outgoing| Wire::of(outgoing) == Wire::Legacy);
            others.into_iter().for_each(|outgoing| outgoing.close(CloseReason::Shutdown));
            old.into_iter().cloned().collect()
        };
        let start = Instant::now();
        for (index, outgoing) in old.iter().enumerate() {
            tokio::time::sleep_until(start + spread.mul_f64(index as f64 / old.len() as f64)).await;
            outgoing.close(CloseReason::Shutdown);
        }
    }

    /// Closes the devices' connections: the other nodes have called them offline. Stock clients come back.
    pub(crate) fn close_devices(&self) {
        for open in self.table().all().filter(|open| open.namespace == Some(Namespace::Client)) {
            open.outgoing.close(CloseReason::Server);
        }
    }

    /// Closes the connections of credentials that open nothing any more, as long as it runs.
    pub(crate) async fn watch_credentials(&self, chat: &Chat) {
        let mut ticks = tokio::time::interval(CREDENTIAL_CHECK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let shown: HashSet<Credential> =
                self.table().all().filter_map(Open::credential).cloned().collect();
            let shown: Vec<_> = shown.into_iter().collect();
            for some in shown.chunks(CREDENTIALS_AT_ONCE) {
                // Where the database can't say, the connections stay: what they showed was good.
                let void = chat.void_credentials(some.to_vec()).await.unwrap_or_default();
                if !void.is_empty() {
                    self.close_void(&void.into_iter().collect());
                }
            }
        }
    }

    /// Closes what was let in at devices that have been revoked since, as long as it runs: at once when somebody says that
    /// there are such, and from time to time, for nobody may have.
    pub(crate) async fn watch_revocations(&self, chat: &Chat) {
        let mut ticks = tokio::time::interval(CREDENTIAL_CHECK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.told_of_revocation.notified() => {}
            }
            // Where the database can't say, the next look sees all that this one would have seen.
            while let Some(found) = chat.revoked(seen).await {
                seen = Some(found.seen);
                if found.may_be_any {
                    self.close_devices();
                }
                for revoked in &found.revoked {
                    self.close_revoked(revoked);
                }
                if !found.has_more {
                    break;
                }
            }
        }
    }

    /// Somebody has revoked devices.
    pub(crate) fn look_for_revocations(&self) {
        self.told_of_revocation.notify_one();
    }

    fn close_revoked(&self, revoked: &Revoked) {
        self.table().change_at(&revoked.app_id, &revoked.device_id, |open| open.revoke(revoked));
    }

    /// The connection says who is at its device: what happens to that meanwhile is looked at when it is done.
    pub(crate) fn begin_identifying(&self, key: SubscriberKey) {
        self.table().change(key, |open| {
            if let Owner::Device(of) = &mut open.owner {
                of.identifying.get_or_insert_default();
            }
        });
    }

    /// It has said so, and is as one that was let in under this version, with this person proven there.
    pub(crate) fn end_identifying(&self, key: SubscriberKey, version: u64, person: Option<UserId>) {
        self.table().change(key, |open| {
            let Owner::Device(of) = &mut open.owner else { return };
            // Whom it has heard of under this version is there still, whatever it knew itself, or has failed to say.
            of.person = person.or_else(|| of.person.take().filter(|_| of.version == version));
            of.version = version;
            if let Some(meanwhile) = of.identifying.take() {
                open.catch_up(&meanwhile);
            }
        });
    }

    /// Somebody is proven at a device: its connections here are theirs.
    pub(crate) fn note_proven(&self, app_id: &AppId, proven: &ProvenAt) {
        self.table().change_at(app_id, &proven.device_id, |open| open.note_proven(proven));
    }

    /// Tells a proven person's connections of a conversation that is theirs.
    pub(crate) fn tell_opened(&self, app_id: &AppId, opened: &OpenedFor) {
        let table = self.table();
        let event = ConversationOpened { conversation_id: opened.conversation_id.clone() };
        for open in table.of_person(app_id, &opened.user_id) {
            if let Some(frame) = open.channel().and_then(|channel| frame(channel, &event)) {
                open.outgoing.send(frame);
            }
        }
    }

    /// Tells a connection why it has to go, and closes it for good.
    pub(crate) fn put_out(&self, key: SubscriberKey, failure: &Failure) {
        if let Some(open) = self.table().get(key)
            && let Some(namespace) = open.namespace
        {
            open.put_out(namespace, failure);
        }
    }

    /// Closes the connections of a device to which somebody else has come, but for the one that brought them. Stock clients
    /// come back, as whoever it is now.
    pub(crate) fn close_device(&self, app_id: &AppId, device_id: &DeviceId, except: Option<&ConnectionId>) {
        let table = self.table();
        let open = table.at(app_id, device_id);
        for open in open.filter(|open| except.is_none() || open.name() != except) {
            if let Some(frame) = open.channel().and_then(left) {
                open.outgoing.send(frame);
            }
            open.outgoing.close(CloseReason::Server);
        }
    }

    /// The device's connections here that are not about to end, and for how long nothing was heard on each.
    pub(crate) fn of_device(&self, app_id: &AppId, device_id: &DeviceId) -> Vec<SilentConnection> {
        let table = self.table();
        let open = table.at(app_id, device_id);
        let open = open.filter(|open| !open.outgoing.is_closed());
        open.filter_map(|open| {
            let silent_ms = u64::try_from(open.outgoing.silent_for().as_millis()).unwrap_or(u64::MAX);
            Some(SilentConnection { connection_id: open.connection_id()?.clone(), silent_ms })
        })
        .collect()
    }

    /// Closes those of a device's connections that are too many; answers with how many were here.
    pub(crate) fn close_crowded_out(
        &self,
        app_id: &AppId,
        device_id: &DeviceId,
        gone: &[ConnectionId],
        failure: &Failure,
    ) -> usize {
        let table = self.table();
        let open = table.at(app_id, device_id);
        let open = open.filter(|open| open.connection_id().is_some_and(|id| gone.contains(id)));
        open.map(|open| open.put_out(Namespace::Client, failure)).count()
    }

    fn close_void(&self, void: &HashMap<Credential, Void>) {
        let table = self.table();
        for open in table.all() {
            let Some(void) = open.credential().and_then(|credential| void.get(credential)) else { continue };
            if *void == Void::Changed {
                // It is good, and opens something else: stock clients come back by themselves, and are let in to that.
                open.outgoing.close(CloseReason::Server);
                continue;
            }
            let what = match open.owner {
                Owner::Agent(_) => "the token has expired or was revoked, or its agent is disabled",
                Owner::Device(_) | Owner::Claimed(..) | Owner::Nobody => "the app's key was replaced",
            };
            // Stock clients don't come back by themselves after this, and need not: they would be refused.
            if let Some(namespace) = open.namespace {
                open.put_out(namespace, &Failure::new(Code::InvalidCredentials, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::Arc;

    use bytes::Bytes;
    use chat::{By, Device, Restrictions};
    use proptest::prelude::*;
    use protocol::request::DeviceAuth;
    use protocol::rest::{Identity, OpenConversation};
    use socketio::{Config, Connection};
    use tokio::io::{AsyncReadExt as _, DuplexStream};

    use super::*;
    use crate::live::{Visitor, login_device};
    use crate::{App, Cli, Command};

    /// What a connection that is added to `connections` has been told once it is closed.
    async fn told(connections: &Connections, key: SubscriberKey, act: impl FnOnce(&Connections)) -> String {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut connection = Connection::new(near, Bytes::new(), Arc::new(Config::default()), "sid");
        connections.add(key, connection.outgoing(), Some(Namespace::Client), Owner::Nobody);
        act(connections);
        connections.close_all(Duration::ZERO).await;
        heard(&mut connection, &mut far).await
    }

    /// What a connection has been told that is closed.
    async fn heard(connection: &mut Connection<DuplexStream>, far: &mut DuplexStream) -> String {
        let told = async {
            let mut read = Vec::new();
            // The connection ends when the other half is gone, which it is after this.
            while !read.windows(2).any(|end| end == [0x88, 0x02]) {
                let mut chunk = [0; 1024];
                let count = far.read(&mut chunk).await.unwrap();
                assert!(count > 0, "the connection ended without a close frame");
                read.extend_from_slice(&chunk[..count]);
            }
            String::from_utf8_lossy(&read).into_owned()
        };
        tokio::select! { told = told => told, _ = async { loop { connection.next().await; } } => unreachable!() }
    }

    fn delay_ms(told: &str) -> u64 {
        let (_, rest) = told.split_once("\"reconnect_delay_ms\":").expect("server:shutdown");
        rest.split('}').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn who_comes_in_while_the_server_leaves_is_told_with_a_delay_of_its_own() {
        let connections = Connections::default();
        let spread = Duration::from_secs(3);
        let before = told(&connections, 1, |connections| connections.announce_shutdown(spread)).await;
        connections.remove(1);
        let second = told(&connections, 2, |_| ()).await;
        connections.remove(2);
        let third = told(&connections, 3, |_| ()).await;
        assert!(before.contains("server:shutdown"), "{before}");
        let mut delays = [&before, &second, &third].map(|told| delay_ms(told));
        delays.sort_unstable();
        assert!(delays[0] < delays[1] && delays[1] < delays[2], "{delays:?}");
    }

    fn app() -> AppId {
        "app".into()
    }

    fn revoked(device_id: &DeviceId, version: u64) -> Revoked {
        let (device_id, failure) = (device_id.clone(), Failure::new(Code::IdentityChanged, "x"));
        Revoked { app_id: app(), device_id, version, failure }
    }

    fn of_device(device_id: &DeviceId, person: Option<&UserId>, version: u64) -> Owner {
        Owner::Device(OfDevice {
            app_id: app(),
            device_id: device_id.clone(),
            connection_id: "c".into(),
            credential: Credential::Token("tok".into(), 0),
            person: person.cloned(),
            version,
            identifying: None,
        })
    }

    const PHONE: &str = "phone";

    fn proven(user: &str, version: u64) -> ProvenAt {
        ProvenAt { device_id: PHONE.into(), user_id: user.into(), version }
    }

    /// Whether a connection hears what is opened for this person, after all of that has happened to it.
    async fn hears(user: &str, act: impl FnOnce(&Connections, &Outgoing)) -> bool {
        let connections = Connections::default();
        let told = told(&connections, 1, |connections| {
            let outgoing = connections.table().get(1).unwrap().outgoing.clone();
            act(connections, &outgoing);
            let opened = OpenedFor { user_id: user.into(), conversation_id: "conv".into() };
            connections.tell_opened(&app(), &opened);
        });
        told.await.contains("conversation:opened")
    }

    fn claim(connections: &Connections, outgoing: &Outgoing) {
        connections.claim(1, outgoing.clone(), app(), PHONE.into(), "c".into()).keep();
    }

    /// It was read that so much of the device is revoked, and that nobody is proven there.
    fn let_in(connections: &Connections, outgoing: &Outgoing, version: u64) {
        let owner = of_device(&PHONE.into(), None, version);
        connections.add(1, outgoing.clone(), Some(Namespace::Client), owner);
    }

    #[tokio::test]
    async fn a_proof_is_heard_of_whether_it_comes_before_or_after_a_connection_was_let_in() {
        let before = hears("ann", |connections, outgoing| {
            claim(connections, outgoing);
            connections.note_proven(&app(), &proven("ann", 3));
            let_in(connections, outgoing, 3);
        });
        let after = hears("ann", |connections, outgoing| {
            claim(connections, outgoing);
            let_in(connections, outgoing, 3);
            connections.note_proven(&app(), &proven("ann", 3));
        });
        assert_eq!((before.await, after.await), (true, true));
        // Whatever comes in which order, it is theirs who are there under the version that was read.
        for (user, is_there) in [("ann", false), ("bob", true)] {
            for proofs in [[proven("ann", 3), proven("bob", 4)], [proven("bob", 4), proven("ann", 3)]] {
                let heard = hears(user, |connections, outgoing| {
                    claim(connections, outgoing);
                    proofs.iter().for_each(|proven| connections.note_proven(&app(), proven));
                    let_in(connections, outgoing, 4);
                });
                assert_eq!(heard.await, is_there, "{user} after {proofs:?}");
            }
        }
        // Who has come since is nobody's who was let in before.
        let older = hears("bob", |connections, outgoing| {
            claim(connections, outgoing);
            connections.note_proven(&app(), &proven("bob", 4));
            let_in(connections, outgoing, 3);
        });
        assert!(!older.await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_proven_between_a_handshakes_reading_and_its_end_is_known_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--data-dir={}", folder.path().display());
        let flags = ["replyhq", "serve", "--listen=127.0.0.1:0", &data].map(OsString::from);
        let Ok(Command::Serve(settings)) = Cli::read(flags, |_| None).map(|cli| cli.command) else {
            panic!("good flags");
        };
        let server = App::start(*settings).await.unwrap();
        let shared = Arc::clone(&server.shared);
        let shop = shared.chat.create_app("Shop").await.unwrap();
        let secret = shared.chat.add_identity_secret(&By::CommandLine, &shop.app_id).await.unwrap().unwrap();
        let prove = async |device_id: &str| {
            let (app_id, restrictions) = (shop.app_id.clone(), Restrictions::default());
            let device =
                Device { app_id, device_id: device_id.into(), address: None, person: None, restrictions };
            let token = Identity::Token(testkit::token_of(&secret.secret, "ann"));
            shared.chat.identify(&device, token, None).await.unwrap();
            device
        };
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut connection = Connection::new(near, Bytes::new(), Arc::new(Config::default()), "sid");
        let auth = DeviceAuth {
            app_id: shop.app_id.to_string(),
            device_id: PHONE.into(),
            api_key: shop.api_key.clone(),
            device_secret: None,
            user_token: None,
        };
        let visitor = Visitor { address: None, origin: None };
        let login = login_device(&shared, connection.outgoing(), auth, &visitor).await.unwrap();
        prove(PHONE).await;
        let (_peer, _) = login.enter(&shared);
        let tablet = prove("tablet").await;
        let opened = shared.chat.open_conversation(&tablet, OpenConversation::default()).await.unwrap();
        shared.connections.close_all(Duration::ZERO).await;
        let told = heard(&mut connection, &mut far).await;
        assert!(told.contains("conversation:opened") && told.contains(opened.id.as_str()), "{told}");
    }

    #[tokio::test]
    async fn a_proof_is_heard_of_while_the_connection_itself_says_who_is_there() {
        // What it has said may be older than the proof, refused, or under a version that the proof knows and it does not yet.
        for (let_in_under, said_under) in [(3, 3), (2, 3)] {
            let meanwhile = hears("ann", |connections, outgoing| {
                let_in(connections, outgoing, let_in_under);
                connections.begin_identifying(1);
                connections.note_proven(&app(), &proven("ann", 3));
                connections.end_identifying(1, said_under, None);
            });
            assert!(meanwhile.await, "let in under {let_in_under}, and now under {said_under}");
        }
        let before = hears("ann", |connections, outgoing| {
            let_in(connections, outgoing, 3);
            connections.note_proven(&app(), &proven("ann", 3));
            connections.begin_identifying(1);
            connections.end_identifying(1, 3, None);
        });
        assert!(before.await, "what it knew was older");
        let over = hears("ann", |connections, outgoing| {
            let_in(connections, outgoing, 3);
            connections.note_proven(&app(), &proven("ann", 3));
            connections.begin_identifying(1);
            connections.end_identifying(1, 4, None);
        });
        assert!(!over.await, "she has left");
    }

    /// What may happen to the connections, few as they are: of two devices, and two people.
    #[derive(Debug, Clone)]
    enum Step {
        Add(SubscriberKey, Owner),
        Claim(SubscriberKey, DeviceId),
        Remove(SubscriberKey),
        Begin(SubscriberKey),
        End(SubscriberKey, u64, Option<UserId>),
        Proven(ProvenAt),
        Revoked(DeviceId, u64),
        Close(DeviceId),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = 0..4_u64;
        let version = 0..3_u64;
        let device = prop::sample::select(vec![DeviceId::from("phone"), DeviceId::from("tablet")]);
        let user = prop::sample::select(vec![UserId::from("ann"), UserId::from("bob")]);
        let person = prop::option::of(user.clone());
        let owner = prop_oneof![
            Just(Owner::Nobody),
            Just(Owner::Agent(Credential::Token("tok".into(), 0))),
            (device.clone(), person.clone(), version.clone())
                .prop_map(|(device, person, version)| of_device(&device, person.as_ref(), version)),
        ];
        let step = prop_oneof![
            (key.clone(), owner).prop_map(|(key, owner)| Step::Add(key, owner)),
            (key.clone(), device.clone()).prop_map(|(key, device)| Step::Claim(key, device)),
            key.clone().prop_map(Step::Remove),
            key.clone().prop_map(Step::Begin),
            (key, version.clone(), person).prop_map(|(key, version, person)| Step::End(key, version, person)),
            (device.clone(), user, version.clone()).prop_map(|(device_id, user_id, version)| Step::Proven(
                ProvenAt { device_id, user_id, version }
            )),
            (device.clone(), version).prop_map(|(device, version)| Step::Revoked(device, version)),
            device.prop_map(Step::Close),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn each_connection_is_found_by_its_device_and_its_person_whatever_happens(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _entered = runtime.enter();
            let (near, _far) = tokio::io::duplex(1 << 10);
            let outgoing = Connection::new(near, Bytes::new(), Arc::new(Config::default()), "sid").outgoing();
            let connections = Connections::default();
            for step in steps {
                match step {
                    Step::Add(key, owner) => {
                        connections.add(key, outgoing.clone(), Some(Namespace::Client), owner);
                    }
                    Step::Claim(key, device) => {
                        connections.claim(key, outgoing.clone(), app(), device, "c".into()).keep();
                    }
                    Step::Remove(key) => connections.remove(key),
                    Step::Begin(key) => connections.begin_identifying(key),
                    Step::End(key, version, person) => connections.end_identifying(key, version, person),
                    Step::Proven(proven) => connections.note_proven(&app(), &proven),
                    Step::Revoked(device, version) => connections.close_revoked(&revoked(&device, version)),
                    Step::Close(device) => connections.close_device(&app(), &device, None),
                }
                connections.table().check();
            }
        }
    }
}
