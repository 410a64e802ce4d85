//! `/admin`: an agent, for one app.

use std::sync::Arc;

use protocol::Failure;
use protocol::event::ADMIN_NAMESPACE;
use protocol::request::{
    AgentAuth, JoinAsAgent, ListSessions, Request as _, SubscribeToApp, ViewConversation,
};
use serde_json::value::RawValue;
use socketio::{Event, Outgoing};

use super::events::{self, reply};
use super::{Handled, payload};
use crate::json::parse;
use crate::live::{Login, Peer, Visitor, login_agent, tell_refused};
use crate::shared::Shared;

pub(super) async fn connect(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) -> Result<Login, Failure> {
    let parsed = parse(auth.as_ref().map_or("{}", |auth| auth.get())).and_then(|auth: AgentAuth| {
        if auth.app_id.is_empty() { Err(Failure::missing("app_id")) } else { Ok(auth) }
    });
    let auth = parsed.inspect_err(|failure| tell_refused(shared, ADMIN_NAMESPACE, "", visitor, failure))?;
    login_agent(shared, outgoing, auth, visitor).await
}

pub(super) async fn handle(shared: &Arc<Shared>, peer: &mut Peer, event: Event) -> Handled {
    peer.note_use(shared);
    match event.name.as_str() {
        JoinAsAgent::NAME => {
            let reply = reply(peer, &event);
            return events::join(shared, peer, &reply, payload::conversation(&event)).await;
        }
        SubscribeToApp::NAME => {
            let outcome = payload::object(&event).and_then(|request| peer.subscribe(shared, &request));
            reply(peer, &event).give(outcome);
        }
        ViewConversation::NAME => {
            let outcome = payload::object(&event).and_then(|request| peer.view(shared, request));
            reply(peer, &event).give(outcome);
        }
        ListSessions::NAME => {
            let outcome = match payload::object(&event) {
                Ok(request) => peer.sessions(shared, request).await,
                Err(failure) => Err(failure),
            };
            reply(peer, &event).give(outcome);
        }
        _ => return events::handle(shared, peer, event).await,
    }
    Handled::Counted
}
