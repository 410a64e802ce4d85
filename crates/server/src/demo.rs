//! `--demo`: an app with a conversation in it, and what to paste to try it.

use std::net::SocketAddr;
use std::sync::Arc;

use chat::{Chat, Device, Principal, Restrictions, Sending};
use protocol::rest::{OpenConversation, User};
use protocol::{Failure, Permission};
use tokio::sync::oneshot;

const DEVICE: &str = "demo-phone";

/// Makes a demo app, a token and a conversation; returns what to print.
pub(crate) async fn set_up(chat: &Arc<Chat>, address: SocketAddr) -> Result<String, Failure> {
    let app = chat.create_app("Demo").await?;
    let permissions = Permission::ALL.into_iter().collect();
    let token = chat
        .create_token(&app.app_id, "Ada from support", permissions, None)
        .await?
        .ok_or_else(|| Failure::invalid("the demo app is gone"))?;
    let device = Device {
        app_id: app.app_id.clone(),
        device_id: DEVICE.into(),
        address: None,
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
    Ok(text(address, &app.app_id, &app.api_key, &token.admin_token, &conversation.id))
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

fn text(
    address: SocketAddr,
    app_id: &str,
    api_key: &str,
    admin_token: &str,
    conversation_id: &str,
) -> String {
    let url = format!("http://{address}");
    format!(
        r#"
ReplyHQ demo

  API      {url}/docs
  Metrics  {url}/metrics

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
