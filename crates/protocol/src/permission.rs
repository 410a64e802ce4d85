//! What an admin token may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that an admin token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See who is connected: `sessions:list`, `session:connect`, `session:disconnect`.
    ViewSessions,
    /// See which devices are online: `presence:change`.
    ViewPresence,
    /// Read conversations and mark them read: the inbox, `conversation:join`, `message:read`.
    ViewConversations,
    /// Answer, show typing, resolve and reopen.
    SendMessages,
    /// Read the audit log.
    Manage,
}

impl Permission {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 5] =
        [Self::ViewSessions, Self::ViewPresence, Self::ViewConversations, Self::SendMessages, Self::Manage];

    /// As it is written on the wire, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ViewSessions => "view_sessions",
            Self::ViewPresence => "view_presence",
            Self::ViewConversations => "view_conversations",
            Self::SendMessages => "send_messages",
            Self::Manage => "manage",
        }
    }

    /// The permission that is written so, if any is.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions. In the database it is their names with spaces between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// What a token may do when nothing is said: all that an agent needs, but not `manage`.
    pub fn agent() -> Self {
        Permission::ALL.into_iter().filter(|&permission| permission != Permission::Manage).collect()
    }

    /// Whether `permission` is among them.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Those in it, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |&permission| self.has(permission))
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Their names with spaces between, as the database keeps them.
    pub fn to_text(self) -> String {
        self.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The set that was written so; names that are not known any more grant nothing.
    pub fn from_text(text: &str) -> Self {
        text.split_whitespace().filter_map(Permission::parse).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | 1 << permission as u8))
    }
}

/// What an agent may do in their app: a set of permissions with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything, and says nothing.
    Viewer,
    /// Answers, too.
    Agent,
    /// Manages the app, too.
    Admin,
}

impl Role {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Agent, Self::Admin];

    /// As it is written on the wire, on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }

    /// The role that is written so, if any is.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What who has it may do.
    pub fn permissions(self) -> Permissions {
        let is_of = |permission: &Permission| match permission {
            Permission::ViewSessions | Permission::ViewPresence | Permission::ViewConversations => true,
            Permission::SendMessages => self != Self::Viewer,
            Permission::Manage => self == Self::Admin,
        };
        Permission::ALL.into_iter().filter(is_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_the_database() {
        let set: Permissions = [Permission::Manage, Permission::ViewSessions].into_iter().collect();
        assert_eq!(set.to_text(), "view_sessions manage");
        assert_eq!(Permissions::from_text("manage view_sessions unheard_of"), set);
        assert!(!Permissions::agent().has(Permission::Manage));
        let of_roles = Role::ALL.map(|role| role.permissions().to_text());
        assert_eq!(
            of_roles,
            [
                "view_sessions view_presence view_conversations",
                "view_sessions view_presence view_conversations send_messages",
                "view_sessions view_presence view_conversations send_messages manage"
            ]
        );
    }
}
