//! Handshakes that are begun and not finished.

use std::future::pending;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::hostile::Hostile;
use crate::line::{Line, Window};
use crate::scenario::Scenario;
use crate::socket::UPGRADE;
use crate::trial::Trial;

const KINDS: usize = 12;
const GONE_LIMIT: Duration = Duration::from_secs(20);
const HEAD: &str = "GET /v1/conversations HTTP/1.1\r\nHost: localhost\r\n";
const POST: &str = "POST /v1/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
/// The beginning of a TLS 1.2 client hello.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08";

/// The scenarios of this kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("slow-handshakes", |trial| Box::pin(slow_handshakes(trial)))
            .flags(&["--handshake-timeout 2s"]),
    ]
}

/// All kinds at once, the same number of each. Nobody comes back.
async fn slow_handshakes(trial: &mut Trial) -> Result<()> {
    let count = trial.sized(1_000, 120);
    trial.baseline().await?;
    trial.wave(count, |hostile| async move {
        let line = hostile.line(Window::Usual).await?;
        hostile.count(1);
        begin(&hostile, &line, hostile.index % KINDS).await?;
        // It stays as long as the server lets it.
        pending().await
    });
    trial.last().await;
    let gone = trial.until_gone(GONE_LIMIT).await;
    trial.end()?;
    let opened = trial.tally.opened();
    trial.record.judge(opened == count as u64, format!("{opened} of {count} connections were opened"));
    trial.record.judge(gone, format!("of {count} who did not finish their handshake all are gone: {gone}"));
    trial.leave().await
}

async fn begin(hostile: &Hostile, line: &Line, kind: usize) -> Result<()> {
    match kind {
        0 => Ok(()),
        1 => hostile.write(line, b"GET /v1/conv").await,
        2 => drip(hostile, line, HEAD, "X-Slow: a\r\n", Duration::from_secs(1)).await,
        3 => hostile.write(line, HEAD.as_bytes()).await,
        4 => hostile.write(line, format!("{HEAD}X-Long: {}", "h".repeat(15_000)).as_bytes()).await,
        5 => hostile.write(line, POST.as_bytes()).await,
        6 => drip(hostile, line, POST, "{", Duration::from_millis(100)).await,
        7 => {
            let keyless = UPGRADE.replace("Sec-WebSocket-Key", "X-No-Key");
            hostile.write(line, keyless.trim_end_matches("\r\n").as_bytes()).await
        }
        8 => hostile.write(line, UPGRADE.as_bytes()).await,
        // Alive, and never logged in.
        9 => {
            hostile.write(line, UPGRADE.as_bytes()).await?;
            let noop = crate::frame::text("6");
            loop {
                sleep(Duration::from_millis(500)).await;
                hostile.write(line, &noop).await?;
            }
        }
        10 => {
            hostile.write(line, UPGRADE.as_bytes()).await?;
            hostile.write(line, &[0x81, 0xfe, 0x10]).await
        }
        _ => hostile.write(line, TLS_HELLO).await,
    }
}

/// Some first, then a bit at a time.
async fn drip(hostile: &Hostile, line: &Line, first: &str, drop: &str, pause: Duration) -> Result<()> {
    hostile.write(line, first.as_bytes()).await?;
    loop {
        sleep(pause).await;
        hostile.write(line, drop.as_bytes()).await?;
    }
}
