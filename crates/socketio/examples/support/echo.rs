//! The echo server that the official suites expect, with just enough HTTP for an upgrade. Shared by the example
//! and the tests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use serde_json::value::RawValue;
use socketio::{BareConnection, BareIncoming, Config, Connection, Event, Frame, Incoming, Outgoing, upgrade};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes a request's head may have.
const MAX_REQUEST: usize = 16 * 1024;
/// The suites wait for one message at a time and miss a second one that arrives in the same read: what follows
/// the answer to a CONNECT is sent when that has been seen.
const GREETING_DELAY: Duration = Duration::from_millis(10);

/// The times and sizes that the suites expect.
pub(crate) fn config() -> Config {
    Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        max_payload: 1_000_000,
        ..Config::default()
    }
}

/// Serves until accepting fails.
pub(crate) async fn serve(listener: TcpListener, config: Config, is_bare: bool) -> io::Result<()> {
    let config = Arc::new(config);
    for number in 0_u64.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let config = Arc::clone(&config);
        tokio::spawn(async move {
            let sid = format!("session-{number}");
            let Ok(Some((stream, rest))) = shake_hands(stream, is_bare).await else { return };
            if is_bare {
                echo_messages(BareConnection::new(stream, rest, config, &sid)).await;
            } else {
                echo_events(Connection::new(stream, rest, config, &sid), &sid).await;
            }
        });
    }
    Ok(())
}

/// Reads a request and answers it; gives the stream back when it is upgraded.
async fn shake_hands(mut stream: TcpStream, is_bare: bool) -> io::Result<Option<(TcpStream, Bytes)>> {
    let mut read = BytesMut::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if read.len() > MAX_REQUEST || stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let head = read.split_to(end);
    let path = if is_bare { "/engine.io/" } else { "/socket.io/" };
    let answer = match request(&head) {
        Some(request) if request.uri().path() == path => upgrade::respond(&request.into_parts().0),
        _ => Err(not_found()),
    };
    match answer {
        Ok(response) => {
            stream.write_all(&write_head(&response)).await?;
            Ok(Some((stream, read.freeze())))
        }
        Err(response) => {
            let mut answer = write_head(&response);
            answer.extend_from_slice(response.body().as_bytes());
            stream.write_all(&answer).await?;
            Ok(None)
        }
    }
}

fn request(head: &[u8]) -> Option<Request<()>> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    request.body(()).ok()
}

fn not_found() -> Box<Response<String>> {
    let mut response = Response::new(String::new());
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    Box::new(response)
}

fn write_head<B>(response: &Response<B>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

async fn echo_messages(mut connection: BareConnection<TcpStream>) {
    let outgoing = connection.outgoing();
    loop {
        match connection.next().await {
            BareIncoming::Text(text) => outgoing.send(Frame::text(&text)),
            BareIncoming::Binary(bytes) => outgoing.send(Frame::binary(&bytes)),
            BareIncoming::Closed(_) => return,
        };
    }
}

async fn echo_events(mut connection: Connection<TcpStream>, sid: &str) {
    let outgoing = connection.outgoing();
    loop {
        match connection.next().await {
            Incoming::Connect { namespace, auth } if matches!(&*namespace, "/" | "/custom") => {
                connection.accept(&namespace, sid);
                connection.during(Box::pin(greet(&outgoing, &namespace, auth.as_deref()))).await;
            }
            Incoming::Connect { namespace, .. } => connection.refuse(&namespace, "Invalid namespace", None),
            Incoming::Event { namespace, event } => answer(&outgoing, &namespace, &event),
            Incoming::Disconnect { .. } | Incoming::TooLarge { .. } => {}
            Incoming::Closed(_) => return,
        }
    }
}

async fn greet(outgoing: &Outgoing, namespace: &str, auth: Option<&RawValue>) {
    tokio::time::sleep(GREETING_DELAY).await;
    let greeting = match auth {
        Some(auth) => Frame::event(namespace, "auth", auth),
        None => Frame::event(namespace, "auth", &serde_json::Map::new()),
    };
    if let Ok(frame) = greeting {
        outgoing.send(frame);
    }
}

fn answer(outgoing: &Outgoing, namespace: &str, event: &Event) {
    let frame = match (event.name.as_str(), event.ack) {
        ("message", _) => Frame::event_with(namespace, "message-back", &event.args),
        ("message-with-ack", Some(id)) => Frame::ack_with(namespace, id, &event.args),
        _ => return,
    };
    if let Ok(frame) = frame {
        outgoing.send(frame);
    }
}
