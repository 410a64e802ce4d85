//! One keep-alive HTTP/1.1 connection.

use crate::{packet, socket::Route};
use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use std::{io::ErrorKind, net::SocketAddr};
use tokio::net::TcpStream;

/// A device's or an agent's REST connection.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    host: SocketAddr,
    credentials: String,
    input: Vec<u8>,
    filled: usize,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Http {
    /// Connects; every request carries these header lines, each ended by CRLF.
    pub(crate) async fn connect(route: Route, credentials: String) -> Result<Self> {
        let stream = route.open().await.context("connecting")?;
        Ok(Self { stream, host: route.server, credentials, input: vec![0; 8192], filled: 0 })
    }

    /// From here on requests carry these header lines instead.
    pub(crate) fn speak_as(&mut self, credentials: String) {
        self.credentials = credentials;
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<Answer<'_>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            self.credentials,
            body.len()
        );
        self.write(request.as_bytes()).await?;
        self.filled = 0;
        loop {
            if let Some(head) = head(&self.input[..self.filled])? {
                let end = head.length + head.body;
                if self.filled >= end {
                    return Ok(Answer { status: head.status, body: &self.input[head.length..end] });
                }
                if self.input.len() < end {
                    self.input.resize(end, 0);
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        loop {
            match self.stream.try_read(&mut self.input[self.filled..]) {
                Ok(0) => bail!("closed by the server"),
                Ok(count) => {
                    self.filled += count;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.readable().await?,
                Err(error) => return Err(error).context("reading"),
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error).context("writing"),
            }
        }
        Ok(())
    }
}

struct Head {
    status: u16,
    length: usize,
    body: usize,
}

fn head(input: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else { return Ok(None) };
    ensure!(input.starts_with(b"HTTP/1.1 "), "not HTTP/1.1");
    let status = packet::field_number(&input[..end], "HTTP/1.1 ").context("no status")?;
    let head = input[..end].to_ascii_lowercase();
    let body = packet::field_number(&head, "\r\ncontent-length: ").context("an answer without a length")?;
    Ok(Some(Head { status: u16::try_from(status)?, length: end + 4, body: usize::try_from(body)? }))
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let input = b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 12\r\n\r\n{}";
        let found = head(input).unwrap().unwrap();
        assert_eq!((found.status, found.length, found.body), (201, input.len() - 2, 12));
    }

    #[test]
    fn half_a_head_is_waited_for_and_a_lengthless_one_refused() {
        assert!(head(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }
}
