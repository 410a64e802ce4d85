//! The scripted server's HTTP: REST, and the way to a live connection.

use std::io;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use protocol::rest::{ConversationAnswer, ConversationPage, Done, Unread};
use protocol::{Code, ConversationId, Failure};
use serde::Serialize;
use serde_json::Value;
use tokio::io::DuplexStream;

use super::{Fault, Stored, World};

impl World {
    /// Serves one stream until its end.
    pub(super) async fn serve(self, stream: DuplexStream) {
        let service = service_fn(|request| {
            let world = self.clone();
            async move { world.answer(request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // A stream that was cut is none of the server's concern.
        let _ = connection.await;
    }

    async fn answer(&self, request: Request<Body>) -> io::Result<Response<Full<Bytes>>> {
        if request.uri().path() == "/v1/socket.io/" {
            let (mut parts, body) = request.into_parts();
            let response = match socketio::upgrade::respond(&parts) {
                Ok(response) => response.map(|()| Full::default()),
                Err(refusal) => return Ok(refusal.map(Full::from)),
            };
            let upgrade = hyper::upgrade::on(Request::from_parts(
                std::mem::replace(&mut parts, Request::new(()).into_parts().0),
                body,
            ));
            let world = self.clone();
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    world.talk(TokioIo::new(upgraded)).await;
                }
            });
            return Ok(response);
        }
        if request.method() == Method::POST && self.lock().swallows_posts {
            return std::future::pending().await;
        }
        let status = {
            let mut inner = self.lock();
            inner.fault_if(|fault| matches!(fault, Fault::Status(_)))
        };
        if let Some(Fault::Status(status)) = status {
            let mut response = Response::new(Full::from("<html>no</html>"));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            return Ok(response);
        }
        let (parts, body) = request.into_parts();
        let header =
            |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        let device_id = header("X-Device-Id").expect("a device");
        if header("X-Api-Key") == self.lock().refused_key {
            return Ok(refusal(StatusCode::UNAUTHORIZED, Code::InvalidCredentials));
        }
        if !self.lock().owns(&device_id, header("X-Device-Secret").as_deref()) {
            return Ok(refusal(StatusCode::UNAUTHORIZED, Code::InvalidCredentials));
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let is_identify = parts.uri.path() == "/v1/identify";
        if !is_identify && self.is_unbound(&device_id) {
            return Ok(refusal(StatusCode::UNAUTHORIZED, Code::IdentityRequired));
        }
        if parts.method == Method::POST && !is_identify && self.lock().is_blocked {
            return Ok(refusal(StatusCode::FORBIDDEN, Code::Blocked));
        }
        let path: Vec<_> = parts.uri.path().trim_start_matches('/').split('/').collect();
        let query = parts.uri.query().unwrap_or_default();
        Ok(match (&parts.method, path.as_slice()) {
            (&Method::POST, ["v1", "conversations"]) => {
                let wish = serde_json::from_slice::<Value>(&body).expect("JSON");
                self.describe(&device_id, &wish["device_context"]);
                success(&self.open(&device_id))
            }
            (&Method::POST, ["v1", "device-context"]) => {
                let told = serde_json::from_slice::<Value>(&body).expect("JSON");
                self.describe(&device_id, &told["device_context"]);
                success(&Done { success: true })
            }
            (&Method::GET, ["v1", "unread"]) => {
                let listed = self.list(&device_id).conversations;
                let unread_count = listed.iter().filter_map(|conversation| conversation.unread_count).sum();
                success(&Unread { unread_count })
            }
            (&Method::GET, ["v1", "conversations"]) => success(&self.list(&device_id)),
            (&Method::GET, ["v1", "conversations", id, "messages"]) => self.page(&device_id, id, query),
            (&Method::POST, ["v1", "identify"])
                if self.lock().fault_if(|fault| *fault == Fault::RefusePerson).is_some() =>
            {
                refusal(StatusCode::BAD_REQUEST, Code::ValidationError)
            }
            (&Method::POST, ["v1", "identify"])
                if self.lock().fault_if(|fault| *fault == Fault::BlockPerson).is_some() =>
            {
                refusal(StatusCode::FORBIDDEN, Code::Blocked)
            }
            (&Method::POST, ["v1", "identify"]) => {
                let said = serde_json::from_slice::<Value>(&body).expect("JSON");
                let mut inner = self.lock();
                if inner.refuses_tokens && said["token"].is_string() {
                    return Ok(refusal(StatusCode::UNAUTHORIZED, Code::InvalidCredentials));
                }
                inner.unbound.remove(&device_id);
                inner.identified.push((device_id, said));
                success(&Done { success: true })
            }
            _ => refusal(StatusCode::NOT_FOUND, Code::ValidationError),
        })
    }

    fn describe(&self, device_id: &str, context: &Value) {
        if !context.is_null() {
            self.lock().contexts.push((device_id.to_owned(), context.clone()));
        }
    }

    pub(super) fn open(&self, device_id: &str) -> ConversationAnswer {
        let now = self.now();
        let mut inner = self.lock();
        let known = inner
            .conversations
            .iter()
            .position(|stored| stored.device_id == device_id && !stored.is_resolved);
        let at = known.unwrap_or_else(|| {
            let id = ConversationId::new(now, inner.random());
            inner.conversations.push(Stored {
                id,
                device_id: device_id.to_owned(),
                messages: Vec::new(),
                device_delivered: 0,
                device_read: 0,
                agent_delivered: 0,
                agent_read: 0,
                is_resolved: false,
            });
            inner.conversations.len() - 1
        });
        ConversationAnswer { conversation: inner.conversations[at].shown(now) }
    }

    fn list(&self, device_id: &str) -> ConversationPage {
        let now = self.now();
        let mut inner = self.lock();
        inner.lists += 1;
        let of_device = inner.conversations.iter().filter(|stored| stored.device_id == device_id);
        ConversationPage {
            conversations: of_device.map(|stored| stored.shown(now)).collect(),
            has_more: false,
        }
    }

    fn page(&self, device_id: &str, id: &str, query: &str) -> Response<Full<Bytes>> {
        let inner = self.lock();
        let Some(stored) = inner.of(id, device_id) else {
            return refusal(StatusCode::NOT_FOUND, Code::ConversationNotFound);
        };
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let limit: usize = parameter("limit").map_or(50, |limit| limit.parse().expect("a number"));
        let before = parameter("before").expect("only pages backwards are asked for by REST");
        let end = if before.is_empty() {
            stored.messages.len()
        } else {
            match stored.messages.iter().position(|message| message.id.as_str() == before) {
                Some(at) => at,
                None => return refusal(StatusCode::NOT_FOUND, Code::MessageNotFound),
            }
        };
        let start = end.saturating_sub(limit);
        let messages: Vec<_> = stored.statused(start, end).iter().map(super::as_told).collect();
        success(&serde_json::json!({ "messages": messages, "has_more": start > 0 }))
    }
}

fn success(body: &impl Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::from(serde_json::to_vec(body).expect("it serialises")))
}

fn refusal(status: StatusCode, code: Code) -> Response<Full<Bytes>> {
    let mut response = success(&Failure::new(code, "no"));
    *response.status_mut() = status;
    response
}
