//! `/client`: a device.

use std::sync::Arc;

use chat::{DeviceCredentials, Principal, Receipt};
use protocol::event::CLIENT_NAMESPACE;
use protocol::request::{
    DeviceAuth, JoinConversation, LeaveConversation, PING, ReadMessages, ReportDelivery, Request as _,
    SendToConversation, StartTyping, StopTyping,
};
use protocol::{Failure, MessageStatus, Session};
use serde_json::value::RawValue;
use socketio::{Event, Outgoing};

use super::payload;
use super::peer::{ConnectedPeer, Peer};
use super::{Handled, Visitor, refused};
use crate::fanout::{self, Namespace};
use crate::json::parse;
use crate::shared::Shared;

/// Checks the credential and registers session and presence.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    outgoing: Outgoing,
    auth: Option<Box<RawValue>>,
    visitor: &Visitor,
) -> Result<ConnectedPeer, Failure> {
    let parsed: Result<DeviceAuth, _> = parse(auth.as_ref().map_or("{}", |auth| auth.get()));
    let auth = parsed.inspect_err(|failure| refused(shared, CLIENT_NAMESPACE, "", visitor, failure))?;
    let tell = |failure: &Failure| refused(shared, CLIENT_NAMESPACE, &auth.app_id, visitor, failure);
    let shown = DeviceCredentials {
        app_id: &auth.app_id,
        device_id: &auth.device_id,
        api_key: &auth.api_key,
        address: visitor.address,
        origin: visitor.origin.as_deref(),
    };
    let key = shared.fanout.new_key();
    let claim = shared.connections.claim(
        key,
        outgoing.clone(),
        auth.app_id.as_str().into(),
        auth.device_id.as_str().into(),
    );
    let access = shared.chat.authenticate_device(shown).await.inspect_err(tell)?;
    shared.chat.limit_login(&access.device).inspect_err(tell)?;
    let connection_id = super::connection_id(&shared.chat);
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
    Ok(ConnectedPeer { peer, credential: access.credential, latest: access.latest, is_crowded })
}

pub(super) async fn handle(shared: &Arc<Shared>, peer: &mut Peer, event: Event) -> Handled {
    match event.name.as_str() {
        JoinConversation::NAME => peer.join(shared, &event).await,
        LeaveConversation::NAME => peer.leave_room(shared, &event),
        SendToConversation::NAME => return peer.send(shared, &event).await,
        StartTyping::NAME => peer.typing(shared, &event, true),
        StopTyping::NAME => peer.typing(shared, &event, false),
        ReportDelivery::NAME => delivered(shared, peer, &event).await,
        ReadMessages::NAME => peer.read(shared, &event).await,
        PING => peer.ping(&event),
        _ => peer.unknown(&event),
    }
    Handled::Counted
}

async fn delivered(shared: &Arc<Shared>, peer: &Peer, event: &Event) {
    let outcome = match payload::object::<ReportDelivery>(event).and_then(receipt) {
        Ok(receipt) => shared.chat.acknowledge(&peer.principal, receipt).await,
        Err(failure) => Err(failure),
    };
    peer.reply(event).done(outcome);
}

fn receipt(delivery: ReportDelivery) -> Result<Receipt, Failure> {
    let status = MessageStatus::Delivered;
    match (delivery.message_id, delivery.conversation_id, delivery.up_to_message_id) {
        (Some(message_id), conversation_id, _) => {
            Ok(Receipt { up_to: message_id.into(), conversation_id: conversation_id.map(Into::into), status })
        }
        (None, Some(conversation_id), Some(up_to)) => {
            Ok(Receipt { up_to: up_to.into(), conversation_id: Some(conversation_id.into()), status })
        }
        (None, Some(_), None) => Err(Failure::missing("up_to_message_id")),
        (None, None, _) => Err(Failure::missing("message_id")),
    }
}
