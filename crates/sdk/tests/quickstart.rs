//! The quickstart of docs/sdk/rust.md, against a real server.

#![expect(clippy::print_stderr, reason = "an app shows what it has; this one has no screen")]

use std::path::Path;
use std::sync::Arc;

use testkit::{TestServer, patiently};

// [quickstart]
use sdk::{ChatClient, ClientError, Config, LogLevel, Platform, Sender, User};

/// Where the SDK's log goes. It never holds what people write, nor secrets.
struct Log;

impl Platform for Log {
    fn log(&self, level: LogLevel, message: &str) {
        eprintln!("{level:?}: {message}");
    }
}

async fn chat(server_url: &str, app_id: &str, api_key: &str, data_dir: &Path) -> Result<String, ClientError> {
    let config = Config::new(server_url, app_id, api_key, data_dir);
    let client = ChatClient::open(config, Arc::new(Log)).await?;

    let person = User { id: "user-1".into(), name: Some("Grace".into()), email: None, attributes: None };
    client.identify(person).await?;

    // It is on the disk when this returns, with or without a network.
    client.send(None, "My order is missing").await?;

    // Every change brings the whole picture: show it as it is.
    let mut timelines = client.subscribe_timeline(None);
    while let Some(timeline) = timelines.next().await? {
        for item in &timeline.items {
            eprintln!("{:?} {}: {:?}", item.sender, item.body, item.delivery);
        }
        if let Some(answer) = timeline.items.iter().find(|item| item.sender == Sender::Agent) {
            client.mark_read(None).await?;
            client.close().await;
            return Ok(answer.body.clone());
        }
    }
    Err(ClientError::Closed)
}
// [/quickstart]

#[tokio::test]
async fn the_quickstart_sends_and_gets_an_answer() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let mut agent = app.agent().await;
    let answers = async {
        loop {
            let updated = agent.expect("conversation:updated").await;
            if updated["last_message"]["sender"] == "user" {
                let conversation = updated["conversation"]["id"].as_str().expect("an id");
                agent.say(conversation, "a1", "We are looking for it").await;
                return;
            }
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}", app.address);
    let chat = patiently("the chat", chat(&url, &app.app_id, &app.api_key, folder.path()));
    let (answer, ()) = tokio::join!(chat, answers);
    assert_eq!(answer, Ok("We are looking for it".to_owned()));
}
