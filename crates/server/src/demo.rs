//! `--demo`: an app with people who write, a link to answer them, and what to paste to try it.

mod people;

use std::sync::Arc;

use chat::{By, Chat, Device, NewApp, NewTokenWish, Principal, Restrictions, Sending};
use protocol::rest::{OpenConversation, User};
use protocol::{AppId, Failure, Permission, Role};
use tokio::sync::oneshot;

use crate::command::sign_in_link;

const DEVICE: &str = "demo-phone";

/// Who answers in the demo.
const AGENTS: [(&str, &str, Role); 2] =
    [("Ada", "ada@demo.example", Role::Admin), ("Alan", "alan@demo.example", Role::Agent)];

/// The demo, set up.
pub(crate) struct Demo {
    /// What to print.
    pub(crate) text: String,
    app_id: AppId,
}

impl Demo {
    /// Its people come and write, until the server ends.
    pub(crate) fn live(&self, chat: Arc<Chat>) -> impl Future<Output = ()> + use<> {
        people::live(chat, self.app_id.clone())
    }
}

/// Makes a demo app, a token and a conversation.
pub(crate) async fn set_up(chat: &Arc<Chat>, url: &str) -> Result<Demo, Failure> {
    let app = chat.create_app("Demo").await?;
    let permissions = Permission::ALL.into_iter().collect();
    let wish = NewTokenWish { name: "Ada from support", permissions, expires_in: None, owner: None };
    let token = chat
        .create_token(&By::CommandLine, &app.app_id, wish)
        .await?
        .ok_or_else(|| Failure::invalid("the demo app is gone"))?;
    let device = Device {
        app_id: app.app_id.clone(),
        device_id: DEVICE.into(),
        address: None,
        person: None,
        restrictions: Restrictions::default(),
    };
    let user = User { id: "user-1".into(), name: Some("Grace".into()), email: None, attributes: None };
    let wish = OpenConversation { user: Some(user), device_context: None };
    let conversation = chat.open_conversation(&device, wish).await?;
    let agent = Principal::Agent(chat.authenticate_agent(None, &token.admin_token, None).await?);
    let device = Principal::Device(device);
    for (who, local_id, body) in [
        (&device, "demo-1", "Hello! My parcel has not arrived yet."),
        (&agent, "demo-2", "Hi Grace, let me look. Which order is it?"),
        (&device, "demo-3", "Number 1042."),
    ] {
        send(chat, who, &conversation.id, local_id, body).await?;
    }
    let mut links = Vec::new();
    for (name, email, role) in AGENTS {
        let made = chat.demo_agent(&app.app_id, name, email, role).await?;
        let made = made.ok_or_else(|| Failure::invalid("the demo app is gone"))?;
        links.push(sign_in_link(url, &made.code));
    }
    let told =
        Told { url, app: &app, admin_token: &token.admin_token, conversation_id: &conversation.id, links };
    Ok(Demo { text: told.text(), app_id: app.app_id })
}

async fn send(
    chat: &Arc<Chat>,
    who: &Principal,
    conversation_id: &str,
    local_id: &str,
    body: &str,
) -> Result<(), Failure> {
    let (tell, told) = oneshot::channel();
    let sending =
        Sending { conversation_id: conversation_id.into(), local_id: local_id.into(), body: body.into() };
    chat.send(who, sending, |outcome| {
        // The other end waits just below.
        let _ = tell.send(outcome);
    });
    told.await.map_err(|_| Failure::invalid("the demo's messages were not stored"))?.map(|_| ())
}

/// What there is to try.
struct Told<'a> {
    url: &'a str,
    app: &'a NewApp,
    admin_token: &'a str,
    conversation_id: &'a str,
    /// By which each of the agents signs in.
    links: Vec<String>,
}

impl Told<'_> {
    fn text(&self) -> String {
        let Self { url, app: NewApp { app_id, api_key }, admin_token, conversation_id, links } = self;
        let [(first, ..), (second, ..)] = AGENTS;
        let [open, other] = [0, 1].map(|place| links.get(place).map_or("", String::as_str));
        format!(
            r#"
ReplyHQ demo

Open this: you are {first}, an agent, and people are writing to you. It is good once, and asks for no password.

  {open}

  For {second}, a colleague:  {other}
  API:      {url}/docs
  Metrics:  {url}/metrics

1. Listen as an agent (needs Node; once: npm install socket.io-client):

node -e '
const s = require("socket.io-client").io("{url}/admin", {{ path: "/v1/socket.io", transports: ["websocket"],
  auth: {{ app_id: "{app_id}", admin_token: "{admin_token}" }} }});
s.onAny((name, data) => console.log(name, JSON.stringify(data)));
s.on("connect", () => s.emit("conversation:join", {{ conversation_id: "{conversation_id}", after: "" }}, console.log));'

2. Write as the person at the phone:

curl -X POST {url}/v1/conversations/{conversation_id}/messages \
  -H 'X-App-Id: {app_id}' -H 'X-Device-Id: {DEVICE}' \
  -H 'X-Api-Key: {api_key}' \
  -H 'Content-Type: application/json' \
  -d '{{"local_id":"curl-1","body":"Hello from curl"}}'

3. Answer as the agent:

curl -X POST {url}/v1/admin/conversations/{conversation_id}/messages \
  -H 'Authorization: Bearer {admin_token}' \
  -H 'Content-Type: application/json' \
  -d '{{"local_id":"curl-2","body":"On its way!"}}'
"#
        )
    }
}
