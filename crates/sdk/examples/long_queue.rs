//! Measures what a long queue costs an app that shows it: 500 texts of 20 kB are written without a network, with a timeline
//! open, and then sent. Prints the CPU time of this process, in seconds.
//!
//!     cargo build -p server && cargo run --release -p sdk --example long_queue

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sdk::{ChatClient, Config, LogLevel, Platform};
use testkit::TestServer;

const MESSAGES: usize = 500;
/// Of the longest characters, as many as a message may have.
const CHARACTERS: usize = 5_000;

struct Quiet;

impl Platform for Quiet {
    fn log(&self, _level: LogLevel, _message: &str) {}
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 =
        fields.split(' ').skip(12).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    // As the kernel tells programs, whatever its own clock does.
    Duration::from_millis(ticks * 10)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = TestServer::without_limits().await;
    let app = server.app().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(format!("http://{}", app.address), &app.app_id, &app.api_key, folder.path());
    let client = ChatClient::open(config, Arc::new(Quiet)).await.expect("a client");
    let mut timelines = client.subscribe_timeline(None);
    let screen = tokio::spawn(async move {
        let mut pictures = 0_u32;
        while let Ok(Some(_)) = timelines.next().await {
            pictures += 1;
        }
        pictures
    });
    client.set_network(false).await.expect("open");
    let text = "𝄞".repeat(CHARACTERS);
    let (began, before) = (Instant::now(), cpu());
    for _ in 0..MESSAGES {
        client.send(None, &text).await.expect("room");
    }
    println!(
        "written: {:.2} s of CPU in {:.2} s",
        (cpu() - before).as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    let (began, before) = (Instant::now(), cpu());
    client.set_network(true).await.expect("open");
    assert_eq!(client.drain(Duration::from_secs(300)).await, Ok(0));
    println!(
        "sent: {:.2} s of CPU in {:.2} s",
        (cpu() - before).as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    client.close().await;
    println!("{} pictures", screen.await.expect("a screen"));
}
