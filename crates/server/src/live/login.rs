//! Who comes in: what they show is checked, and where they are is recorded.

use std::sync::Arc;

use chat::{Address, Chat, Credential, DeviceAccess, DeviceCredentials, Principal};
use protocol::event::{ADMIN_NAMESPACE, CLIENT_NAMESPACE};
use protocol::request::{AgentAuth, DeviceAuth};
use protocol::rest::Identity;
use protocol::{ConnectionId, Failure, Session};
use socketio::Outgoing;
use store::LatestConversation;

use super::Peer;
use crate::fanout::{self, Namespace};
use crate::shared::Shared;

/// What is known of whoever has connected before they say who they are.
pub(crate) struct Visitor {
    pub(crate) address: Option<Address>,
    /// The page's, where it is a browser.
    pub(crate) origin: Option<Box<str>>,
}

/// A peer whose credential is good.
pub(crate) struct Login {
    peer: Peer,
    /// What let it in.
    credential: Credential,
    /// The conversation to join it to.
    latest: Option<LatestConversation>,
    /// The device may have more connections with this one than it may have.
    is_crowded: bool,
}

impl Login {
    /// The name of the new connection.
    pub(crate) fn connection_id(&self) -> &ConnectionId {
        &self.peer.subscriber.connection_id
    }

    /// Lets it in: it is told its first event, and from here on what concerns all. Returns it with the conversation to join
    /// it to.
    pub(crate) fn enter(self, shared: &Arc<Shared>) -> (Box<Peer>, Option<LatestConversation>) {
        let peer = Box::new(self.peer);
        peer.greet(shared, self.credential);
        if self.is_crowded
            && let Principal::Device(device) = &peer.principal
        {
            let (shared, device) = (Arc::clone(shared), device.clone());
            let newest = peer.subscriber.connection_id.clone();
            tokio::spawn(async move {
                shared.chat.thin_out(&device.app_id, &device.device_id, newest).await;
            });
        }
        (peer, self.latest)
    }
}

/// A new name for a connection.
pub(crate) fn connection_id(chat: &Chat) -> ConnectionId {
    ConnectionId::new(chat.ambient().now(), chat.ambient().chance())
}

/// Checks a device's credential and registers session and presence.
///
/// # Errors
/// What is wrong with it; it was told to the metrics and the log.
pub(crate) async fn login_device(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: DeviceAuth,
    visitor: &Visitor,
) -> Result<Login, Failure> {
    login(shared, outgoing, auth, visitor, false).await
}

/// Checks a device's credential before there is a connection, where a refusal has to be an answer to HTTP. What is found good
/// logs in with [`login_vetted`].
///
/// # Errors
/// What is wrong with it; it was told to the metrics and the log.
pub(crate) async fn vet_device(shared: &Shared, auth: &DeviceAuth, visitor: &Visitor) -> Result<(), Failure> {
    let access = check_device(shared, auth, visitor).await?;
    limit_login(shared, &access, visitor)
}

/// As [`login_device`], for who was vetted: it is looked again at who is at the device, but is not counted again.
///
/// # Errors
/// What is wrong with it; it was told to the metrics and the log.
pub(crate) async fn login_vetted(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: DeviceAuth,
    visitor: &Visitor,
) -> Result<Login, Failure> {
    login(shared, outgoing, auth, visitor, true).await
}

async fn check_device(
    shared: &Shared,
    auth: &DeviceAuth,
    visitor: &Visitor,
) -> Result<DeviceAccess, Failure> {
    let shown = DeviceCredentials {
        app_id: &auth.app_id,
        device_id: &auth.device_id,
        api_key: &auth.api_key,
        device_secret: auth.device_secret.as_deref(),
        address: visitor.address,
        origin: visitor.origin.as_deref(),
    };
    let tell = |failure: &Failure| tell_refused(shared, CLIENT_NAMESPACE, &auth.app_id, visitor, failure);
    shared.chat.authenticate_device(shown).await.inspect_err(tell)
}

fn limit_login(shared: &Shared, access: &DeviceAccess, visitor: &Visitor) -> Result<(), Failure> {
    let tell = |failure: &Failure| {
        tell_refused(shared, CLIENT_NAMESPACE, access.device.app_id.as_str(), visitor, failure);
    };
    shared.chat.limit_login(&access.device).inspect_err(tell)
}

async fn login(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: DeviceAuth,
    visitor: &Visitor,
    is_checked: bool,
) -> Result<Login, Failure> {
    let key = shared.fanout.new_key();
    let connection_id = connection_id(&shared.chat);
    let claim = shared.connections.claim(
        key,
        outgoing.clone(),
        auth.app_id.as_str().into(),
        auth.device_id.as_str().into(),
        connection_id.clone(),
    );
    let mut access = check_device(shared, &auth, visitor).await?;
    if !is_checked {
        limit_login(shared, &access, visitor)?;
    }
    if let Some(token) = &auth.user_token {
        let tell = |failure: &Failure| {
            tell_refused(shared, CLIENT_NAMESPACE, access.device.app_id.as_str(), visitor, failure);
        };
        let identity = Identity::Token(token.clone());
        shared.chat.identify(&access.device, identity, Some(&connection_id)).await.inspect_err(tell)?;
        // As whom it is now.
        access = check_device(shared, &auth, visitor).await?;
    }
    let session = Session {
        connection_id: connection_id.clone(),
        app_id: access.device.app_id.clone(),
        device_id: access.device.device_id.clone(),
        connected_at: shared.chat.ambient().now(),
        user_info: access.user_info,
    };
    let is_crowded = shared.chat.connect(session).await;
    claim.keep();
    let subscriber = fanout::Peer { key, connection_id, namespace: Namespace::Client, outgoing };
    let peer = Peer::new(Principal::Device(access.device), subscriber);
    Ok(Login { peer, credential: access.credential, latest: access.latest, is_crowded })
}

/// Checks an agent's token and joins the app's feed.
///
/// # Errors
/// What is wrong with it; it was told to the metrics and the log.
pub(crate) async fn login_agent(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: AgentAuth,
    visitor: &Visitor,
) -> Result<Login, Failure> {
    let connection_id = connection_id(&shared.chat);
    let agent = shared
        .chat
        .authenticate_agent(Some(&auth.app_id), &auth.admin_token, Some(connection_id.clone()))
        .await
        .inspect_err(|failure| tell_refused(shared, ADMIN_NAMESPACE, &auth.app_id, visitor, failure))?;
    let key = shared.fanout.new_key();
    let subscriber = fanout::Peer { key, connection_id, namespace: Namespace::Admin, outgoing };
    let watching = shared.chat.watch(&agent.app_id).await;
    let credential = Credential::Token(agent.token_id.clone(), agent.version);
    let mut peer = Peer::new(Principal::Agent(agent), subscriber);
    peer.keep_watching(watching);
    Ok(Login { peer, credential, latest: None, is_crowded: false })
}

/// Counts a refused login, and tells of it in the log.
pub(crate) fn tell_refused(
    shared: &Shared,
    namespace: &'static str,
    app: &str,
    visitor: &Visitor,
    failure: &Failure,
) {
    shared.metrics.login_refused(namespace, failure.code);
    let address = visitor.address.map(|address| address.ip);
    shared.refused_logins.tell(namespace, failure.code.as_str(), Some(app), address);
}
