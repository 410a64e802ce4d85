//! Who writes, as agents see it, and what they may do about it.

use std::sync::Arc;

use cluster::Signal;
use protocol::limits::{ABOUT_CHARS, Action};
use protocol::rest::{BlockedAnswer, PersonAnswer, PersonInfo, PersonsDevice};
use protocol::{AppId, Code, DeviceId, Failure, Permission, UserId};
use store::{Block, Blocked, DescribePerson, FindPerson, PersonCard, ResetDevice, Scope, Unbind};

use crate::administration::By;
use crate::messages::no_conversation;
use crate::{Agent, Chat, Principal, input};

/// A person's conversations that are shown beside one of them.
const CONVERSATIONS: u32 = 20;

impl Chat {
    /// Who writes in a conversation: the person, their devices, and what else they have written.
    ///
    /// # Errors
    /// `FORBIDDEN`, `CONVERSATION_NOT_FOUND`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn person(&self, agent: &Agent, conversation_id: &str) -> Result<PersonAnswer, Failure> {
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Read, &Principal::Agent(agent.clone()))?;
        let scope = Scope { app_id: agent.app_id.clone(), device_id: None };
        let find = FindPerson { scope, conversation_id: conversation_id.into(), limit: CONVERSATIONS + 1 };
        let PersonCard { person, about, devices, mut conversations } =
            self.read(find).await?.ok_or_else(no_conversation)?;
        conversations.retain(|row| row.conversation.id.as_str() != conversation_id);
        conversations.truncate(CONVERSATIONS as usize);
        let ids: Vec<_> = devices.iter().map(|device| device.device_id.clone()).collect();
        let counts = self.cluster.registry.connections_of(&agent.app_id, &ids).await;
        let online = |index: usize| counts.get(index).copied().unwrap_or_default();
        let devices: Vec<_> = devices
            .into_iter()
            .enumerate()
            .map(|(index, device)| PersonsDevice {
                is_online: online(index) > 0,
                active_connections: online(index),
                device_id: device.device_id,
                device_context: device.context,
                last_seen_at: device.last_seen_at,
                is_blocked: device.is_blocked,
                is_verified: device.is_bound,
            })
            .collect();
        let person = person.user_id.map(|id| PersonInfo {
            id,
            name: person.name,
            email: person.email,
            attributes: person.attributes,
            is_verified: person.is_verified,
            is_blocked: person.is_blocked,
        });
        for row in &mut conversations {
            row.conversation.last_message =
                row.conversation.last_message.take().map(|m| m.preview().into_owned());
        }
        Ok(PersonAnswer { person, about, devices, conversations })
    }

    /// Keeps what the team knows about whoever writes in a conversation, and answers with all that is shown of them then.
    ///
    /// # Errors
    /// `FORBIDDEN`, `VALIDATION_ERROR`, `CONVERSATION_NOT_FOUND`, `RATE_LIMITED`, `SHUTTING_DOWN`, `SERVER_ERROR`.
    pub async fn describe_person(
        self: &Arc<Self>,
        agent: &Agent,
        id: &str,
        about: &str,
    ) -> Result<PersonAnswer, Failure> {
        let entered = self.accepting()?;
        agent.require(Permission::SendMessages)?;
        agent.require(Permission::ViewConversations)?;
        let about = about.trim().to_owned();
        if !about.is_empty() {
            input::text("about", &about, ABOUT_CHARS)?;
        }
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let describe = DescribePerson {
            scope: Scope { app_id: agent.app_id.clone(), device_id: None },
            id: id.into(),
            about,
            by: agent.as_actor(),
            act: self.act_on(agent, "person.describe", id),
        };
        let app_id = agent.app_id.clone();
        self.written(describe, move |chat, activity| {
            chat.tell_activity(&app_id, activity.ok_or_else(no_conversation)?);
            Ok(())
        })
        .await?;
        drop(entered);
        self.person(agent, id).await
    }

    /// Blocks a device, or no longer.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `VALIDATION_ERROR`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn block_device(
        &self,
        agent: &Agent,
        device_id: &str,
        is_blocked: bool,
    ) -> Result<BlockedAnswer, Failure> {
        input::device_id(device_id)?;
        self.block(agent, Blocked::Device(device_id.into()), is_blocked).await
    }

    /// Blocks a person, wherever they are, or no longer.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`, `VALIDATION_ERROR`, `RATE_LIMITED`, `SERVER_ERROR`.
    pub async fn block_person(
        &self,
        agent: &Agent,
        user_id: &str,
        is_blocked: bool,
    ) -> Result<BlockedAnswer, Failure> {
        input::name("user_id", user_id)?;
        self.block(agent, Blocked::Person(user_id.into()), is_blocked).await
    }

    async fn block(&self, agent: &Agent, whom: Blocked, is_blocked: bool) -> Result<BlockedAnswer, Failure> {
        // Who may not read conversations knows devices by handles, and could not name one.
        agent.require(Permission::SendMessages)?;
        agent.require(Permission::ViewConversations)?;
        self.limit(Action::Change, &Principal::Agent(agent.clone()))?;
        let (device_id, user_id): (Option<DeviceId>, Option<UserId>) = match &whom {
            Blocked::Device(device_id) => (Some(device_id.clone()), None),
            Blocked::Person(user_id) => (None, Some(user_id.clone())),
        };
        let (action, target) = match (&whom, is_blocked) {
            (Blocked::Device(id), true) => ("device.block", id.as_str()),
            (Blocked::Device(id), false) => ("device.unblock", id.as_str()),
            (Blocked::Person(id), true) => ("person.block", id.as_str()),
            (Blocked::Person(id), false) => ("person.unblock", id.as_str()),
        };
        let app_id = agent.app_id.clone();
        let act = self.act_by(&By::Agent(agent.clone()), &app_id, action, target);
        let by = agent.as_actor();
        let blocked = self.write(Block { app_id: app_id.clone(), whom, is_blocked, by, act }).await?;
        if !blocked.is_known {
            return Err(Failure::new(Code::NotFound, "nobody of that name has ever been here"));
        }
        if let Some(device_id) = &device_id {
            self.devices.forget(&(app_id.clone(), device_id.clone()));
        }
        self.publish(app_id.clone(), Signal::Revoked {});
        if let Some(activity) = blocked.activity {
            self.publish(app_id, Signal::Activity(activity));
        }
        Ok(BlockedAnswer { device_id, user_id, blocked: is_blocked })
    }

    /// Ends the binding of a device to its proven person. False if there is none.
    ///
    /// # Errors
    /// `FORBIDDEN`, `VALIDATION_ERROR`, `SERVER_ERROR`.
    pub async fn unbind(&self, by: &By, app_id: &AppId, device_id: &str) -> Result<bool, Failure> {
        self.may_manage(by)?;
        input::device_id(device_id)?;
        let act = self.act_by(by, app_id, "device.unbind", device_id);
        let unbind = Unbind { app_id: app_id.clone(), device_id: device_id.into(), act };
        let was_bound = self.write(unbind).await?;
        self.devices.forget(&(app_id.clone(), DeviceId::from(device_id)));
        self.publish(app_id.clone(), Signal::Revoked {});
        Ok(was_bound)
    }

    /// Lets a device's name be claimed anew, and ends what binds it to a person. False if nothing is known of it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `VALIDATION_ERROR`, `SERVER_ERROR`.
    pub async fn reset_device(&self, by: &By, app_id: &AppId, device_id: &str) -> Result<bool, Failure> {
        self.may_manage(by)?;
        input::device_id(device_id)?;
        let act = self.act_by(by, app_id, "device.reset", device_id);
        let reset = ResetDevice { app_id: app_id.clone(), device_id: device_id.into(), act };
        let was_known = self.write(reset).await?;
        self.devices.forget(&(app_id.clone(), DeviceId::from(device_id)));
        self.publish(app_id.clone(), Signal::Revoked {});
        Ok(was_known)
    }
}
