//! What comes back: from the live connection, and the answers to what was asked.

use std::sync::Arc;
use std::time::Duration;

use protocol::request::JoinedConversation;
use protocol::rest::{
    ConversationAnswer, ConversationPage, Done, Identify, Identity, MessagePage, OpenConversation,
    TellContext, User,
};
use protocol::{ConversationId, LocalId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use socketio::{AckError, Args};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Engine;
use super::identity::{ToldWho, Who, fetched};
use crate::identity::named_by;
use crate::local::{Error, Gap, LeftDevice};
use crate::outbox::Failed;
use crate::wire::http::{Credentials, Rest};
use crate::wire::link::Told;
use crate::{ClientError, Platform, TokenSource, limits};

/// Something that came back.
pub(crate) enum Report {
    /// The live connection of this generation has something to tell.
    Link { generation: u64, told: Told },
    /// The answer to an event that was sent on the connection of this generation.
    Answered { generation: u64, request: Request, outcome: Result<Args, Failed> },
    /// There is reason to doubt the connection of this generation.
    Doubted { generation: u64 },
    /// Whether the connection of this generation has shown that it lives.
    Probed { generation: u64, is_alive: bool },
    /// The token that is to name somebody, or why there is none.
    Named { turn: u64, outcome: Result<String, String> },
    /// The answer to a REST request for the person of this epoch.
    Rest { epoch: u64, answer: RestAnswer },
}

/// An event whose answer is wanted.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Join {
        conversation: ConversationId,
    },
    Send {
        conversation: ConversationId,
        local_id: LocalId,
    },
    Delivered {
        conversation: ConversationId,
        seq: u64,
    },
    Read {
        conversation: ConversationId,
        seq: u64,
    },
    /// A join only to find out whether there is such a conversation.
    Seek {
        conversation: ConversationId,
    },
}

/// A REST request.
pub(super) enum Asked {
    /// Open a conversation for this message, the first of the person's.
    Open {
        local_id: LocalId,
        /// What the device is, where that is to be told.
        context: Option<String>,
    },
    /// Tell who is there.
    Identify {
        who: Who,
    },
    /// Tell of a device that nobody is there any more.
    Leave {
        left: LeftDevice,
    },
    /// Tell what the device is.
    Describe {
        context: String,
    },
    List,
    /// The newest page of a conversation that this client is far behind of.
    Newest {
        conversation: ConversationId,
    },
    /// The page at the end of a gap.
    Older {
        conversation: ConversationId,
        gap: Gap,
        before: String,
        reply: oneshot::Sender<Result<bool, ClientError>>,
    },
}

/// A REST request's answer.
pub(crate) enum RestAnswer {
    Open {
        local_id: LocalId,
        context: Option<String>,
        outcome: Result<ConversationAnswer, Failed>,
    },
    Describe {
        context: String,
        outcome: Result<Done, Failed>,
    },
    Identify {
        told: ToldWho,
        outcome: Result<Done, Failed>,
    },
    Leave {
        left: LeftDevice,
        outcome: Result<Done, Failed>,
    },
    List {
        outcome: Result<ConversationPage, Failed>,
    },
    Newest {
        conversation: ConversationId,
        outcome: Result<MessagePage, Failed>,
    },
    Older {
        conversation: ConversationId,
        gap: Gap,
        outcome: Result<MessagePage, Failed>,
        reply: oneshot::Sender<Result<bool, ClientError>>,
    },
}

/// Conversations that are asked for: as many as one connection may be joined to.
const LISTED: usize = protocol::limits::ROOMS_PER_DEVICE_CONNECTION;

impl Engine {
    pub(super) fn report(&mut self, report: Report) -> Result<(), Error> {
        match report {
            Report::Link { generation, told } if generation == self.generation => self.link_told(told),
            Report::Answered { generation, request, outcome } if generation == self.generation => {
                self.answered(request, outcome)
            }
            Report::Named { turn, outcome } => self.named(turn, outcome),
            Report::Rest { epoch, answer } if epoch == self.epoch => self.rest_answered(answer),
            Report::Doubted { generation } if generation == self.generation => {
                self.doubt();
                Ok(())
            }
            Report::Probed { generation, is_alive } if generation == self.generation => {
                self.probed(is_alive);
                Ok(())
            }
            // Of a connection that is over, or for a person who has gone.
            Report::Link { .. }
            | Report::Answered { .. }
            | Report::Doubted { .. }
            | Report::Probed { .. } => Ok(()),
            Report::Rest { answer, .. } => {
                if let RestAnswer::Older { reply, .. } = answer {
                    // Who does not wait does not need to know.
                    let _ = reply.send(Err(ClientError::UnknownConversation));
                }
                Ok(())
            }
        }
    }

    fn answered(&mut self, request: Request, outcome: Result<Args, Failed>) -> Result<(), Error> {
        match request {
            Request::Join { conversation } => {
                let answer = outcome.and_then(|args| parse::<JoinedConversation>(&args));
                self.joined(&conversation, answer.map(Into::into))
            }
            Request::Send { conversation, local_id } => {
                self.sent(&conversation, &local_id, outcome.and_then(|args| parse(&args)))
            }
            Request::Delivered { conversation, seq } => {
                self.told_receipt(&conversation, seq, false, outcome.and_then(|args| parse(&args)))
            }
            Request::Read { conversation, seq } => {
                self.told_receipt(&conversation, seq, true, outcome.and_then(|args| parse(&args)))
            }
            Request::Seek { conversation } => {
                self.found(&conversation, &outcome.and_then(|args| parse(&args)))
            }
        }
    }

    fn rest_answered(&mut self, answer: RestAnswer) -> Result<(), Error> {
        match answer {
            RestAnswer::Open { local_id, context, outcome } => self.opened(&local_id, context, outcome),
            RestAnswer::Describe { context, outcome } => self.described(&context, outcome),
            RestAnswer::Identify { told, outcome } => self.told_who(&told, outcome),
            RestAnswer::Leave { left, outcome } => self.left(&left, outcome),
            RestAnswer::List { outcome } => self.listed(outcome),
            RestAnswer::Newest { conversation, outcome } => self.newest_came(&conversation, outcome),
            RestAnswer::Older { conversation, gap, outcome, reply } => {
                self.older_came(&conversation, gap, outcome, reply)
            }
        }
    }

    /// Sends an event; its answer comes as a report, whatever happens to it.
    pub(super) fn emit_now(&mut self, name: &'static str, payload: Box<RawValue>, request: Option<Request>) {
        let Some(outgoing) = self.outgoing.clone() else { return };
        let Some(request) = request else {
            if let Ok(frame) = socketio::Frame::event(protocol::event::CLIENT_NAMESPACE, name, &payload) {
                outgoing.send(frame);
            }
            return;
        };
        let (tell, generation) = (self.tell.clone(), self.generation);
        self.spawn(Box::pin(async move {
            let namespace = protocol::event::CLIENT_NAMESPACE;
            let answer = outgoing.emit_with_ack(namespace, name, &payload, limits::ANSWER_TIMEOUT);
            tokio::pin!(answer);
            let answer = match tokio::time::timeout(limits::DOUBT, answer.as_mut()).await {
                Ok(answer) => answer,
                Err(_) => {
                    let _ = tell.send(Report::Doubted { generation }).await;
                    answer.await
                }
            };
            let outcome = answer.map_err(|error| match error {
                AckError::TooLarge => Failed::too_large(),
                _ => Failed::TRANSPORT,
            });
            // The client is closed where nobody listens.
            let _ = tell.send(Report::Answered { generation, request, outcome }).await;
        }));
    }

    /// Asks by REST; the answer comes as a report, whatever happens. Ends when it is on its way.
    pub(super) fn ask_now(&mut self, asked: Asked) -> oneshot::Receiver<()> {
        let rest = self.rest();
        let (tell, epoch) = (self.tell.clone(), self.epoch);
        let (told, is_told) = oneshot::channel();
        self.spawn(Box::pin(async move {
            let answer = ask(&rest, asked).await;
            // The client is closed where nobody listens, and often nobody waits.
            let _ = tell.send(Report::Rest { epoch, answer }).await;
            let _ = told.send(());
        }));
        is_told
    }

    pub(super) fn rest(&self) -> Rest {
        Rest { dialer: self.dialer.clone(), credentials: self.credentials() }
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            app_id: self.app_id.clone(),
            device_id: self.store.device_id().to_string(),
            api_key: self.api_key.clone(),
            device_secret: self.store.device_secret().map(str::to_owned),
        }
    }
}

/// Tells when the process was frozen, by itself or with the whole device: what the network did meanwhile is not known.
pub(super) async fn watch_the_clock(
    platform: &Arc<dyn Platform>,
    tell: mpsc::Sender<Report>,
    generation: u64,
) {
    let (look, late) = limits::LOOK;
    loop {
        let (began, time) = (Instant::now(), platform.now());
        tokio::time::sleep(look).await;
        // One of them goes on while the device sleeps. What people do to the clock is taken for sleep, too, at the cost of a
        // few bytes.
        let passed = Duration::from_millis(platform.now().epoch_ms().abs_diff(time.epoch_ms()));
        if began.elapsed().max(passed) >= look + late {
            let _ = tell.send(Report::Doubted { generation }).await;
        }
    }
}

async fn ask(rest: &Rest, asked: Asked) -> RestAnswer {
    match asked {
        Asked::Open { local_id, context } => {
            let device_context = context.as_deref().and_then(|context| serde_json::from_str(context).ok());
            let wish = OpenConversation { device_context, ..OpenConversation::default() };
            RestAnswer::Open { local_id, context, outcome: rest.post("/v1/conversations", &wish).await }
        }
        Asked::Describe { context } => {
            let device_context = serde_json::from_str(&context).unwrap_or_default();
            let outcome = rest.post("/v1/device-context", &TellContext { device_context }).await;
            RestAnswer::Describe { context, outcome }
        }
        Asked::Identify { who } => {
            let (told, outcome) = identify(rest, who).await;
            RestAnswer::Identify { told, outcome }
        }
        Asked::Leave { left } => {
            let LeftDevice { device_id, device_secret } = left.clone();
            let mut rest = rest.clone();
            rest.credentials.device_id = device_id;
            rest.credentials.device_secret = Some(device_secret);
            let outcome = rest.post("/v1/identify", &Identify::from(Identity::Nobody)).await;
            RestAnswer::Leave { left, outcome }
        }
        Asked::List => {
            RestAnswer::List { outcome: rest.get(&format!("/v1/conversations?limit={LISTED}")).await }
        }
        Asked::Newest { conversation } => {
            let outcome = rest.get(&page(&conversation, "")).await;
            RestAnswer::Newest { conversation, outcome }
        }
        Asked::Older { conversation, gap, before, reply } => {
            let outcome = rest.get(&page(&conversation, &before)).await;
            RestAnswer::Older { conversation, gap, outcome, reply }
        }
    }
}

async fn identify(rest: &Rest, who: Who) -> (ToldWho, Result<Done, Failed>) {
    let (user, identity) = match who {
        Who::Nobody => (None, Identity::Nobody),
        Who::Claimed(user) => (Some(user.clone()), Identity::Claimed(*user)),
        Who::Proven { user_id, tokens, fresh } => match token_of(&user_id, &*tokens, fresh).await {
            Ok((user, token)) => (Some(user), Identity::Token(token)),
            Err(message) => {
                let told = ToldWho { user: None, is_by_token: true };
                return (told, Err(Failed::ForGood { code: "TOKEN_FAILED".into(), message }));
            }
        },
    };
    let told = ToldWho { user, is_by_token: matches!(identity, Identity::Token(_)) };
    (told, rest.post("/v1/identify", &Identify::from(identity)).await)
}

/// A token of this person, with what it says of them. Anybody else's would bind their history to this device.
async fn token_of(
    user_id: &UserId,
    tokens: &dyn TokenSource,
    fresh: Option<String>,
) -> Result<(Box<User>, String), String> {
    let token = match fresh {
        Some(fresh) => fresh,
        None => fetched(tokens.fetch()).await?,
    };
    let user = named_by(&token)?;
    if user.id == *user_id { Ok((Box::new(user), token)) } else { Err("the token is somebody else's".into()) }
}

/// Ids are letters, digits and underscores: what the server gave out needs no escaping.
fn page(conversation: &ConversationId, before: &str) -> String {
    format!("/v1/conversations/{conversation}/messages?before={before}&limit={}", limits::PAGE)
}

/// The answer to an event: `{ success: true, … }` or `{ success: false, error, message }`. One that makes no sense counts
/// as none.
fn parse<T: DeserializeOwned>(args: &Args) -> Result<T, Failed> {
    #[derive(Deserialize)]
    struct Outcome {
        success: bool,
    }
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        message: String,
        retry_after_ms: Option<u64>,
    }
    let Outcome { success } = args.parse(0).map_err(|_| Failed::TRANSPORT)?;
    if success {
        return args.parse(0).map_err(|_| Failed::TRANSPORT);
    }
    let refusal: Refusal = args.parse(0).map_err(|_| Failed::TRANSPORT)?;
    Err(Failed::with_code(&refusal.error, &refusal.message, refusal.retry_after_ms))
}

/// What a server that asks for patience is granted at most.
pub(super) fn bounded(retry_after: Option<Duration>) -> Option<Duration> {
    retry_after.map(|wait| wait.min(limits::RESEND.1))
}
