//! `/admin`: an agent, for one app.

use std::sync::Arc;

use chat::{Credential, Page, Principal};
use protocol::Failure;
use protocol::event::ADMIN_NAMESPACE;
use protocol::request::{
    AgentAuth, JoinConversation, LeaveConversation, ListSessions, PING, ReadMessages, Request as _,
    SendToConversation, StartTyping, StopTyping, SubscribeToApp,
};
use serde_json::value::RawValue;
use socketio::{Event, Outgoing};

use super::payload;
use super::peer::{ConnectedPeer, Peer};
use super::reply::Success;
use super::{Handled, Visitor, refused};
use crate::fanout::{self, Namespace};
use crate::json::parse;
use crate::shared::Shared;

/// Checks the token and joins the app's feed.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) -> Result<ConnectedPeer, Failure> {
    let parsed = parse(auth.as_ref().map_or("{}", |auth| auth.get())).and_then(|auth: AgentAuth| {
        if auth.app_id.is_empty() { Err(Failure::missing("app_id")) } else { Ok(auth) }
    });
    let auth = parsed.inspect_err(|failure| refused(shared, ADMIN_NAMESPACE, "", visitor, failure))?;
    let connection_id = super::connection_id(&shared.chat);
    let agent = shared
        .chat
        .authenticate_agent(Some(&auth.app_id), &auth.admin_token, Some(connection_id.clone()))
        .await
        .inspect_err(|failure| refused(shared, ADMIN_NAMESPACE, &auth.app_id, visitor, failure))?;
    let key = shared.fanout.new_key();
    let subscriber = fanout::Peer { key, connection_id, namespace: Namespace::Admin, outgoing };
    let watching = shared.chat.watch(&agent.app_id).await;
    let credential = Credential::Token(agent.token_id.clone());
    let mut peer = Peer::new(Principal::Agent(agent), subscriber);
    peer.keep_watching(watching);
    Ok(ConnectedPeer { peer, credential, latest: None, is_crowded: false })
}

pub(super) async fn handle(shared: &Arc<Shared>, peer: &mut Peer, event: Event) -> Handled {
    match event.name.as_str() {
        SubscribeToApp::NAME => subscribe(shared, peer, &event),
        JoinConversation::NAME => peer.join(shared, &event).await,
        LeaveConversation::NAME => peer.leave_room(shared, &event),
        SendToConversation::NAME => return peer.send(shared, &event).await,
        StartTyping::NAME => peer.typing(shared, &event, true),
        StopTyping::NAME => peer.typing(shared, &event, false),
        ReadMessages::NAME => peer.read(shared, &event).await,
        ListSessions::NAME => sessions(shared, peer, &event).await,
        PING => peer.ping(&event),
        _ => peer.unknown(&event),
    }
    Handled::Counted
}

fn subscribe(shared: &Shared, peer: &Peer, event: &Event) {
    let Principal::Agent(agent) = &peer.principal else { return };
    let outcome =
        payload::object::<SubscribeToApp>(event).and_then(|payload| agent.require_app(&payload.app_id));
    if outcome.is_ok() {
        peer.watch_app(shared, agent);
    }
    peer.reply(event).done(outcome);
}

async fn sessions(shared: &Arc<Shared>, peer: &Peer, event: &Event) {
    let Principal::Agent(agent) = &peer.principal else { return };
    let reply = peer.reply(event);
    let wish = payload::object::<ListSessions>(event).and_then(|wish| {
        agent.require_app(&wish.app_id)?;
        Ok(wish)
    });
    let outcome = match wish.and_then(|wish| Ok((Page::of_sessions(wish.limit)?, wish.after))) {
        Ok((page, after)) => shared.chat.sessions(agent, after.as_deref(), page).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(page) => reply.answer(&Success::with(page)),
        Err(failure) => reply.fail(&failure),
    }
}
