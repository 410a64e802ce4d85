//! One live connection of a device.

use serde::{Deserialize, Serialize};

use crate::{AppId, ConnectionId, DeviceId, Timestamp, UserId};

/// One live connection of a device, as agents see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The connection.
    pub connection_id: ConnectionId,
    /// The app.
    pub app_id: AppId,
    /// The device.
    pub device_id: DeviceId,
    /// Since when it is connected.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub connected_at: Timestamp,
    /// Who is at the device, if that was told: in lists now, in events when the device connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info: Option<UserInfo>,
}

/// Who is at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserInfo {
    /// The app's own id for the person.
    pub user_id: UserId,
    /// The person's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
