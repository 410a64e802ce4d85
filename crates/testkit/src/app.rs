//! An app on a server, with the credentials to use it.

use std::ffi::OsString;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::server::command;
use crate::{Client, Http, Refusal};

/// All permissions, as the command line names them.
pub(crate) const ALL_PERMISSIONS: [&str; 5] =
    ["view_sessions", "view_presence", "view_conversations", "send_messages", "manage"];

/// An app on a server.
#[derive(Debug, Clone)]
pub struct TestApp {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The flags that name the server's database, for commands.
    pub database: Vec<OsString>,
    /// The app.
    pub app_id: String,
    /// Its key.
    pub api_key: String,
    /// A token with all permissions.
    pub admin_token: String,
}

impl TestApp {
    /// Makes an app and a token, by the commands that an operator uses.
    pub async fn create(address: SocketAddr, database: Vec<OsString>) -> Self {
        let app = command(&database, &["app", "create", "Shop"]).await.expect("an app");
        let mut app = Self {
            address,
            database,
            app_id: text(&app["app_id"]),
            api_key: text(&app["api_key"]),
            admin_token: String::new(),
        };
        app.admin_token = app.token(&ALL_PERMISSIONS).await.1;
        app
    }

    /// A token with these permissions: its id and its secret.
    pub async fn token(&self, permissions: &[&str]) -> (String, String) {
        self.token_with(permissions, &[]).await
    }

    /// A token with these permissions and flags: its id and its secret.
    pub async fn token_with(&self, permissions: &[&str], flags: &[&str]) -> (String, String) {
        let mut arguments = vec!["token", "create", "--app", &self.app_id, "--name", "Ada"];
        for permission in permissions {
            arguments.extend(["--permission", permission]);
        }
        arguments.extend(flags);
        let token = self.command(&arguments).await;
        (text(&token["id"]), text(&token["admin_token"]))
    }

    /// Runs a command on the app's server's data, and returns the JSON that it prints.
    pub async fn command(&self, arguments: &[&str]) -> Value {
        self.try_command(arguments).await.expect("the command works")
    }

    /// As [`command`](Self::command), for one that may be refused.
    ///
    /// # Errors
    /// What it tells the operator.
    pub async fn try_command(&self, arguments: &[&str]) -> Result<Value, String> {
        command(&self.database, arguments).await
    }

    /// What a device shows on `/client`.
    pub fn device_auth(&self, device_id: &str) -> Value {
        json!({ "app_id": self.app_id, "device_id": device_id, "api_key": self.api_key })
    }

    /// What an agent shows on `/admin`.
    pub fn agent_auth(&self) -> Value {
        json!({ "app_id": self.app_id, "admin_token": self.admin_token })
    }

    /// A connected device; its `connected` event is not taken yet.
    pub async fn device(&self, device_id: &str) -> Client {
        self.try_device(device_id).await.expect("the device may connect")
    }

    /// A device that connects or is refused.
    ///
    /// # Errors
    /// The refusal.
    pub async fn try_device(&self, device_id: &str) -> Result<Client, Refusal> {
        Client::connect(self.address, "/client", self.device_auth(device_id)).await
    }

    /// A connected device that has joined its open conversation, and that conversation's id. What it was told so
    /// far is taken.
    pub async fn device_in_conversation(&self, device_id: &str) -> (Client, String) {
        let conversation = self.conversation(device_id).await;
        let mut device = self.device(device_id).await;
        device.expect("connected").await;
        let joined = device.expect("conversation:joined").await;
        assert_eq!(joined["conversation_id"], conversation.as_str());
        (device, conversation)
    }

    /// A connected agent who has joined this conversation. What they were told so far is taken.
    pub async fn agent_in(&self, conversation_id: &str) -> Client {
        let mut agent = self.agent().await;
        agent.expect("connected").await;
        agent.done("conversation:join", json!({ "conversation_id": conversation_id })).await;
        agent.expect("conversation:joined").await;
        agent
    }

    /// A connected agent with all permissions.
    pub async fn agent(&self) -> Client {
        self.agent_with(&self.admin_token).await.expect("the agent may connect")
    }

    /// An agent with this token.
    ///
    /// # Errors
    /// The refusal.
    pub async fn agent_with(&self, admin_token: &str) -> Result<Client, Refusal> {
        let auth = json!({ "app_id": self.app_id, "admin_token": admin_token });
        Client::connect(self.address, "/admin", auth).await
    }

    /// REST as this device.
    pub fn as_device(&self, device_id: &str) -> Http {
        Http::new(self.address)
            .header("X-App-Id", &self.app_id)
            .header("X-Device-Id", device_id)
            .header("X-Api-Key", &self.api_key)
    }

    /// REST as an agent with all permissions.
    pub fn as_agent(&self) -> Http {
        self.as_agent_with(&self.admin_token)
    }

    /// REST as an agent with this token.
    pub fn as_agent_with(&self, admin_token: &str) -> Http {
        Http::new(self.address).header("Authorization", &format!("Bearer {admin_token}"))
    }

    /// What a device with a secret of its own shows on `/client`.
    pub fn owner_auth(&self, device_id: &str, secret: &str) -> Value {
        let mut auth = self.device_auth(device_id);
        auth["device_secret"] = secret.into();
        auth
    }

    /// A connected device with a secret of its own.
    pub async fn owner(&self, device_id: &str, secret: &str) -> Client {
        let auth = self.owner_auth(device_id, secret);
        Client::connect(self.address, "/client", auth).await.expect("the device may connect")
    }

    /// REST as a device with a secret of its own.
    pub fn as_owner(&self, device_id: &str, secret: &str) -> Http {
        self.as_device(device_id).header("X-Device-Secret", secret)
    }

    /// A secret by which the app's backend proves who its people are: its id, and itself.
    pub async fn identity_secret(&self) -> (String, String) {
        let made = self.command(&["identity", "add-secret", "--app", &self.app_id]).await;
        (text(&made["id"]), text(&made["secret"]))
    }

    /// The id of this device's open conversation; opened if there was none.
    pub async fn conversation(&self, device_id: &str) -> String {
        let answer = self.as_device(device_id).post("/v1/conversations", &json!({})).await.ok();
        text(&answer["conversation"]["id"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
