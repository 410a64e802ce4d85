//! `/client`: a device.

use std::sync::Arc;

use protocol::Failure;
use protocol::event::CLIENT_NAMESPACE;
use protocol::request::{DeviceAuth, JoinAsAgent, JoinConversation, Nothing, ReportDelivery, Request as _};
use protocol::rest::Identify;
use serde_json::value::RawValue;
use socketio::{Event, Outgoing};

use super::events::{self, reply};
use super::{Handled, payload};
use crate::json::parse;
use crate::live::{Login, Peer, Visitor, login_device, tell_refused};
use crate::shared::Shared;

pub(super) async fn connect(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) -> Result<Login, Failure> {
    let parsed: Result<DeviceAuth, _> = parse(auth.as_ref().map_or("{}", |auth| auth.get()));
    let auth = parsed.inspect_err(|failure| tell_refused(shared, CLIENT_NAMESPACE, "", visitor, failure))?;
    login_device(shared, outgoing, auth, visitor).await
}

pub(super) async fn handle(shared: &Arc<Shared>, peer: &mut Peer, event: Event) -> Handled {
    match event.name.as_str() {
        JoinConversation::NAME => {
            let reply = reply(peer, &event);
            let request = payload::conversation(&event).map(|request| {
                let JoinConversation { conversation_id, after } = request;
                JoinAsAgent { conversation_id, after, after_activity: None }
            });
            events::join(shared, peer, &reply, request).await
        }
        ReportDelivery::NAME => {
            let outcome = match payload::object(&event) {
                Ok(request) => peer.delivered(shared, request).await,
                Err(failure) => Err(failure),
            };
            reply(peer, &event).give(outcome);
            Handled::Counted
        }
        Identify::NAME => {
            let reply = reply(peer, &event);
            let latest = match payload::object(&event) {
                Ok(request) => peer.identify(shared, request).await,
                Err(failure) => Err(failure),
            };
            let joining = latest.as_ref().ok().and_then(Clone::clone);
            reply.give(latest.map(|_| Nothing {}));
            if let Some(latest) = joining {
                let reply = events::reply_to(peer, None);
                let welcome = events::welcome(peer.subscriber.channel(), &reply);
                if let Err(failure) = peer.join_latest(shared, latest, welcome).await {
                    reply.fail(&failure);
                }
            }
            Handled::Counted
        }
        _ => events::handle(shared, peer, event).await,
    }
}
