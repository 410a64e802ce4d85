//! The old socket: one conversation a connection, JSON with a `type`, no sends and no receipts. Its client reads neither
//! close codes nor errors, and comes back a second after any connection that had opened: so who can't be served is told so
//! by HTTP, before it opens.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use chat::Principal;
use http::header::ORIGIN;
use http::{StatusCode, Uri};
use hyper::body::Incoming as HttpBody;
use hyper::upgrade::OnUpgrade;
use protocol::event::ConversationJoined;
use protocol::request::{DeviceAuth, JoinedAsAgent, LeaveConversation};
use protocol::{Code, ConversationId, Failure, LocalId, Message, MessageStatus, Sender, Timestamp};
use socketio::{CloseReason, Frame, PlainConnection};

use super::moved;
use super::wire::{self, INVALID_JSON, Said, UNAUTHORIZED_CONVERSATION};
use crate::failure::failure_response;
use crate::fanout::frame;
use crate::live::{Peer, Visitor, login_vetted, vet_device};
use crate::rest::unauthorized_response;
use crate::shared::Shared;
use crate::socket::take_stream;
use crate::stream::Stream;

/// Where it lives; with nothing behind it.
const PATH: &str = "/v1/realtime";

/// The `local_id` under which old clients know the operator's notice: what they have they don't show again.
const NOTICE: &str = "replyhq-notice";

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Whether a request with this path is for the old socket.
pub(crate) fn is_for_old_socket(path: &str) -> bool {
    path == PATH
}

/// Answers the upgrade, once the credential is found good, and lets the connection live on in a task of its own. `entered`
/// is dropped with it.
pub(crate) async fn upgrade<Guard: Send + 'static>(
    request: hyper::Request<HttpBody>,
    shared: &Arc<Shared>,
    entered: Guard,
) -> Response {
    match admit(request, shared).await {
        Err(response) => response,
        Ok(Admitted { response, upgraded, visitor, auth }) => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                if let Some((stream, already_read)) = take_stream(upgraded).await {
                    let stream = stream.into_socket(shared.socket_progress);
                    let config = Arc::clone(&shared.sockets);
                    let connection = PlainConnection::new(stream, already_read, config, wire::farewell);
                    live(&shared, connection, auth, &visitor).await;
                }
                drop(entered);
            });
            response
        }
    }
}

/// A request whose connection may open.
struct Admitted {
    response: Response,
    upgraded: OnUpgrade,
    visitor: Visitor,
    auth: DeviceAuth,
}

async fn admit(request: hyper::Request<HttpBody>, shared: &Arc<Shared>) -> Result<Admitted, Response> {
    if !shared.legacy.legacy {
        let failure = Failure::invalid("clients this old are not served any more");
        return Err(failure_response(&failure, StatusCode::GONE));
    }
    if shared.chat.is_draining() {
        let failure = Failure::new(Code::ShuttingDown, "the server is shutting down; connect again");
        return Err(failure_response(&failure, StatusCode::SERVICE_UNAVAILABLE));
    }
    let (mut parts, _) = request.into_parts();
    let visitor = Visitor {
        address: parts.extensions.get().copied(),
        origin: parts.headers.get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()).into()),
    };
    if let Err(failure) = shared.chat.limit_connecting(visitor.address) {
        return Err(failure_response(&failure, StatusCode::TOO_MANY_REQUESTS));
    }
    let not_upgradable = || {
        let failure = Failure::invalid("this is a WebSocket, and wants an upgrade to one");
        failure_response(&failure, StatusCode::UPGRADE_REQUIRED)
    };
    let response = socketio::upgrade::respond_plain(&parts).ok_or_else(not_upgradable)?;
    let upgraded = parts.extensions.remove::<OnUpgrade>().ok_or_else(not_upgradable)?;
    let key = parts.headers.get("X-Api-Key").and_then(|key| key.to_str().ok());
    let auth = auth(&parts.uri, key);
    vet_device(shared, &auth, &visitor).await.map_err(unauthorized_response)?;
    shared.metrics.legacy_used(&auth.app_id, "connection");
    Ok(Admitted { response: response.map(|()| Body::empty()), upgraded, visitor, auth })
}

/// What the query says. Old clients write it as it is, so that nothing of it is decoded; a key in a header wins.
fn auth(uri: &Uri, key: Option<&str>) -> DeviceAuth {
    let named = |name: &str| {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    };
    DeviceAuth {
        app_id: named("app_id").into(),
        device_id: named("device_id").into(),
        api_key: key.unwrap_or_else(|| named("api_key")).into(),
        device_secret: None,
        user_token: None,
    }
}

async fn live(
    shared: &Arc<Shared>,
    mut connection: PlainConnection<Stream>,
    auth: DeviceAuth,
    visitor: &Visitor,
) {
    let mut counted = shared.metrics.socket();
    let outgoing = connection.outgoing();
    let login = match connection.during(Box::pin(login_vetted(shared, outgoing, auth, visitor))).await {
        Ok(login) => login,
        Err(failure) => return refuse(shared, connection, &failure).await,
    };
    counted.set_in(true);
    let (peer, latest) = login.enter(shared);
    if shared.chat.is_draining() {
        // It came in between the shutdown's two looks at who is there.
        connection.outgoing().close(CloseReason::Shutdown);
    }
    let mut old = OldClient { peer, conversation: None };
    if let Some(latest) = latest {
        connection.during(Box::pin(old.subscribe(shared, latest.id))).await;
    }
    let key = old.peer.subscriber.key;
    let reason = loop {
        match connection.next().await {
            Ok(text) => connection.during(Box::pin(old.hear(shared, &text))).await,
            Err(reason) => break reason,
        }
        if let Some(wait) = shared.chat.slow_down(key) {
            connection.during(Box::pin(tokio::time::sleep(wait))).await;
        }
    };
    shared.metrics.closed(reason);
    Box::pin(old.peer.leave(shared, reason.as_str())).await;
}

/// What was good a moment ago is good no more, or can't be looked at just now.
async fn refuse(shared: &Shared, mut connection: PlainConnection<Stream>, failure: &Failure) {
    let outgoing = connection.outgoing();
    if let Ok(Some(frame)) = wire::frame(failure) {
        outgoing.send(frame);
    }
    outgoing.close(CloseReason::Server);
    // Nothing of what it says matters any more.
    while connection.next().await.is_ok() {}
    shared.metrics.closed(CloseReason::Server);
}

struct OldClient {
    peer: Box<Peer>,
    /// The one that it is in.
    conversation: Option<ConversationId>,
}

impl OldClient {
    async fn hear(&mut self, shared: &Arc<Shared>, text: &str) {
        match Said::parse(text) {
            Err(failure) => self.tell(wire::error(INVALID_JSON, &failure.message)),
            Ok(Some(Said::Ping)) => self.tell(wire::pong()),
            Ok(Some(Said::Subscribe { conversation_id })) => {
                self.subscribe(shared, conversation_id.into()).await;
            }
            Ok(Some(Said::Typing { conversation_id, is_typing })) => {
                // Where it is in another conversation, or too fast, nothing happens: it would read no answer.
                let _ = self.peer.typing(shared, conversation_id, is_typing.unwrap_or(true));
            }
            Ok(None) => {}
        }
    }

    fn tell(&self, frame: Frame) {
        // False is a connection that ends.
        self.peer.subscriber.outgoing.send(frame);
    }

    /// Moves it to that conversation, and sends the newest messages there: it does not ask for what it missed, and knows
    /// what it has.
    async fn subscribe(&mut self, shared: &Arc<Shared>, id: ConversationId) {
        if let Err(failure) = self.move_to(shared, id).await {
            let code = match failure.code {
                Code::ConversationNotFound | Code::MissingParams => UNAUTHORIZED_CONVERSATION,
                code => code.as_str(),
            };
            self.tell(wire::error(code, &failure.message));
        }
    }

    async fn move_to(&mut self, shared: &Arc<Shared>, id: ConversationId) -> Result<(), Failure> {
        let id = match &self.peer.principal {
            Principal::Device(device) => moved::conversation(shared, device, id).await?,
            Principal::Agent(_) => id,
        };
        let notice = shared.legacy.legacy_notice.as_deref().map(|body| notice(shared, &id, body));
        let channel = self.peer.subscriber.channel();
        let welcome = |joined: &ConversationJoined, answer: JoinedAsAgent| -> Vec<Frame> {
            let messages = answer.conversation.messages.unwrap_or_default();
            let told = notice.iter().chain(&messages).filter_map(|message| frame(channel, message));
            std::iter::once(wire::subscribed(&joined.conversation_id)).chain(told).collect()
        };
        self.peer.join_anew(shared, id.clone(), welcome).await?;
        if let Some(before) = self.conversation.replace(id.clone()).filter(|before| *before != id) {
            // It was in there, so that there is nothing to refuse.
            let _ = self.peer.leave_room(shared, LeaveConversation { conversation_id: before.to_string() });
        }
        Ok(())
    }
}

/// What the operator has to say, as a message that is stored nowhere. It is as old as the day, so that it stays where it is
/// among the others when it is told again.
fn notice(shared: &Shared, conversation_id: &ConversationId, body: &str) -> Message {
    let now_ms = shared.chat.ambient().now().epoch_ms();
    Message {
        id: NOTICE.into(),
        local_id: LocalId::from(NOTICE),
        conversation_id: conversation_id.clone(),
        seq: 0,
        body: body.to_owned(),
        sender: Sender::System,
        sender_name: None,
        sender_id: None,
        created_at: Timestamp::from_epoch_ms(now_ms - now_ms % DAY_MS),
        status: MessageStatus::Sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_taken_as_it_is_written() {
        let uri: Uri = "/v1/realtime?app_id=0b7f&device_id=d-1&api_key=a+b/c==&x".parse().unwrap();
        let shown = auth(&uri, None);
        assert_eq!((&*shown.app_id, &*shown.device_id, &*shown.api_key), ("0b7f", "d-1", "a+b/c=="));
        assert_eq!(auth(&uri, Some("key_1")).api_key, "key_1");
        let nothing = auth(&"/v1/realtime".parse().unwrap(), None);
        assert_eq!((&*nothing.app_id, &*nothing.api_key), ("", ""));
    }
}
