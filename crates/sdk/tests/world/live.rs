//! The scripted server's live connections.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::event::{Named, StatusChange};
use protocol::{Code, ConversationId, MessageStatus, Sender, Side, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use socketio::{AckId, Config, Connection, Event, Frame, Incoming, Outgoing};
use tokio::time::Instant;

use super::{Fault, Inner, NAMESPACE, Peer, World};

impl World {
    /// A live connection, from its login to its end.
    pub(super) async fn talk<Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send>(self, io: Io) {
        let mut connection = Connection::new(io, Bytes::new(), Arc::new(Config::default()), "sid");
        let number = {
            let mut inner = self.lock();
            inner.peers_ever += 1;
            inner.peers_ever
        };
        loop {
            match connection.next().await {
                Incoming::Connect { namespace, auth } => {
                    let auth: Value =
                        auth.map_or(Value::Null, |auth| serde_json::from_str(auth.get()).expect("JSON"));
                    let mut inner = self.lock();
                    if inner.refused_key.as_deref() == auth["api_key"].as_str() {
                        connection.refuse(&namespace, Code::InvalidCredentials.as_str(), None);
                        continue;
                    }
                    let device_id = auth["device_id"].as_str().expect("a device").to_owned();
                    if !inner.owns(&device_id, auth["device_secret"].as_str()) {
                        connection.refuse(&namespace, Code::InvalidCredentials.as_str(), None);
                        continue;
                    }
                    if let Some(code) = &inner.connect_refusal {
                        connection.refuse(&namespace, code, None);
                        continue;
                    }
                    if inner.is_blocked {
                        connection.refuse(&namespace, Code::Blocked.as_str(), None);
                        continue;
                    }
                    connection.accept(&namespace, "sid");
                    let mut joined = HashSet::new();
                    let latest = inner.conversations.iter().rfind(|stored| stored.device_id == device_id);
                    if let Some(latest) = latest {
                        joined.insert(latest.id.clone());
                        connection.outgoing().send(frame(&latest.joined()));
                    }
                    inner.peers.push(Peer {
                        number,
                        device_id,
                        outgoing: connection.outgoing(),
                        joined,
                        late: None,
                    });
                }
                Incoming::Event { event, .. } => {
                    let stall = self.lock().fault_if(|fault| matches!(fault, Fault::Stall(_)));
                    if let Some(Fault::Stall(seconds)) = stall {
                        // As the real one: pings are answered beside it.
                        connection.during(tokio::time::sleep(Duration::from_secs(seconds))).await;
                    }
                    self.event(number, &event, &connection.outgoing());
                }
                Incoming::Disconnect { .. } | Incoming::TooLarge { .. } => {}
                Incoming::Closed(_) => {
                    self.lock().peers.retain(|peer| peer.number != number);
                    return;
                }
            }
        }
    }

    fn event(&self, number: u64, event: &Event, outgoing: &Outgoing) {
        let payload: Value = event.args.parse(0).expect("JSON");
        let now = self.now();
        let mut inner = self.lock();
        inner.events.push((Instant::now(), event.name.clone(), payload.clone()));
        let Some(at) = inner.peers.iter().position(|peer| peer.number == number) else { return };
        let device_id = inner.peers[at].device_id.clone();
        let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
        let id = text("conversation_id");
        if inner.unbound.contains(&device_id) {
            return refuse(outgoing, event.ack, Code::IdentityRequired);
        }
        if inner.of(&id, &device_id).is_none() {
            return refuse(outgoing, event.ack, Code::ConversationNotFound);
        }
        match event.name.as_str() {
            "conversation:join" => {
                let torn = inner.fault_if(|fault| *fault == Fault::TornPage).is_some();
                let stored = inner.of(&id, &device_id).expect("it was there");
                let after = text("after");
                let start = if after.is_empty() {
                    0
                } else {
                    match stored.messages.iter().position(|message| message.id.as_str() == after) {
                        Some(at) => at + 1,
                        None => return refuse(outgoing, event.ack, Code::MessageNotFound),
                    }
                };
                let end = stored.messages.len().min(start + 50);
                let mut messages: Vec<Value> =
                    stored.statused(start, end).iter().map(super::as_told).collect();
                if torn && messages.len() > 2 {
                    messages.remove(1);
                }
                let has_more = end < stored.messages.len();
                let joined = stored.joined();
                let answer = json!({ "success": true, "last_seq": joined.last_seq,
                    "last_message_id": joined.last_message_id, "messages": messages, "has_more": has_more,
                    "receipts": { "user_delivered_seq": stored.device_delivered, "user_read_seq": stored.device_read,
                        "agent_delivered_seq": stored.agent_delivered, "agent_read_seq": stored.agent_read } });
                outgoing.send(frame(&joined));
                ack(outgoing, event.ack, &answer);
                inner.peers[at].joined.insert(id.as_str().into());
            }
            "message:send" => {
                self.take_message(&mut inner, at, event.ack, (&id, &text("local_id"), &text("body")), now);
            }
            "delivery:receipt" | "message:read" => {
                let is_read = event.name == "message:read";
                let up_to = text("up_to_message_id");
                let stored = inner
                    .conversations
                    .iter_mut()
                    .find(|stored| stored.id.as_str() == id)
                    .expect("it was there");
                let Some(seq) = stored.messages.iter().position(|message| message.id.as_str() == up_to)
                else {
                    return refuse(outgoing, event.ack, Code::MessageNotFound);
                };
                let seq = seq as u64 + 1;
                stored.device_delivered = stored.device_delivered.max(seq);
                if is_read {
                    stored.device_read = stored.device_read.max(seq);
                }
                ack(outgoing, event.ack, &json!({ "success": true }));
                // The device's own connections hear of it, too.
                let status = if is_read { MessageStatus::Read } else { MessageStatus::Delivered };
                let conversation_id = stored.id.clone();
                let change = StatusChange {
                    conversation_id: conversation_id.clone(),
                    up_to_seq: seq,
                    status,
                    by: Side::User,
                    at: now,
                };
                inner.tell(&conversation_id, &change);
            }
            "typing:start" | "typing:stop" => {
                if !inner.peers[at].joined.contains(id.as_str()) {
                    refuse(outgoing, event.ack, Code::ConversationNotFound);
                }
            }
            other => panic!("the SDK sent {other}"),
        }
    }

    fn take_message(
        &self,
        inner: &mut Inner,
        at: usize,
        asked: Option<AckId>,
        (id, local_id, body): (&str, &str, &str),
        now: Timestamp,
    ) {
        let outgoing = inner.peers[at].outgoing.clone();
        let fault = inner.fault_if(|fault| {
            matches!(
                fault,
                Fault::LoseAck
                    | Fault::Ignore
                    | Fault::CutAfterCommit
                    | Fault::CutBeforeCommit
                    | Fault::AnswerWithAnother
                    | Fault::Refuse(_)
                    | Fault::RefuseForGood
            )
        });
        match fault {
            Some(Fault::CutBeforeCommit) => {
                for stream in inner.streams.drain(..) {
                    stream.cut();
                }
                return;
            }
            Some(Fault::AnswerWithAnother) => {
                let another = &inner.of(id, &inner.peers[at].device_id).expect("a conversation").messages[0];
                return ack(&outgoing, asked, &json!({ "success": true, "message": another }));
            }
            Some(Fault::Ignore) => return,
            Some(Fault::Refuse(code)) => return refuse(&outgoing, asked, code),
            Some(Fault::RefuseForGood) => {
                inner.refused.insert(local_id.into());
                return refuse(&outgoing, asked, Code::ValidationError);
            }
            _ => {}
        }
        let conversation = ConversationId::from(id);
        let known = inner.conversations.iter().find(|stored| stored.id == conversation).and_then(|stored| {
            stored
                .messages
                .iter()
                .position(|message| message.local_id.as_str() == local_id)
                .map(|at| stored.statused(at, at + 1).remove(0))
        });
        let message = match known {
            Some(known) => {
                assert_eq!(known.body, body, "a retry with another text");
                known
            }
            None => inner.store(&conversation, local_id.into(), body, Sender::User, now),
        };
        match fault {
            Some(Fault::CutAfterCommit) => {
                for stream in inner.streams.drain(..) {
                    stream.cut();
                }
            }
            Some(Fault::LoseAck) => {}
            _ => ack(&outgoing, asked, &json!({ "success": true, "message": message })),
        }
    }
}

pub(super) fn frame<T: Serialize + Named>(payload: &T) -> Frame {
    Frame::event(NAMESPACE, T::NAME, payload).expect("it serialises")
}

fn ack(outgoing: &Outgoing, id: Option<AckId>, answer: &Value) {
    if let Some(id) = id {
        outgoing.send(Frame::ack(NAMESPACE, id, answer).expect("it serialises"));
    }
}

fn refuse(outgoing: &Outgoing, id: Option<AckId>, code: Code) {
    let mut answer = json!({ "success": false, "error": code.as_str(), "message": "no" });
    if code == Code::RateLimited {
        answer["retry_after_ms"] = json!(2_000);
    }
    ack(outgoing, id, &answer);
}
