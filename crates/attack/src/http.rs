//! Single REST requests, each on a connection of its own, and the text of requests to be sent without end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use serde_json::Value;

use crate::line::{Line, Window};
use crate::server::App;

/// The text of a request on a connection that stays open. `headers` are lines, each ended by CRLF.
pub(crate) fn text(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The header lines of a device.
pub(crate) fn device(app: &App, device_id: &str) -> String {
    format!("X-App-Id: {}\r\nX-Device-Id: {device_id}\r\nX-Api-Key: {}\r\n", app.app_id, app.api_key)
}

/// Asks once, from `source`, and returns the status and the body.
///
/// # Errors
/// If there is no whole answer within `limit`.
pub(crate) async fn ask(
    server: SocketAddr,
    source: Ipv4Addr,
    limit: Duration,
    request: &str,
) -> Result<(u16, String)> {
    let asking = async {
        let line = Line::open(server, source, Window::Usual).await?;
        line.write(request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).await?;
        let (mut input, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(count) = line.read(&mut chunk).await {
            input.extend_from_slice(&chunk[..count]);
        }
        parse(&input)
    };
    tokio::time::timeout(limit, asking).await.context("no answer in time")?
}

/// Asks as [`ask`], and returns the body of an answer that went well.
///
/// # Errors
/// If it did not.
pub(crate) async fn need(server: SocketAddr, request: &str) -> Result<Value> {
    let (status, body) = ask(server, Ipv4Addr::LOCALHOST, Duration::from_secs(30), request).await?;
    ensure!((200..300).contains(&status), "answered {status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

fn parse(input: &[u8]) -> Result<(u16, String)> {
    let end = memmem::find(input, b"\r\n\r\n").context("closed without an answer")?;
    let head = std::str::from_utf8(&input[..end])?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let body = &input[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { unchunk(body)? } else { body.to_vec() };
    Ok((status, String::from_utf8(body)?))
}

fn unchunk(mut input: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memmem::find(input, b"\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&input[..end])?.trim(), 16)?;
        if length == 0 {
            return Ok(body);
        }
        let chunk = input.get(end + 2..end + 2 + length).context("a chunk that breaks off")?;
        body.extend_from_slice(chunk);
        input = input.get(end + 4 + length..).context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_with_and_without_chunks() {
        let plain = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(plain).unwrap(), (201, "{}".to_owned()));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (200, "abc0123456789".to_owned()));
        assert!(parse(b"").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").is_err());
    }
}
