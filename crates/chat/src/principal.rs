//! Who is asking.

use std::net::{IpAddr, Ipv6Addr};

use protocol::{
    Actor, AgentId, AppId, Code, ConnectionId, DeviceId, Failure, Permission, Permissions, Side, Timestamp,
    TokenId, UserId,
};
use store::{DeviceStanding, Scope};

/// Who is asking, after their credential was found good.
#[derive(Debug, Clone)]
pub enum Principal {
    /// A device of an app.
    Device(Device),
    /// An agent of an app.
    Agent(Agent),
}

/// A device of an app.
#[derive(Debug, Clone)]
pub struct Device {
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// Where it is, if that is known.
    pub address: Option<Address>,
    /// Who is proven to be at it, if anybody is.
    pub person: Option<UserId>,
    /// What it may do for now.
    pub restrictions: Restrictions,
}

impl Device {
    /// The device as it stands.
    #[must_use]
    pub fn standing(self, standing: &DeviceStanding) -> Self {
        let person = standing.user_info.as_ref().filter(|_| standing.is_proven);
        Self {
            person: person.map(|info| info.user_id.clone()),
            restrictions: Restrictions::of(standing),
            ..self
        }
    }
}

/// What a device may do for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// The agents have blocked it, or the person at it: it says nothing more.
    pub is_blocked: bool,
    /// It has to be told who is there before it does or sees anything.
    pub needs_identity: bool,
    /// Rises whenever what was let in before has to go.
    pub version: u64,
}

impl Restrictions {
    /// What a device may do that stands so.
    pub fn of(standing: &DeviceStanding) -> Self {
        let DeviceStanding { is_blocked, needs_identity, version, .. } = *standing;
        Self { is_blocked, needs_identity, version }
    }
}

impl Device {
    /// # Errors
    /// `IDENTITY_REQUIRED` if it has to be told who is there; `BLOCKED` if it is to say something and may not.
    pub fn require(&self, permission: Permission) -> Result<(), Failure> {
        if self.restrictions.needs_identity {
            return Err(identity_required());
        }
        if self.restrictions.is_blocked && permission == Permission::SendMessages {
            return Err(blocked());
        }
        Ok(())
    }
}

/// What a device is told whose binding has ended.
pub(crate) fn identity_required() -> Failure {
    Failure::new(Code::IdentityRequired, "what proved who is at this device holds no longer: identify again")
}

/// What somebody is told who is blocked.
pub fn blocked() -> Failure {
    Failure::new(Code::Blocked, "the agents take nothing more from this device or person")
}

/// Where somebody is in the network, as far as the server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Whether it may be that of a proxy that nobody has named, behind which everybody is.
    pub may_be_shared: bool,
}

impl Address {
    /// What is counted as one: an IPv4 address, or the 64 bits of an IPv6 address that name a network. One customer of
    /// a provider has all addresses below those.
    pub(crate) fn network(self) -> IpAddr {
        match self.ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !u128::from(u64::MAX)).into(),
            v4 => v4,
        }
    }
}

/// An agent of an app: someone who holds an admin token.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The app.
    pub app_id: AppId,
    /// The token.
    pub token_id: TokenId,
    /// The person: whose session it is, or who answers for the program.
    pub agent_id: Option<AgentId>,
    /// Whether it is a person's session, and no program's token.
    pub is_session: bool,
    /// The version of the agent, or 0: it rises when what they may do changes.
    pub version: u64,
    /// The name that people see.
    pub name: String,
    /// What the token allows.
    pub permissions: Permissions,
    /// From when on it allows nothing.
    pub expires_at: Option<Timestamp>,
    /// The connection, if there is one: what the rate limit counts by.
    pub connection_id: Option<ConnectionId>,
}

impl Agent {
    /// Who they are in what is recorded: the agent, or where a program acts for nobody, its token.
    pub fn actor(&self) -> &str {
        self.agent_id.as_ref().map_or(self.token_id.as_str(), |id| id.as_str())
    }

    /// Who they are in a conversation's activity.
    pub(crate) fn as_actor(&self) -> Actor {
        Actor { id: self.actor().into(), name: Some(self.name.clone()) }
    }

    /// The person who is asking, or for whom a program does.
    ///
    /// # Errors
    /// `FORBIDDEN` for a program that acts for nobody.
    pub fn require_person(&self) -> Result<&AgentId, Failure> {
        self.agent_id.as_ref().ok_or_else(|| {
            Failure::new(Code::Forbidden, "this token is a program's, for which no agent answers")
        })
    }

    /// # Errors
    /// `FORBIDDEN` for a program.
    pub fn require_session(&self) -> Result<(), Failure> {
        if self.is_session {
            return Ok(());
        }
        Err(Failure::new(Code::Forbidden, "this token is a program's, and no sign-in"))
    }

    /// # Errors
    /// `FORBIDDEN` if the token lacks the permission.
    pub fn require(&self, permission: Permission) -> Result<(), Failure> {
        if self.permissions.has(permission) {
            return Ok(());
        }
        Err(Failure::new(Code::Forbidden, format!("this token lacks the permission {permission}")))
    }

    /// # Errors
    /// `FORBIDDEN` if the agent is not of this app, `MISSING_PARAMS` if no app is named.
    pub fn require_app(&self, app_id: &str) -> Result<(), Failure> {
        if app_id.is_empty() {
            return Err(Failure::missing("app_id"));
        }
        if self.app_id.as_str() == app_id {
            return Ok(());
        }
        Err(Failure::new(Code::Forbidden, "this token is for another app"))
    }
}

impl Principal {
    /// The app.
    pub fn app_id(&self) -> &AppId {
        match self {
            Self::Device(device) => &device.app_id,
            Self::Agent(agent) => &agent.app_id,
        }
    }

    /// How far they see: a device its own conversations, an agent all of the app.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Device(device) => {
                Scope { app_id: device.app_id.clone(), device_id: Some(device.device_id.clone()) }
            }
            Self::Agent(agent) => Scope { app_id: agent.app_id.clone(), device_id: None },
        }
    }

    /// On which side of a conversation they are.
    pub fn side(&self) -> Side {
        match self {
            Self::Device(_) => Side::User,
            Self::Agent(_) => Side::Agent,
        }
    }

    /// # Errors
    /// `FORBIDDEN` if this is an agent whose token lacks the permission. A device needs none, for its scope is its own, but
    /// may have to be told who is there, or be blocked: see [`Device::require`].
    pub fn require(&self, permission: Permission) -> Result<(), Failure> {
        match self {
            Self::Device(device) => device.require(permission),
            Self::Agent(agent) => agent.require(permission),
        }
    }
}
