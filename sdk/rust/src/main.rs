//! The quickstart of docs/sdk/rust.md, as it is printed there: `quickstart SERVER_URL APP_ID API_KEY DATA_DIR`.

// [quickstart]
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use sdk::{ChatClient, Config, LogLevel, Platform, User};

/// Where the SDK's log goes. It never holds what people write, nor secrets.
struct Log;

impl Platform for Log {
    fn log(&self, level: LogLevel, message: &str) {
        eprintln!("{level:?}: {message}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server_url, app_id, api_key, data_dir] = &arguments[..] else {
        return Err("quickstart SERVER_URL APP_ID API_KEY DATA_DIR".into());
    };
    let config = Config::new(server_url, app_id, api_key, data_dir);
    let client = ChatClient::open(config, Arc::new(Log)).await?;

    let person = User { id: "user-42".into(), name: Some("Ann".into()), email: None, attributes: None };
    client.identify(person).await?;

    // Stored before this returns; sent now, or when there is a network again.
    client.send(None, "Hello!").await?;

    // Each value is the whole picture, so a screen only has to show the newest one. This one looks until all is sent.
    let mut timelines = client.subscribe_timeline(None);
    let all_sent = async {
        while let Some(timeline) = timelines.next().await? {
            for item in &timeline.items {
                println!("{:?}: {} ({:?})", item.sender, item.body, item.delivery);
            }
            if timeline.items.iter().all(|item| item.message_id.is_some()) {
                break;
            }
        }
        Ok::<_, sdk::ClientError>(())
    };
    if let Ok(seen) = tokio::time::timeout(Duration::from_secs(10), all_sent).await {
        seen?;
    }
    println!("{} messages wait to be sent", client.subscribe_state().current().queued);
    client.close().await;
    Ok(())
}
// [/quickstart]
