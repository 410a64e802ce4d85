//! Opening, listing, resolving conversations; who is at a device; who types.

use std::sync::Arc;

use cluster::{OpenedFor, ProvenAt, Signal, Viewing};
use protocol::event::{AgentTyping, UserTyping};
use protocol::limits::Action;
use protocol::rest::{ConversationPage, Identity, OpenConversation};
use protocol::{
    AppId, Code, ConnectionId, Conversation, ConversationId, Failure, InboxConversation, Permission, encoded,
};
use store::{
    CountUnread, DeviceStanding, FindDevice, FindLatest, Identified, Identify, LatestConversation,
    ListConversations, ListIdentityKeys, NowAt, Opened, Outcome, TellContext, View,
};

use crate::identity_token::{self, Proven, Refusal};
use crate::{Agent, Chat, Device, Page, Principal, blocked, input};

impl Chat {
    /// The device's open conversation, or a new one.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `MISSING_PARAMS`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn open_conversation(
        self: &Arc<Self>,
        device: &Device,
        wish: OpenConversation,
    ) -> Result<Conversation, Failure> {
        let _entered = self.accepting()?;
        match &wish.user {
            // Who says who is there need not be told to.
            Some(_) if device.restrictions.is_blocked => return Err(blocked()),
            Some(user) => input::user(user)?,
            None => device.require(Permission::SendMessages)?,
        }
        let device_context =
            wish.device_context.map(|context| input::context("device_context", &context)).transpose()?;
        self.limit_newcomer(Action::Open, device).await?;
        let now = self.ambient.now();
        let tells_user = wish.user.is_some();
        let change = self.begin_identity_change(device, None);
        let tell = change.clone();
        let opening = store::OpenConversation {
            app_id: device.app_id.clone(),
            device_id: device.device_id.clone(),
            id: ConversationId::new(now, self.ambient.chance()),
            who: wish.user.map(NowAt::Claimed),
            device_context,
            now,
        };
        let place = (device.app_id.clone(), device.device_id.clone());
        let opened = self.written(opening, move |chat, outcome| {
            let Opened { conversation: inbox, unread_count, is_new, activity, has_left } = told(outcome)?;
            if tells_user {
                chat.devices.forget(&place);
            }
            if has_left {
                chat.tell_identity_change(tell);
            }
            let conversation =
                Conversation { unread_count: Some(unread_count), ..inbox.conversation.clone() };
            if is_new {
                chat.tell_opened(&inbox);
            }
            if is_new || tells_user {
                chat.publish(conversation.app_id.clone(), Signal::Conversation(Box::new(inbox)));
            }
            chat.tell_activity(&conversation.app_id, activity);
            Ok((conversation, has_left))
        });
        let (conversation, has_left) = opened.await?;
        if has_left {
            self.finish_identity_change(&change).await;
        }
        Ok(conversation)
    }

    /// The device's conversations, newest activity first.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn conversations_of(&self, device: &Device, page: Page) -> Result<ConversationPage, Failure> {
        device.require(Permission::ViewConversations)?;
        let principal = Principal::Device(device.clone());
        self.limit(Action::Read, &principal)?;
        let scope = principal.scope();
        let all = ListConversations { scope, view: View::All(None), after: None, limit: page.rows() + 1 };
        let mut rows = self.read(all).await?;
        let has_more = rows.len() > page.rows() as usize;
        rows.truncate(page.rows() as usize);
        let mut conversations: Vec<_> = rows.into_iter().map(|row| row.conversation).collect();
        // This list has no next page, so that no row may be left out for its length; a message may.
        let fitting = encoded::fitting(&conversations);
        for conversation in conversations.iter_mut().skip(fitting) {
            conversation.last_message = None;
        }
        Ok(ConversationPage { conversations, has_more })
    }

    /// The newest conversation that the device shows.
    ///
    /// # Errors
    /// `SERVER_ERROR`.
    pub async fn latest_of(&self, device: &Device) -> Result<Option<LatestConversation>, Failure> {
        let (app_id, device_id) = (device.app_id.clone(), device.device_id.clone());
        self.read(FindLatest { app_id, device_id }).await
    }

    /// How many messages of agents the person at the device has not read.
    ///
    /// # Errors
    /// `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn unread_of(&self, device: &Device) -> Result<u64, Failure> {
        device.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Device(device.clone()))?;
        let (app_id, device_id) = (device.app_id.clone(), device.device_id.clone());
        self.read(CountUnread { app_id, device_id }).await
    }

    /// Remembers who uses the device. When this is answered, nobody there sees anything any more of the one who was there
    /// before. `connection` is the one that says so, if one does: it is not closed with the device's others. Answers how the
    /// device stands then.
    ///
    /// # Errors
    /// `MISSING_PARAMS`, `VALIDATION_ERROR`, `INVALID_CREDENTIALS` for a token that proves nothing, `VERIFICATION_REQUIRED`,
    /// `RATE_LIMITED`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn identify(
        self: &Arc<Self>,
        device: &Device,
        identity: Identity,
        connection: Option<&ConnectionId>,
    ) -> Result<DeviceStanding, Failure> {
        let _entered = self.accepting()?;
        if let Identity::Claimed(user) = &identity {
            input::user(user)?;
        }
        self.limit_newcomer(Action::Identify, device).await?;
        let now = self.ambient.now();
        let Device { app_id, device_id, .. } = device.clone();
        let who = match identity {
            Identity::Nobody => NowAt::Nobody,
            Identity::Claimed(user) => NowAt::Claimed(user),
            Identity::Token(token) => match self.proven_by(&app_id, &token).await? {
                Ok(Proven { user, proof }) => NowAt::Proven(user, proof),
                Err(refusal) => return self.still_proven(device, refusal).await,
            },
        };
        let change = self.begin_identity_change(device, connection);
        let tell = change.clone();
        let place = (app_id.clone(), device_id.clone());
        let identified = self.written(Identify { app_id, device_id, who, now }, move |chat, outcome| {
            let Identified { conversations, activity, has_left, standing } = told(outcome)?;
            let app_id = place.0.clone();
            chat.devices.forget(&place);
            if has_left {
                chat.tell_identity_change(tell);
            } else if let Some(info) = standing.user_info.as_ref().filter(|_| standing.is_proven) {
                // Also of who was proven there before: a bus that has lost this, and a node that died between its commit and
                // this, have left connections of the device that know nothing, and nothing but the next proof tells them.
                let proven = ProvenAt {
                    device_id: place.1.clone(),
                    user_id: info.user_id.clone(),
                    version: standing.version,
                };
                chat.publish(place.0, Signal::Proven(proven));
            }
            for inbox in conversations {
                // It may have been theirs before, and only their name is other: who knows it is not told anything.
                chat.tell_opened(&inbox);
                let app_id = inbox.conversation.app_id.clone();
                chat.publish(app_id, Signal::Conversation(Box::new(inbox)));
            }
            chat.tell_activity(&app_id, activity);
            Ok((has_left, standing))
        });
        let (has_left, standing) = identified.await?;
        if has_left {
            self.finish_identity_change(&change).await;
        }
        Ok(standing)
    }

    /// Tells all devices at which a proven person is that there is a conversation of theirs.
    fn tell_opened(&self, inbox: &InboxConversation) {
        let conversation = &inbox.conversation;
        if let Some(user_id) = conversation.user_id.clone().filter(|_| inbox.is_verified) {
            let opened = OpenedFor { user_id, conversation_id: conversation.id.clone() };
            self.publish(conversation.app_id.clone(), Signal::Opened(opened));
        }
    }

    async fn proven_by(&self, app_id: &AppId, token: &str) -> Result<Result<Proven, Refusal>, Failure> {
        let keys = self.read(ListIdentityKeys { app_id: app_id.clone() }).await?;
        Ok(identity_token::verify(token, &keys, self.ambient.now()))
    }

    /// A token that has expired changes nothing where it has been believed before: the device stays bound to its person.
    async fn still_proven(&self, device: &Device, refusal: Refusal) -> Result<DeviceStanding, Failure> {
        if let Refusal::Expired(user_id) = &refusal {
            let (app_id, device_id) = (device.app_id.clone(), device.device_id.clone());
            let standing = self.read(FindDevice { app_id, device_id }).await?;
            let is_there = standing.user_info.as_ref().is_some_and(|info| info.user_id == *user_id);
            if standing.is_proven && is_there {
                return Ok(standing);
            }
        }
        Err(refusal.into())
    }

    /// Remembers what the app wants agents to know of the device, in the place of what it told before. Counts as identifying.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `RATE_LIMITED`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn tell_context(
        self: &Arc<Self>,
        device: &Device,
        context: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Failure> {
        let _entered = self.accepting()?;
        device.require(Permission::SendMessages)?;
        let device_context = input::context("device_context", context)?;
        self.limit_newcomer(Action::Identify, device).await?;
        let Device { app_id, device_id, .. } = device.clone();
        let telling = TellContext { app_id, device_id, device_context, now: self.ambient.now() };
        self.written(telling, |_, ()| Ok(())).await
    }

    /// Counts what anybody can do under made-up names. Where the app as a whole has reached its limit, a device that has a
    /// conversation goes on: strangers keep out newcomers at most, and nobody who is here already.
    ///
    /// # Errors
    /// `RATE_LIMITED`, `SERVER_ERROR`.
    async fn limit_newcomer(&self, action: Action, device: &Device) -> Result<(), Failure> {
        let principal = Principal::Device(device.clone());
        self.told_of(action, self.limiter.check_own(action, &principal))?;
        let Err(failure) = self.limiter.check_app(action, &principal) else { return Ok(()) };
        let any =
            ListConversations { scope: principal.scope(), view: View::All(None), after: None, limit: 1 };
        let found = self.read(any).await?;
        if found.is_empty() { self.told_of(action, Err(failure)) } else { Ok(()) }
    }

    /// Tells all nodes which agents look at a conversation on one of them.
    pub fn tell_viewing(&self, app_id: AppId, viewing: Viewing) {
        self.publish(app_id, Signal::Viewing(viewing));
    }

    /// Counts one event of an agent that says what they look at.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`.
    pub fn may_view(&self, agent: &Agent) -> Result<(), Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Typing, &Principal::Agent(agent.clone()))
    }

    /// Tells the other side that someone types in a conversation that they have joined.
    ///
    /// # Errors
    /// `FORBIDDEN`, `RATE_LIMITED`.
    pub fn typing(
        &self,
        principal: &Principal,
        connection_id: &ConnectionId,
        conversation_id: ConversationId,
        is_typing: bool,
    ) -> Result<(), Failure> {
        principal.require(Permission::SendMessages)?;
        // Those who wait to hear that it is over are to hear it.
        if is_typing {
            self.limit(Action::Typing, principal)?;
        }
        let signal = match principal {
            Principal::Device(device) => Signal::UserTyping(
                UserTyping { conversation_id, device_id: device.device_id.clone(), is_typing },
                connection_id.clone(),
            ),
            Principal::Agent(_) => Signal::AgentTyping(AgentTyping { conversation_id, is_typing }),
        };
        self.publish(principal.app_id().clone(), signal);
        Ok(())
    }
}

/// What has come of telling who is at a device.
fn told<T>(outcome: Outcome<T>) -> Result<T, Failure> {
    match outcome {
        Outcome::Done(done) => Ok(done),
        Outcome::NotProven => {
            let message = "this app takes nobody's word for who they are: identify with a token";
            Err(Failure::new(Code::VerificationRequired, message))
        }
        Outcome::KeyRetired => {
            Err(Failure::new(Code::InvalidCredentials, "the token proves nothing: its key has been retired"))
        }
    }
}
