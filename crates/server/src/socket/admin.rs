//! `/admin`: an agent, for one app.

use std::sync::Arc;

use chat::{Credential, Page, Principal};
use protocol::Failure;
use protocol::event::ADMIN_NAMESPACE;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketio::{Event, Outgoing};

use super::payload::{self, ListSessions, OfApp};
use super::peer::{ConnectedPeer, Peer};
use super::reply::Success;
use super::{Handled, Visitor, refused};
use crate::fanout::{self, Namespace};
use crate::json::parse;
use crate::shared::Shared;

#[derive(Deserialize)]
struct Auth {
    app_id: String,
    admin_token: String,
}

/// Checks the token and joins the app's feed.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) -> Result<ConnectedPeer, Failure> {
    let parsed = parse(auth.as_ref().map_or("{}", |auth| auth.get())).and_then(|auth: Auth| {
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
        "app:subscribe" => subscribe(shared, peer, &event),
        "conversation:join" => peer.join(shared, &event).await,
        "conversation:leave" => peer.leave_room(shared, &event),
        "message:send" => return peer.send(shared, &event).await,
        "typing:start" => peer.typing(shared, &event, true),
        "typing:stop" => peer.typing(shared, &event, false),
        "message:read" => peer.read(shared, &event).await,
        "sessions:list" => sessions(shared, peer, &event).await,
        "ping" => peer.ping(&event),
        _ => peer.unknown(&event),
    }
    Handled::Counted
}

fn subscribe(shared: &Shared, peer: &Peer, event: &Event) {
    let Principal::Agent(agent) = &peer.principal else { return };
    let outcome = payload::object::<OfApp>(event).and_then(|payload| agent.require_app(&payload.app_id));
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
